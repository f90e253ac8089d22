"""What the spool does beside the path of an append, as blocking functions for its background thread.

Making the next segment ahead of need, probing a disk that failed, deleting or overwriting what is settled.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from gateway.spool.layout import DATA_START, Head, encode_head
from gateway.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.spool.disk import Disk

_STEP = 1 << 20


def segment_path(directory: Path, number: int) -> Path:
    """Give where the segment with this number is."""
    return directory / f"{number:012d}.segment"


def make_segment(disk: Disk, directory: Path, number: int, size: int) -> Segment:
    """Make a segment of really written zeros, durable in bytes and name; raises `OSError` and leaves nothing behind."""
    if disk.free_bytes(directory) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
    path = segment_path(directory, number)
    temporary = path.with_suffix(".tmp")
    head = Head(number, size, int.from_bytes(os.urandom(4), "little"))
    descriptor = disk.create(temporary)
    try:
        disk.write(descriptor, encode_head(head), 0, "segment")
        for offset in range(DATA_START, size, _STEP):
            # Small steps, each synced, so that a group's sync never waits behind the whole file.
            disk.write(descriptor, bytes(min(_STEP, size - offset)), offset, "segment")
            disk.sync(descriptor, "segment")
        disk.rename(temporary, path, "segment")
        disk.sync_directory(directory)
    except BaseException:
        os.close(descriptor)
        for leftover in (temporary, path):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
        raise
    return Segment(path, head, descriptor=descriptor)


def recycle(disk: Disk, directory: Path, old: Segment, number: int) -> Segment:
    """Make a blank segment of one whose records are all settled: overwritten with zeros, under a new number and salt.

    Durable on return. Costs as many bytes as were used. Raises `OSError`; then the file is deleted, as far as the disk lets it.
    A file with a higher number than the old one's must be durable already.
    """
    path, temporary = segment_path(directory, number), old.path.with_suffix(".tmp")
    head = Head(number, old.size, int.from_bytes(os.urandom(4), "little"))
    try:
        disk.rename(old.path, temporary, "recycled")
        # Before a byte is lost: a segment with zeros for records would be taken for a damaged one.
        disk.sync_directory(directory)
        for offset in range(DATA_START, old.used, _STEP):
            disk.write(old.descriptor, bytes(min(_STEP, old.used - offset)), offset, "recycled")
            disk.sync(old.descriptor, "recycled")
        disk.write(old.descriptor, encode_head(head), 0, "recycled")
        disk.sync(old.descriptor, "recycled")
        disk.rename(temporary, path, "recycled")
        disk.sync_directory(directory)
    except BaseException:
        close(old)
        for leftover in (old.path, temporary, path):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
        raise
    descriptor, old.descriptor = old.descriptor, -1
    return Segment(path, head, descriptor=descriptor)


def probe(disk: Disk, spare: Segment) -> Segment:
    """Give back a segment that is not in use yet after writing and syncing its head.

    Raises `OSError` when the disk refuses; then the segment must not be used, and its file is let go.
    """
    head = Head(spare.number, spare.size, spare.salt)
    try:
        disk.write(spare.descriptor, encode_head(head), 0, "segment")
        disk.sync(spare.descriptor, "segment")
    except BaseException:
        close(spare)
        raise
    return spare


def discard(disk: Disk, directory: Path, segments: Iterable[Segment]) -> None:
    """Delete segments; raises `OSError`. What stays comes back at the next opening, and is settled there again."""
    for segment in segments:
        close(segment)
        disk.remove(segment.path, "segment")
    disk.sync_directory(directory)


def close(segment: Segment) -> None:
    """Let go of a segment's file, if it is open. Its groups were synced before, so an error here loses nothing."""
    descriptor, segment.descriptor = segment.descriptor, -1
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)
