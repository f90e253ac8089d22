"""The bytes of a segment, as pure functions: heads, records, groups, and the scan that reads them back.

::

    segment   head page | copy of the head page | record | record | ... | zeros up to the size of the file
    head      magic 8 | version u16 | opened u16 | salt u32 | number u64 | size u64 | fences u32
              | (number u64, records u32, used u32) for each fence | CRC32 of all before it u32 | zeros up to 4096
    record    mark 4 | length u32 | tag u32 | CRC32 u32 | payload
    tag       bit 31: the first record of its group; bits 0 to 23: the record's index in the segment

All integers are little-endian. What always holds:

- A record's CRC covers mark, length, tag and payload, and starts from the segment's *salt*, a random number that nobody
  outside knows: bytes inside a payload can't pass for a record when a scan resynchronises in the middle of them.
- Indices rise by one from 0. So whoever knows how many records a segment holds knows which ones a scan did not find.
- A group is one write and one sync, and starts only when the one before it is synced. So a record that is the first of its
  group proves that every record before it was durable: what is missing there is damage, not an unfinished write.
- Payloads are not compressed: a group of 32 would shrink to an eighth, but the disk's bytes are not what is short, the event's CPU time is, and
  damage would cost the group instead of the record (`benchmarks/README.md` has the figures).
- Zeros mean nothing by themselves: the mark never is zero, and a scan looks for the next mark up to the end of its bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = 4096
DATA_START = 2 * PAGE
INDEX_BITS = 24
INDEX_MASK = (1 << INDEX_BITS) - 1
VERSION = 1
MAX_FENCES = 200

_MAGIC = b"TGSPOOL\n"
_HEAD = struct.Struct("<8sHHIQQI")
_FENCE = struct.Struct("<QII")
_CRC = struct.Struct("<I")
# 0xFF and 0xF5 occur in no UTF-8 text, so the text of an event seldom makes a scan stop and look.
MARK = b"\xff\xf5TG"
_MARK_NUMBER = int.from_bytes(MARK, "little")
_COVERED = struct.Struct("<III")
_RECORD = struct.Struct("<IIII")
RECORD_HEAD_BYTES = _RECORD.size
_FIRST = 1 << 31


class Fence(NamedTuple):
    """How far an earlier segment counts: its first `records`, which end at byte `used`; what follows was refused."""

    number: int
    records: int
    used: int


class Head(NamedTuple):
    """What a segment says of itself; `is_open` once its first group was written."""

    number: int
    size: int
    salt: int
    is_open: bool = False
    fences: tuple[Fence, ...] = ()
    version: int = VERSION


class Found(NamedTuple):
    """A readable record: its index `nth`, the byte of the file where it ends, and whether it is the first of its group."""

    nth: int
    end: int
    payload: bytes
    is_first: bool


class Region(NamedTuple):
    """Bytes of the file that hold no readable record."""

    offset: int
    length: int


class Scan(NamedTuple):
    """What a scan found; `end` is the byte up to which everything is settled, where the next scan goes on."""

    records: list[Found]
    unreadable: list[Region]
    end: int


def encode_head(head: Head) -> bytes:
    """Give the first `DATA_START` bytes of a segment: the head, twice. Of the fences the newest `MAX_FENCES` are kept."""
    fences = head.fences[-MAX_FENCES:]
    fixed = _HEAD.pack(_MAGIC, head.version, head.is_open, head.salt, head.number, head.size, len(fences))
    body = fixed + b"".join(_FENCE.pack(*fence) for fence in fences)
    return (body + _CRC.pack(crc32(body))).ljust(PAGE, b"\0") * 2


def decode_head(pages: bytes) -> Head | None:
    """Give the head from the first `DATA_START` bytes of a file, or `None` when neither copy is readable.

    A crash while a segment is opened can leave one copy from before and one from after: the one that is open is right.
    """
    heads = [head for head in map(_decode_page, (pages[:PAGE], pages[PAGE:DATA_START])) if head]
    return max(heads, key=lambda head: head.is_open, default=None)


def _decode_page(page: bytes) -> Head | None:
    if len(page) < PAGE:
        return None
    magic, version, is_open, salt, number, size, fence_count = _HEAD.unpack_from(page)
    end = _HEAD.size + fence_count * _FENCE.size
    if magic != _MAGIC or fence_count > MAX_FENCES or _CRC.unpack_from(page, end)[0] != crc32(page[:end]):
        return None
    fences = tuple(Fence._make(fence) for fence in _FENCE.iter_unpack(page[_HEAD.size : end]))
    return Head(number, size, salt, bool(is_open), fences, version)


def encode_group(payloads: Sequence[bytes], salt: int, index: int) -> bytes:
    """Give the bytes of one group of records, whose first one has this index."""
    parts: list[bytes] = []
    add = parts.append
    cover, seal = _COVERED.pack, _CRC.pack
    tag = index | _FIRST
    for payload in payloads:
        covered = cover(_MARK_NUMBER, len(payload), tag)
        add(covered)
        add(seal(crc32(payload, crc32(covered, salt))))
        add(payload)
        index += 1
        tag = index
    return b"".join(parts)


def scan(data: bytes, offset: int, salt: int, index: int, *, final: bool) -> Scan:
    """Read the records in `data`, which starts at byte `offset` of its file; the next expected record has this index.

    Where a record can't be read, the scan goes on at the next mark that begins a readable record with a higher index.
    `final` says that no bytes follow. Without it, the scan stops before the first thing that more bytes could settle.
    """
    records: list[Found] = []
    unreadable: list[Region] = []
    at, size, broken = 0, len(data), -1
    while at + RECORD_HEAD_BYTES <= size:
        mark, length, tag, crc = _RECORD.unpack_from(data, at)
        found = tag & INDEX_MASK
        if mark == _MARK_NUMBER and found >= index:
            start = at + RECORD_HEAD_BYTES
            end = start + length
            if end <= size:
                payload = data[start:end]
                if crc32(payload, crc32(data[at : at + _COVERED.size], salt)) == crc:
                    if broken >= 0:
                        unreadable.append(Region(offset + broken, at - broken))
                        broken = -1
                    records.append(Found(found, offset + end, payload, bool(tag & _FIRST)))
                    index = found + 1
                    at = end
                    continue
            elif not final:
                break
        if broken < 0:
            broken = at
        at = data.find(MARK, at + 1)
        if at < 0:
            at = size
    if not final:
        return Scan(records, unreadable, offset + (at if broken < 0 else broken))
    if broken < 0 and at < size:
        broken = at
    if broken >= 0:
        unreadable.append(Region(offset + broken, size - broken))
    return Scan(records, unreadable, offset + size)
