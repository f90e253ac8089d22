"""The one bound on stopping: all steps together take no longer than `drain_seconds`."""

from __future__ import annotations

import asyncio

ANSWERS = 0.6
"""The part of the time that answers under way may take: a client that dawdles must leave some for what follows."""
DELIVERIES = 0.8
"""The part by the end of which deliveries under way are over or broken off; what follows is closing the stores."""


class Deadline:
    """How much time is left; all of it until `begin`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None

    def begin(self) -> None:
        """Say that stopping begins; saying it again changes nothing."""
        if self._began is None:
            self._began = self._loop.time()

    def left(self, part: float = 1.0) -> float:
        """Give the seconds that are left of this part of the whole, counted from its beginning; never less than 0."""
        spent = 0.0 if self._began is None else self._loop.time() - self._began
        return max(self.seconds * part - spent, 0.0)
