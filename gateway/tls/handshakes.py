"""Handshakes of TLS: how long they may take, and how those that fail are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10.0
"""How long a handshake may take."""

_PLAIN = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})
_TOO_OLD = frozenset(
    {"UNSUPPORTED_PROTOCOL", "NO_SHARED_CIPHER", "VERSION_TOO_LOW", "NO_PROTOCOLS_AVAILABLE"}
)


class Failures:
    """Counts them; `counter` gives what counts failures of a kind."""

    def __init__(self, counter: Callable[[str], Callable[[], None]]) -> None:
        self._counts = {kind: counter(kind) for kind in ("plain_http", "too_old", "too_many", "other")}

    def failed(self, reason: str) -> None:
        """Hear that one failed for OpenSSL's `reason`."""
        kind = "plain_http" if reason in _PLAIN else "too_old" if reason in _TOO_OLD else "other"
        self._counts[kind]()

    def too_many(self) -> None:
        """Hear that one had to make room for another."""
        self._counts["too_many"]()
