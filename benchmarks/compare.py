"""The comparison: events per CPU second of the gateway and of nginx as a proxy, in turns, under the same load.

A round of the gateway counts only when the counts agree to the last event: answered to the client, accepted, logged,
delivered, and received by the collector; so what is measured is events that were accepted, durable, logged and forwarded. Its
CPU time runs from before the first event until the spool has drained. A round that fails this is void, says why, and ends the
run.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from benchmarks.gateway import Gateway, running_gateway
from benchmarks.load import Load, Wrk
from benchmarks.machine import CpuTime, core_busy_seconds, cpu_time
from benchmarks.nginx import Nginx, Sink, running_proxy, running_sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.machine import Cores

    Progress = Callable[[str, float], None]

PROTOTYPE_RATIO = 0.17
"""What the prototype on plain aiohttp reached against nginx, events per CPU second."""

_DRAIN_SECONDS = 60.0
_ASK_SECONDS = 0.1
_LOG_SECONDS = 10.0
WARM_UP_SECONDS = 2

Server = Literal["nginx", "gateway"]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One measured stretch of load on one server; `problems` is empty, or why it doesn't count."""

    server: Server
    events: int
    user_us: float
    system_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    server_core_busy: float
    others_on_server_core: float
    drain_seconds: float
    problems: list[str]

    @property
    def us(self) -> float:
        """CPU microseconds an event."""
        return self.user_us + self.system_us

    @property
    def per_cpu_second(self) -> float:
        """Events a CPU second."""
        return 1e6 / self.us if self.us else 0.0


class Comparison(msgspec.Struct, frozen=True):
    """All rounds of a run, in order: nginx and the gateway in turns."""

    rounds: list[Round]
    connections: int
    seconds: int
    warm_up_problems: list[str]

    def of(self, server: Server) -> list[Round]:
        """Give one server's rounds."""
        return [each for each in self.rounds if each.server == server]

    @property
    def problems(self) -> list[str]:
        """Say why the run is void; empty when it counts."""
        found = [f"{each.server}: {problem}" for each in self.rounds for problem in each.problems]
        return self.warm_up_problems + found

    @property
    def ratios(self) -> list[float]:
        """The gateway's events per CPU second by nginx's, for each pair of rounds."""
        pairs = zip(self.of("nginx"), self.of("gateway"), strict=False)
        return [gateway.per_cpu_second / nginx.per_cpu_second for nginx, gateway in pairs if nginx.events]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, or `None` when nginx was not measured."""
        return statistics.median(self.ratios) if self.ratios else None

    def median(self, server: Server, name: str) -> float:
        """Give the median over a server's rounds of one of their numbers."""
        return statistics.median(getattr(each, name) for each in self.of(server))


class Plan(msgspec.Struct, frozen=True):
    """How to measure; `with_nginx` is whether there is an nginx to compare with."""

    seconds: int
    rounds: int
    connections: int
    with_nginx: bool

    @property
    def total_seconds(self) -> float:
        """About how long the load runs, for a progress bar."""
        return (self.seconds * self.rounds + WARM_UP_SECONDS) * (2 if self.with_nginx else 1)


def compare(plan: Plan, cores: Cores, folder: Path, requests: Path, progress: Progress) -> Comparison:
    """Measure both servers in turns. Raises `CannotMeasure`.

    Both run throughout, and each is idle while the other is measured. `progress` hears what goes on and how many seconds of
    load have gone by since it was told last.
    """
    os.sched_setaffinity(0, {cores.load})
    wrk = Wrk(requests, cores.load, plan.connections)
    rounds: list[Round] = []
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(running_sink(folder / "sink", cores.load))
        gateway = stack.enter_context(running_gateway(folder / "gateway", cores.server, sink.port))
        proxy = (
            stack.enter_context(running_proxy(folder / "proxy", cores.server, sink))
            if plan.with_nginx
            else None
        )
        for seconds in (WARM_UP_SECONDS, *[plan.seconds] * plan.rounds):
            if proxy is not None:
                rounds.append(nginx_round(proxy, sink, wrk, cores, seconds, progress))
            rounds.append(gateway_round(gateway, sink, wrk, cores, seconds, progress))
            if any(each.problems for each in rounds):
                # What comes after a void round measures the rests of it.
                break
    # The first rounds fill caches and bind the customers: they do not count, but they must not lose anything either.
    warm_up = 2 if plan.with_nginx else 1
    problems = [
        f"{each.server}, warming up: {problem}" for each in rounds[:warm_up] for problem in each.problems
    ]
    return Comparison(rounds[warm_up:], plan.connections, plan.seconds, problems)


def nginx_round(proxy: Nginx, sink: Sink, wrk: Wrk, cores: Cores, seconds: int, progress: Progress) -> Round:
    """Load nginx for so many seconds."""
    received = sink.received()
    watch = _Watch(proxy.worker_pid, cores.server)
    load = wrk.run(proxy.port, seconds, _told(progress, "nginx"))
    used = watch.used()
    received = sink.received() - received
    problems = load.problems
    if received != load.answered:
        problems.append(f"{load.answered} requests were answered, the collector received {received}")
    return _round("nginx", load, used, watch, 0.0, problems)


def gateway_round(
    gateway: Gateway, sink: Sink, wrk: Wrk, cores: Cores, seconds: int, progress: Progress
) -> Round:
    """Load a gateway for so many seconds, wait until it has drained, and hold the counts against each other."""
    before, received = gateway.counts(), sink.received()
    gateway.new_log_lines()
    watch = _Watch(gateway.pid, cores.server)
    load = wrk.run(gateway.port, seconds, _told(progress, "gateway"))
    ended = time.monotonic()
    end = ended + _DRAIN_SECONDS
    # The collector is asked first: asking the gateway costs it CPU time that no event has caused.
    kept = load.answered - load.errors["status"]
    while sink.received() - received < kept and time.monotonic() < end:
        time.sleep(_ASK_SECONDS)
    counts = gateway.counts().since(before)
    while (counts.pending or counts.delivered < kept) and time.monotonic() < end:
        time.sleep(_ASK_SECONDS)
        counts = gateway.counts().since(before)
    logged = gateway.new_log_lines()
    while min(logged) < kept and time.monotonic() < ended + _LOG_SECONDS:
        time.sleep(_ASK_SECONDS)
        more = gateway.new_log_lines()
        logged = (logged[0] + more[0], logged[1] + more[1])
    used = watch.used()
    drained = time.monotonic() - ended
    received = sink.received() - received
    found = {
        "accepted": counts.accepted,
        "logged as accepted": logged[0],
        "delivered": counts.delivered,
        "logged as delivered": logged[1],
        "received by the collector": received,
    }
    problems = load.problems
    problems += [
        f"{load.answered} were answered, {count} were {what}"
        for what, count in found.items()
        if count != load.answered
    ]
    if counts.pending:
        problems.append(
            f"{counts.pending} events were still in the spool {_DRAIN_SECONDS:.0f} s after the load"
        )
    if counts.refused:
        problems.append(f"{counts.refused} events were not accepted")
    if counts.trouble:
        problems.append(f"{counts.trouble} deliveries failed")
    return _round("gateway", load, used, watch, drained, problems)


class _Watch:
    """Measures a process and its core from now on."""

    def __init__(self, pid: int, core: int) -> None:
        self._pid = pid
        self._core = core
        self._core_start = core_busy_seconds(core)
        self._start = cpu_time(pid)
        self._wall_start = time.monotonic()
        self.core_busy = self.wall = 0.0

    def used(self) -> CpuTime:
        """Give what the process used since the beginning."""
        used = cpu_time(self._pid).since(self._start)
        self.core_busy = core_busy_seconds(self._core) - self._core_start
        self.wall = time.monotonic() - self._wall_start
        return used


def _round(
    server: Server, load: Load, used: CpuTime, watch: _Watch, drained: float, problems: list[str]
) -> Round:
    events = max(load.answered, 1)
    return Round(
        server=server,
        events=load.answered,
        user_us=used.user * 1e6 / events,
        system_us=used.system * 1e6 / events,
        rate=load.answered / load.seconds if load.seconds else 0.0,
        p50_ms=load.p50_us / 1000,
        p99_ms=load.p99_us / 1000,
        server_core_busy=used.total / load.seconds if load.seconds else 0.0,
        others_on_server_core=max(0.0, watch.core_busy - used.total) / watch.wall,
        drain_seconds=drained,
        problems=problems,
    )


def _told(progress: Progress, server: Server) -> Callable[[float], None]:
    last = 0.0

    def tell(gone: float) -> None:
        nonlocal last
        progress(server, gone - last)
        last = gone

    return tell
