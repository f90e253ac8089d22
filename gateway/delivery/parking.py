"""Where the records of a long lane wait that will not be sent for a while: packed, and outside of the window.

A user with a hundred thousand events waits for herself: one send after the other. Held as records, they would take every place of the window,
and everybody behind them in the spool would wait with her. What always holds:

- a lane has few records at hand; what comes behind them is *parked*: as the spool's bytes, compressed by the chunk, since one user's events
  resemble each other. So a lot of 32 MB takes some hundred thousand;
- parked records leave in the order in which they came;
- the lot is bounded, but for a chunk of each lane whose turn it is to be unpacked. What is parked when it is full takes a place of the window as
  well, as if it were at hand.
"""

from __future__ import annotations

import zlib
from collections import deque
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.delivery.lanes import Source

_CHUNK = 64
_ENTRY_BYTES = 128
_FASTEST = 1


class Parked(NamedTuple):
    """A record that waits: where it came from, its bytes, and whether it takes a place of the window."""

    source: Source
    position: int
    payload: bytes
    is_held: bool


class _Chunk(NamedTuple):
    places: list[tuple[Source, int, bool]]
    ends: list[int]
    packed: bytes

    @classmethod
    def of(cls, entries: Iterable[Parked]) -> _Chunk:
        entries = list(entries)
        return cls(
            [(each.source, each.position, each.is_held) for each in entries],
            list(accumulate(len(each.payload) for each in entries)),
            zlib.compress(b"".join(each.payload for each in entries), _FASTEST),
        )

    def entries(self) -> Iterable[Parked]:
        data = zlib.decompress(self.packed)
        for (source, position, is_held), (start, end) in zip(
            self.places, pairwise((0, *self.ends)), strict=True
        ):
            yield Parked(source, position, data[start:end], is_held)


class Lot:
    """How much is parked, of all lanes together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether what is parked now takes a place of the window as well."""
        return self.bytes >= self._limit_bytes


class Row:
    """What one lane has parked: first what was unpacked, then chunks, then what is too little for a chunk."""

    def __init__(self, lot: Lot) -> None:
        self._lot = lot
        self._first: deque[Parked] = deque()
        self._chunks: deque[_Chunk] = deque()
        self._last: deque[Parked] = deque()

    def __bool__(self) -> bool:
        return bool(self._first or self._last or self._chunks)

    def push(self, entry: Parked) -> None:
        """Park a record behind the others."""
        self._last.append(entry)
        self._lot.bytes += len(entry.payload) + _ENTRY_BYTES
        if len(self._last) == _CHUNK:
            chunk = _Chunk.of(self._last)
            self._lot.bytes -= chunk.ends[-1] - len(chunk.packed)
            self._chunks.append(chunk)
            self._last.clear()

    def pop(self) -> Parked:
        """Give the record that came first; there has to be one."""
        if not self._first:
            if self._chunks:
                chunk = self._chunks.popleft()
                self._lot.bytes += chunk.ends[-1] - len(chunk.packed)
                self._first.extend(chunk.entries())
            else:
                self._first, self._last = self._last, self._first
        entry = self._first.popleft()
        self._lot.bytes -= len(entry.payload) + _ENTRY_BYTES
        return entry
