"""What flows out of a spool: of the real one, on a disk that a test can hold up, and of one stepped by hand."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.segments import Tuning, open_segment_spool
from gateway.spool.tap import ENTRY_BYTES, Tap
from tests.spool_disks import ObservedDisk
from tests.spool_world import FakeSpool

ROOM = 1 << 20


class Glass:
    """What has flowed, in order: payloads, and floors as numbers."""

    def __init__(self):
        self.content: list[bytes | int] = []
        self.portions: list[int] = []
        self._change = asyncio.Event()

    def pour(self, entries):
        self.content += [entry.payload for entry in entries]
        self.portions.append(len(entries))
        self._change.set()

    def floor(self, moment):
        self.content.append(moment)
        self._change.set()

    async def holds(self, count):
        async with asyncio.timeout(20):
            while len(self.content) < count:
                self._change.clear()
                await self._change.wait()
        return self.content


def tapped(spool, room=ROOM, **options):
    glass = Glass()
    tap = Tap(spool, glass.pour, glass.floor, **options)
    tap.open()
    if room:
        tap.grant(room)
    return tap, glass


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


class HeldDisk(ObservedDisk):
    """Holds up the sync of segments while `is_held`."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()
        self.let_go.set()

    def sync(self, descriptor, what):
        assert self.let_go.wait(20)
        super().sync(descriptor, what)


@pytest.fixture
async def disk():
    return HeldDisk()


@pytest.fixture
async def spool(tmp_path, disk):
    spool = await open_segment_spool(
        tmp_path, segment_bytes=16 << 10, disk=disk, tuning=Tuning(tail_entries=3)
    )
    yield spool
    disk.let_go.set()
    await spool.close()


async def test_a_floor_comes_behind_everything_that_was_appended_before_the_question(spool, disk):
    """Also where that is not durable yet: the floor waits for the disk."""
    tap, glass = tapped(spool, clock_ns=lambda: 77)
    await spool.append([b"first"])
    await glass.holds(1)
    disk.let_go.clear()
    late = spool.append([b"second"])
    later = spool.append([b"third"])
    tap.ask()
    await turns()
    assert [b"first"] == glass.content
    disk.let_go.set()
    await asyncio.gather(late, later)
    assert [b"first", b"second", b"third", 77] == await glass.holds(4)
    await tap.close()


async def test_a_floor_comes_behind_a_backlog_that_must_be_read_from_disk(spool):
    """A spool that lags has said nothing until everything in its files has flowed."""
    await asyncio.gather(*(spool.append([b"%d" % number * 100]) for number in range(300)))
    tap, glass = tapped(spool, room=0, clock_ns=lambda: 77)
    tap.ask()
    await turns()
    assert [] == glass.content
    tap.grant(ROOM)
    content = await glass.holds(301)
    assert [b"%d" % number * 100 for number in range(300)] == content[:300]
    assert 77 == content[300]
    await tap.close()


async def test_a_spool_with_nothing_to_give_answers_at_once(spool):
    """A new partition holds nobody up."""
    tap, glass = tapped(spool, clock_ns=lambda: 77)
    tap.ask()
    assert [77] == await glass.holds(1)
    await tap.close()


async def test_a_spool_whose_files_hold_only_settled_events_answers(tmp_path):
    """After a restart the files must be read to learn that nothing of them waits."""
    tuning = Tuning(flush_seconds=0.001)
    spool = await open_segment_spool(tmp_path / "a", segment_bytes=16 << 10, tuning=tuning)
    await asyncio.gather(*(spool.append([b"x" * 900]) for _ in range(40)))
    taken = []
    while len(taken) < 40:
        taken += await spool.read(40)
    for entry in taken:
        spool.acknowledge(entry.position)
    await spool.close()
    spool = await open_segment_spool(tmp_path / "a", segment_bytes=16 << 10, tuning=tuning)
    tap, glass = tapped(spool, clock_ns=lambda: 77)
    tap.ask()
    assert [77] == await glass.holds(1)
    await spool.append([b"new"])
    assert [77, b"new"] == await glass.holds(2)
    await tap.close()
    await spool.close()


async def test_a_floor_does_not_wait_for_what_the_disk_refused(spool, disk):
    """What was refused will never come, so it holds nobody up."""
    tap, glass = tapped(spool, clock_ns=lambda: 77)
    await spool.append([b"first"])
    await glass.holds(1)
    disk.let_go.clear()
    refused = spool.append([b"refused"])
    tap.ask()
    await turns()
    assert [b"first"] == glass.content
    disk.refused.add("before_group_sync")
    disk.let_go.set()
    with pytest.raises(SpoolUnavailable):
        await refused
    assert [b"first", 77] == await glass.holds(2)
    disk.refused.clear()
    await tap.close()


async def test_a_refused_group_yields_the_floor():
    """The same, stepped by hand: a floor comes with the refusal, not before it."""
    spool = FakeSpool()
    tap, glass = tapped(spool, clock_ns=lambda: 77)
    spool.append([b"one"])
    spool.append([b"two"])
    tap.ask()
    spool.commit()
    await turns()
    assert [b"one"] == glass.content
    spool.refuse()
    await turns()
    assert [b"one", 77] == glass.content
    await tap.close()


async def test_only_the_newest_question_is_answered():
    """A question that came after another is about more, and its answer is enough for both."""
    spool = FakeSpool()
    moments = iter([77, 88])
    tap, glass = tapped(spool, clock_ns=lambda: next(moments))
    spool.append([b"one"])
    tap.ask()
    spool.append([b"two"])
    tap.ask()
    spool.commit()
    await turns()
    assert [b"one"] == glass.content
    spool.commit()
    await turns()
    assert [b"one", b"two", 88] == glass.content
    await tap.close()


async def test_no_more_flows_than_there_is_room_for_but_always_one():
    """The last entry that flows may be larger than what is left."""
    spool = FakeSpool()
    tap, glass = tapped(spool, room=0)
    spool.append([b"x" * 68 for _ in range(10)])
    spool.commit()
    await turns()
    assert 0 == len(glass.content)
    for room, count in (
        (1, 1),
        (99, 1),
        (1, 2),
        (1, 2),
        (98, 2),
        (1, 3),
        (250, 5),
        (50, 6),
        (1, 6),
        (10_000, 10),
    ):
        tap.grant(room)
        await turns()
        assert count == len(glass.content), room
    assert 68 + ENTRY_BYTES == 100
    await tap.close()


async def test_one_message_is_not_larger_than_a_megabyte_and_an_entry():
    """The other end decodes a message as a whole, and lives on in between."""
    spool = FakeSpool()
    sizes = []
    tap = Tap(
        spool, lambda entries: sizes.append(sum(len(entry.payload) for entry in entries)), lambda _: None
    )
    spool.append([b"x" * 700_000 for _ in range(4)])
    spool.commit()
    tap.open()
    tap.grant(1 << 30)
    await turns()
    assert [1_400_000, 1_400_000] == sizes
    await tap.close()


async def test_what_had_not_flowed_at_closing_comes_after_a_rewind(spool):
    """Closing in the middle loses nothing."""
    await asyncio.gather(*(spool.append([b"%03d" % number]) for number in range(100)))
    tap, glass = tapped(spool, room=20 * (3 + ENTRY_BYTES))
    await glass.holds(20)
    await tap.close()
    assert 20 == len(glass.content)
    spool.rewind()
    again, glass = tapped(spool)
    assert [b"%03d" % number for number in range(100)] == await glass.holds(100)
    await again.close()


async def test_the_flow_ends_when_the_spool_is_closed(tmp_path):
    """Nothing is left that waits."""
    spool = await open_segment_spool(tmp_path / "b", segment_bytes=16 << 10)
    tap = Tap(spool, lambda _: None, lambda _: None)
    flow = tap.open()
    tap.grant(ROOM)
    await turns()
    await spool.close()
    assert await asyncio.wait_for(flow, 10) is None
    await tap.close()


async def test_a_fault_in_the_flow_is_reported_and_closing_is_quiet():
    """A fault is not kept until somebody looks."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    spool = FakeSpool()

    def pour(_entries):
        raise ZeroDivisionError

    tap = Tap(spool, pour, lambda _: None)
    flow = tap.open()
    tap.grant(ROOM)
    spool.append([b"one"])
    spool.commit()
    await asyncio.wait([flow])
    await turns()
    assert [ZeroDivisionError] == [type(error) for error in told]
    await tap.close()
