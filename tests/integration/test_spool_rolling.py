"""Delivered records leave the disk: overwritten a while after they came, deleted on close; what waits stays."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.layout import INDEX_BITS
from gateway.spool.segments import SegmentSpool, open_segment_spool
from gateway.spool.tuning import Tuning
from tests.spool_disks import ObservedDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SEGMENT = 16 << 10
QUICK = Tuning(flush_seconds=0.01, retry_seconds=0.02, idle_roll_seconds=0.03)
LATER = QUICK._replace(idle_roll_seconds=3600)
SECRET = b"lan@example.com"
RECYCLED = [f"before_recycled_{operation}" for operation in ("rename", "write", "sync")] + [
    "after_recycled_rename"
]


@asynccontextmanager
async def opened(directory: Path, tuning: Tuning = QUICK, **settings):
    spool = await open_segment_spool(directory, **{"segment_bytes": SEGMENT, "tuning": tuning, **settings})
    try:
        yield spool
    finally:
        await spool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def secrets(count: int) -> list[bytes]:
    return [b"%d " % number + SECRET for number in range(count)]


async def take(spool: SegmentSpool, count: int) -> list:
    entries = []
    async with asyncio.timeout(10):
        while len(entries) < count:
            entries += await spool.read(100)
    return entries


async def deliver(spool: SegmentSpool, payloads: Sequence[bytes]) -> list[int]:
    """Append, read and acknowledge, and give the positions."""
    await spool.append(payloads)
    entries = await take(spool, len(payloads))
    assert list(payloads) == [entry.payload for entry in entries]
    for entry in entries:
        spool.acknowledge(entry.position)
    return [entry.position for entry in entries]


def holders(directory: Path) -> list[str]:
    """Give the names of the files in which the secret stands, whatever they are."""
    found = []
    for path in directory.iterdir():
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            # Renamed just now; it is looked for again under its other name.
            return ["?"]
        if SECRET in data:
            found.append(path.name)
    return found


async def holder(directory: Path) -> str:
    """Give the name of the one file in which the secret stands, once none is being renamed."""
    await until(lambda: 1 == len(names := holders(directory)) and "?" not in names)
    (name,) = holders(directory)
    return name


async def test_what_was_delivered_leaves_the_disk_on_a_quiet_site(tmp_path):
    """A few records in a segment that is nowhere near full: gone from every file a while after their receipt, again and again."""
    async with opened(tmp_path) as spool:
        newest = 0
        for _ in range(4):
            positions = await deliver(spool, secrets(5))
            assert positions[0] > newest
            newest = positions[-1]
            await until(lambda: not holders(tmp_path))
            await until(lambda: 2 == len(list(tmp_path.glob("*.segment"))))
        assert 0 == spool.pending
    async with opened(tmp_path) as spool:
        assert 0 == spool.pending
        assert (await deliver(spool, [b"later"]))[0] > newest


async def test_the_bytes_are_overwritten_not_only_unlinked(tmp_path):
    """Seen through another name of the same file: zeros where the records were."""
    directory = tmp_path / "spool"
    async with opened(directory, LATER) as spool:
        await spool.append(secrets(5))
        name = await holder(directory)
        os.link(directory / name, tmp_path / "same")
        assert SECRET in (tmp_path / "same").read_bytes()
        for entry in await take(spool, 5):
            spool.acknowledge(entry.position)
    assert SECRET in (tmp_path / "same").read_bytes()

    async with opened(directory) as spool:
        await spool.append(secrets(5))
        name = await holder(directory)
        (tmp_path / "same").unlink()
        os.link(directory / name, tmp_path / "same")
        for entry in await take(spool, 5):
            spool.acknowledge(entry.position)
        await until(lambda: SECRET not in (tmp_path / "same").read_bytes())


async def test_what_waits_keeps_its_segment(tmp_path):
    """One record that the collector does not take holds its neighbours; with its receipt, all are gone."""
    async with opened(tmp_path) as spool:
        await spool.append(secrets(5))
        stuck, *others = await take(spool, 5)
        for entry in others:
            spool.acknowledge(entry.position)
        await until(lambda: spool._ageing.is_due)
        assert 1 == len(holders(tmp_path))
        assert 1 == spool.pending

        spool.acknowledge(stuck.position)

        await until(lambda: not holders(tmp_path))


async def test_a_spool_that_rolls_all_the_time_gives_everything_once(tmp_path):
    """Appends go on while segments are overwritten: each payload comes once, in order, at rising positions."""
    disk = ObservedDisk()
    async with opened(tmp_path, QUICK._replace(idle_roll_seconds=0.0), disk=disk) as spool:
        given = []

        async def write():
            for number in range(0, 600, 2):
                await spool.append([b"%d " % each + SECRET for each in (number, number + 1)])
                if not number % 5:
                    await until(lambda: not spool.pending)

        async def read():
            while True:
                for entry in await spool.read(10):
                    given.append(entry)
                    spool.acknowledge(entry.position)

        reading = asyncio.create_task(read())
        await asyncio.gather(write(), write())
        await until(lambda: not spool.pending)
        reading.cancel()
        positions = [entry.position for entry in given]
        assert 1200 == len(given)
        assert sorted(set(positions)) == positions
        assert disk.steps.count("after_recycled_rename") > 20
        await until(lambda: not holders(tmp_path))
    assert 0 == spool.damaged


async def test_closing_leaves_nothing_that_was_delivered(tmp_path):
    """A stopped gateway keeps what waits, and else a blank segment; positions go on rising."""
    async with opened(tmp_path, LATER) as spool:
        await until(lambda: spool._commit.newest_number > 0)
        newest = (await deliver(spool, secrets(5)))[-1]
        await until(lambda: 2 == len(list(tmp_path.glob("*.segment"))))
    assert [] == holders(tmp_path)
    assert 1 == len(list(tmp_path.glob("*.segment")))

    async with opened(tmp_path, LATER) as spool:
        await spool.append(secrets(2))
        first, second = await take(spool, 2)
        spool.acknowledge(first.position)
        assert first.position > newest
    assert 1 == len(holders(tmp_path))

    async with opened(tmp_path, LATER) as spool:
        assert [second] == await take(spool, 1)


async def test_a_segment_that_was_kept_for_its_number_goes_at_the_next_start(tmp_path):
    """Without a next segment, as on a full disk, the last file stays to keep its number; it goes as soon as there is one."""
    disk = ObservedDisk()
    async with opened(tmp_path, disk=disk) as spool:
        await until(lambda: 1 == len(list(tmp_path.glob("*.segment"))))
        disk.refused = {"before_segment_write"}
        newest = (await deliver(spool, secrets(3)))[-1]
        await until(lambda: spool._ageing.is_due)
    assert 1 == len(holders(tmp_path))

    async with opened(tmp_path, LATER) as spool:
        await until(lambda: not holders(tmp_path))
        assert 0 == spool.pending
        assert (await deliver(spool, [b"later"]))[0] >> INDEX_BITS > newest >> INDEX_BITS


@pytest.mark.parametrize("step", RECYCLED)
async def test_a_disk_that_refuses_to_overwrite_costs_the_file_not_the_spool(tmp_path, step):
    """The file is deleted instead, another one is made, and appends go on meanwhile."""
    disk = ObservedDisk()
    async with opened(tmp_path, disk=disk) as spool:
        disk.refused = {step}
        newest = (await deliver(spool, secrets(5)))[-1]
        await until(lambda: step in disk.steps and not holders(tmp_path))
        assert spool.available
        assert (await deliver(spool, [b"meanwhile"]))[0] > newest
        disk.refused = set()
        await until(lambda: not list(tmp_path.glob("*.tmp")) and 2 == len(list(tmp_path.glob("*.segment"))))
        await deliver(spool, secrets(1))
        await until(lambda: not holders(tmp_path))
    async with opened(tmp_path) as spool:
        assert (0, 0) == (spool.pending, spool.damaged)


async def test_a_segment_that_a_failed_write_ended_goes_without_another_append(tmp_path):
    """Once the disk is well again, what was delivered before the failure is deleted, though nobody appends."""
    disk = ObservedDisk()
    async with opened(tmp_path, LATER, disk=disk) as spool:
        await deliver(spool, secrets(3))
        disk.refused = {"before_group_write"}
        with pytest.raises(SpoolUnavailable):
            await spool.append([b"refused"])
        disk.refused = set()
        await until(lambda: spool.available and not holders(tmp_path))
