"""The segment spool against a list: random appends, reads, acknowledgements, rolls, restarts, crashes, damage and full spools."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.spool.layout import DATA_START, RECORD_HEAD_BYTES
from gateway.spool.segments import SegmentSpool, Tuning, open_segment_spool
from tests.spool_disks import ObservedDisk

SEGMENT = 16 << 10
# What a spool remembers after a crash is a matter of time. So nothing that is drawn depends on it: rules choose by remainder, and do nothing
# where there is nothing to do.
ANY = st.integers(0, 1 << 20)
# A little more than one append of this model may take.
FULL = 9_000
TUNING = Tuning(tail_entries=6, tail_bytes=6000, flush_seconds=0.001)


class Item:
    """What the model knows of a payload."""

    def __init__(self, payload: bytes):
        self.payload = payload
        self.position: int | None = None
        self.is_given = False
        self.is_acknowledged = False
        self.is_damaged = False
        # Acknowledged before a crash: the spool may or may not remember.
        self.is_in_doubt = False


class SpoolMachine(RuleBasedStateMachine):
    """`items` are the payloads that the spool may still give, in order; acknowledged ones only until it is certain."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.loop = asyncio.new_event_loop()
        self.generation = 0
        self.serial = 0
        self.highest = 0
        self.items: list[Item] = []
        self.tuning = TUNING
        self.drops = False

    @initialize(idle_roll_seconds=st.sampled_from([0.0, 0.001, 60.0]), drops=st.booleans())
    def begin(self, idle_roll_seconds, drops):
        self.drops = drops
        self.tuning = TUNING._replace(idle_roll_seconds=idle_roll_seconds)
        self.open()

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation)

    def run(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, 20))

    def open(self):
        self.disk = ObservedDisk()
        opening = open_segment_spool(
            self.directory,
            segment_bytes=SEGMENT,
            max_bytes=FULL if self.drops else 1 << 30,
            tuning=self.tuning,
            disk=self.disk,
            on_drop=self.dropped if self.drops else None,
        )
        self.spool: SegmentSpool = self.run(opening)
        self.found_damage = 0
        for item in self.items:
            item.is_given = False

    def close(self):
        self.run(self.spool.close())
        self.items = [item for item in self.items if item.is_in_doubt or not item.is_acknowledged]

    @rule(sizes=st.lists(st.integers(0, 1300), min_size=1, max_size=6), appends=st.integers(1, 4))
    def append(self, sizes, appends):
        async def all_at_once():
            batches = []
            for _ in range(appends):
                batch = []
                for size in sizes:
                    self.serial += 1
                    batch.append(f"<{self.serial}>".encode().ljust(size, b"."))
                batches.append(batch)
            self.items += [Item(payload) for batch in batches for payload in batch]
            await asyncio.gather(*(self.spool.append(batch) for batch in batches))

        self.run(all_at_once())

    def dropped(self, payloads):
        """Each was waiting, is the oldest that was, and does not come any more."""
        assert payloads
        for payload in payloads:
            (item,) = (each for each in self.items if each.payload == payload)
            assert not item.is_damaged
            assert item.is_in_doubt or not item.is_acknowledged
            item.is_acknowledged, item.is_in_doubt = True, False
            older = self.items[: self.items.index(item)]
            assert all(each.is_acknowledged or each.is_damaged for each in older)
            if item.is_given:
                assert self.spool.is_dropped(item.position)
                before = self.spool.pending
                self.spool.acknowledge(item.position)
                assert before == self.spool.pending

    @rule(limit=st.integers(1, 30))
    def read(self, limit):
        if not any(self.must_come(item) for item in self.items):
            return
        entries = self.run(self.spool.read(limit))
        assert 1 <= len(entries) <= limit
        waiting = iter([item for item in self.items if not item.is_given])
        for entry in entries:
            item = next(waiting)
            while item.payload != entry.payload:
                # Skipped: damaged, or acknowledged before a crash and remembered.
                assert not self.must_come(item)
                item = next(waiting)
            assert item.is_in_doubt or not item.is_acknowledged
            assert item.position in {None, entry.position}
            if item.position is None:
                # One that was dropped without having been given may come again after a crash.
                assert entry.position > self.highest or item.is_in_doubt
                self.highest = max(self.highest, entry.position)
            item.position = entry.position
            item.is_given = True
            item.is_acknowledged = item.is_in_doubt = False

    def must_come(self, item: Item) -> bool:
        return not (item.is_given or item.is_acknowledged or item.is_damaged)

    @rule(which=st.lists(ANY, max_size=20))
    def acknowledge(self, which):
        for one in which:
            given = [item for item in self.items if item.is_given and not item.is_acknowledged]
            if not given:
                return
            item = given[one % len(given)]
            self.spool.acknowledge(item.position)
            item.is_acknowledged = True

    @rule(sizes=st.lists(st.integers(0, 1300), max_size=6), turns=st.integers(0, 3))
    def rewind(self, sizes, turns):
        """What is not acknowledged is given again from the oldest on; groups may be on their way meanwhile, and loads."""

        async def at_once():
            batch = []
            for size in sizes:
                self.serial += 1
                batch.append(f"<{self.serial}>".encode().ljust(size, b"."))
            appended = self.spool.append(batch) if batch else None
            for _ in range(turns):
                await asyncio.sleep(0)
            self.spool.rewind()
            if appended:
                await appended
            self.items += map(Item, batch)

        for item in self.items:
            item.is_given = item.is_given and item.is_acknowledged
        self.run(at_once())

    @rule()
    def nudge(self):
        """An empty answer comes when everything durable was given, not before."""

        async def read_all():
            self.spool.nudge()
            while entries := await self.spool.read(7):
                for entry in entries:
                    item = of_payload[entry.payload]
                    assert not item.is_given
                    assert item.position in {None, entry.position}
                    self.highest = max(self.highest, entry.position)
                    item.position, item.is_given = entry.position, True
                    item.is_acknowledged = item.is_in_doubt = False
            assert self.spool.is_exhausted

        of_payload = {item.payload: item for item in self.items}
        self.run(read_all())
        assert not any(self.must_come(item) for item in self.items)

    @rule()
    def reopen(self):
        self.close()
        self.open()

    @rule()
    def crash(self):
        copy = self.root / str(self.generation + 1)
        self.disk.crash(self.directory, copy)
        for item in self.items:
            item.is_in_doubt = item.is_acknowledged
        self.run(self.spool.close())
        self.generation += 1
        self.open()

    @rule(which=ANY, where=ANY, bit=st.integers(0, 7))
    def damage(self, which, where, bit):
        whole = [item for item in self.items if not item.is_damaged and not item.is_acknowledged]
        if not whole:
            return
        self.close()
        item = whole[which % len(whole)]
        for path in self.directory.glob("*.segment"):
            content = bytearray(path.read_bytes())
            if (at := content.find(item.payload)) >= 0:
                at += where % (RECORD_HEAD_BYTES + len(item.payload)) - RECORD_HEAD_BYTES
                content[at] ^= 1 << bit
                path.write_bytes(content)
                break
        else:
            raise AssertionError("a payload that waits is in no file")
        item.is_damaged = True
        self.open()

    @precondition(lambda self: self.tuning.idle_roll_seconds < 1)
    @rule()
    def forget(self):
        """Once everything is acknowledged, nothing of it is left in any file, without a close and without an append."""
        of_payload = {item.payload: item for item in self.items}
        for item in self.items:
            if item.is_given and not item.is_acknowledged:
                self.spool.acknowledge(item.position)
                item.is_acknowledged = True

        async def acknowledge_all():
            while True:
                for entry in await self.spool.read(50):
                    item = of_payload[entry.payload]
                    assert not item.is_given
                    item.position, item.is_given, item.is_acknowledged = entry.position, True, True
                    item.is_in_doubt = False
                    self.highest = max(self.highest, entry.position)
                    self.spool.acknowledge(entry.position)

        async def are_gone():
            acknowledging = asyncio.ensure_future(acknowledge_all())
            while self.spool.pending or self.holds_payloads():
                assert not acknowledging.done()
                await asyncio.sleep(0.001)
            acknowledging.cancel()

        self.run(are_gone())

    def holds_payloads(self) -> bool:
        # While no file gets another name.
        with self.disk.gate:
            return any(b"<" in path.read_bytes()[DATA_START:] for path in self.directory.glob("*.*"))

    @rule()
    def drain(self):
        while any(self.must_come(item) for item in self.items):
            self.read(50)

    @invariant()
    def pending_is_within_what_the_model_knows(self):
        certain = sum(not item.is_acknowledged and not item.is_damaged for item in self.items)
        assert certain <= self.spool.pending <= len(self.items)

    def teardown(self):
        if not hasattr(self, "spool"):
            return
        self.drain()
        self.close()
        self.open()
        self.drain()
        if not any(item.is_damaged or item.is_in_doubt for item in self.items):
            assert len(self.items) == self.spool.pending
            assert 0 == self.spool.damaged
        self.run(self.spool.close())
        self.loop.close()
        shutil.rmtree(self.root)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
