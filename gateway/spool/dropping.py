"""Making room in a full spool: the oldest entries go, so that the newest are taken.

What always holds:

- Entries go one by one, the oldest first, and no more of them than what is appended needs; each is handed to `on_drop`, once,
  before anything takes its room. They go whether or not the reader was given them: what was given and is not acknowledged yet is
  `is_dropped` from then on, and acknowledging it changes nothing.
- Every entry before the *front* is settled: acknowledged, dropped, or lost to damage. So the bytes before it do not count against the
  bound, and of the files only the one with the front holds more than what counts.
- Appends keep their order. One that has to wait for entries to be read from the disk makes all later ones wait behind it.

That entries were dropped becomes durable with the acknowledgements, some `flush_seconds` later. After a crash before that, they come
again: then they are delivered, or dropped and handed over once more.

Entries are read in stretches, as many as a load gives, and dropped out of memory: one load for a megabyte that is appended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gateway.spool.commit import GroupFuture
from gateway.spool.layout import DATA_START, INDEX_BITS, Found, Scan
from gateway.spool.reader import LOAD_BYTES, Load, Loss, Place, loss_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.spool.commit import GroupCommit
    from gateway.spool.room import Room
    from gateway.spool.segment import Segment


class _Waiting(NamedTuple):
    payloads: Sequence[bytes]
    size: int
    future: asyncio.Future[None]


class Dropper:
    """The oldest end of a full spool. All positions below `dropped_before` need no more delivery.

    `load` reads a stretch on a thread; `settle(segment, index)` settles a record and tells whether that is news; `lose` takes note of
    damage.
    """

    def __init__(
        self,
        segments: Mapping[int, Segment],
        room: Room,
        commit: GroupCommit,
        *,
        load: Callable[[Load], asyncio.Future[Scan]],
        settle: Callable[[Segment, int], bool],
        lose: Callable[[Loss], None],
        on_drop: Callable[[list[bytes]], None],
    ) -> None:
        self.dropped_before = 0
        self._segments = segments
        self._room = room
        self._commit = commit
        self._load = load
        self._settle = settle
        self._lose = lose
        self._on_drop = on_drop
        self._loop = asyncio.get_running_loop()
        self._front = Place(0, DATA_START, 0)
        self._is_whole = False
        self._is_loading = False
        self._found: deque[tuple[Segment, Found]] = deque()
        self._waiting: deque[_Waiting] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether appends wait here, which later ones must not overtake."""
        return bool(self._waiting)

    def barrier(self) -> asyncio.Future[None] | None:
        """Give the future of the append that waits here last; `None`: none does."""
        return self._waiting[-1].future if self._waiting else None

    def append(self, payloads: Sequence[bytes], size: int) -> asyncio.Future[None]:
        """Append as soon as there is room, dropping what is in the way; the future is done when the payloads are durable."""
        if not self._waiting and self._drop(size):
            return self._commit.add(payloads, size)
        future = GroupFuture(loop=self._loop)
        self._waiting.append(_Waiting(payloads, size, future))
        self._go_on()
        return future

    def close(self) -> None:
        """Refuse whoever waits."""
        self._refuse_all(None)

    def _go_on(self) -> None:
        while self._waiting and not self._is_loading:
            payloads, size, future = self._waiting[0]
            if not self._drop(size):
                self._read_on()
                return
            self._waiting.popleft()
            self._commit.add(payloads, size).add_done_callback(partial(_end_alike, future))

    def _drop(self, size: int) -> bool:
        """Drop what was read until so many bytes have room; tells whether they have."""
        room = self._room
        dropped: list[bytes] = []
        while room.missing(size) > 0 and self._found:
            segment, record = self._found.popleft()
            room.free(segment, record.end)
            self.dropped_before = (segment.number << INDEX_BITS | record.nth) + 1
            if self._settle(segment, record.nth):
                dropped.append(record.payload)
        if dropped:
            self._on_drop(dropped)
        return room.missing(size) <= 0

    def _read_on(self) -> None:
        """Read the next stretch, or else wait until what is on its way is durable, and can be dropped."""
        wanted = self._next_load()
        if wanted is not None:
            self._is_loading = True
            self._load(wanted).add_done_callback(lambda done: self._loaded(wanted, done))
        elif (on_its_way := self._commit.barrier()) is not None:
            on_its_way.add_done_callback(lambda _: self._go_on())
        else:
            self._refuse_all(None)

    def _next_load(self) -> Load | None:
        place = self._front
        segment = self._segments.get(place.number)
        while segment is None or place.offset >= segment.used:
            later = (each for each in self._segments.values() if each.number > place.number)
            segment = next((each for each in later if each.count), None)
            if segment is None:
                return None
            place = self._front = Place(segment.number, DATA_START, 0)
            self._is_whole = False
        end = segment.used if self._is_whole else min(segment.used, place.offset + LOAD_BYTES)
        return Load(segment.path, segment.salt, place, end, segment.count, end == segment.used)

    def _loaded(self, wanted: Load, done: asyncio.Future[Scan]) -> None:
        self._is_loading = False
        if error := done.exception():
            self._refuse_all(error)
            return
        found, place = done.result(), wanted.place
        segment = self._segments.get(place.number)
        reached = (
            wanted.records if wanted.is_final else found.records[-1].nth + 1 if found.records else place.nth
        )
        # Nothing could be settled in this stretch: the next one takes all there is, which settles everything.
        self._is_whole = found.end == place.offset
        self._front = Place(place.number, found.end, reached)
        if segment is not None:
            self._found.extend((segment, record) for record in found.records)
            if loss := loss_in(segment, wanted, found, reached):
                self._lose(loss)
        self._go_on()

    def _refuse_all(self, error: BaseException | None) -> None:
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            each.future.set_exception(self._room.refusal(error))
            # Whoever was cancelled while waiting does not look.
            each.future.exception()


def _end_alike(future: asyncio.Future[None], done: asyncio.Future[None]) -> None:
    error = done.exception()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()
