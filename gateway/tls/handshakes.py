"""The handshakes that are under way: counted as they fail, and bounded, because a client without one is in nobody's book yet.

Connections are counted and timed by `gateway.web.watch` from the moment at which they can send a request. Before that a socket costs a
descriptor and nothing else is known of it; so there may be only so many.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10.0
"""How long a handshake may take."""

_PLAIN = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})
_TOO_OLD = frozenset(
    {"UNSUPPORTED_PROTOCOL", "NO_SHARED_CIPHER", "VERSION_TOO_LOW", "NO_PROTOCOLS_AVAILABLE"}
)
# A loop that is busy is late to cut off.
_FORGOTTEN_SECONDS = 2 * SECONDS


class Handshakes:
    """Which are under way, at most `most`; `counter` gives what counts failures of a kind."""

    def __init__(
        self,
        most: int,
        counter: Callable[[str], Callable[[], None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._failures = {kind: counter(kind) for kind in ("plain_http", "too_old", "too_many", "other")}
        self._clock = clock
        # Since when, the oldest first.
        self._begun: dict[int, float] = {}

    def begin(self, handshake: Callable[[], ssl.SSLObject]) -> ssl.SSLObject:
        """Begin one. Raises `ssl.SSLError` when there are too many."""
        now = self._clock()
        while self._begun and now - next(iter(self._begun.values())) > _FORGOTTEN_SECONDS:
            # It was cut off, of which nobody is told.
            del self._begun[next(iter(self._begun))]
        if len(self._begun) >= self._most:
            self._failures["too_many"]()
            raise ssl.SSLError("too many handshakes are under way")
        begun = handshake()
        self._begun.pop(id(begun), None)
        self._begun[id(begun)] = now
        return begun

    def over(self, handshake: ssl.SSLObject, reason: str | None = None) -> None:
        """Hear that one is over, or that it failed for OpenSSL's `reason`."""
        self._begun.pop(id(handshake), None)
        if reason is not None:
            kind = "plain_http" if reason in _PLAIN else "too_old" if reason in _TOO_OLD else "other"
            self._failures[kind]()
