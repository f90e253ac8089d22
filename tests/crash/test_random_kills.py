"""A gateway that is killed at random moments, again and again, under load: nothing acknowledged is lost, whoever dies.

50 kills, or as many as `TRACKING_GATEWAY_KILLS` says. A failing run names its seed; `TRACKING_GATEWAY_KILLS_SEED` plays the same victims and
moments again (the machine's own timing stays its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest

from tests.load import RecordingCollector, Visitors, cid_of
from tests.processes import PATIENCE_SECONDS, running_gateway_process, until

pytestmark = pytest.mark.crash
KILLS = int(os.environ.get("TRACKING_GATEWAY_KILLS", "50"))
SEED = int(os.environ.get("TRACKING_GATEWAY_KILLS_SEED", "0")) or random.SystemRandom().getrandbits(32)
VISITORS = 12
# Acknowledgements reach the disk within 0.1 s of a delivery; on a busy machine a sync may take its time.
KNOWN_AFTER_SECONDS = 1.0


def say(what: str) -> None:
    """Leave a line for whoever looks at a run that failed."""
    sys.stdout.write(f"{what}\n")


def family(pid: int) -> list[int]:
    """Give a process and all that descend from it and live."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return [each for each in found if is_alive(each)]


def state(pid: int) -> str:
    """Give the letter of a process's state; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not waited for does not."""
    return state(pid) not in {"", "Z"}


class Killer:
    """Kills one process of a gateway at a time, at moments of chance, and starts the gateway again when its first process died."""

    def __init__(self, gateway, visitors: Visitors, dice: random.Random) -> None:
        self._gateway = gateway
        self._visitors = visitors
        self._dice = dice
        self.moments: list[float] = []
        self.story: list[str] = []

    async def strike(self) -> None:
        """Kill somebody: mostly in the middle of the work, now and then while the gateway still starts."""
        is_early = self._dice.random() < 0.25
        pause = self._dice.uniform(0.0, 1.0 if is_early else 0.3)
        choice = self._dice.random()
        if not is_early:
            answers = self._visitors.answers

            async def at_work():
                assert self._gateway.process.returncode is None, self._gateway.log()[-2000:]
                return self._visitors.answers > answers + VISITORS

            await until(at_work, "the gateway takes events", 2 * PATIENCE_SECONDS)
        await asyncio.sleep(pause)
        first = self._gateway.process.pid
        assert is_alive(first), f"the gateway ended by itself: {self._gateway.log()[-2000:]}"
        # So that it starts nobody between the look and the shot, who would be nobody's child then.
        os.kill(first, signal.SIGSTOP)
        while state(first) not in {"T", "Z", ""}:
            await asyncio.sleep(0)
        living = family(first)
        victim = living[int(choice * len(living))]
        self.moments.append(asyncio.get_running_loop().time())
        is_first = victim == first
        when = "while it may still start" if is_early else "at work"
        self.story.append(
            f"{len(self.story)}: {'the first process' if is_first else 'a child'} {when}, after {pause:.3f} s"
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if not is_first:
            os.kill(first, signal.SIGCONT)
            return
        await self._gateway.process.wait()

        async def nobody_is_left():
            return not any(map(is_alive, living))

        await until(nobody_is_left, "the children of a killed process have ended")
        await self._gateway.spawn()


def most_repeated(arrivals, kills: list[float]) -> int:
    """Give how many arrivals may be repetitions.

    For each kill: what was delivered shortly before it, since that may not have been known on disk; and an event of each visitor, who heard
    no answer and sent it again.
    """
    moments = [arrival.moment for arrival in arrivals]
    return sum(
        VISITORS + bisect_right(moments, kill) - bisect_left(moments, kill - KNOWN_AFTER_SECONDS)
        for kill in kills
    )


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize(("workers", "share"), [(1, 0.7), (3, 0.3)])
async def test_nothing_acknowledged_is_lost_however_often_it_is_killed(tmp_path, workers, share):
    """Killed at random moments under load, each acknowledged event arrives, in its visitor's order, under one customer."""
    kills = max(1, round(KILLS * share))
    dice = random.Random(f"{SEED}-{workers}")
    say(f"to play this again: TRACKING_GATEWAY_KILLS_SEED={SEED} TRACKING_GATEWAY_KILLS={KILLS}")
    collector = RecordingCollector(random.Random(dice.random()))
    sections = {"server": {"workers": workers, "drain_seconds": 5}, "logging": {"level": "warning"}}
    async with collector.running(), running_gateway_process(tmp_path, collector.url, **sections) as gateway:
        visitors = Visitors(gateway.port, VISITORS, "k")
        killer = Killer(gateway, visitors, dice)
        try:
            async with visitors.coming():
                for _ in range(kills):
                    await killer.strike()
                await until(gateway.is_ready, "the gateway is ready", 2 * PATIENCE_SECONDS)
        finally:
            say("\n".join(killer.story))

        async def all_arrived():
            return not visitors.sent - collector.seen

        with contextlib.suppress(AssertionError):
            await until(all_arrived, "every acknowledged event arrived")
        assert set() == visitors.sent - collector.seen

        async def drained():
            return (await gateway.metrics())["tracking_gateway_spool_pending"] == 0

        await until(drained, "nothing waits")
        assert 0 == await gateway.stop()
    again = len(collector.arrivals) - len(collector.seen)
    say(
        f"{kills} kills, {visitors.answers} acknowledged, {len(collector.arrivals)} arrivals, {again} of them again"
    )
    assert again <= most_repeated(collector.arrivals, killer.moments)
    assert {(uid, cid_of(uid)) for uid in visitors.acknowledged} == {
        (arrival.uid, arrival.cid) for arrival in collector.arrivals
    }
    first = list(dict.fromkeys(arrival.request_id for arrival in collector.arrivals))
    place = {request_id: index for index, request_id in enumerate(first)}
    for mine in visitors.acknowledged.values():
        assert mine == sorted(mine, key=place.__getitem__)
