"""Several spools as one: their entries in the order in which they were appended, whichever process did that.

::

    partition 000 --\
    partition 001 ---> one queue each --> the earliest of the heads --> read
    partition 002 --/

What always holds:

- *Order.* Entries come by their moment (`gateway.events.packing`), those of one partition in its own order: where a clock was set back, an
  entry counts as appended with the one before it. An entry is given only when every other partition has a later one at hand, or has
  told that nothing earlier can come (`gateway.spool.tap`). What a partition appends after it was asked comes after the entry that
  it was asked for, whatever its clock says: that one was durable before.
- *Once.* A partition may be lost with its process and come back. What it had brought is durable there, so it stays here; what it brings
  again is recognised by its position: it is not given twice while it is here, and acknowledged again when its end is known here.
- *Nobody is waited for for ever.* Where a partition is lost, or owes an answer, the others wait `patience_seconds` for it. Then they go on,
  and `on_gone` is told: entries that it still brings may be overtaken.
- *Bounded.* Of each partition at most `room_bytes`, and one entry, are in memory here.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from gateway.spool.branch import Branch
from gateway.spool.contract import Entry, SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM_BYTES = 8 << 20
# Timers may fire a little early: then patience has not ended yet.
_LATER_SECONDS = 0.01


class MergedSpool:
    """An `Outlet` over `count` partitions. `moment_of(payload)` gives when an entry was appended, in nanoseconds.

    Positions are those of the partitions times `count` plus the partition's index.
    """

    def __init__(
        self,
        count: int,
        moment_of: Callable[[bytes], int],
        *,
        patience_seconds: float = 30.0,
        room_bytes: int = ROOM_BYTES,
        on_gone: Callable[[int], None] = lambda _index: None,
    ) -> None:
        self.moment_of = moment_of
        self._loop = asyncio.get_running_loop()
        self._patience_seconds = patience_seconds
        self._on_gone = on_gone
        self._arrival = asyncio.Event()
        self._is_closed = False
        self._watch: asyncio.TimerHandle | None = None
        self.branches = [Branch(self, index, room_bytes) for index in range(count)]
        self.expect()

    @property
    def pending(self) -> int:
        """How many entries are not acknowledged, as far as is known here."""
        return sum(branch.pending for branch in self.branches)

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries, at most `limit`, in the order of their moments; waits until there is one. Cancelling it loses nothing.

        One reader alone may wait here.
        """
        while not self._is_closed:
            # Before looking: a partition in this process may answer while it is asked.
            self._arrival.clear()
            taken = self._take(limit)
            if taken:
                return taken
            await self._arrival.wait()
        raise SpoolUnavailable("merged", "it is closed", "read only while the gateway is serving")

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery."""
        own, index = divmod(position, len(self.branches))
        self.branches[index].acknowledge(own)

    def is_dropped(self, position: int) -> bool:
        """Tell whether an entry that was given, and not acknowledged, was dropped by its partition, as far as is known here."""
        own, index = divmod(position, len(self.branches))
        return own < self.branches[index].dropped_before

    def branch_of(self, position: int) -> Branch:
        """Give the partition that an entry came from."""
        return self.branches[position % len(self.branches)]

    def close(self) -> None:
        """Give nothing more; whoever waits in `read` is told."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        self._arrival.set()

    # For the branches.

    def now(self) -> float:
        """Give the loop's time."""
        return self._loop.time()

    def wake(self) -> None:
        """Say that there may be something to give."""
        self._arrival.set()

    def expect(self) -> None:
        """Look again when patience with a branch that is silent from now on has ended, unless one is watched already."""
        if self._watch is None and not self._is_closed:
            self._watch = self._loop.call_later(self._patience_seconds + _LATER_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._watch = None
        self.wake()
        latest = self.now() - self._patience_seconds
        since = min((each.silent_since for each in self.branches if each.silent_since > latest), default=inf)
        if since < inf:
            self._watch = self._loop.call_later(since - latest + _LATER_SECONDS, self._look_again)

    def _take(self, limit: int) -> list[Entry]:
        taken: list[Entry] = []
        while len(taken) < limit:
            first: Branch | None = None
            head = bound = inf
            for branch in self.branches:
                if branch.queue:
                    moment: float = branch.queue[0][0]
                    if moment < head:
                        bound = min(bound, head)
                        head, first = moment, branch
                        continue
                else:
                    moment = self._silent(branch)
                bound = min(bound, moment)
            if first is None:
                break
            if head > bound:
                self._ask(first.queue[0][0])
                break
            count, index = len(self.branches), first.index
            entries = first.take(bound, limit - len(taken))
            taken += [Entry(position * count + index, payload) for position, payload in entries]
        return taken

    def _silent(self, branch: Branch) -> float:
        """Give the moment before which a branch that has nothing at hand will bring nothing."""
        if self.now() - branch.silent_since < self._patience_seconds:
            return branch.bound
        if not branch.was_missed:
            branch.was_missed = True
            self._on_gone(branch.index)
        return inf

    def _ask(self, moment: int) -> None:
        for branch in self.branches:
            if not branch.queue and branch.bound < moment:
                branch.ask(moment)
