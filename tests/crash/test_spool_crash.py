"""Real processes that append and die at each step on the disk: nothing that was acknowledged is missing afterwards."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.spool.segments import Tuning, open_segment_spool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

BEFORE = 40
PROGRAM = """
import asyncio, itertools, os, pathlib, signal, sys
from gateway.spool.disk import Disk
from gateway.spool.segments import Tuning, open_segment_spool

directory, fatal_step, countdown = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
is_rolling = sys.argv[4] == "rolling"

def die():
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()

def hook(step):
    global countdown
    if step == fatal_step:
        countdown -= 1
        if not countdown:
            die()

class TearingDisk(Disk):
    def write(self, descriptor, data, offset, what):
        global countdown
        if fatal_step == f"half_{what}_write":
            countdown -= 1
            if not countdown:
                os.pwrite(descriptor, data[: len(data) // 2], offset)
                die()
        super().write(descriptor, data, offset, what)

def say(sign, number):
    os.write(1, b"%s%d\\n" % (sign, number))

async def write(spool, numbers):
    for number in numbers:
        await spool.append([b"%d" % number + b"." * 700])
        say(b"+", number)
        while is_rolling and spool.pending:
            await asyncio.sleep(0)

async def read(spool):
    while True:
        for entry in await spool.read(20):
            number = int(entry.payload.rstrip(b"."))
            if is_rolling or number % 7 or number > 1100:
                say(b"@", entry.position)
                say(b"-", number)
                spool.acknowledge(entry.position)

async def main():
    tuning = Tuning(flush_seconds=0.001, tail_entries=5, idle_roll_seconds=0.001 if is_rolling else 60)
    spool = await open_segment_spool(directory, segment_bytes=16384, tuning=tuning, disk=TearingDisk(hook))
    reading = asyncio.create_task(read(spool))
    numbers = iter(range(1000, 3000))
    await asyncio.gather(*(write(spool, numbers) for _ in range(1 if is_rolling else 4)))
    reading.cancel()
    await spool.close()

asyncio.run(main())
"""

STEPS = [
    (f"{moment}_{operation}", nth)
    for operation, nth in [
        ("group_write", 30),
        ("group_sync", 31),
        ("segment_write", 6),
        ("segment_sync", 3),
        ("segment_rename", 2),
        ("segment_remove", 1),
        ("directory_sync", 4),
        ("cursor_write", 3),
        ("cursor_sync", 4),
        ("cursor_rename", 1),
    ]
    for moment in ("before", "after")
] + [("half_group_write", 25), ("half_group_write", 1), ("half_cursor_write", 3), ("half_segment_write", 4)]

# The first rename takes the old name from a segment that is overwritten, the second gives the new one.
ROLLING_STEPS = [
    (f"{moment}_{operation}", nth)
    for operation, nth in [
        ("recycled_rename", 1),
        ("recycled_rename", 2),
        ("recycled_rename", 7),
        ("recycled_write", 1),
        ("recycled_write", 2),
        ("recycled_write", 6),
        ("recycled_sync", 1),
        ("recycled_sync", 2),
        ("directory_sync", 5),
        ("directory_sync", 6),
        ("directory_sync", 7),
        ("directory_sync", 8),
        ("group_write", 12),
        ("group_sync", 13),
    ]
    for moment in ("before", "after")
] + [("half_recycled_write", 1), ("half_recycled_write", 2), ("half_recycled_write", 4)]


async def numbers_in(directory: Path) -> tuple[list[int], list[int], int]:
    """Open a directory, read it to the end, and give the numbers, their positions, and the damage."""
    spool = await open_segment_spool(directory, segment_bytes=16 << 10, tuning=Tuning(tail_entries=5))
    entries = []
    async with asyncio.timeout(20):
        while len(entries) < spool.pending:
            entries += await spool.read(100)
    await spool.close()
    return (
        [int(entry.payload.rstrip(b".")) for entry in entries],
        [entry.position for entry in entries],
        spool.damaged,
    )


async def lines_of_the_killed(directory: Path, step: str, nth: int, mode: str) -> list[str]:
    """Run the program until it is killed at a step, and give what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, directory, step, str(nth), mode),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert (b"", -signal.SIGKILL) == (complaints, process.returncode)
    return said.decode().split()


@pytest.mark.parametrize(("step", "nth"), STEPS, ids=[f"{step}-{nth}" for step, nth in STEPS])
async def test_every_acknowledged_payload_survives_sigkill_at(tmp_path, step, nth):
    """A process killed at this step leaves a directory in which each acknowledged, undelivered payload is found once."""
    spool = await open_segment_spool(tmp_path, segment_bytes=16 << 10)
    await asyncio.gather(*(spool.append([b"%d" % n + b"." * 300]) for n in range(BEFORE)))
    await spool.close()

    lines = await lines_of_the_killed(tmp_path, step, nth, "filling")
    promised = set(range(BEFORE)) | {int(line[1:]) for line in lines if line.startswith("+")}
    delivered = {int(line[1:]) for line in lines if line.startswith("-")}
    if step.endswith(("group_write", "group_sync")) and nth > 1:
        assert len(promised) > BEFORE

    numbers, positions, damaged = await numbers_in(tmp_path)
    assert set() == promised - delivered - set(numbers)
    assert len(set(numbers)) == len(numbers)
    assert sorted(positions) == positions
    assert 0 == damaged
    assert numbers[: numbers.index(7 * 5) + 1][-1] == 35

    again, _, _ = await numbers_in(tmp_path)
    assert numbers == again


@pytest.mark.parametrize(("step", "nth"), ROLLING_STEPS, ids=[f"{step}-{nth}" for step, nth in ROLLING_STEPS])
async def test_a_roll_that_is_killed_is_no_damage_at(tmp_path, step, nth):
    """Killed while it overwrites delivered segments: nothing is lost or taken for damaged, no position comes again, nothing is left."""
    lines = await lines_of_the_killed(tmp_path, step, nth, "rolling")
    promised, delivered, positions = (
        [int(line[1:]) for line in lines if line.startswith(sign)] for sign in "+-@"
    )
    assert promised
    assert delivered

    reports = []
    spool = await open_segment_spool(
        tmp_path, segment_bytes=16 << 10, on_damage=lambda *report: reports.append(report)
    )
    found = []
    async with asyncio.timeout(20):
        while len(found) < spool.pending:
            found += await spool.read(100)
        numbers = [int(entry.payload.rstrip(b".")) for entry in found]
        assert set() == set(promised) - set(delivered) - set(numbers)
        assert sorted(set(numbers)) == numbers
        assert [] == [report for report in reports if report[0].suffix != ""]
        assert 0 == spool.damaged
        await spool.append([b"after"])
        (after,) = await spool.read(1)
    assert after.position > max(*positions, *(entry.position for entry in found), 0)
    for entry in (*found, after):
        spool.acknowledge(entry.position)
    await spool.close()
    left = [
        path
        for path in tmp_path.iterdir()
        if any(word in path.read_bytes() for word in (b"......", b"after"))
    ]
    assert [] == left
    assert [] == list(tmp_path.glob("*.tmp"))
