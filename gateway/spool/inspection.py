"""A look at a partition from outside: how much waits in it, while a gateway uses it or not. Nothing is locked, made or changed.

What always holds: what is told was so at one moment during the look, but for acknowledgements on their way to the cursor (a tenth of a second of them),
whose entries still count as waiting. The files of a partition change while they are read: a segment is filled, fenced, overwritten
with zeros under another name. So the segments are read first and the cursor after them, and when a name has come to stand for another file
meanwhile, the look is begun again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.cursor import Journal
from gateway.spool.disk import Disk
from gateway.spool.layout import DATA_START, VERSION, Fence, decode_head, scan
from gateway.spool.recovery import fill, settle
from gateway.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.spool.layout import Head

_TRIES = 20


class Waiting(NamedTuple):
    """What waits in a partition: how many entries, in how many bytes, the payload of the oldest one (`None`: there is none, or it can't be read).

    `file_bytes` is what the partition takes on the disk, `unreadable` how many of its segments can't be read.
    """

    pending: int
    pending_bytes: int
    oldest: bytes | None
    file_bytes: int
    unreadable: int


def inspect(directory: Path) -> Waiting:
    """Say what waits in the partition in this directory; blocks. Raises `OSError`, and `SpoolUnavailable` where it doesn't hold still."""
    for _ in range(_TRIES):
        try:
            before = _files(directory)
            waiting = _look(directory, before)
            after = _files(directory)
        except FileNotFoundError:
            if not directory.is_dir():
                raise
            continue
        if before.items() <= after.items():
            return waiting
    hint = "look again in a moment"
    raise SpoolUnavailable(str(directory), "its files change faster than they can be read", hint)


def _files(directory: Path) -> dict[Path, int]:
    """Give the inodes of the segments, in their order, and of the cursor."""
    paths = sorted(each for each in directory.glob("*.segment") if each.stem.isdigit())
    cursor = directory / "cursor"
    return {each: each.stat().st_ino for each in (*paths, *([cursor] if cursor.exists() else []))}


def _look(directory: Path, paths: Iterable[Path]) -> Waiting:
    disk = Disk()
    segments: dict[int, Segment] = {}
    heads: dict[int, Head] = {}
    unreadable = len(list(directory.glob("*.unreadable")))
    for path in paths:
        if path.suffix != ".segment":
            continue
        number = int(path.stem)
        head = decode_head(disk.read(path, 0, DATA_START))
        if head is not None and head.number == number and head.version <= VERSION:
            segments[number], heads[number] = Segment(path, head), head
        else:
            unreadable += 1
    fences = {fence.number: fence for head in heads.values() for fence in head.fences}
    for number, segment in segments.items():
        if fence := fences.get(number):
            fill(segment, fence, proven=fence.records)
        elif heads[number].is_open:
            fill(segment, _filled(disk, segment), proven=0)
    entries, _ = Journal(disk, directory).load()
    settle(segments, entries)
    waiting = [each for each in segments.values() if each.pending]
    return Waiting(
        pending=sum(each.pending for each in waiting),
        pending_bytes=sum(each.used - DATA_START for each in waiting),
        oldest=_oldest(disk, waiting[0]) if waiting else None,
        file_bytes=sum(each.stat().st_size for each in directory.iterdir() if each.is_file()),
        unreadable=unreadable,
    )


def _data(disk: Disk, segment: Segment) -> bytes:
    return disk.read(segment.path, DATA_START, segment.path.stat().st_size - DATA_START)


def _filled(disk: Disk, segment: Segment) -> Fence:
    """Give how far a segment that takes groups is filled; a group that is being written counts as soon as it is whole."""
    records = scan(_data(disk, segment), DATA_START, segment.salt, 0, final=True).records
    if not records:
        return Fence(segment.number, 0, DATA_START)
    return Fence(segment.number, records[-1].nth + 1, records[-1].end)


def _oldest(disk: Disk, segment: Segment) -> bytes | None:
    for record in scan(_data(disk, segment), DATA_START, segment.salt, 0, final=True).records:
        if record.nth < segment.count and not segment.is_settled(record.nth):
            return record.payload
    return None
