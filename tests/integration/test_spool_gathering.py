"""Under load the spool's groups gather: fewer commits for the same events, and never a delay without an end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.segments import Tuning, open_segment_spool
from tests.spool_disks import ObservedDisk

FOR_EVER = 1000.0


@asynccontextmanager
async def opened(directory, gather_seconds, disk=None, segment_bytes=1 << 20):
    spool = await open_segment_spool(
        directory,
        segment_bytes=segment_bytes,
        tuning=Tuning(gather_seconds=gather_seconds, retry_seconds=0.02),
        disk=disk,
    )
    try:
        yield spool
    finally:
        await spool.close()


async def come_together(spool, clients=2):
    """Append for several clients at once, so that their group is shared."""
    async with asyncio.timeout(10):
        await asyncio.gather(*[spool.append([b"together"]) for _ in range(clients)])


async def one_a_turn(spool, turns):
    """Append for another client in each turn of the loop."""
    futures = []
    for turn in range(turns):
        futures.append(spool.append([b"%d" % turn]))
        await asyncio.sleep(0)
    return futures


def groups(disk) -> int:
    return disk.steps.count("before_group_write")


async def test_appends_that_follow_each_other_closely_share_a_group_after_a_shared_one(tmp_path):
    """After a group of two clients, ten appends in ten turns of the loop are one write and one sync, in order."""
    disk = ObservedDisk()
    async with opened(tmp_path, FOR_EVER, disk) as spool:
        await come_together(spool)
        before = groups(disk)
        async with asyncio.timeout(10):
            await asyncio.gather(*await one_a_turn(spool, 10))

        assert 1 == groups(disk) - before
        assert [b"%d" % turn for turn in range(10)] == [entry.payload for entry in (await spool.read(20))[2:]]


async def test_a_spool_that_does_not_gather_submits_at_once(tmp_path):
    """With `gather_seconds=0` the first of ten appends in ten turns goes alone, although the group before was shared."""
    disk = ObservedDisk()
    async with opened(tmp_path, 0, disk) as spool:
        await come_together(spool)
        before = groups(disk)
        async with asyncio.timeout(10):
            await asyncio.gather(*await one_a_turn(spool, 10))

        assert groups(disk) - before >= 2


async def test_a_client_that_is_alone_is_never_delayed(tmp_path):
    """After a group of one append, also of many payloads, the next is on its way one turn of the loop later."""
    async with opened(tmp_path, FOR_EVER) as spool:
        await come_together(spool)
        await spool.append([b"alone"] * 10)
        last = spool.append([b"alone again"])
        await asyncio.sleep(0)

        assert spool._commit._in_flight is not None
        assert last is spool._commit._in_flight.future


async def test_gathering_ends_in_the_first_turn_that_brings_nothing(tmp_path):
    """After a shared group, an append that nobody follows is on its way two turns of the loop later, without a timer."""
    async with opened(tmp_path, FOR_EVER) as spool:
        await come_together(spool)
        last = spool.append([b"the last"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert spool._commit._in_flight is not None
        assert last is spool._commit._in_flight.future


async def test_gathering_ends_after_its_time_however_many_follow(tmp_path):
    """Under a stream of appends without a gap, the first is on its way after `gather_seconds`."""
    async with opened(tmp_path, 0.01) as spool:
        await come_together(spool)
        first = spool.append([b"first"])
        loop = asyncio.get_running_loop()
        started = loop.time()
        while spool._commit._in_flight is None:
            spool.append([b"x"])
            await asyncio.sleep(0)
            assert loop.time() - started < 10

        assert first is spool._commit._in_flight.future
        assert loop.time() - started >= 0.009
        # It was not submitted for being full: then the next group would wait behind it.
        assert not spool._commit._queue


async def test_a_full_group_gathers_no_longer(tmp_path):
    """A group that has no room for the next append is submitted, however long it might gather."""
    async with opened(tmp_path, FOR_EVER, segment_bytes=16 << 10) as spool:
        await come_together(spool)
        first = spool.append([bytes(7000)])
        second = spool.append([bytes(7000)])
        await asyncio.sleep(0)

        assert spool._commit._in_flight is not None
        assert first is spool._commit._in_flight.future
        assert second is not first


async def test_a_refusing_disk_ends_gathering_and_a_well_one_begins_it_again(tmp_path):
    """Every append that gathers while the disk refuses groups and segments fails, and later ones are durable again."""
    disk = ObservedDisk()
    async with opened(tmp_path, FOR_EVER, disk) as spool:
        await come_together(spool)
        disk.refused = {"before_group_sync", "before_segment_write"}
        async with asyncio.timeout(10):
            futures = []
            while not futures or not futures[0].done() or len(futures) < 500:
                futures += await one_a_turn(spool, 5)
            outcomes = await asyncio.gather(*futures, return_exceptions=True)
            disk.refused = set()
            while not spool.available:
                await asyncio.sleep(0.005)
            await come_together(spool, 3)

        assert {SpoolUnavailable} == {type(outcome) for outcome in outcomes}
        assert 5 == spool.pending


async def test_a_group_that_fails_while_it_gathers_leaves_the_spool_in_order(tmp_path):
    """When the next segment can't be made, the gathering group fails for everybody in it, and the next append is taken."""
    async with opened(tmp_path, FOR_EVER) as spool:
        await come_together(spool)
        future = spool.append([b"fails"])
        commit = spool._commit
        commit._fail(commit._queue.popleft(), OSError("no segment"))
        with pytest.raises(SpoolUnavailable):
            await future
        async with asyncio.timeout(10):
            while commit._is_busy:
                await asyncio.sleep(0)
        await spool.append([b"taken"])

        assert 3 == spool.pending


@pytest.mark.parametrize("gather_seconds", [0, 0.003])
async def test_closing_makes_durable_what_gathers(tmp_path, gather_seconds):
    """What was appended just before closing, while a group gathers, is there after the next opening."""
    async with opened(tmp_path, gather_seconds) as spool:
        await come_together(spool)
        await one_a_turn(spool, 3)
    async with opened(tmp_path, gather_seconds) as spool:
        entries = []
        async with asyncio.timeout(10):
            while len(entries) < 5:
                entries += await spool.read(10)

        assert [b"together"] * 2 + [b"0", b"1", b"2"] == [entry.payload for entry in entries]
