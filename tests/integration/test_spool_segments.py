"""The segment spool on a real disk: restarts, damage, a disk that refuses, a reader that lags."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.layout import DATA_START, INDEX_BITS
from gateway.spool.reader import LOAD_BYTES
from gateway.spool.segments import SegmentSpool, Tuning, open_segment_spool
from tests.spool_disks import ObservedDisk

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 16 << 10
QUICK = Tuning(flush_seconds=0.01, retry_seconds=0.02)


@asynccontextmanager
async def opened(directory: Path, **settings):
    spool = await open_segment_spool(directory, **{"segment_bytes": SMALL, "tuning": QUICK, **settings})
    try:
        yield spool
    finally:
        await spool.close()


async def take(spool: SegmentSpool, count: int, limit: int = 1000):
    entries = []
    async with asyncio.timeout(20):
        while len(entries) < count:
            entries += await spool.read(limit)
    return entries


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def numbered(*numbers: int, size: int = 500) -> list[bytes]:
    return [f"<{number}>".encode().ljust(size, b".") for number in numbers]


def segment_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.segment"))


async def test_what_was_not_acknowledged_comes_again_after_a_restart(tmp_path):
    """After close and open the unacknowledged entries come in order at their old positions, and nothing else."""
    async with opened(tmp_path) as spool:
        await spool.append(numbered(*range(15)))
        await spool.append(numbered(*range(15, 40, 1), size=200))
        entries = await take(spool, 40)
        for entry in entries[::2]:
            spool.acknowledge(entry.position)
    async with opened(tmp_path) as spool:
        assert 20 == spool.pending
        assert entries[1::2] == await take(spool, 20)
        assert 0 == spool.damaged


async def test_new_positions_are_higher_than_any_before_even_after_a_torn_write(tmp_path):
    """A position whose record was torn off is not given to another payload."""
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk) as spool:
        await spool.append(numbered(1, 2, 3))
        last = (await take(spool, 3))[-1]
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    torn = segment_files(crashed)[0]
    end = torn.read_bytes().rindex(b"<3>") + 100
    with torn.open("r+b") as file:
        file.seek(end)
        file.write(bytes(1000))
    async with opened(crashed) as spool:
        assert 2 == spool.pending
        await spool.append(numbered(4))
        entries = await take(spool, 3)
        assert numbered(1, 2, 4) == [entry.payload for entry in entries]
        assert entries[-1].position > last.position


async def test_a_torn_tail_is_reported_and_not_counted_as_damage(tmp_path):
    """An unfinished last write is told to the callback; `damaged` is for records that were durable once."""
    reports = []
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk) as spool:
        await spool.append(numbered(1))
        await spool.append(numbered(2, 3))
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    file = segment_files(crashed)[0]
    data = bytearray(file.read_bytes())
    data[data.rindex(b"<3>") + 50] ^= 1
    file.write_bytes(data)
    async with opened(crashed, on_damage=lambda *report: reports.append(report)) as spool:
        assert 2 == spool.pending
        assert numbered(1, 2) == [entry.payload for entry in await take(spool, 2)]
        assert 0 == spool.damaged
    assert [file] == [path for path, _, _ in reports]
    assert "unfinished" in reports[0][2]


async def test_a_damaged_record_costs_itself_alone(tmp_path):
    """A flipped bit in a durable record is skipped, counted and reported; it does not count twice after a restart."""
    reports = []
    async with opened(tmp_path) as spool:
        for n in range(0, 60, 3):
            await spool.append(numbered(n, n + 1, n + 2))
    for file in segment_files(tmp_path):
        data = bytearray(file.read_bytes())
        for number in (0, 7, 8, 31, 59):
            if (at := data.find(f"<{number}>".encode())) >= 0:
                data[at] ^= 0x40
        file.write_bytes(data)
    expected = [n for n in range(60) if n not in {0, 7, 8, 31, 59}]
    async with opened(tmp_path, on_damage=lambda *report: reports.append(report)) as spool:
        assert numbered(*expected) == [entry.payload for entry in await take(spool, 55)]
        await until(lambda: spool.pending == 55)
        assert 5 == spool.damaged
        assert 4 == len(reports)
    async with opened(tmp_path) as spool:
        assert 55 == spool.pending
        await take(spool, 55)
        assert 0 == spool.damaged


async def test_a_segment_without_a_readable_head_is_read_from_its_records(tmp_path):
    """When both heads are gone, that is reported, and everything is delivered all the same, also at later openings."""
    async with opened(tmp_path) as spool:
        for n in range(30):
            await spool.append(numbered(n))
    for file in segment_files(tmp_path)[:2]:
        with file.open("r+b") as content:
            content.write(os.urandom(DATA_START))
    for _ in range(2):
        reports = []
        async with opened(tmp_path, on_damage=lambda *report, to=reports: to.append(report)) as spool:
            assert numbered(*range(30)) == [entry.payload for entry in await take(spool, 30)]
            assert (30, 0) == (spool.pending, spool.damaged)
        assert segment_files(tmp_path)[:2] == [path for path, _, _ in reports]


async def test_a_segment_without_head_and_records_is_set_aside(tmp_path):
    """The file is kept under another name, its records that were not acknowledged are counted, and the others are delivered."""
    reports = []
    async with opened(tmp_path) as spool:
        for n in range(30):
            await spool.append(numbered(n))
        for entry in (await take(spool, 30))[:4]:
            spool.acknowledge(entry.position)
    first, second = segment_files(tmp_path)[:2]
    first.write_bytes(os.urandom(SMALL))
    async with opened(tmp_path, on_damage=lambda *report: reports.append(report)) as spool:
        kept = await take(spool, 15)
        assert numbered(*range(15, 30)) == [entry.payload for entry in kept]
        assert int(second.stem) == kept[0].position >> INDEX_BITS
        assert (11, 15) == (spool.damaged, spool.pending)
    assert [(first.with_suffix(".unreadable"), 0)] == [report[:2] for report in reports]
    assert first.with_suffix(".unreadable").exists()


async def test_a_file_deleted_by_somebody_is_counted_not_fatal(tmp_path):
    """A segment that vanishes while it waits is reported as lost records; the reader goes on behind it."""
    async with opened(tmp_path, tuning=QUICK._replace(tail_entries=1)) as spool:
        for n in range(45):
            await spool.append(numbered(n))
        segment_files(tmp_path)[1].unlink()
        assert numbered(*range(15), *range(30, 45)) == [entry.payload for entry in await take(spool, 30)]
        assert (15, 30) == (spool.damaged, spool.pending)


async def test_an_unreadable_cursor_means_again_not_never(tmp_path):
    """When the cursor is destroyed, everything that is still on disk comes again."""
    async with opened(tmp_path) as spool:
        await spool.append(numbered(*range(10)))
        for entry in (await take(spool, 10))[:9]:
            spool.acknowledge(entry.position)
    (tmp_path / "cursor").write_bytes(os.urandom(300))
    reports = []
    async with opened(tmp_path, on_damage=lambda *report: reports.append(report)) as spool:
        assert 10 == len(await take(spool, 10))
    assert [tmp_path / "cursor"] == [path for path, _, _ in reports]


async def test_acknowledgements_reach_the_disk_without_a_close(tmp_path):
    """A crash after the flush interval repeats nothing that was acknowledged."""
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk) as spool:
        await spool.append(numbered(*range(10)))
        for entry in (await take(spool, 10))[:4]:
            spool.acknowledge(entry.position)
        before = disk.steps.count("after_cursor_sync")
        await until(lambda: disk.steps.count("after_cursor_sync") > before)
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    async with opened(crashed) as spool:
        assert 6 == spool.pending
        assert numbered(*range(4, 10)) == [entry.payload for entry in await take(spool, 6)]


async def test_settled_segments_are_deleted_and_an_old_open_one_is_kept(tmp_path):
    """A segment goes when its last entry is acknowledged, whatever the order; the others stay."""
    async with opened(tmp_path) as spool:
        for n in range(75):
            await spool.append(numbered(n))
        entries = await take(spool, 75)
        first = entries[0]
        for entry in reversed(entries[1:]):
            spool.acknowledge(entry.position)
        newest = entries[-1].position >> INDEX_BITS
        kept = {first.position >> INDEX_BITS, newest, newest + 1}
        await until(lambda: kept == {int(path.stem) for path in segment_files(tmp_path)})
        spool.acknowledge(first.position)
        await until(lambda: {newest, newest + 1} == {int(path.stem) for path in segment_files(tmp_path)})


async def test_opening_reads_the_heads_and_the_last_segment_only(tmp_path):
    """With a long backlog, opening reads no more than heads and one segment, and a first read one stretch."""
    count, size = 3000, 5000
    async with opened(tmp_path, segment_bytes=1 << 20) as spool:
        for n in range(0, count, 50):
            await spool.append(numbered(*range(n, n + 50), size=size))
    disk = ObservedDisk()
    async with opened(tmp_path, segment_bytes=1 << 20, disk=disk) as spool:
        assert count == spool.pending
        assert disk.bytes_read < 20 * DATA_START + (3 << 20)
        before = disk.bytes_read
        assert numbered(0, size=size) == [entry.payload for entry in await spool.read(1)]
        assert disk.bytes_read - before <= 2 * LOAD_BYTES
        assert numbered(*range(1, count), size=size) == [e.payload for e in await take(spool, count - 1)]


async def test_a_reader_that_lags_catches_up_without_gap_or_repetition(tmp_path):
    """While appends go on, a reader with a tiny memory goes back and forth between files and memory and misses nothing."""
    tuning = QUICK._replace(tail_entries=20, tail_bytes=8000)
    async with opened(tmp_path, segment_bytes=1 << 20, tuning=tuning) as spool:

        async def write():
            for n in range(0, 4000, 4):
                await spool.append(numbered(*range(n, n + 4), size=300))

        writing = asyncio.ensure_future(write())
        entries = []
        async with asyncio.timeout(30):
            while len(entries) < 4000:
                entries += await spool.read(50)
                spool.acknowledge(entries[-1].position)
        await writing
        assert numbered(*range(4000), size=300) == [entry.payload for entry in entries]
        assert len({entry.position for entry in entries}) == 4000


async def test_a_second_owner_is_refused_with_the_owner_named(tmp_path):
    """Two spools never share a directory; the refusal names it and the process."""
    async with opened(tmp_path):
        with pytest.raises(SpoolUnavailable) as refusal:
            await open_segment_spool(tmp_path)
        assert str(os.getpid()) in refusal.value.cause
        assert str(tmp_path) in refusal.value.hint
    async with opened(tmp_path) as spool:
        assert spool.available


async def test_a_directory_that_can_not_be_made_is_refused_with_a_hint(tmp_path):
    """The error says which setting to change."""
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnavailable, match=r"spool\.directory"):
        await open_segment_spool(tmp_path / "file" / "spool")


@pytest.mark.parametrize("step", ["before_group_write", "after_group_write", "before_group_sync"])
async def test_a_refused_group_fails_and_is_never_given(tmp_path, step):
    """After an I/O error the append fails, the next one goes to another file, and the failed payload never shows up."""
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk) as spool:
        await spool.append(numbered(1))
        disk.refused = {step}
        with pytest.raises(SpoolUnavailable, match="Input/output error"):
            await spool.append(numbered(666))
        disk.refused = set()
        await spool.append(numbered(2))
        assert spool.available
        entries = await take(spool, 2)
        assert numbered(1, 2) == [entry.payload for entry in entries]
        assert entries[0].position >> INDEX_BITS != entries[1].position >> INDEX_BITS
        assert 2 == spool.pending
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    for directory in (tmp_path / "a", crashed):
        async with opened(directory) as spool:
            assert 2 == spool.pending
            assert numbered(1, 2) == [entry.payload for entry in await take(spool, 2)]
            assert 0 == spool.damaged


async def test_a_spool_is_available_again_by_itself_when_the_disk_is(tmp_path):
    """Nobody has to append to find out that the disk is well again."""
    disk = ObservedDisk()
    async with opened(tmp_path, disk=disk) as spool:
        await spool.append(numbered(1))
        disk.refused = {"before_group_sync", "before_segment_write"}
        for n in range(5):
            with pytest.raises(SpoolUnavailable):
                await spool.append(numbered(n))
        assert not spool.available
        disk.refused = set()
        await until(lambda: spool.available)
        await spool.append(numbered(2))
        assert numbered(1, 2) == [entry.payload for entry in await take(spool, 2)]


async def test_a_cursor_that_can_not_be_written_is_told_and_made_good(tmp_path):
    """Appending and reading go on, the failure shows, and later acknowledgements bring the earlier ones along."""
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk) as spool:
        await spool.append(numbered(*range(10)))
        entries = await take(spool, 10)
        disk.refused = {"before_cursor_sync"}
        spool.acknowledge(entries[0].position)
        await until(lambda: spool.cursor_failure is not None)
        await spool.append(numbered(10))
        disk.refused = set()
        await until(lambda: spool.cursor_failure is None)
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    async with opened(crashed) as spool:
        assert numbered(*range(1, 11)) == [entry.payload for entry in await take(spool, 10)]


async def test_a_payload_larger_than_a_segment_is_refused_with_the_setting_named(tmp_path):
    """Too large is said at once, and disturbs nobody else."""
    async with opened(tmp_path) as spool:
        with pytest.raises(SpoolUnavailable, match=r"spool\.segment_bytes"):
            await spool.append([bytes(SMALL)])
        assert spool.available
        await spool.append(numbered(1))
        assert 1 == spool.pending


async def test_a_full_disk_is_survived_and_left_behind(tmp_path):
    """On a file system without space appends fail; what was acknowledged is delivered; then there is space again."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        async with opened(tmp_path / "spool") as spool:
            durable = []
            refusal = None
            while refusal is None:
                appending = spool.append(numbered(len(durable)))
                await asyncio.wait([appending])
                refusal = appending.exception()
                durable += [len(durable)] * (refusal is None)
            assert "No space left" in refusal.cause
            assert "free space" in refusal.hint
            assert not spool.available
            entries = await take(spool, len(durable))
            assert numbered(*durable) == [entry.payload for entry in entries]
        async with opened(tmp_path / "spool") as spool:
            assert len(durable) == spool.pending
            entries = await take(spool, len(durable))
            assert numbered(*durable) == [entry.payload for entry in entries]
            for entry in entries:
                spool.acknowledge(entry.position)
            await until(lambda: spool.available)
            async with asyncio.timeout(10):
                await spool.append(numbered(7))
            assert numbered(7) == [entry.payload for entry in await take(spool, 1)]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


async def test_without_syncing_only_the_first_group_of_a_segment_is_synced(tmp_path):
    """The kernel writes when it likes; `kill -9` of the process loses nothing all the same."""
    disk = ObservedDisk()
    async with opened(tmp_path / "a", disk=disk, is_synced=False) as spool:
        for n in range(20):
            await spool.append(numbered(n))
        assert (20, 2) == (disk.steps.count("after_group_write"), disk.steps.count("after_group_sync"))
        crashed = disk.crash(tmp_path / "a", tmp_path / "crashed")
    async with opened(crashed) as spool:
        assert numbered(*range(20)) == [entry.payload for entry in await take(spool, 20)]
        assert 0 == spool.damaged


async def test_a_blank_segment_from_before_is_used_again(tmp_path):
    """Opening and closing again and again leaves no growing pile of files."""
    for _ in range(4):
        async with opened(tmp_path) as spool:
            await until(lambda: len(segment_files(tmp_path)) == 1)
            assert 0 == spool.pending
    assert 1 == len(segment_files(tmp_path))


async def test_a_spool_that_is_never_closed_does_not_keep_its_process_alive(tmp_path):
    """A process that ends without closing ends, and its directory is free."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.spool.segments import open_segment_spool\n"
        "async def main():\n"
        "    spool = await open_segment_spool(pathlib.Path(sys.argv[1]))\n"
        "    await spool.append([b'kept'])\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=20)
    async with opened(tmp_path) as spool:
        assert [b"kept"] == [entry.payload for entry in await take(spool, 1)]


async def test_a_segment_size_that_the_layout_can_not_have_is_refused(tmp_path):
    """The error names the setting and its bounds."""
    with pytest.raises(ValueError, match=r"spool\.segment_bytes must be"):
        await open_segment_spool(tmp_path, segment_bytes=100)
