"""Who may go next: the records in memory, in one lane for each user.

Pure bookkeeping. What always holds: of a lane only the first record, its *head*, is out for delivery; the next one comes
forward when the head's fate is final. Few are at hand behind it, the rest is parked (`parking`). A lane exists only as long as it has a
record, so memory follows what is held.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.parking import Lot, Parked, Row
from gateway.events.model import Record
from gateway.events.outcome import Reason
from gateway.events.packing import unpack

if TYPE_CHECKING:
    from asyncio import Future

    from gateway.spool.contract import Entry, Outlet

_READ_AT_ONCE = 256


class Source:
    """A spool that is read, and how many of its records are held in memory: never more than `window`.

    No more is read than the sends need for a while: what is taken up long before it is sent has left the processor's caches
    when its turn comes, and the collector of garbage has looked at it again and again. An eighth of the window is kept for *scouts*: records that are read, one by one, when all others wait for another
    attempt, to learn whether the collector fails at everything or just at those.
    """

    __slots__ = ("_limit", "_reserve", "_scouts", "batch", "held", "parked", "plenty", "spool", "vacancy")

    def __init__(self, spool: Outlet, window: int, plenty: int) -> None:
        self.spool = spool
        self.plenty = plenty
        self._reserve = window // 8
        self._limit = window - self._reserve
        self._scouts = 0
        self.batch = min(_READ_AT_ONCE, max(1, window // 8))
        self.held = 0
        self.parked = 0
        self.vacancy: Future[None] | None = None

    @property
    def room(self) -> int:
        """How many records may be read now."""
        return self._limit + self._scouts - self.held

    def wants_more(self, sendable: int) -> bool:
        """Whether to read now, when so many records could be sent at once.

        Reading by the handful is dear, but not when nothing else is to do or a scout is due.
        """
        if self._scouts or not sendable:
            return self.room > 0
        return sendable < self.plenty and self.room >= self.batch

    @property
    def is_stuck(self) -> bool:
        """Whether records wait in the spool that there is no room to read."""
        return self.room <= 0 and self.spool.pending > self.held + self.parked

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


class Lane(msgspec.Struct, eq=False):
    """One user's line.

    `refusals`: how often in a row its head was refused while other users' records were delivered. `is_erased`: a record of it ended because
    the user was erased, so the others end alike. `is_held_up`: its head was refused and is to be tried again. `first_refusal` and
    `last_refusal` belong to `Patience`.
    """

    key: tuple[str, str] | None
    refusals: int = 0
    first_refusal: tuple[int, int] | None = None
    last_refusal: tuple[int, int] | None = None
    is_erased: bool = False
    is_held_up: bool = False
    waiting: deque[Parcel] | None = None
    parked: Row | None = None


class Parcel(msgspec.Struct, eq=False):
    """A record on its way, from being read to its acknowledgement.

    `fate` is set when the record is not to be sent (any more): why, in one word and in a sentence. `deliveries_seen` is the
    forwarder's count of deliveries when this record was last refused, or first tried. `held_against` and what follows it belong
    to `Patience`.
    """

    record: Record
    source: Source
    position: int
    lane: Lane
    attempts: int = 0
    burials: int = 0
    deliveries_seen: int = 0
    fate: tuple[Reason, str] | None = None
    is_held_back: bool = False
    ticket: int = 0
    held_against: int = 0
    refused_since: float = 0.0

    def was_dropped(self) -> bool:
        """Tell whether the spool let go of it to make room: then it has its outcome already."""
        return self.source.spool.is_dropped(self.position)


class Lanes:
    """Every lane that has a record. At most `at_hand` records wait in a lane behind its head, the rest is parked, in `lot_bytes` at most."""

    def __init__(self, at_hand: int, lot_bytes: int) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._at_hand = at_hand
        self._lot = Lot(lot_bytes)

    def __len__(self) -> int:
        return len(self._lanes)

    def join(self, record: Record, source: Source, entry: Entry) -> Parcel | None:
        """Add a record to its user's lane; gives it when it is the head, `None` when it has to wait."""
        # An event that goes out under nobody's id waits for nobody.
        key = (record.portal_id, record.uid or record.event_id)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            source.held += 1
            return Parcel(record, source, entry.position, lane)
        if lane.waiting is None:
            lane.waiting = deque()
        if lane.parked or len(lane.waiting) >= self._at_hand:
            self._park(lane, source, entry)
        else:
            source.held += 1
            lane.waiting.append(Parcel(record, source, entry.position, lane))
        return None

    def is_held_up(self, record: Record) -> bool:
        """Tell whether a user's newest record waits for one before it that was refused, or for many."""
        lane = self._lanes.get((record.portal_id, record.uid or record.event_id))
        return lane is not None and (lane.is_held_up or bool(lane.parked))

    def leave(self, parcel: Parcel) -> Parcel | None:
        """Take the head out of its lane; gives the one that is head now, if any."""
        lane = parcel.lane
        if lane.waiting:
            lane.is_held_up = False
            follower = lane.waiting.popleft()
            if lane.parked:
                self._fetch(lane, lane.waiting, lane.parked)
            return follower
        if lane.key is not None:
            del self._lanes[lane.key]
        return None

    def _park(self, lane: Lane, source: Source, entry: Entry) -> None:
        is_held = self._lot.is_full
        if is_held:
            source.held += 1
        else:
            source.parked += 1
        if lane.parked is None:
            lane.parked = Row(self._lot)
        lane.parked.push(Parked(source, entry.position, entry.payload, is_held))

    @staticmethod
    def _fetch(lane: Lane, waiting: deque[Parcel], row: Row) -> None:
        source, position, payload, is_held = row.pop()
        if not is_held:
            # Of another spool perhaps than the record that left: that one has more than its share then, and is not read until it has less.
            source.parked -= 1
            source.held += 1
        waiting.append(Parcel(unpack(payload), source, position, lane))
