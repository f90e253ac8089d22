"""The merge of spools where time passes, and the single cases that a random run meets seldom."""

from __future__ import annotations

import asyncio

import pytest

from gateway.spool import branch as branch_module
from gateway.spool.contract import Entry, SpoolUnavailable
from gateway.spool.merge import MergedSpool
from tests.spool_world import TimelessLoop, moment_of, payload_of, serial_of

PATIENCE = 30.0


class FakePipe:
    """Remembers what a partition hears."""

    pending = 7

    def __init__(self):
        self.granted = 0
        self.asked = 0
        self.acknowledged: list[int] = []

    def acknowledge(self, position):
        self.acknowledged.append(position)

    def grant(self, size):
        self.granted += size

    def ask(self):
        self.asked += 1


def played(function):
    """Run a test in a loop where waiting takes no time."""

    def run():
        loop = TimelessLoop()
        try:
            loop.run_until_complete(function())
        finally:
            loop.close()

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


def entry(position: int, moment: int, size: int = 0) -> Entry:
    return Entry(position, payload_of(moment, position, size))


def merge(count: int, **options):
    """Give a merge of so many partitions, the pipes of its branches, all connected, and who was given up."""
    gone: list[int] = []
    merged = MergedSpool(count, moment_of, patience_seconds=PATIENCE, on_gone=gone.append, **options)
    pipes = [FakePipe() for _ in range(count)]
    for branch, pipe in zip(merged.branches, pipes, strict=True):
        branch.connect(pipe)
    return merged, pipes, gone


async def serials(merged: MergedSpool, limit: int = 10) -> list[int]:
    return [serial_of(payload) for _, payload in await merged.read(limit)]


async def is_waiting(task: asyncio.Task) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


@played
async def test_an_idle_partition_is_asked_once_and_its_floor_lets_the_entry_go():
    """Nothing is sent to and fro while nothing waits, and one question is enough."""
    merged, pipes, _ = merge(3)
    reading = asyncio.create_task(serials(merged))
    assert await is_waiting(reading)
    assert [0, 0, 0] == [pipe.asked for pipe in pipes]
    merged.branches[0].pour([entry(1, 100)])
    merged.branches[0].pour([entry(2, 101)])
    assert await is_waiting(reading)
    assert [0, 1, 1] == [pipe.asked for pipe in pipes]
    merged.branches[1].floor(105)
    assert await is_waiting(reading)
    merged.branches[2].floor(105)
    assert [1, 2] == await reading
    assert [0, 1, 1] == [pipe.asked for pipe in pipes]


@played
async def test_a_clock_that_was_set_back_stops_nobody():
    """What a partition appends after it was asked comes after the entry that it was asked for, however early its clock says that is."""
    merged, pipes, gone = merge(2)
    reading = asyncio.create_task(serials(merged))
    merged.branches[0].pour([entry(1, 1 << 62)])
    assert await is_waiting(reading)
    merged.branches[1].floor(500)
    assert [1] == await reading
    merged.branches[1].pour([entry(2, 501)])
    merged.branches[0].floor(502)
    assert [2] == await serials(merged)
    assert [0, 1] == [pipe.asked for pipe in pipes]
    assert [] == gone


@played
async def test_a_lost_partition_is_waited_for_until_patience_ends():
    """The others go on then, and somebody is told, once."""
    merged, pipes, gone = merge(2)
    started = asyncio.get_running_loop().time()
    merged.branches[1].disconnect(pipes[1])
    merged.branches[0].pour([entry(1, 100), entry(2, 200)])
    assert [1, 2] == await serials(merged)
    assert PATIENCE <= asyncio.get_running_loop().time() - started < PATIENCE + 1
    assert [1] == gone
    merged.branches[0].pour([entry(3, 300)])
    assert [3] == await serials(merged)
    assert [1] == gone


@played
async def test_a_partition_that_never_comes_is_waited_for_until_patience_ends():
    """A worker that does not start holds nobody up for ever."""
    gone: list[int] = []
    merged = MergedSpool(2, moment_of, patience_seconds=PATIENCE, on_gone=gone.append)
    merged.branches[0].connect(FakePipe())
    merged.branches[0].pour([entry(1, 100)])
    assert [1] == await serials(merged)
    assert [1] == gone


@played
async def test_a_partition_that_owes_an_answer_is_waited_for_until_patience_ends():
    """A worker that hangs, but whose line lives, holds nobody up for ever either; when it speaks again it counts again."""
    merged, pipes, gone = merge(2)
    started = asyncio.get_running_loop().time()
    merged.branches[0].pour([entry(1, 100)])
    assert [1] == await serials(merged)
    assert PATIENCE <= asyncio.get_running_loop().time() - started < PATIENCE + 1
    assert [1] == gone
    merged.branches[1].floor(100)
    merged.branches[0].pour([entry(2, 200)])
    reading = asyncio.create_task(serials(merged))
    assert await is_waiting(reading)
    assert 2 == pipes[1].asked
    merged.branches[1].pour([entry(1, 150)])
    assert [1] == await reading


@played
async def test_a_partition_that_came_back_is_waited_for_as_before():
    """What counts is for how long it is silent now, not when it was lost."""
    merged, pipes, gone = merge(2)
    merged.branches[1].disconnect(pipes[1])
    await asyncio.sleep(PATIENCE - 1)
    merged.branches[1].connect(pipes[1])
    await asyncio.sleep(PATIENCE * 3)
    merged.branches[0].pour([entry(1, 100)])
    reading = asyncio.create_task(serials(merged))
    await asyncio.sleep(PATIENCE - 1)
    assert not reading.done()
    merged.branches[1].floor(150)
    assert [1] == await reading
    assert [] == gone


@played
async def test_patience_is_counted_for_each_partition():
    """A second loss while the first is watched ends in its own time."""
    merged, pipes, gone = merge(3)
    started = asyncio.get_running_loop().time()
    merged.branches[1].disconnect(pipes[1])
    await asyncio.sleep(PATIENCE / 2)
    merged.branches[2].disconnect(pipes[2])
    merged.branches[0].pour([entry(1, 100)])
    assert [1] == await serials(merged)
    assert PATIENCE * 1.5 <= asyncio.get_running_loop().time() - started < PATIENCE * 1.5 + 1
    assert [1, 2] == gone


@played
async def test_what_a_lost_partition_had_brought_is_given_and_acknowledged_when_it_is_back():
    """It is durable there: nobody has to wait for it to come again."""
    merged, pipes, _ = merge(1)
    merged.branches[0].pour([entry(1, 100), entry(2, 200), entry(3, 300)])
    merged.branches[0].disconnect(pipes[0])
    assert 3 == merged.pending
    assert [1, 2] == await serials(merged, 2)
    merged.acknowledge(1)
    assert 2 == merged.pending
    again = FakePipe()
    merged.branches[0].connect(again)
    merged.branches[0].pour([entry(1, 100), entry(2, 200), entry(3, 300), entry(4, 400)])
    assert [3, 4] == await serials(merged)
    assert ([], [1]) == (pipes[0].acknowledged, again.acknowledged)
    assert {2, 3, 4} == merged.branches[0].in_hand


@played
async def test_what_was_acknowledged_is_remembered_within_bounds():
    """At least the newest 32768 positions, so what comes again after a crash is acknowledged again; of older ones none is lost, they are given again."""
    merged, pipes, _ = merge(1, room_bytes=1 << 30)
    branch = merged.branches[0]
    count = 2 * branch_module._REMEMBERED
    branch.pour([entry(position, 100) for position in range(count)])
    for position, _payload in await merged.read(count):
        merged.acknowledge(position)
    merged.branches[0].disconnect(pipes[0])
    branch.connect(pipes[0])
    pipes[0].acknowledged.clear()
    branch.pour([entry(position, 100) for position in range(count)])
    again = [position for position, _payload in await merged.read(count)] if branch.queue else []
    assert sorted(pipes[0].acknowledged + again) == list(range(count))
    assert [] == [position for position in again if position >= count - branch_module._REMEMBERED]
    assert len(branch._settled._young) + len(branch._settled._old) <= count


@played
async def test_closing_ends_reading():
    """Who waits is told, and who comes later; what was read may still be acknowledged."""
    merged, pipes, _ = merge(2)
    merged.branches[0].pour([entry(1, 100)])
    reading = asyncio.create_task(merged.read(1))
    assert await is_waiting(reading)
    merged.close()
    with pytest.raises(SpoolUnavailable):
        await reading
    with pytest.raises(SpoolUnavailable):
        await merged.read(1)
    merged.acknowledge(2)
    merged.branches[1].disconnect(pipes[1])
    assert [1] == pipes[0].acknowledged


@played
async def test_an_answer_while_it_is_asked_is_heard():
    """A partition of this process may answer before its question has returned."""
    merged, pipes, _ = merge(2)
    pipes[1].ask = lambda: merged.branches[1].floor(100)
    merged.branches[0].pour([entry(1, 100)])
    assert [1] == await asyncio.wait_for(serials(merged), 1)


@played
async def test_an_entry_larger_than_the_room_passes():
    """Room is made again by its size, so the next one comes too."""
    merged, pipes, _ = merge(1, room_bytes=100)
    for position in (1, 2, 3):
        assert pipes[0].granted > 0
        before = pipes[0].granted
        merged.branches[0].pour([entry(position, 100, 5000)])
        assert [position] == await serials(merged)
        assert 5000 + 32 == pipes[0].granted - before


@played
async def test_entries_of_an_unknown_moment_come_at_once():
    """A payload of an older version, which says no moment, waits for nobody."""
    merged, _, _ = merge(2)
    merged.branches[0].pour([entry(1, 0)])
    assert [1] == await serials(merged)
