"""Spools of several workers, read as one over real sockets, while either end dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
import time
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.spool import lines
from gateway.spool.feed import Feed
from gateway.spool.intake import Intake, LocalPipe
from gateway.spool.lines import Ask, Bye, Grant, Hello, Line
from gateway.spool.merge import MergedSpool
from gateway.spool.segments import Tuning, open_segment_spool
from tests.spool_world import moment_of, payload_of, serial_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.spool.segments import SegmentSpool

BOUND = 30
TUNING = Tuning(tail_entries=50, flush_seconds=0.002)


async def until(condition):
    """Wait until something is so, with a bound."""
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0.002)


class Worker:
    """A worker's spool and its feed."""

    spool: SegmentSpool
    feed: Feed

    def __init__(self, root: Path, number: int):
        self.directory = root / f"{number:03d}"
        self.path = root / "feed.sock"
        self.number = number
        self.told: list[tuple[str, bytes]] = []

    async def start(self, tuning: Tuning = TUNING) -> Worker:
        self.spool = await open_segment_spool(self.directory, segment_bytes=64 << 10, tuning=tuning)
        self.feed = Feed(self.spool, self.number, self.path, on_told=lambda *what: self.told.append(what))
        self.feed.start()
        return self

    async def append(self, *serials: int) -> None:
        for serial in serials:
            await self.spool.append([payload_of(time.time_ns(), serial, 300)])

    async def stop(self, seconds: float = 0.0) -> None:
        await self.feed.finish(seconds)
        await self.spool.close()

    async def die(self) -> None:
        """Leave the files as `kill -9` would, and go on with them in another folder: the old process is no more."""
        copy = self.directory.with_name(f"{self.directory.name}-again")
        shutil.copytree(self.directory, copy)
        await self.stop()
        self.directory = copy


class Deliverer:
    """The delivering end; what it was given, by serial number, in order, and the position of each."""

    def __init__(self, root: Path, workers: int, **options):
        self.path = root / "feed.sock"
        self.workers = workers
        self.options = options
        self.given: list[int] = []
        self.positions: dict[int, int] = {}
        self.acknowledged: set[int] = set()

    async def start(self) -> Deliverer:
        self.merged = MergedSpool(self.workers, moment_of, **self.options)
        self.intake = Intake(self.merged, self.workers)
        await self.intake.open(self.path)
        return self

    async def take(self, count: int, limit: int = 50) -> list[int]:
        """Read until so many were given in this life."""
        async with asyncio.timeout(BOUND):
            while len(self.given) < count:
                for position, payload in await self.merged.read(limit):
                    self.given.append(serial_of(payload))
                    self.positions[serial_of(payload)] = position
        return self.given

    def acknowledge(self, *serials: int) -> None:
        for serial in serials:
            self.acknowledged.add(serial)
            self.merged.acknowledge(self.positions[serial])

    async def die(self) -> None:
        """End without a word."""
        for line in list(self.intake._pipes):
            line._transport.abort()
        self.intake._server.close()
        self.merged.close()

    async def stop(self) -> None:
        await self.intake.close(BOUND)
        self.merged.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run a test on the loop that serves and on the library's own."""

    def run_it(coroutine):
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(coroutine, 2 * BOUND))

    return run_it


@contextlib.asynccontextmanager
async def served(root: Path, workers: int = 2, **options):
    """Give a delivering end and its workers, all running."""
    deliverer = await Deliverer(root, workers, **options).start()
    started = [await Worker(root, number).start() for number in range(workers)]
    yield deliverer, *started
    await deliverer.stop()
    for worker in started:
        await worker.stop()


def test_events_of_several_workers_come_in_the_order_of_appending(run, tmp_path):
    """Whoever took an event: what is appended after another was durable comes after it; and none is kept once it is acknowledged."""

    async def play():
        async with served(tmp_path) as (deliverer, first, second):
            for serial in range(200):
                await (first if serial % 3 else second).append(serial)
            assert list(range(200)) == await deliverer.take(200)
            assert 200 == deliverer.merged.pending
            deliverer.acknowledge(*range(200))
            await until(lambda: not first.spool.pending and not second.spool.pending)
            await until(lambda: not deliverer.merged.pending)

    run(play())


def test_an_event_goes_out_at_once_while_the_other_workers_have_none(run, tmp_path):
    """A worker without events answers for itself; nobody waits for patience to end."""

    async def play():
        async with served(tmp_path, 3, patience_seconds=10 * BOUND) as (deliverer, first, *_):
            for serial in range(20):
                await first.append(serial)
                await deliverer.take(serial + 1)
            assert list(range(20)) == deliverer.given

    run(play())


def test_the_delivering_end_hears_what_a_full_worker_dropped(run, tmp_path):
    """What it holds of that is dropped from then on; what it acknowledges of it changes nothing; the rest is as ever."""

    async def play():
        async with served(tmp_path, 1) as (deliverer, worker):
            await worker.stop()
            dropped: list[bytes] = []
            worker.spool = await open_segment_spool(
                worker.directory,
                segment_bytes=64 << 10,
                max_bytes=8_000,
                tuning=TUNING,
                on_drop=dropped.extend,
            )
            worker.feed = Feed(worker.spool, 0, worker.path)
            worker.feed.start()
            await worker.append(*range(20))
            await deliverer.take(20)
            assert not dropped
            await worker.append(*range(20, 35))
            lost = {serial_of(payload) for payload in dropped}
            assert {0, 1, 2} < lost < set(range(20))
            merged, positions = deliverer.merged, deliverer.positions
            await until(lambda: all(merged.is_dropped(positions[serial]) for serial in lost))
            assert not any(merged.is_dropped(positions[serial]) for serial in set(range(20)) - lost)
            await deliverer.take(35)
            deliverer.acknowledge(*range(35))
            await until(lambda: not worker.spool.pending and not merged.pending)
            assert len(lost) == len(dropped)

    run(play())


def test_a_backlog_larger_than_the_room_comes_through(run, tmp_path):
    """Room for a handful of events, hundreds in the files: they come, in order, as the reader takes them."""

    async def play():
        async with served(tmp_path, room_bytes=1000) as (deliverer, first, second):
            await asyncio.gather(first.append(*range(0, 400, 2)), second.append(*range(1, 400, 2)))
            await deliverer.take(400, limit=3)
            assert list(range(0, 400, 2)) == [serial for serial in deliverer.given if not serial % 2]
            assert list(range(1, 400, 2)) == [serial for serial in deliverer.given if serial % 2]

    run(play())


def test_nothing_is_lost_when_the_delivering_process_dies(run, tmp_path):
    """The workers go on, call again, and give again what was not acknowledged; hardly more than that comes twice."""

    async def play():
        first, second = Worker(tmp_path, 0), Worker(tmp_path, 1)
        deliverer = await Deliverer(tmp_path, 2).start()
        for worker in (first, second):
            await worker.start()
        await first.append(*range(100))
        await second.append(*range(100, 200))
        await deliverer.take(200)
        heard = range(0, 200, 2)
        deliverer.acknowledge(*heard)
        await until(lambda: 100 == first.spool.pending + second.spool.pending)
        await deliverer.die()
        await first.append(*range(200, 250))
        again = await Deliverer(tmp_path, 2).start()
        await again.take(150)
        assert sorted(again.given) == sorted(set(range(250)) - set(heard))
        again.acknowledge(*again.given)
        await until(lambda: not first.spool.pending and not second.spool.pending)
        await again.stop()
        for worker in (first, second):
            await worker.stop()

    run(play())


def test_a_worker_that_died_gives_nothing_twice_while_the_delivering_process_lives(run, tmp_path):
    """What is still in hand is not given again; an acknowledgement that its disk had not taken is repeated."""

    async def play():
        deliverer = await Deliverer(tmp_path, 2).start()
        worker, other = (
            await Worker(tmp_path, 0).start(Tuning(flush_seconds=600)),
            await Worker(tmp_path, 1).start(),
        )
        await worker.append(*range(100))
        await deliverer.take(60, limit=1)
        deliverer.acknowledge(*range(0, 60, 2))
        await until(lambda: 70 == worker.spool.pending)
        await worker.die()
        deliverer.acknowledge(*range(1, 20, 2))
        await worker.start()
        assert 100 == worker.spool.pending
        await worker.append(*range(100, 120))
        await deliverer.take(120)
        assert list(range(120)) == deliverer.given
        await until(lambda: 80 == worker.spool.pending)
        await until(lambda: 80 == deliverer.merged.pending)
        deliverer.acknowledge(*set(range(120)) - deliverer.acknowledged)
        await until(lambda: not worker.spool.pending)
        assert not any(branch.in_hand for branch in deliverer.merged.branches)
        await deliverer.stop()
        for each in (worker, other):
            await each.stop()

    run(play())


def test_workers_and_the_delivering_process_die_in_turns_and_nothing_is_lost(run, tmp_path):
    """Whoever dies, every event is given at least once, and in the order of its worker."""

    async def play():
        deliverer = await Deliverer(tmp_path, 2).start()
        workers = [await Worker(tmp_path, number).start() for number in range(2)]
        given: list[int] = []
        for turn in range(6):
            await asyncio.gather(
                *(
                    worker.append(*range(turn * 100 + worker.number, (turn + 1) * 100, 2))
                    for worker in workers
                )
            )
            await deliverer.take(len(deliverer.given) + 30)
            deliverer.acknowledge(
                *[serial for serial in deliverer.given if serial not in deliverer.acknowledged]
            )
            if turn % 2:
                given += deliverer.given
                await deliverer.die()
                deliverer = await Deliverer(tmp_path, 2).start()
            else:
                await workers[turn // 2 % 2].die()
                await workers[turn // 2 % 2].start()
        while any(worker.spool.pending for worker in workers):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await deliverer.take(len(deliverer.given) + 1)
            deliverer.acknowledge(
                *[serial for serial in deliverer.given if serial not in deliverer.acknowledged]
            )
        given += deliverer.given
        assert set(range(600)) == set(given)
        assert len(given) < 2 * 600
        await deliverer.stop()
        for worker in workers:
            await worker.stop()

    run(play())


def test_the_last_acknowledgements_are_heard_before_a_worker_lets_go(run, tmp_path):
    """Also while it is sending as much as it can: nothing that was delivered comes again at the next start."""

    async def play():
        async with served(tmp_path) as (deliverer, first, second):
            await first.append(*range(200))
            await deliverer.take(200)
            busy = [asyncio.create_task(second.append(*range(200, 700)))]
            finishing = asyncio.create_task(first.feed.finish(BOUND))
            await until(lambda: len(deliverer.merged.branches[1].in_hand) > 20)
            deliverer.acknowledge(*range(200))
            await deliverer.intake.close(BOUND)
            await asyncio.wait_for(finishing, BOUND)
            assert 0 == first.spool.pending
            await asyncio.gather(*busy)

    run(play())


def test_a_worker_waits_for_the_last_word_and_no_longer_than_it_may(run, tmp_path):
    """It returns early when the line is lost, and when nobody is there; and in time when no word comes."""

    async def play():
        deliverer = await Deliverer(tmp_path, 2).start()
        workers = [await Worker(tmp_path, number).start() for number in range(2)]
        await until(lambda: all(branch.pipe for branch in deliverer.merged.branches))
        await asyncio.wait_for(workers[0].feed.finish(0.01), BOUND)
        finishing = asyncio.create_task(workers[1].feed.finish(600))
        await asyncio.sleep(0)
        assert not finishing.done()
        await deliverer.die()
        await asyncio.wait_for(finishing, BOUND)
        alone = await Worker(tmp_path, 2).start()
        await asyncio.wait_for(alone.feed.finish(600), BOUND)
        for worker in (*workers, alone):
            await worker.spool.close()
        never = Feed(alone.spool, 0, tmp_path / "feed.sock")
        await never.finish(600)

    run(play())


def test_workers_call_again_after_the_delivering_process_has_ended_in_order(run, tmp_path):
    """It may be started again on its own, and goes on where it ended."""

    async def play():
        async with served(tmp_path, 1) as (deliverer, worker):
            await worker.append(1)
            await deliverer.take(1)
            await deliverer.stop()
            await worker.append(2)
            again = await Deliverer(tmp_path, 1).start()
            assert [1, 2] == await again.take(2)
            await again.stop()

    run(play())


def test_a_stranger_disturbs_nobody(run, tmp_path):
    """Garbage, a first message that is no greeting, and a partition that nobody has, end that connection alone; silence does not hold up the end."""

    async def play():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with served(tmp_path, 1) as (deliverer, worker):
            await worker.append(1)
            strangers = [
                struct.pack("<I", 9) + b"\xff" * 9,
                struct.pack("<I", lines.MOST_BYTES + 1),
                struct.pack("<I", 2) + lines._encode(Ask()),
                struct.pack("<I", 3) + lines._encode(Hello(1)),
                struct.pack("<I", 3) + lines._encode(Hello(-1)),
            ]
            for content in strangers:
                reader, writer = await asyncio.open_unix_connection(tmp_path / "feed.sock")
                writer.write(content)
                assert b"" == await asyncio.wait_for(reader.read(), BOUND)
                writer.close()
            silent, writer = await asyncio.open_unix_connection(tmp_path / "feed.sock")
            assert [1] == await deliverer.take(1)
            await worker.append(2)
            assert [1, 2] == await deliverer.take(2)
            assert 2 == len(told)
            await deliverer.stop()
            assert b"" == await asyncio.wait_for(silent.read(), BOUND)
            writer.close()

    run(play())


def test_a_worker_that_calls_twice_is_heard_on_its_new_line(run, tmp_path):
    """A partition is one worker's: the line of the one before is closed, and its end changes nothing."""

    async def play():
        deliverer = await Deliverer(tmp_path, 1).start()
        heard: list[list] = [[], []]
        lost = [asyncio.Event(), asyncio.Event()]
        calls = []
        for number in range(2):
            line = await lines.connect(
                tmp_path / "feed.sock",
                lambda n=number: Line(lambda _, message: heard[n].append(message), lambda _: lost[n].set()),
            )
            line.send(Hello(0))
            calls.append(line)
            await until(lambda n=number: heard[n])
        await asyncio.wait_for(lost[0].wait(), BOUND)
        assert deliverer.merged.branches[0].pipe is not None
        calls[1].send(lines.Entries([lines.Entry(5, payload_of(9, 5))], 3, 0))
        assert [5] == await deliverer.take(1)
        assert 3 == deliverer.merged.pending
        assert [Grant] == [type(message) for message in heard[0]]
        deliverer.acknowledge(5)
        await until(lambda: heard[1][-1:] == [lines.Settled([5])])
        # Told before the acknowledgement was heard, and after it.
        for pending, acknowledged, known in ((9, 0, 8), (7, 1, 7)):
            calls[1].send(lines.Entries([], pending, acknowledged))
            await until(lambda n=known: n == deliverer.merged.pending)
        ending = asyncio.create_task(deliverer.stop())
        await until(lambda: heard[1][-1:] == [Bye()])
        assert [lines.Settled([5]), Bye()] == heard[1][-2:]
        assert not ending.done()
        calls[1].close()
        await ending

    run(play())


def test_how_many_wait_is_known_also_while_nothing_flows(run, tmp_path):
    """There is no room here, and the worker goes on taking events: their number is told all the same."""

    async def play():
        async with served(tmp_path, 1, room_bytes=1000) as (deliverer, worker):
            await worker.append(*range(40))
            await until(lambda: 40 == deliverer.merged.pending)
            await worker.append(*range(40, 90))
            await until(lambda: 90 == deliverer.merged.pending)
            await deliverer.take(90)
            deliverer.acknowledge(*range(90))
            await until(lambda: 0 == deliverer.merged.pending == worker.spool.pending)

    run(play())


def test_what_is_said_of_an_event_reaches_the_worker_that_took_it(run, tmp_path):
    """And nobody, when that one is away."""

    async def play():
        async with served(tmp_path) as (deliverer, first, second):
            await second.append(1)
            await deliverer.take(1)
            deliverer.intake.tell(deliverer.positions[1], "event-1", b"\x00\xff")
            await until(lambda: second.told)
            assert ([], [("event-1", b"\x00\xff")]) == (first.told, second.told)
            await second.stop()
            await until(lambda: deliverer.merged.branches[1].pipe is None)
            deliverer.intake.tell(deliverer.positions[1], "event-1", b"late")
            deliverer.acknowledge(1)
            await second.start()
            await until(lambda: not second.spool.pending)

    run(play())


def test_a_partition_that_no_worker_has_any_more_joins_in(run, tmp_path):
    """A spool that is open in the delivering process is one of them, and what it held comes in its order."""

    async def play():
        left = await open_segment_spool(tmp_path / "left", segment_bytes=64 << 10, tuning=TUNING)
        await left.append([payload_of(time.time_ns(), 0)])
        deliverer = Deliverer(tmp_path, 2)
        await deliverer.start()
        deliverer.intake._workers = 1
        worker = await Worker(tmp_path, 0).start()
        await worker.append(1)
        pipe = LocalPipe(left, deliverer.merged.branches[1])
        pipe.open()
        assert [0, 1] == await deliverer.take(2)
        assert 2 == deliverer.merged.pending
        deliverer.acknowledge(0, 1)
        assert 0 == left.pending
        await until(lambda: not worker.spool.pending)
        await worker.append(2)
        assert [0, 1, 2] == await deliverer.take(3)
        await deliverer.stop()
        await pipe.close()
        await left.close()
        await worker.stop()

    run(play())
