"""Reading a segment whose heads are gone: what it takes is its salt, and its records tell that.

A CRC can be run backwards: from a record's bytes and its CRC follows the salt that it began with. An intact record gives the true
one, a damaged one, or bytes of a payload that look like a record, any other. So it is believed when two records agree, which
happens by chance once in four billion times.
"""

from __future__ import annotations

import struct
from collections import Counter
from zlib import crc32

from gateway.spool.layout import MARK, RECORD_HEAD_BYTES

_RECORD = struct.Struct("<IIII")
_COVERED_BYTES = 12
_ALL = 0xFFFFFFFF
# More than these need not be asked: the segment would have to be damaged nearly everywhere.
_MOST = 2_000


def find_salt(data: bytes) -> int | None:
    """Give the salt on which two records in a segment's data agree, or `None`."""
    seen: Counter[int] = Counter()
    at, size = data.find(MARK), len(data)
    while 0 <= at <= size - RECORD_HEAD_BYTES and seen.total() < _MOST:
        _, length, _, crc = _RECORD.unpack_from(data, at)
        start = at + RECORD_HEAD_BYTES
        end = start + length
        following = at + 1
        if end <= size:
            salt = _salt_of(data[at : at + _COVERED_BYTES] + data[start:end], crc)
            seen[salt] += 1
            if seen[salt] == 2:
                return salt
            # Behind it the next record begins, if this one is a record.
            if data.startswith(MARK, end):
                following = end
        at = data.find(MARK, following)
    return None


def _salt_of(covered: bytes, crc: int) -> int:
    """Give the value that `zlib.crc32(covered, value)` makes this CRC of."""
    table = [crc32(bytes([byte]), _ALL) ^ _ALL for byte in range(256)]
    by_top = {entry >> 24: index for index, entry in enumerate(table)}
    state = crc ^ _ALL
    for byte in reversed(covered):
        index = by_top[state >> 24]
        state = ((state ^ table[index]) << 8 | (index ^ byte)) & _ALL
    return state ^ _ALL
