"""Which paths lead to each of the gateway's parts at a time, and which of them is told.

A part is known by its usual name (`/event`). It is reached under the names that `[paths]` lists, the first of which is told to
others, under its usual name where that is served, and under names that follow from a secret and the time where these rotate. What
always holds: two machines with the same settings give the same names, also when their clocks differ by a whole period; a
name that was told is served for `keep_days` at least, a listed one for as long as it is listed.
"""

from __future__ import annotations

import base64
import hmac
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from gateway.settings_paths import EVENT, ICON, SCRIPT, STREAM_EVENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings_paths import Paths

OLDER = "rotated: older"
"""What the names are counted as that were told before the previous ones."""

_DAY_MS = 86_400_000
_CHARACTERS = 10


class Name(NamedTuple):
    """A path to a part, and what it is called where its use is counted: itself, or how old a rotated one is."""

    path: str
    counted_as: str


class Names:
    """The names of all parts at a time; they hold until its `period` is over."""

    def __init__(self, paths: Paths, now_ms: int) -> None:
        self._paths = paths
        self._secrets = [key.get_secret_value().partition(":")[2].encode() for key in paths.keys]
        self._prefixes = (paths.prefix, *paths.old_prefixes)
        rotated = (EVENT, STREAM_EVENT, SCRIPT) if paths.rotate_script else (EVENT, STREAM_EVENT)
        self._rotated = frozenset(rotated if paths.rotate_days else ())
        self.period = self._period(now_ms)

    @property
    def rotates(self) -> bool:
        """Whether there are names that change by themselves."""
        return bool(self._rotated)

    def hold_at(self, now_ms: int) -> bool:
        """Tell whether they are the names of another moment too."""
        return self._period(now_ms) == self.period

    def of(self, usual: str) -> tuple[Name, ...]:
        """Give all names of a part, each once: the one that is told first."""
        found: dict[str, Name] = {}
        for name in self._all(usual):
            found.setdefault(name.path, name)
        return tuple(found.values())

    def told(self, usual: str) -> str:
        """Give the path that snippets and scripts use; the usual one for a part that has no other and is not served under it."""
        return next((name.path for name in self._all(usual)), usual)

    def _all(self, usual: str) -> Iterator[Name]:
        if usual == ICON:
            yield Name(usual, usual)
            return
        for prefix in self._prefixes:
            if usual in self._rotated:
                yield from self._rotating(prefix, usual)
            for name in self._paths.listed(usual):
                yield Name(prefix + name, prefix + name)
            if self._paths.default_names:
                yield Name(prefix + usual, prefix + usual)
        if self._paths.default_names:
            yield Name(usual, usual)

    def _rotating(self, prefix: str, usual: str) -> Iterator[Name]:
        kept = -(-self._paths.keep_days // self._paths.rotate_days)
        ages = {0: "rotated: current", 1: "rotated: previous", -1: "rotated: next"}
        # The next one too: another machine's clock may be there already.
        for age in (*range(kept + 1), -1):
            for secret in self._secrets:
                path = prefix + _derived(secret, usual, self.period - age)
                yield Name(path, ages.get(age, OLDER))

    def _period(self, now_ms: int) -> int:
        days = self._paths.rotate_days
        return now_ms // (days * _DAY_MS) if days else 0


def _derived(secret: bytes, usual: str, period: int) -> str:
    digest = hmac.digest(secret, f"path\0{usual}\0{period}".encode(), "sha256")
    text = base64.b32encode(digest).decode("ascii").lower()
    return f"/{text[:_CHARACTERS]}{PurePosixPath(usual).suffix}"
