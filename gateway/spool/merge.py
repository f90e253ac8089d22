"""Several spools as one: their entries in the order in which they were appended, whichever process did that.

::

    partition 000 --\
    partition 001 ---> one queue each --> the earliest of the heads --> read
    partition 002 --/

What always holds:

- *Order.* Entries come by their moment (`gateway.events.packing`), those of one partition in its own order: where a clock was set back, an
  entry counts as appended with the one before it. An entry is given only when every other partition has a later one at hand, or has
  told that nothing earlier can come (`gateway.spool.tap`).
- *Once.* A partition may be lost with its process and come back. What it gives again then is recognised by its position: it is not given
  twice while this end holds it, and acknowledged again when its end is known here.
- *Nobody is waited for for ever.* Where a partition is lost, the others wait `patience_seconds` for it. Then they go on, and `on_gone` is told: entries that
  it still brings may be overtaken.
- *Bounded.* Of each partition at most `room_bytes` are in memory here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Protocol

from gateway.spool.contract import Entry, SpoolUnavailable
from gateway.spool.tap import ENTRY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOM_BYTES = 8 << 20
_REMEMBERED = 1 << 15


class Pipe(Protocol):
    """What a partition hears from the merge while it is connected."""

    @property
    def pending(self) -> int:
        """How many entries of the partition are not acknowledged, as far as is known."""

    def acknowledge(self, position: int) -> None:
        """An entry needs no more delivery."""

    def grant(self, size: int) -> None:
        """There is room for so many bytes more."""

    def ask(self) -> None:
        """A floor is wanted."""


class _Settled:
    """The newest positions that were acknowledged: at least `_REMEMBERED`, at most twice as many."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, position: int) -> None:
        self._young.add(position)
        if len(self._young) >= _REMEMBERED:
            self._old, self._young = self._young, set()

    def __contains__(self, position: int) -> bool:
        return position in self._young or position in self._old


class Branch:
    """One partition in the merge. A process that has it calls `connect`, `pour`, `floor` and `disconnect`."""

    def __init__(self, merged: MergedSpool, index: int, room_bytes: int) -> None:
        self.index = index
        self.queue: deque[tuple[int, Entry]] = deque()
        self.bound = 0
        self.is_asked = False
        self.in_hand: set[int] = set()
        self.pipe: Pipe | None = None
        self.lost_at = merged.now()
        self.was_missed = False
        self._merged = merged
        self._settled = _Settled()
        self._highest = -1
        self._room_bytes = room_bytes
        self._taken_bytes = 0

    @property
    def pending(self) -> int:
        """How many of its entries are not acknowledged, as far as is known here."""
        return self.pipe.pending if self.pipe else len(self.in_hand)

    def connect(self, pipe: Pipe) -> None:
        """Take entries from now on, from the oldest that is not acknowledged."""
        self.pipe = pipe
        self.is_asked = self.was_missed = False
        self._taken_bytes = 0
        pipe.grant(self._room_bytes)
        self._merged.wake()

    def disconnect(self, pipe: Pipe) -> None:
        """Say that the process which had it is gone; what it had sent and nobody has read will come again."""
        if pipe is self.pipe:
            self.pipe = None
            if self.queue:
                # From here on it comes again, and others still stand where they stood beside it.
                self.bound = self.queue[0][0]
                self.queue.clear()
            self.lost_at = self._merged.now()
            self._merged.expect()

    def pour(self, entries: Sequence[Entry]) -> None:
        """Take entries, in the partition's order."""
        bound, highest = self.bound, self._highest
        moment_of = self._merged.moment_of
        for entry in entries:
            if entry.position <= highest and self._is_repeated(entry):
                continue
            highest = max(highest, entry.position)
            bound = max(bound, moment_of(entry.payload))
            self.queue.append((bound, entry))
        self.bound, self._highest = bound, highest
        self._merged.wake()

    def floor(self, moment: int) -> None:
        """Hear that nothing of before this moment will come any more."""
        self.is_asked = False
        self.bound = max(self.bound, moment)
        self._merged.wake()

    def take(self) -> Entry:
        """Give the entry at the head of the queue, which is read now."""
        _, entry = self.queue.popleft()
        self.in_hand.add(entry.position)
        self._taken_bytes += len(entry.payload) + ENTRY_BYTES
        if self._taken_bytes > self._room_bytes // 4 and self.pipe:
            self.pipe.grant(self._taken_bytes)
            self._taken_bytes = 0
        return entry

    def acknowledge(self, position: int) -> None:
        """Pass an acknowledgement on, now or when the partition is back."""
        self.in_hand.discard(position)
        self._settled.add(position)
        if self.pipe:
            self.pipe.acknowledge(position)

    def ask(self) -> None:
        """Ask for a floor, if that is not done already."""
        if self.pipe and not self.is_asked:
            self.is_asked = True
            self.pipe.ask()

    def _is_repeated(self, entry: Entry) -> bool:
        is_settled = entry.position in self._settled
        if not is_settled and entry.position not in self.in_hand:
            return False
        assert self.pipe is not None
        self.pipe.grant(len(entry.payload) + ENTRY_BYTES)
        if is_settled:
            self.pipe.acknowledge(entry.position)
        return True


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
        self._timers: set[asyncio.TimerHandle] = set()
        self.branches = [Branch(self, index, room_bytes) for index in range(count)]
        self.expect()

    @property
    def pending(self) -> int:
        """How many entries are not acknowledged, as far as is known here."""
        return sum(branch.pending for branch in self.branches)

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries, at most `limit`, in the order of their moments; waits until there is one."""
        while True:
            taken = self._take(limit)
            if taken:
                return taken
            if self._is_closed:
                raise SpoolUnavailable("merged", "it is closed", "read only while the gateway is serving")
            self._arrival.clear()
            await self._arrival.wait()

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery."""
        own, index = divmod(position, len(self.branches))
        self.branches[index].acknowledge(own)

    def branch_of(self, position: int) -> Branch:
        """Give the partition that an entry came from."""
        return self.branches[position % len(self.branches)]

    def close(self) -> None:
        """Give nothing more; whoever waits in `read` is told."""
        self._is_closed = True
        for timer in self._timers:
            timer.cancel()
        self._arrival.set()

    # For the branches.

    def now(self) -> float:
        """Give the loop's time."""
        return self._loop.time()

    def wake(self) -> None:
        """Say that there may be something to give."""
        self._arrival.set()

    def expect(self) -> None:
        """Look again when patience with a branch that is lost now has ended."""

        def look_again() -> None:
            self._timers.discard(timer)
            self.wake()

        # A little later than patience ends: timers may fire early.
        timer = self._loop.call_later(self._patience_seconds + 0.01, look_again)
        self._timers.add(timer)

    def _take(self, limit: int) -> list[Entry]:
        taken: list[Entry] = []
        while len(taken) < limit:
            first = min(
                (branch for branch in self.branches if branch.queue),
                key=lambda each: each.queue[0][0],
                default=None,
            )
            if first is None:
                break
            bound = min((self._bound(each) for each in self.branches if each is not first), default=inf)
            if first.queue[0][0] > bound:
                self._ask(first.queue[0][0])
                break
            self._pour(first, bound, limit, taken)
        return taken

    def _pour(self, branch: Branch, bound: float, limit: int, taken: list[Entry]) -> None:
        queue, count, index = branch.queue, len(self.branches), branch.index
        while queue and queue[0][0] <= bound and len(taken) < limit:
            entry = branch.take()
            taken.append(Entry(entry.position * count + index, entry.payload))

    def _bound(self, branch: Branch) -> float:
        """Give the moment before which a branch has nothing to give."""
        if branch.queue:
            return branch.queue[0][0]
        if branch.pipe is None and self.now() - branch.lost_at >= self._patience_seconds:
            if not branch.was_missed:
                branch.was_missed = True
                self._on_gone(branch.index)
            return inf
        return branch.bound

    def _ask(self, moment: int) -> None:
        for branch in self.branches:
            if not branch.queue and branch.bound < moment:
                branch.ask()
