"""What a process adds to the archive, and what it takes away when its time is over. Blocks, and belongs to one thread.

What always holds:

- A write is one frame of one part, done while the lock is held, and behind the last whole frame: one that failed is cut off again, or its part is
  left behind.
- Nobody's event is added who is erased at that moment. An erasure first makes the ledger forget, and then raises the generation and looks through the
  parts that are there (`gateway.archive.erasure`), all of it under the same lock that is held here for asking the ledger and adding. So an
  event is either there when the erasure looks, or is asked about after the ledger has forgotten its owner.
- The archive leaves room on the disk for those who need it more: the spool and the ledger.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.folder import HOUR_MS, ArchiveBusy
from gateway.archive.frames import compress
from gateway.archive.lines import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.archive.folder import Folder, Lock, Part
    from gateway.archive.lines import Delivery

_PART_BYTES = 64 << 20
_DAY_HOURS = 24
_RESERVE_BYTES = 1 << 30
_RESERVE_SHARE = 10
_HELD_SECONDS = 1.0


class ArchiveStopped(Exception):
    """Nothing can be added now: why, and what would mend it."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(f"the archive stands still: {cause}; {hint}")
        self.cause = cause
        self.hint = hint


class Written(NamedTuple):
    """What became of the first `taken` deliveries of a batch: so many were kept, were of erased UIDs, could not be put in writing."""

    taken: int
    kept: int
    erased: int
    unwritable: int


class Writer:
    """Adds to the archive, keeps it for `days` and below `max_bytes`.

    `erased` gives those of some (portal_id, uid) that are erased now; `clock` gives Unix time in seconds; `goes_on` whether there is still time to wait for the lock.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        days: int,
        max_bytes: int,
        erased: Callable[[Iterable[tuple[str, str]]], set[tuple[str, str]]],
        clock: Callable[[], float] = time.time,
        part_bytes: int = _PART_BYTES,
    ) -> None:
        self._folder = folder
        self._days = days
        self._max_bytes = max_bytes
        # Small enough that the bound can be kept by deleting whole parts.
        self._part_bytes = min(part_bytes, max_bytes // 8)
        self._erased = erased
        self._clock = clock
        self._part: Part | None = None
        self._descriptor = -1
        self._size = 0
        self._generation = -1
        self.total_bytes = 0

    def write(self, batch: Sequence[Delivery]) -> Written:
        """Add the first deliveries of a batch, those of one hour, and say how many these were.

        Raises `ArchiveStopped`, `OSError` and what `erased` raises; then none of them was added.
        """
        hour = batch[0].delivered_ms // HOUR_MS
        same = 1
        while same < len(batch) and batch[same].delivered_ms // HOUR_MS == hour:
            same += 1
        self._folder.make()
        self._insist_on_room()
        deadline = time.monotonic() + _HELD_SECONDS
        try:
            with self._folder.locked(lambda: time.monotonic() < deadline) as lock:
                return self._add(lock, hour, batch[:same])
        except ArchiveBusy:
            raise ArchiveStopped("another process holds its lock", "it goes on when that has ended") from None

    def _add(self, lock: Lock, hour: int, batch: Sequence[Delivery]) -> Written:
        gone = self._erased({(each.record.portal_id, each.record.uid) for each in batch})
        lines: list[bytes] = []
        unwritable = 0
        for each in batch:
            if (each.record.portal_id, each.record.uid) in gone:
                continue
            try:
                lines.append(encode(each))
            except (ValueError, OverflowError):
                unwritable += 1
        if lines:
            frame = compress(b"".join(lines))
            self._ready_part(lock, hour)
            try:
                self._folder.append(self._descriptor, frame, self._size)
            except OSError:
                self._undo()
                raise
            self._size += len(frame)
            self.total_bytes += len(frame)
        return Written(len(batch), len(lines), len(batch) - len(lines) - unwritable, unwritable)

    def tidy(self) -> int:
        """Delete what is older than it may be, and the oldest of what is too much; give how many parts went. Raises `OSError`."""
        if not self._folder.exists:
            return 0
        # An event may be kept up to an hour longer than its days: a part goes when its last moment has reached them.
        oldest_hour = int(self._clock()) // 3_600 - self._days * _DAY_HOURS
        deadline = time.monotonic() + _HELD_SECONDS
        removed = 0
        try:
            with self._folder.locked(lambda: time.monotonic() < deadline):
                parts = self._folder.parts()
                total = sum(each.size for each in parts)
                for part in parts:
                    is_mine = self._part is not None and part.key == self._part.key
                    if part.hour < oldest_hour or (total > self._max_bytes and not is_mine):
                        self._folder.remove(part)
                        total -= part.size
                        removed += 1
                self.total_bytes = total
        except ArchiveBusy:
            return 0
        if removed:
            # What is over for people should stay so after a power cut.
            self._folder.sync()
        return removed

    @property
    def is_too_large(self) -> bool:
        """Whether `tidy` has something to do."""
        return self.total_bytes > self._max_bytes

    def close(self) -> None:
        """Let go of the part."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._part = -1, None

    def _ready_part(self, lock: Lock, hour: int) -> None:
        part = self._part
        if (
            part is None
            or part.hour != hour
            or self._generation != lock.generation
            or self._size >= self._part_bytes
            or not self._folder.is_named(part, self._descriptor)
        ):
            self.close()
            self._part, self._descriptor = self._folder.begin(hour)
            self._size, self._generation = 0, lock.generation

    def _undo(self) -> None:
        """Take back what a failed write has left, or leave the part behind with it."""
        try:
            self._folder.cut(self._descriptor, self._size)
        except OSError:
            self.close()

    def _insist_on_room(self) -> None:
        free, of = self._folder.free()
        reserve = min(_RESERVE_BYTES, of // _RESERVE_SHARE)
        if free < reserve:
            hint = "free the disk, or lower archive.days or archive.max_bytes; it goes on by itself"
            raise ArchiveStopped(f"the disk has less than {reserve >> 20} MiB left", hint)
