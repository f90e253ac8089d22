"""One partition in a merge: what of it is here, how much more may come, and what is known of what will come.

What always holds:

- `bound` never falls: also where the partition's clock was set back, or its process is lost and another brings its entries again.
- An entry that is here, in the queue or read and not acknowledged, is not taken again. One whose acknowledgement got lost with a
  connection is acknowledged again when it comes again, as long as it is among the newest that were.
- What was granted and has not come, and what is in the queue, is together never more than the room, and one entry. While the queue is
  empty at least three quarters of the room are granted.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Protocol

from gateway.spool.tap import ENTRY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.spool.contract import Entry

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


class Joint(Protocol):
    """What a branch is part of."""

    @property
    def moment_of(self) -> Callable[[bytes], int]:
        """Gives when a payload was appended, in nanoseconds."""

    def now(self) -> float:
        """Give the loop's time."""

    def wake(self) -> None:
        """There may be something to give."""

    def expect(self) -> None:
        """A branch is silent from now on: look again when patience with it has ended."""


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
    """One partition in the merge. A process that has it calls `connect`, `pour`, `floor` and `disconnect`.

    Below `dropped_before` its full spool has dropped what waited. `queue` is what can be given, each with the moment that it counts from; `in_hand` what is here, given or not, and not acknowledged;
    `bound` the moment before which nothing more comes, which never falls.
    """

    def __init__(self, merged: Joint, index: int, room_bytes: int) -> None:
        self.index = index
        self.queue: deque[tuple[int, Entry]] = deque()
        self.bound = 0
        self.dropped_before = 0
        self.is_asked = False
        self.in_hand: set[int] = set()
        self.pipe: Pipe | None = None
        self.silent_since = merged.now()
        self.was_missed = False
        self._merged = merged
        self._settled = _Settled()
        self._highest = -1
        self._asked_for = 0
        # What may still come, what is in the queue, and how much both may be together.
        self._credit = 0
        self._queued_bytes = 0
        self._room_bytes = room_bytes

    @property
    def pending(self) -> int:
        """How many of its entries are not acknowledged, as far as is known here."""
        return self.pipe.pending if self.pipe else len(self.in_hand)

    def connect(self, pipe: Pipe) -> None:
        """Take entries from now on, from the oldest that is not acknowledged; whoever had the partition until now is not heard any more."""
        self.pipe = pipe
        self.is_asked = self.was_missed = False
        self.silent_since = inf
        self._asked_for = self._credit = 0
        self.make_room()
        self._merged.wake()

    def disconnect(self, pipe: Pipe) -> None:
        """Say that the process which had it is gone."""
        if pipe is self.pipe:
            self.pipe = None
            self.silent_since = self._merged.now()
            self._merged.expect()

    def pour(self, entries: Sequence[Entry]) -> None:
        """Take entries, in the partition's order."""
        queue, in_hand, moment_of = self.queue, self.in_hand, self._merged.moment_of
        bound, highest, queued, repeated = self.bound, self._highest, 0, 0
        for entry in entries:
            position, payload = entry
            if position <= highest and self._is_repeated(position):
                repeated += len(payload) + ENTRY_BYTES
                continue
            highest = max(highest, position)
            bound = max(bound, moment_of(payload))
            queued += len(payload) + ENTRY_BYTES
            in_hand.add(position)
            queue.append((bound, entry))
        self.bound, self._highest = bound, highest
        self._queued_bytes += queued
        self._credit -= queued + repeated
        if entries:
            self._was_heard(self._merged.now() if self.is_asked else inf)
        if repeated:
            self.make_room()
        self._merged.wake()

    def floor(self, moment: int) -> None:
        """Hear that nothing of before this moment will come any more."""
        self.is_asked = False
        self.bound = max(self.bound, moment, self._asked_for)
        self._was_heard(inf)
        self._merged.wake()

    def take(self, bound: float, limit: int) -> list[Entry]:
        """Give the entries at the head of the queue that count from `bound` or before, at most `limit`: they are read now."""
        queue = self.queue
        taken: list[Entry] = []
        while queue and queue[0][0] <= bound and len(taken) < limit:
            taken.append(queue.popleft()[1])
        self._queued_bytes -= sum([len(payload) for _, payload in taken]) + ENTRY_BYTES * len(taken)
        self.make_room()
        return taken

    def make_room(self) -> None:
        """Let more come, when that is worth a message: so there is always room for something when the queue is empty."""
        room = self._room_bytes - self._queued_bytes - self._credit
        if room > self._room_bytes // 4 and self.pipe:
            self._credit += room
            self.pipe.grant(room)

    def acknowledge(self, position: int) -> None:
        """Pass an acknowledgement on, now or when the partition is back."""
        self.in_hand.discard(position)
        self._settled.add(position)
        if self.pipe:
            self.pipe.acknowledge(position)

    def ask(self, moment: int) -> None:
        """Ask for a floor, for the sake of an entry of this moment, if that is not done already."""
        if self.pipe and not self.is_asked:
            self.is_asked = True
            self._asked_for = moment
            self.silent_since = self._merged.now()
            self._merged.expect()
            self.pipe.ask()

    def _was_heard(self, silent_since: float) -> None:
        self.was_missed = False
        self.silent_since = silent_since

    def _is_repeated(self, position: int) -> bool:
        if position in self.in_hand:
            return True
        if position not in self._settled:
            return False
        if self.pipe:
            self.pipe.acknowledge(position)
        return True
