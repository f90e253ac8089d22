"""A segment as the event loop knows it: how far it is filled, and which of its records need no more delivery.

`count` and `used` speak of durable records only. `pending` is exact: records that are durable and not settled. A record is
*settled* when it was acknowledged, or when it can't be delivered because its bytes are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.spool.layout import DATA_START, Fence, Head

if TYPE_CHECKING:
    from pathlib import Path

_GROWTH = 512


class Segment:
    """One file: its head's values, its durable records and their bitmap of settled ones.

    `proven` is how many of its first records were certainly durable once; the bytes before `freed` do not count against the
    spool's bound, those from there on are `held`; `descriptor` is open (not -1) only in the segment that takes groups and the one that comes next.
    """

    __slots__ = (
        "bits",
        "count",
        "descriptor",
        "freed",
        "is_open",
        "number",
        "path",
        "pending",
        "proven",
        "salt",
        "size",
        "used",
    )

    def __init__(
        self, path: Path, head: Head, *, count: int = 0, used: int = DATA_START, descriptor: int = -1
    ) -> None:
        self.path = path
        self.number = head.number
        self.size = head.size
        self.salt = head.salt
        self.is_open = head.is_open
        self.count = count
        self.used = used
        self.proven = count
        self.pending = count
        self.freed = DATA_START
        self.bits = bytearray()
        self.descriptor = descriptor

    @property
    def fence(self) -> Fence:
        """How far this segment counts."""
        return Fence(self.number, self.count, self.used)

    @property
    def held(self) -> int:
        """How many bytes of it count against the spool's bound."""
        return self.used - self.freed

    def extend(self, records: int, size: int) -> None:
        """Count records that became durable, and the bytes they take."""
        self.is_open = True
        self.count += records
        self.proven = self.count
        self.pending += records
        self.used += size

    def settle(self, index: int) -> bool:
        """Say that a record needs no more delivery; tells whether that is news."""
        if not 0 <= index < self.count:
            return False
        at, bit = index >> 3, 1 << (index & 7)
        bits = self.bits
        if at >= len(bits):
            bits.extend(bytes(at - len(bits) + _GROWTH))
        elif bits[at] & bit:
            return False
        bits[at] |= bit
        self.pending -= 1
        return True

    def settle_range(self, first: int, length: int) -> None:
        """Say that so many records from index `first` on need no more delivery."""
        end = min(first + length, self.count)
        # Whole bytes of the bitmap, and one by one what is left and right of them.
        start, stop = min(-(-first // 8) * 8, end), end // 8 * 8
        for index in range(first, start):
            self.settle(index)
        if stop > start:
            self.settle_bits(b"\xff" * ((stop - start) >> 3), start)
        for index in range(max(start, stop), end):
            self.settle(index)

    def settle_bits(self, bits: bytes, first: int = 0) -> None:
        """Settle the records that a bitmap names, whose first bit stands for index `first`, a multiple of 8."""
        at, size = first >> 3, min(len(bits), (self.count + 7 - first) >> 3)
        if size <= 0:
            return
        if len(self.bits) < at + size:
            self.bits.extend(bytes(at + size - len(self.bits)))
        known = (1 << (self.count - first)) - 1
        before = int.from_bytes(self.bits[at : at + size], "little")
        after = before | int.from_bytes(bits[:size], "little") & known
        self.bits[at : at + size] = after.to_bytes(size, "little")
        self.pending -= after.bit_count() - before.bit_count()

    def is_settled(self, index: int) -> bool:
        """Tell whether a record needs no more delivery."""
        at = index >> 3
        return at < len(self.bits) and bool(self.bits[at] & (1 << (index & 7)))
