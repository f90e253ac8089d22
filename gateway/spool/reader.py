"""The reader: gives every entry once, in order, from memory while it keeps up and from the files when it lags.

What it has not given yet is always this sequence, where each part may be empty::

    ahead (in memory)  |  gap (on disk only)  |  tail (in memory: the newest)

- *Caught up*: there is no gap. A committed group goes to the tail.
- *Lagging*: a group that would push the tail over its bound opens the gap at the group's place. What comes after it stays on
  disk only.
- *Joining*: a load that reaches the newest durable record closes the gap as soon as it is done; groups that are committed
  while it runs go to the tail, right behind it. So a reader that is fast enough catches up under a steady stream.

All methods run on the event loop except `load`, which reads a file and runs on a thread.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.spool.contract import Entry
from gateway.spool.layout import DATA_START, INDEX_BITS, Region, Scan, scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.spool.disk import Disk
    from gateway.spool.segment import Segment

LOAD_BYTES = 1 << 20
_GONE = {errno.ENOENT, errno.EIO}


class Place(NamedTuple):
    """The first record of the gap: its segment, the byte where it begins, its index `nth`."""

    number: int
    offset: int
    nth: int


class Load(NamedTuple):
    """A stretch of one segment, which has so many `records`; `is_final` when it reaches the last durable one."""

    path: Path
    salt: int
    place: Place
    end: int
    records: int
    is_final: bool


class Loss(NamedTuple):
    """What a load could not read: the records that are missing, and the bytes where they were."""

    segment: Segment
    indices: list[int]
    regions: list[Region]


def load(disk: Disk, wanted: Load) -> Scan:
    """Read a stretch of a segment; blocks. A file that is gone, or can never be read again, holds nothing.

    Raises `OSError` for what passes, such as too many open files: then nothing is lost yet.
    """
    offset = wanted.place.offset
    try:
        data = disk.read(wanted.path, offset, wanted.end - offset)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        data = b""
    found = scan(data, offset, wanted.salt, wanted.place.nth, final=wanted.is_final)
    return found._replace(end=wanted.end) if wanted.is_final else found


def loss_in(segment: Segment, wanted: Load, found: Scan, reached: int) -> Loss | None:
    """Give what a load that settles the records before index `reached` could not read, if anything."""
    first = wanted.place.nth
    if not found.unreadable and reached - first <= len(found.records):
        return None
    seen = {record.nth for record in found.records}
    return Loss(segment, [index for index in range(first, reached) if index not in seen], found.unreadable)


class Reader:
    """The one reader of a spool. `segments` is the spool's own mapping, in rising order of number."""

    def __init__(self, segments: Mapping[int, Segment], *, tail_entries: int, tail_bytes: int) -> None:
        self._segments = segments
        self._tail_entries = tail_entries
        self._tail_bytes = tail_bytes
        self._held_bytes = 0
        self._ahead: deque[Entry] = deque()
        self._tail: deque[Entry] = deque()
        self._is_joining = False
        self._is_loading = False
        self._whole = False
        first = next(iter(segments), None)
        self._gap = None if first is None else Place(first, DATA_START, 0)

    @property
    def is_exhausted(self) -> bool:
        """Whether everything that is durable was given."""
        return self._gap is None and not self._ahead and not self._tail

    def offer(self, place: Place, payloads: Sequence[bytes]) -> None:
        """Take note of a group that became durable at this place."""
        if self._gap is not None and not self._is_joining:
            return
        size = sum(map(len, payloads))
        if len(self._tail) + len(payloads) > self._tail_entries or self._held_bytes + size > self._tail_bytes:
            if self._gap is None:
                self._ahead.extend(self._tail)
                self._gap = place
            self._is_joining = False
            self._tail.clear()
            self._held_bytes = 0
            return
        first = place.number << INDEX_BITS | place.nth
        self._tail.extend(map(Entry, range(first, first + len(payloads)), payloads))
        self._held_bytes += size

    def take(self, limit: int) -> list[Entry]:
        """Give the next entries that are in memory, at most `limit`."""
        ahead = self._ahead
        taken = [ahead.popleft() for _ in range(min(limit, len(ahead)))]
        if self._gap is not None or len(taken) == limit:
            return taken
        tail = self._tail
        if len(tail) <= limit - len(taken):
            taken.extend(tail)
            tail.clear()
            self._held_bytes = 0
            return taken
        from_tail = [tail.popleft() for _ in range(limit - len(taken))]
        self._held_bytes -= sum(len(entry.payload) for entry in from_tail)
        return taken + from_tail

    def next_load(self, limit: int) -> Load | None:
        """Give what should be read from disk now, so that `limit` entries are ahead; `None`: nothing, or it is under way."""
        if self._gap is None or self._is_loading or len(self._ahead) >= limit:
            return None
        segment = self._segments.get(self._gap.number)
        while segment is None or self._gap.offset >= segment.used:
            following = self._following()
            if following is None:
                self._gap = None
                return None
            segment = following
            self._gap = Place(segment.number, DATA_START, 0)
            self._whole = False
        end = segment.used if self._whole else min(segment.used, self._gap.offset + LOAD_BYTES)
        is_final = end == segment.used
        self._is_joining = is_final and self._following() is None
        self._is_loading = True
        return Load(segment.path, segment.salt, self._gap, end, segment.count, is_final)

    def loaded(self, wanted: Load, found: Scan) -> Loss | None:
        """Take what a load has read; gives what it could not read."""
        self._is_loading = False
        number = wanted.place.number
        base = number << INDEX_BITS
        segment = self._segments.get(number)
        if segment is not None:
            fresh = [record for record in found.records if not segment.is_settled(record.nth)]
            self._ahead.extend(Entry(base | record.nth, record.payload) for record in fresh)
        index = found.records[-1].nth + 1 if found.records else wanted.place.nth
        reached = wanted.records if wanted.is_final else index
        if self._is_joining:
            self._gap = None
            self._is_joining = False
        else:
            # Nothing could be settled in this stretch: the next one takes all there is, which settles everything.
            self._whole = found.end == wanted.place.offset
            self._gap = Place(number, found.end, reached)
        return None if segment is None else loss_in(segment, wanted, found, reached)

    def not_loaded(self) -> None:
        """Take note that a load failed: it will be wanted again."""
        self._is_loading = self._is_joining = False
        self._tail.clear()
        self._held_bytes = 0

    def skip(self, before: int) -> None:
        """Never give the entries in memory whose positions are below this one."""
        while self._ahead and self._ahead[0].position < before:
            self._ahead.popleft()
        while self._tail and self._tail[0].position < before:
            self._held_bytes -= len(self._tail.popleft().payload)

    def _following(self) -> Segment | None:
        """Give the next segment with durable records behind the one where the gap begins."""
        assert self._gap is not None
        behind = self._gap.number
        return next(
            (segment for number, segment in self._segments.items() if number > behind and segment.count), None
        )
