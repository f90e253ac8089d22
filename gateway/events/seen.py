"""What the core asks of the memory of events that came before; `gateway.duplicates` is one."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol


class Look(IntEnum):
    """What is known of an event: nothing, that it came before, or that its id came with another content."""

    NEW = 0
    SAME = 1
    OTHER = 2


class Seen(Protocol):
    """Which events came before, in bounded memory that outlives the process.

    `key` and `check` are integers of 64 random-looking bits, what an event is looked for by and what tells it from others; `now_s` is Unix time in seconds.
    """

    seed: int
    """What fingerprints are made with: they differ from one memory to the next."""

    def look(self, key: int, check: int, now_s: int, window_s: int) -> Look:
        """Tell what came under this key within the last `window_s` seconds."""
        ...

    def remember(self, key: int, check: int, now_s: int, window_s: int) -> None:
        """Remember an event for `window_s` seconds. Where its key is known with another check, it is no event's own from now on: `OTHER` for all."""
        ...
