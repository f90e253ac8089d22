"""Several spools as one against a list: random appends, floors and acknowledgements that come late, lines and processes that are lost."""

from __future__ import annotations

import asyncio
import inspect
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.spool.merge import MergedSpool
from gateway.spool.tap import ENTRY_BYTES
from tests.spool_world import Connection, FakeSpool, TimelessLoop, moment_of, payload_of, serial_of

LARGEST = 600
PATIENCE = 30.0
STEPS = {
    "append": 12,
    "commit": 10,
    "refuse": 1,
    "flush": 2,
    "connect": 6,
    "lose": 2,
    "call_again": 1,
    "arrive": 24,
    "arrive_all": 4,
    "read": 10,
    "give_up_reading": 1,
    "acknowledge": 8,
    "die_and_come_back": 1,
}
# With these, events of different partitions may pass each other.
IRREGULAR_STEPS = {**STEPS, "set_a_clock_back": 2, "pass_time": 2}


class World:
    """Partitions, lines, the merge and its reader, and what is known of each payload, by its serial number: a lower one was appended earlier.

    `durable` are those that are durable, `seals` says how many had been appended, anywhere, when each became durable. While `is_orderly`, no clock was set
    back and nobody lost patience.
    """

    def __init__(self, loop: TimelessLoop, random: Random):
        self.loop = loop
        self.random = random
        self.count = random.choice([1, 2, 2, 3, 4])
        self.room = random.choice([1, 400, 1 << 20])
        self.eager = random.choice([0, 1, 20, 20])
        self.steps = random.choice([STEPS, IRREGULAR_STEPS])
        self.serial = 0
        self.now_ns = 1 << 60
        self.skews = [0] * self.count
        self.owner: dict[int, int] = {}
        self.durable: dict[int, bytes] = {}
        self.seals: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.is_orderly = True
        self.reading: asyncio.Task | None = None
        self.spools = [FakeSpool() for _ in range(self.count)]
        self.begin_a_life()
        if random.random() < 0.8:
            for index in range(self.count):
                self.connect_at(index)

    def begin_a_life(self):
        self.lines: list[Connection | None] = [None] * self.count
        self.given: list[int] = []
        self.ended = set(self.acknowledged)
        self.in_hand: dict[int, int] = {}
        self.merged = MergedSpool(
            self.count, moment_of, patience_seconds=PATIENCE, room_bytes=self.room, on_gone=self.on_gone
        )

    def on_gone(self, _index):
        self.is_orderly = False

    def clock(self, index):
        def clock_ns():
            self.now_ns += 1
            return self.now_ns + self.skews[index]

        return clock_ns

    async def step(self):
        """Do one thing at random, and let the tasks run as far as they can."""
        await self.do(getattr(self, self.random.choices([*self.steps], [*self.steps.values()])[0]))
        self.look()

    async def do(self, function, *arguments):
        result = function(*arguments)
        if inspect.isawaitable(result):
            await result
        for _ in range(6):
            await asyncio.sleep(0)
        if self.reading is not None and self.reading.done():
            reading, self.reading = self.reading, None
            self.take(reading.result())
        if self.eager and self.reading is None:
            await self.do(self.read)

    # What happens in the partitions.

    def append(self):
        self.append_to(self.random.randrange(self.count))

    def append_to(self, index):
        moment = self.clock(index)()
        payloads = []
        for _ in range(self.random.randint(1, 3)):
            self.serial += 1
            self.owner[self.serial] = index
            payloads.append(payload_of(moment, self.serial, self.random.randint(12, LARGEST)))
        self.spools[index].append(payloads)
        while self.random.random() < 0.3 and self.spools[index].groups:
            self.commit_at(index)

    def commit(self):
        if waiting := [index for index in range(self.count) if self.spools[index].groups]:
            self.commit_at(self.random.choice(waiting))

    def commit_at(self, index):
        for payload in self.spools[index].commit():
            self.durable[serial_of(payload)] = payload
            self.seals[serial_of(payload)] = self.serial

    def refuse(self):
        if waiting := [spool for spool in self.spools if spool.groups]:
            self.random.choice(waiting).refuse()

    def flush(self):
        self.random.choice(self.spools).flush()

    def set_a_clock_back(self):
        self.is_orderly = False
        self.skews[self.random.randrange(self.count)] -= self.random.choice([1, 5, 1000, 1 << 50])

    # What happens on the lines.

    def connect(self):
        if absent := [index for index, line in enumerate(self.lines) if line is None]:
            self.connect_at(self.random.choice(absent))

    def connect_at(self, index):
        self.lines[index] = Connection(self.spools[index], self.merged.branches[index], self.clock(index))

    async def lose(self):
        """A line is lost, or the whole process of a partition."""
        if there := [index for index, line in enumerate(self.lines) if line]:
            index = self.random.choice(there)
            await self.lose_at(index)
            if self.random.random() < 0.5:
                self.spools[index].crash()

    async def lose_at(self, index):
        line, self.lines[index] = self.lines[index], None
        await line.lose()
        self.merged.branches[index].disconnect(line)

    async def call_again(self):
        """The end of a line is noticed only after its partition has called again."""
        if there := [index for index, line in enumerate(self.lines) if line]:
            index = self.random.choice(there)
            old = self.lines[index]
            await old.lose()
            self.connect_at(index)
            self.merged.branches[index].disconnect(old)

    async def arrive(self):
        for _ in range(self.random.randint(1, 8)):
            if moving := self.moving():
                await self.do(self.random.choice(moving))

    async def arrive_all(self):
        while moving := self.moving():
            for deliver in moving:
                await self.do(deliver)

    def moving(self):
        lines = [line for line in self.lines if line]
        up = [line.deliver_up for line in lines if line.up]
        return up + [line.deliver_down for line in lines if line.down]

    # What happens at the reader.

    def read(self):
        if self.reading is None:
            limit = self.eager or self.random.randint(1, 20)
            self.reading = self.loop.create_task(self.merged.read(limit))

    async def give_up_reading(self):
        if self.reading is not None:
            reading, self.reading = self.reading, None
            reading.cancel()
            await asyncio.wait([reading])

    def take(self, entries):
        assert entries
        for position, payload in entries:
            serial = serial_of(payload)
            assert self.durable[serial] == payload
            assert serial not in self.given, "given twice in one life"
            assert position not in self.in_hand
            assert self.owner[serial] == position % self.count
            self.given.append(serial)
            self.in_hand[position] = serial

    def acknowledge(self):
        for position in [position for position in self.in_hand if self.random.random() < 0.5]:
            self.acknowledge_one(position)

    def acknowledge_one(self, position):
        self.acknowledged.add(self.in_hand.pop(position))
        self.merged.acknowledge(position)

    async def pass_time(self):
        await asyncio.sleep(self.random.choice([0.1, PATIENCE / 2, PATIENCE]))

    async def die_and_come_back(self):
        """The reading end is lost with all it knew: what it had not passed on comes again, all the rest does not."""
        await self.give_up_reading()
        for index, line in enumerate(self.lines):
            if line:
                await self.lose_at(index)
        self.merged.close()
        self.begin_a_life()

    # The laws.

    def look(self):
        # What had its end in an earlier life comes again where both ends forgot that, at any time.
        given = [serial for serial in self.given if serial not in self.ended]
        for index in range(self.count):
            own = [serial for serial in given if self.owner[serial] == index]
            assert sorted(own) == own, "a partition's own order"
        if self.is_orderly:
            moments = [moment_of(self.durable[serial]) for serial in given]
            assert sorted(moments) == moments
            earliest_seal = self.serial
            for serial in reversed(given):
                assert earliest_seal >= serial, "appended when one that is given later was durable"
                earliest_seal = min(earliest_seal, self.seals[serial])
        most = self.room + LARGEST + ENTRY_BYTES
        for line, branch in zip(self.lines, self.merged.branches, strict=True):
            queued = sum(len(entry.payload) + ENTRY_BYTES for _, entry in branch.queue)
            assert queued <= most
            if line:
                assert line.granted <= line.received or line.granted - line.received + queued <= self.room
                assert line.received <= line.granted + LARGEST + ENTRY_BYTES
        queued = sum(len(branch.queue) for branch in self.merged.branches)
        assert len(self.in_hand) + queued == sum(len(branch.in_hand) for branch in self.merged.branches)

    async def come_to_rest(self):
        """When nothing is lost any more, everything is given and acknowledged after finitely many messages, without a timer."""
        for index, spool in enumerate(self.spools):
            while spool.groups:
                self.commit_at(index)
            if self.lines[index] is None:
                self.connect_at(index)
        started = self.loop.time()
        for _ in range(20 * len(self.durable) + 50):
            if not self.moving() and not any(spool.pending for spool in self.spools):
                break
            for deliver in self.moving():
                await self.do(deliver)
            for position in list(self.in_hand):
                self.acknowledge_one(position)
            await self.do(self.read)
        self.look()
        assert started == self.loop.time()
        assert [0] * self.count == [spool.pending for spool in self.spools]
        assert not any(branch.in_hand or branch.queue for branch in self.merged.branches)
        assert 0 == self.merged.pending
        assert all(line.granted > line.received for line in self.lines)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 150))
def test_whatever_is_late_or_lost_entries_come_once_in_order_and_none_stays_behind(seed, steps):
    """One partition's order always holds, that of moments as long as nobody had to be overtaken; nothing is lost, nothing given twice."""
    loop = TimelessLoop()

    async def play():
        world = World(loop, Random(seed))
        for _ in range(steps):
            await world.step()
        await world.come_to_rest()
        for line in world.lines:
            await line.lose()
        await world.give_up_reading()
        world.merged.close()

    try:
        loop.run_until_complete(play())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
