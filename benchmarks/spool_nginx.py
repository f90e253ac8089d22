"""What durability costs the whole gateway: events a second and the slowest answers, beside nginx in the same run.

In turns: nginx as a proxy, a gateway that syncs before each answer, and one that leaves it to the kernel. Rounds count, and are void, as
in `compare`; only the share of time in `fdatasync` comes from inside the gateway (`timed_gateway`).
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.compare import WARM_UP_SECONDS, Plan, Round, gateway_round, nginx_round
from benchmarks.gateway import running_gateway
from benchmarks.load import Wrk
from benchmarks.nginx import running_proxy, running_sink
from benchmarks.timed_gateway import read_syncs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.machine import Cores

    Progress = Callable[[str, float], None]

DURABILITIES = ("fsync", "os")


class Lane(msgspec.Struct, frozen=True):
    """One server's rounds; `sync_shares` is the part of each round's load in which a group was being synced."""

    name: str
    rounds: list[Round]
    sync_shares: list[float]
    events_per_sync: list[float]

    def median(self, name: str) -> float:
        """Give the median over the rounds of one of their numbers."""
        return statistics.median(getattr(each, name) for each in self.rounds)

    @property
    def problems(self) -> list[str]:
        """Say why the run is void; empty when it counts."""
        return [f"{self.name}: {problem}" for each in self.rounds for problem in each.problems]


def total_seconds(plan: Plan) -> float:
    """About how long the load runs, for a progress bar."""
    return (plan.seconds * plan.rounds + WARM_UP_SECONDS) * (len(DURABILITIES) + plan.with_nginx)


def compare_durability(
    plan: Plan, cores: Cores, folder: Path, requests: Path, progress: Progress
) -> list[Lane]:
    """Measure nginx and the two gateways in turns; the warm-up does not count. Raises `CannotMeasure`."""
    os.sched_setaffinity(0, {cores.load})
    wrk = Wrk(requests, cores.load, plan.connections)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(running_sink(folder / "sink", cores.load))
        proxy = (
            stack.enter_context(running_proxy(folder / "proxy", cores.server, sink))
            if plan.with_nginx
            else None
        )
        lanes = [Lane("nginx", [], [], [])] if proxy else []
        gateways = []
        for durability in DURABILITIES:
            times = folder / f"syncs-{durability}"
            interpreter = (sys.executable, "-m", "benchmarks.timed_gateway", str(times))
            settings = f'\n[spool]\ndurability = "{durability}"\n'
            running = running_gateway(folder / durability, cores.server, sink.port, interpreter, settings)
            gateways.append((Lane(durability, [], [], []), stack.enter_context(running), times))
        lanes += [lane for lane, _, _ in gateways]
        for nth, seconds in enumerate((WARM_UP_SECONDS, *[plan.seconds] * plan.rounds)):
            if proxy:
                lanes[0].rounds.append(nginx_round(proxy, sink, wrk, cores, seconds, progress))
            for lane, gateway, times in gateways:
                before = read_syncs(times)
                round_ = gateway_round(gateway, sink, wrk, cores, seconds, progress)
                after = read_syncs(times)
                lane.rounds.append(round_)
                lane.sync_shares.append(
                    (after.seconds - before.seconds) * round_.rate / max(1, round_.events)
                )
                lane.events_per_sync.append(round_.events / max(1, after.count - before.count))
            if any(lane.problems for lane in lanes):
                break
            if nth == 0:
                for lane in lanes:
                    lane.rounds.clear()
                    lane.sync_shares.clear()
                    lane.events_per_sync.clear()
        return lanes
