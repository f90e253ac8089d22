"""What the steps cost in their place: timed inside a whole gateway under load, not in a loop of their own.

A loop of one step finds its code and data in the processor's caches; in the gateway each step finds there what the others
left. The difference is part of the price, and only this shows it. The public methods of the steps are wrapped in a clock for
as long as it takes; calls in which another program had the core are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.traffic import COOKIE_KEY, ORIGIN, PORTAL_ID, PROP_ID, SITE
from gateway import settings, settings_web
from gateway.app import running_gateway
from gateway.delivery.target import Target
from gateway.events.pipeline import Pipeline
from gateway.ledger.sqlite import SqliteLedger
from gateway.spool.segments import SegmentSpool
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.load import Wrk

_TIMED: tuple[tuple[str, type, str], ...] = (
    ("prepare", Pipeline, "prepare"),
    ("decide", Pipeline, "decide"),
    ("ledger", SqliteLedger, "known"),
    ("append", SegmentSpool, "append"),
    ("acknowledge", SegmentSpool, "acknowledge"),
    ("journal", Journal, "decided"),
    ("render", Target, "render"),
    ("delivered", Journal, "delivered"),
)
# No call takes so long by itself: somebody else had the core, or the interpreter's lock.
_INTERRUPTED_SECONDS = 0.001


class InPlace(msgspec.Struct, frozen=True):
    """What was seen: microseconds an event of each timed method, and of the whole process."""

    steps: dict[str, float]
    whole_us: float
    problems: list[str]

    @property
    def rest_us(self) -> float:
        """What no timed method accounts for: HTTP, the event loop, task switches, threads."""
        return self.whole_us - sum(self.steps.values())


async def measure_in_place(folder: Path, wrk: Wrk, sink_port: int, seconds: int) -> InPlace:
    """Load a gateway in this process and time its steps. Raises `CannotMeasure`."""
    property_ = settings.Property(portal_id=PORTAL_ID, prop_id=PROP_ID, site=SITE, origins=(ORIGIN,))
    loaded = settings.Settings.model_construct(
        data_dir=folder / "data",
        server=settings_web.Server(port=0),
        admin=settings_web.Admin(port=0),
        collector=settings.Collector(url=f"http://127.0.0.1:{sink_port}/event"),
        logging=settings.Logging(format="json", file=str(folder / "in-place.log")),
        cookies=settings.Cookies(keys=(COOKIE_KEY,)),
        properties=(property_,),
    )
    log = open_log(loaded.logging)
    try:
        with _clocks() as taken:
            async with running_gateway(loaded, log) as running:
                port = int(running.public_url.rpartition(":")[2])
                await asyncio.to_thread(wrk.run, port, 2)
                for times in taken.values():
                    times.clear()
                start = time.process_time()
                load = await asyncio.to_thread(wrk.run, port, seconds)
                used = time.process_time() - start
    finally:
        log.close()
    events = max(load.answered, 1)
    return InPlace(
        {name: _per_event(times, events) for name, times in taken.items()}, used * 1e6 / events, load.problems
    )


def _per_event(times: list[float], events: int) -> float:
    undisturbed = [each for each in times if each < _INTERRUPTED_SECONDS]
    if not undisturbed:
        return 0.0
    return sum(undisturbed) / len(undisturbed) * len(times) / events * 1e6


@contextlib.contextmanager
def _clocks() -> Iterator[dict[str, list[float]]]:
    taken: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        for name, owner, method in _TIMED:
            taken[name] = []
            original = getattr(owner, method)
            setattr(owner, method, _clocked(original, taken[name].append))
            stack.callback(setattr, owner, method, original)
        yield taken


def _clocked(original: Callable[..., Any], note: Callable[[float], None]) -> Callable[..., Any]:
    clock = time.perf_counter

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = clock()
        result = original(*arguments, **named)
        note(clock() - start)
        return result

    return timed
