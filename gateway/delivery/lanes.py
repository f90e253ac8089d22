"""Who may go next: the records in memory, in one lane for each user.

Pure bookkeeping. What always holds: of a lane only the first record, its *head*, is out for delivery; the next one comes
forward when the head's fate is final. A lane exists only as long as it has a record, so memory follows what is held.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future

    from gateway.events.model import Record
    from gateway.events.outcome import Reason
    from gateway.spool.contract import Spool

_READ_AT_ONCE = 256


class Source:
    """A spool that is read, and how many of its records are held in memory: never more than `window`.

    An eighth of the window is kept for *scouts*: records that are read, one by one, when all others wait for another
    attempt, to learn whether the collector fails at everything or just at those.
    """

    __slots__ = ("_limit", "_reserve", "_scouts", "batch", "held", "spool", "vacancy")

    def __init__(self, spool: Spool, window: int) -> None:
        self.spool = spool
        self._reserve = window // 8
        self._limit = window - self._reserve
        self._scouts = 0
        self.batch = min(_READ_AT_ONCE, max(1, window // 8))
        self.held = 0
        self.vacancy: Future[None] | None = None

    @property
    def room(self) -> int:
        """How many records may be read now."""
        return self._limit + self._scouts - self.held

    def has_enough_room(self, *, is_urgent: bool) -> bool:
        """Whether to read now: reading by the handful is dear, but not when nothing else is to do or a scout is due."""
        return self.room >= (1 if is_urgent or self._scouts else self.batch)

    @property
    def is_stuck(self) -> bool:
        """Whether records wait in the spool that there is no room to read."""
        return self.room <= 0 and self.spool.pending > self.held

    def send_scout(self) -> None:
        """Allow one record more to be read, if it is stuck and the reserve lasts."""
        if self.room <= 0 and self._scouts < self._reserve:
            self._scouts += 1
            self.call_reader()

    def release(self) -> None:
        """One record less is held."""
        self.held -= 1
        if self.held <= self._limit:
            self._scouts = 0

    def call_reader(self) -> None:
        """Tell the reader, if it waits, that there may be room."""
        if self.vacancy is not None:
            if not self.vacancy.done():
                self.vacancy.set_result(None)
            self.vacancy = None


class Lane:
    """One user's line. `refusals`: how often in a row its head was refused while other users' records were delivered."""

    __slots__ = ("key", "refusals", "waiting")

    def __init__(self, key: tuple[str, str] | None) -> None:
        self.key = key
        self.refusals = 0
        self.waiting: deque[Parcel] | None = None


class Parcel:
    """A record on its way, from being read to its acknowledgement.

    `fate` is set when the record is to go to the dead letters: why, in one word and in a sentence. `deliveries_seen` is the
    forwarder's count of deliveries when this record was last refused, or first tried.
    """

    __slots__ = (
        "attempts",
        "burials",
        "deliveries_seen",
        "fate",
        "is_held_back",
        "lane",
        "position",
        "record",
        "source",
        "ticket",
    )

    def __init__(self, record: Record, source: Source, position: int, lane: Lane) -> None:
        self.record = record
        self.source = source
        self.position = position
        self.lane = lane
        self.attempts = 0
        self.burials = 0
        self.deliveries_seen = 0
        self.fate: tuple[Reason, str] | None = None
        self.is_held_back = False
        self.ticket = 0


class Lanes:
    """Every lane that has a record."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def join(self, record: Record, source: Source, position: int) -> Parcel | None:
        """Add a record to its user's lane; gives it when it is the head, `None` when it has to wait."""
        key = (record.portal_id, record.uid)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            return Parcel(record, source, position, lane)
        parcel = Parcel(record, source, position, lane)
        if lane.waiting is None:
            lane.waiting = deque()
        lane.waiting.append(parcel)
        return None

    def leave(self, parcel: Parcel) -> Parcel | None:
        """Take the head out of its lane; gives the one that is head now, if any."""
        lane = parcel.lane
        if lane.waiting:
            return lane.waiting.popleft()
        if lane.key is not None:
            del self._lanes[lane.key]
        return None
