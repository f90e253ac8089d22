"""Opening a directory: from the files that a crash left, what is durable, what is acknowledged, and what is in doubt.

Only segments that no later segment fences are read here: the last one, as a rule. Of the others the heads are enough, so
opening costs the same for an empty spool and for one with millions of entries. Nothing found here is a reason to refuse: a
file whose heads are unreadable is read without them (`salvage`), or set aside under another name when its records are gone too, an
unfinished write is ignored, and all of it is reported.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.cursor import Progress
from gateway.spool.keeper import close, discard
from gateway.spool.layout import (
    DATA_START,
    INDEX_BITS,
    INDEX_MASK,
    VERSION,
    Fence,
    Head,
    decode_head,
    scan,
)
from gateway.spool.lock import DirectoryLock
from gateway.spool.salvage import find_salt
from gateway.spool.segment import Segment

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.spool.cursor import Journal
    from gateway.spool.disk import Disk

_NAME = re.compile(r"(\d{12})\.(?:segment|unreadable)")


class Damage(NamedTuple):
    """Bytes that could not be read: in which file, from which byte on, and what that means."""

    path: Path
    offset: int
    reason: str


class Recovered(NamedTuple):
    """What a directory holds: segments in rising order, the fences the next one must carry, and the damage on the way."""

    segments: dict[int, Segment]
    spare: Segment | None
    next_number: int
    fences: list[Fence]
    damage: list[Damage]
    damaged: int


def claim(
    disk: Disk, directory: Path, journal: Journal, segment_bytes: int
) -> tuple[DirectoryLock, Recovered]:
    """Make and lock a directory and recover what is in it; blocks. Raises as `recover` does, and `SpoolUnavailable` when it is taken."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.sync_directory(directory.parent)
    lock = DirectoryLock(directory)
    try:
        return lock, recover(disk, directory, journal, segment_bytes)
    except BaseException:
        lock.release()
        raise


def recover(disk: Disk, directory: Path, journal: Journal, segment_bytes: int) -> Recovered:
    """Read the state of a directory and clean up in it; blocks. Raises `OSError`, or `SpoolUnavailable` for a newer format."""
    for leftover in directory.glob("*.tmp"):
        # A disk that refuses, here and below, must not keep what is readable from being delivered.
        with contextlib.suppress(OSError):
            disk.remove(leftover, "segment")
    entries, complaint = journal.load()
    damage = [Damage(journal.path, 0, complaint)] if complaint else []
    durable = {number: value for entry in entries for number, value in entry.durable.items()}
    numbers = [int(name[1]) for path in directory.iterdir() if (name := _NAME.fullmatch(path.name))]
    next_number = max([0, *numbers, *durable]) + 1

    segments, fences, lost = _read_heads(disk, directory, damage)
    unfenced: list[Fence] = []
    spare: Segment | None = None
    for segment in list(segments.values()):
        if fence := fences.get(segment.number):
            fill(segment, fence, proven=fence.records)
            continue
        is_blank = _read_records(disk, segment, durable.get(segment.number, (0, DATA_START)), damage)
        if (
            is_blank
            and segment.number == next_number - 1
            and segment.size == segment_bytes
            and not segment.is_open
        ):
            spare = segments.pop(segment.number)
            spare.descriptor = disk.open(spare.path)
        else:
            unfenced.append(segment.fence)
    known = {number: records for number, (records, _) in durable.items()}
    known.update((number, fence.records) for number, fence in fences.items())
    missing = {
        number: Segment(path, Head(number, 0, 0), count=known.get(number, 0)) for number, path in lost.items()
    }
    settle({**segments, **missing}, entries)
    damaged = sum(segment.pending for segment in missing.values())
    for segment in segments.values():
        if not segment.pending:
            segment.freed = segment.used
    try:
        _discard_settled(disk, directory, segments, keep=None if spare else next_number - 1)
        journal.replace(snapshot(segments))
    except OSError:
        # A full or read-only disk must not keep what is here from being delivered; the journal asks for a snapshot again.
        pass
    return Recovered(segments, spare, next_number, unfenced, damage, damaged)


def snapshot(segments: dict[int, Segment]) -> Progress:
    """Give everything that the cursor must remember of these segments."""
    return Progress(
        bitmaps={number: bytes(segment.bits) for number, segment in segments.items() if segment.bits},
        durable={
            number: (segment.proven, segment.used) for number, segment in segments.items() if segment.proven
        },
    )


def _read_heads(
    disk: Disk, directory: Path, damage: list[Damage]
) -> tuple[dict[int, Segment], dict[int, Fence], dict[int, Path]]:
    segments: dict[int, Segment] = {}
    fences: dict[int, Fence] = {}
    lost: dict[int, Path] = {}
    for path in sorted(directory.glob("*.segment")):
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        number = int(name[1])
        head = decode_head(disk.read(path, 0, DATA_START))
        if head is None or head.number != number:
            head = _restore_head(disk, path, number, damage)
        if head is None:
            lost[number] = path
            continue
        if head.version > VERSION:
            cause = f"{path.name} has format {head.version}, this version reads up to {VERSION}"
            raise SpoolUnavailable(str(directory), cause, "run the newer version of the gateway on it")
        segments[number] = Segment(path, head)
        fences.update((fence.number, fence) for fence in head.fences)
    return segments, fences, lost


def _restore_head(disk: Disk, path: Path, number: int, damage: list[Damage]) -> Head | None:
    """Make a head for a segment whose own are unreadable, from its records; `None`: it has none, and was set aside or deleted."""
    size = path.stat().st_size
    data = disk.read(path, DATA_START, size - DATA_START)
    salt = find_salt(data)
    if salt is not None:
        damage.append(
            Damage(path, 0, "both copies of the head are unreadable; its records are read without them")
        )
        return Head(number, size, salt, is_open=True)
    with contextlib.suppress(OSError):
        if data != bytes(len(data)):
            aside = path.with_suffix(".unreadable")
            disk.rename(path, aside, "segment")
            path = aside
        else:
            disk.remove(path, "segment")
    damage.append(
        Damage(path, 0, "both copies of the head and the records are unreadable; the file was set aside")
    )
    return None


def fill(segment: Segment, fence: Fence, *, proven: int) -> None:
    """Note how far a segment counts; nothing in it is settled yet."""
    segment.count = segment.pending = fence.records
    segment.used = fence.used
    segment.proven = proven


def _read_records(disk: Disk, segment: Segment, durable: tuple[int, int], damage: list[Damage]) -> bool:
    """Find how far a segment without a fence is filled; tells whether it never took a record."""
    data = disk.read(segment.path, DATA_START, segment.path.stat().st_size - DATA_START)
    found = scan(data, DATA_START, segment.salt, 0, final=True)
    known_count, known_used = durable
    count, used, proven = known_count, known_used, known_count
    if found.records:
        last = found.records[-1]
        count, used = max(count, last.nth + 1), max(used, last.end)
        proven = max(proven, *(record.nth for record in found.records if record.is_first), 0)
    if found.records and _sync(disk, segment) and len(found.records) == count:
        proven = count
    rest = data[used - DATA_START :]
    # Thirty times as fast as stripping, which matters: as a rule these are megabytes of zeros.
    is_zero = rest == bytes(len(rest))
    if not is_zero:
        damage.append(
            Damage(
                segment.path,
                used,
                f"an unfinished write of up to {len(rest.rstrip(bytes(1)))} bytes was ignored",
            )
        )
    elif count:
        # The zeros of a segment that will not be filled any more are space that a small spool may need.
        with contextlib.suppress(OSError):
            disk.truncate(segment.path, used)
    fill(segment, Fence(segment.number, count, used), proven=proven)
    # Of an unfinished write a later record may be there and an earlier one not. Nobody waits for it, and a later opening, which
    # knows this segment by its fence alone, must not take it for damage.
    seen = {record.nth for record in found.records}
    for index in range(proven, count):
        if index not in seen:
            segment.settle(index)
    return not count and is_zero


def _sync(disk: Disk, segment: Segment) -> bool:
    """Make durable what a killed process wrote and did not sync, before a fence or a client relies on it."""
    try:
        descriptor = disk.open(segment.path)
        try:
            disk.sync(descriptor, "segment")
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def settle(segments: dict[int, Segment], entries: list[Progress]) -> None:
    """Settle in the segments what the cursor's entries say."""
    for entry in entries:
        for number, bits in entry.bitmaps.items():
            if segment := segments.get(number):
                segment.settle_bits(bits)
        for first, length in entry.ranges:
            if segment := segments.get(first >> INDEX_BITS):
                segment.settle_range(first & INDEX_MASK, length)


def _discard_settled(disk: Disk, directory: Path, segments: dict[int, Segment], keep: int | None) -> None:
    """Delete what is settled; `keep` is the highest number, whose file proves that the number was used."""
    settled = [segment for segment in segments.values() if not segment.pending and segment.number != keep]
    for segment in settled:
        del segments[segment.number]
        close(segment)
    if settled:
        discard(disk, directory, settled)
