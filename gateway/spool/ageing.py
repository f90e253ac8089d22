"""How long delivered records stay on the disk: until their segment is a minute old and nothing in it waits, not until it is full.

A quiet site would take weeks to fill a segment, and what a person asks to be erased would be found in it all that time.

What always holds: from its first record on, the active segment has a timer or is *due*, and a due one is rolled at the first
moment when all its records are settled and no group is on its way. The timer comes again while that has not been. So on a site
that is quiet now and then, nothing stays longer than `seconds` after its receipt; a busy one fills its segments. One record that
the collector does not take keeps its segment, and what lies beside it there, until it is delivered or given up.

The hot path pays one comparison for each group, and one for each time that everything is settled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.spool.commit import GroupCommit


class Ageing:
    """The age of the active segment of a `GroupCommit`; `is_due` once it should be rolled when that can be done."""

    def __init__(self, commit: GroupCommit, seconds: float) -> None:
        self.is_due = False
        self._commit = commit
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Say that the active segment holds its first record."""
        # A timer of the segment before may still run: then this one is only rolled sooner.
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._expired)

    def roll(self) -> None:
        """Roll the due segment, if nothing in it waits and no group is on its way."""
        active = self._commit.active
        if active is None or not active.count or self._commit.roll():
            self.is_due = False

    def stop(self) -> None:
        """Roll nothing from now on."""
        self.is_due = False
        if self._timer:
            self._timer.cancel()

    def _expired(self) -> None:
        self._timer = None
        self.is_due = True
        self.roll()
        if self.is_due:
            self.begin()
