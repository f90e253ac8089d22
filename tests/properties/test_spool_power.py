"""The power is cut again and again, at any step: nothing acknowledged is lost, nothing comes twice, order is kept.

The disk keeps what was synced and any subset of the other sectors and names. What it kept is opened, and the power is cut there too, also
in the middle of the opening. `TRACKING_GATEWAY_SPOOL_RUNS` says how many times more than usual, `TRACKING_GATEWAY_SPOOL_SEED` where to begin.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from gateway.spool.layout import INDEX_BITS
from gateway.spool.segments import Tuning, open_segment_spool
from tests.spool_disks import MORE, ForgetfulDisk, first_seed

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT = 16 << 10
TUNING = Tuning(tail_entries=6, tail_bytes=6000, flush_seconds=0.001)
RUNS = 80 * MORE
CUTS = 4


class World:
    """What is known of the numbers that were appended, through all the lives of a spool."""

    def __init__(self, dice: random.Random, *, is_synced: bool, drops: bool):
        self.dice = dice
        self.is_synced = is_synced
        self.numbers = iter(range(1_000_000))
        self.promised: list[int] = []
        self.appended: set[int] = set()
        # Acknowledged by the reader, or dropped to make room: it may come again, and need not.
        self.done: set[int] = set()
        # Of those that were given at the last cut: they were durable, so no later one may have them.
        self.newest_position = 0
        self._given = 0
        self.max_bytes = 60_000 if drops else 1 << 30
        self.on_drop = self.dropped if drops else None
        self.tuning = TUNING._replace(idle_roll_seconds=dice.choice([0.0, 0.004, 60.0]))

    def dropped(self, payloads: list[bytes]) -> None:
        self.done.update(map(number_of, payloads))

    async def open(self, directory: Path, disk: ForgetfulDisk | None = None):
        return await open_segment_spool(
            directory,
            segment_bytes=SEGMENT,
            max_bytes=self.max_bytes,
            is_synced=self.is_synced,
            tuning=self.tuning,
            on_drop=self.on_drop,
            disk=disk,
        )

    async def live(self, before: Path, after: Path) -> None:
        """Open, append and acknowledge until the power is cut; `after` is what is left then."""
        steps = self.dice.randint(1, 150)
        known: list[tuple[set[int], set[int]]] = []
        self._given = 0

        def on_step(_step):
            nonlocal steps
            steps -= 1
            if steps == 0:
                # What is promised is taken first: a promise made while the disk is copied was kept before it.
                promised = set(self.promised)
                self.newest_position = max(self.newest_position, self._given)
                disk.cut_power(after, self.dice)
                known.append((promised, set(self.done)))

        disk = ForgetfulDisk(on_step, before)
        spool = await self.open(before, disk)
        is_rolling = self.tuning.idle_roll_seconds < 1

        async def write():
            while not known:
                number = next(self.numbers)
                self.appended.add(number)
                await spool.append([b"%d" % number + b"." * self.dice.randint(0, 1200)])
                self.promised.append(number)
                while is_rolling and spool.pending and not known and self.dice.random() < 0.99:
                    await asyncio.sleep(0)

        async def read():
            while True:
                for entry in await spool.read(10):
                    number = number_of(entry.payload)
                    self._given = max(self._given, entry.position)
                    if is_rolling or number % 5:
                        self.done.add(number)
                        spool.acknowledge(entry.position)

        reading = asyncio.create_task(read())
        await asyncio.gather(*(write() for _ in range(3)))
        reading.cancel()
        await spool.close()
        promised, done = known[0]
        self.promised = sorted(promised)
        self.done = done

    async def look(self, directory: Path) -> None:
        """Hold what is there against what is known."""
        spool = await self.open(directory)
        found, positions = [], []
        while len(found) < spool.pending:
            for entry in await spool.read(100):
                found.append(number_of(entry.payload))
                positions.append(entry.position)
        assert sorted(set(found)) == found
        assert sorted(positions) == positions
        assert set(found) <= self.appended
        if self.is_synced:
            assert set() == set(self.promised) - self.done - set(found)
            assert 0 == spool.damaged
        if self.on_drop is None:
            await spool.append([b"%d" % next(self.numbers)])
            (after,) = await spool.read(1)
            newest = max([self.newest_position, *positions])
            assert after.position >> INDEX_BITS > newest >> INDEX_BITS or not self.is_synced
        await spool.close()


def number_of(payload: bytes) -> int:
    return int(payload.rstrip(b"."))


@pytest.mark.parametrize("seed", range(first_seed(), first_seed() + RUNS))
async def test_power_cuts_lose_nothing_acknowledged(tmp_path, seed):
    """Four cuts in a row; each acknowledged number that nobody took is there afterwards, once, in order."""
    dice = random.Random(seed)
    world = World(dice, is_synced=True, drops=seed % 4 == 3)
    async with asyncio.timeout(60):
        for life in range(CUTS):
            await world.live(tmp_path / str(life), tmp_path / str(life + 1))
        await world.look(tmp_path / str(CUTS))


@pytest.mark.parametrize("seed", range(first_seed(), first_seed() + RUNS // 4))
async def test_a_power_cut_without_syncing_leaves_a_spool_that_opens(tmp_path, seed):
    """What the kernel had not written is gone, and only that: the rest comes in order, nothing twice, nothing that never was."""
    dice = random.Random(seed)
    world = World(dice, is_synced=False, drops=False)
    async with asyncio.timeout(60):
        for life in range(2):
            await world.live(tmp_path / str(life), tmp_path / str(life + 1))
        spool = await world.open(tmp_path / "2")
        found: list[int] = []
        while spool.pending > len(found):
            reading = asyncio.ensure_future(spool.read(100))
            while not reading.done() and spool.pending > len(found):
                await asyncio.sleep(0.001)
            if reading.cancel():
                break
            found += [number_of(entry.payload) for entry in reading.result()]
        assert sorted(set(found)) == found
        assert set(found) <= world.appended
        await spool.append([b"1000000"])
        await spool.close()
