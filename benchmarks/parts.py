"""What each part of an event's way costs that reads, judges or adds something: ``python -m benchmarks.parts [--json] [--rounds N]``.

Consent, masking, bots, duplicates, enrichment, the tracking plan and the others run inside the real pipeline, with the traffic of the comparison and all that a gateway
has around it (country database, tracking plan, memory of duplicates), and a clock around each part. Two columns: with the settings as they come, and with everything
switched on that can be. What the clock itself takes is measured and taken off. Time is CPU time of this thread, and of several rounds the one in the middle counts.

*By difference* is the same without clocks: the whole pipeline, less the pipeline with every part that can be switched off switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import inspect
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.steps import fresh_stamp, unbound
from benchmarks.traffic import COOKIE_KEY, ORIGIN, PORTAL_ID, PROP_ID, SITE, make_hits
from gateway import settings
from gateway.events.pipeline import Pipeline
from gateway.plugins.running import PluginRunner
from gateway.surroundings import open_world
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND_US = 15.0
"""What all parts together may cost an ordinary event."""

_EVENTS = 1_000
_INTERRUPTED = 100e-6

PARTS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    (
        "consent",
        1.0,
        (
            "gateway.events.consenting:Consents.policy",
            "gateway.events.consenting:ConsentPolicy.hear",
            "gateway.events.consenting:Hearing.of",
            "gateway.events.consenting:ConsentPolicy.refusal",
            "gateway.events.admission:decided",
        ),
    ),
    ("transformations", 0.5, ("gateway.events.transformations:Transformations.apply",)),
    (
        "duplicates",
        1.5,
        tuple(f"gateway.events.duplicates:Duplicates.{name}" for name in ("mark", "begin", "settle")),
    ),
    ("Python hook", 0.5, ("gateway.plugins.running:PluginRunner.hook",)),
    (
        "masking",
        4.0,
        (
            "gateway.events.masking:Masking.request",
            "pipeline:_first_look",
            "gateway.events.masking:Masking.mask",
        ),
    ),
    ("tracking plan", 1.5, ("gateway.events.plan_step:PlanStep.look",)),
    ("network and geo", 1.5, ("gateway.events.network:Network.add",)),
    ("device", 1.0, ("gateway.events.device:Devices.add",)),
    ("bots", 0.5, ("gateway.events.bots:Bots.judge", "gateway.events.bots:add")),
    (
        "campaign",
        1.5,
        (
            "gateway.events.campaign:Campaigns.landing",
            "gateway.events.campaign:Campaigns.add",
            "gateway.events.visits:Visits._add_touches",
        ),
    ),
    ("session", 1.0, ("gateway.events.visits:Visits._visit", "gateway.events.visits:Visits._add_session")),
    ("clock", 0.5, ("gateway.events.admission:sent_ms", "gateway.events.clock:Clock.add")),
    ("moment and page", 1.0, ("gateway.events.moments:add", "gateway.events.page:add")),
)
"""Each part: its name, what it may cost in microseconds, and the calls that are it, none within another; `pipeline` is the pipeline that is measured."""

_PROPERTY: dict[str, Any] = {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": SITE, "origins": (ORIGIN,)}
_COMMON: dict[str, Any] = {
    "cookies": {"keys": (COOKIE_KEY,)},
    "limits": {"uid_events_per_second": 0, "address_events_per_second": 0},
}
BARE: dict[str, Any] = {
    "privacy": {"url_scrubbing": False},
    "duplicates": {"dedup_window_seconds": 0},
    "tracking_plan": {"standard": "off"},
    "geo": {"enabled": False},
    "device": {"client_hints": "off"},
    "bots": {"mode": "off"},
}
"""Settings that switch off every part that can be."""
EVERYTHING: dict[str, Any] = {
    "consent": {
        "mode": "require",
        "signals": ("gpc", "dnt", "cookie", "header", "event", "tcf"),
        "cookie": "consent",
        "header": "X-Consent",
    },
    "network": {"client_address": "truncate"},
    "bots": {"mode": "drop", "honeypot_path": "/trap"},
    "session": {"new_at_midnight": True},
    "campaign": {"meta_ids": True},
    "duplicates": {"content_window_seconds": 5},
    "tracking_plan": {"standard": "quarantine", "mark_events": True},
    "device": {"client_hints": "high"},
    "privacy": {
        "phone_regions": ("VN", "TH", "SG"),
        "id_patterns": {"member": "MB[0-9]{8}"},
        "drop_parameters": ("session",),
    },
    "transformations": (
        {"event": "*", "steps": ({"set": "extra.shop", "value": "north"}, {"remove": "extra.debug"})},
        {"event": "product/view", "steps": ({"rename": "extra.page_kind", "to": "extra.page_type"},)},
    ),
}
"""Settings that switch on every part that can be."""


class Row(msgspec.Struct, frozen=True):
    """One part: its name, its bound, and microseconds an event with the settings as they come, and with everything on."""

    name: str
    bound_us: float
    default_us: float
    everything_us: float


class Report(msgspec.Struct, frozen=True):
    """The parts, and the whole pipeline without clocks: bare, with the settings as they come, with everything on."""

    parts: list[Row]
    bare_us: float
    default_us: float
    everything_us: float


def make_settings(folder: Path, more: dict[str, Any]) -> settings.Settings:
    """Give the settings of one shop with these sections."""
    values = {**_COMMON, "data_dir": folder, "properties": (_PROPERTY,), **more}
    # The environment is not asked: it may hold the settings of this machine's own gateway.
    fields = {name: value for name, value in settings.Settings.model_fields.items() if name in values}
    made = {name: _validated(field.annotation, values[name]) for name, field in fields.items()}
    return settings.Settings.model_construct(**made)


def _validated(kind: Any, value: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(kind).validate_python(value)


@contextlib.asynccontextmanager
async def _pipeline(folder: Path, more: dict[str, Any]) -> Any:
    made = make_settings(folder, more)
    log = open_log(settings.Logging(format="json", file=os.devnull))
    metrics = Metrics()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(log.close)
        journal = Journal(log, metrics)
        world, _ = await open_world(made, journal, metrics, stack, is_first=True)
        if world.seen is not None:
            # A page that was written back is taken in hand anew by the kernel, some µs each: under load one event in a hundred meets one.
            getattr(world.seen, "warm_up")()  # noqa: B009 -- more than the core asks of it
        if more is EVERYTHING:
            # No entry point is installed for a measurement.
            runner = PluginRunner([("benchmark", _plugin)], made, journal)
            stack.callback(runner.close)
            world = msgspec.structs.replace(world, hook=runner.hook)
        yield Pipeline(made, world)


def _plugin(event: dict[str, Any], context: object) -> dict[str, Any]:
    del context
    event.setdefault("extra", {})["brand"] = "north"
    return event


def _sent(hit: Any, request_id: str, *, agrees: bool) -> Any:
    """Give a hit's request, of a visitor who has agreed to be measured, where she is asked."""
    request = hit.request(request_id)
    if not agrees:
        return request
    head = msgspec.structs.replace(request.head, cookie=f"{request.head.cookie}; consent=granted")
    return msgspec.structs.replace(request, head=head)


def _round(pipeline: Pipeline, hits: list[Any], round_: int, *, agrees: bool) -> float:
    """Take all events once, and give the microseconds of each."""
    requests = [
        (_sent(hit, f"{round_:016x}{index:016x}", agrees=agrees), fresh_stamp())
        for index, hit in enumerate(hits)
    ]
    gc.collect()
    gc.freeze()
    start = time.process_time()
    for request, stamp in requests:
        prepared = pipeline.prepare(request, stamp)
        if pipeline.duplicates is not None:
            pipeline.duplicates.begin(prepared)
        decision = pipeline.decide(prepared, unbound(prepared))
        if pipeline.duplicates is not None:
            pipeline.duplicates.settle(prepared, decision)
    used = time.process_time() - start
    gc.unfreeze()
    return used * 1e6 / len(requests)


def find(target: str, pipeline: Pipeline) -> tuple[Any, str, Callable[..., Any]]:
    """Give what holds a call of `PARTS`, its name there, and the call."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    root = pipeline if module == "pipeline" else importlib.import_module(module)
    holder = functools.reduce(getattr, owners, root)
    return holder, name, getattr(holder, name)


@contextlib.asynccontextmanager
async def _clocked_pipeline(folder: Path, more: dict[str, Any]) -> Any:
    """Give a pipeline with a clock around each call of `PARTS`, and the times that they take, in seconds."""
    taken: dict[str, list[float]] = {target: [] for _, _, targets in PARTS for target in targets}
    early, late = (
        [each for each in taken if each.startswith("pipeline:") is is_late] for is_late in (False, True)
    )
    with contextlib.ExitStack() as stack:

        def wind(target: str, pipeline: Any) -> None:
            holder, name, original = find(target, pipeline)
            as_it_was = inspect.getattr_static(holder, name)
            clocked = _clocked(original, taken[target])
            setattr(holder, name, staticmethod(clocked) if isinstance(as_it_was, staticmethod) else clocked)
            stack.callback(setattr, holder, name, as_it_was)

        for each in early:
            # Before the pipeline is made: it takes some of them in hand.
            wind(each, None)
        async with _pipeline(folder, more) as pipeline:
            for each in late:
                wind(each, pipeline)
            yield pipeline, taken


def _clocked(original: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    clock, note = time.thread_time, times.append

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = clock()
        try:
            return original(*arguments, **named)
        finally:
            note(clock() - start)

    return timed


def _clock_us() -> float:
    """Give what the clock shows of a call that does nothing."""
    times: list[float] = []
    nothing = _clocked(lambda *_, **__: None, times)
    for _ in range(20_000):
        nothing(1, 2, 3)
    return statistics.median(times) * 1e6


def _us(times: list[float], events: int, clock_us: float) -> float:
    undisturbed = [each for each in times if each < _INTERRUPTED]
    if not undisturbed:
        return 0.0
    each = sum(undisturbed) / len(undisturbed) * 1e6 - clock_us
    return max(0.0, each) * len(times) / events


async def _whole(folder: Path, more: dict[str, Any], hits: list[Any], rounds: int) -> float:
    async with _pipeline(folder, more) as pipeline:
        _round(pipeline, hits, 0, agrees=more is EVERYTHING)
        return statistics.median(
            _round(pipeline, hits, number + 1, agrees=more is EVERYTHING) for number in range(rounds)
        )


async def _by_part(folder: Path, more: dict[str, Any], hits: list[Any], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    async with _clocked_pipeline(folder, more) as (pipeline, taken):
        _round(pipeline, hits, 0, agrees=more is EVERYTHING)
        clock_us = _clock_us()
        for number in range(rounds):
            for times in taken.values():
                times.clear()
            _round(pipeline, hits, number + 1, agrees=more is EVERYTHING)
            for target, times in taken.items():
                found.setdefault(target, []).append(_us(times, len(hits), clock_us))
    return {target: statistics.median(each) for target, each in found.items()}


async def measure(folder: Path, rounds: int) -> Report:
    """Measure all of it."""
    hits = make_hits(1_000)[:_EVENTS]
    folders = [folder / name for name in ("bare", "default", "everything", "clocked", "clocked-everything")]
    for each in folders:
        each.mkdir()
    default = await _by_part(folders[3], {}, hits, rounds)
    everything = await _by_part(folders[4], EVERYTHING, hits, rounds)
    rows = [
        Row(name, bound, sum(default[each] for each in targets), sum(everything[each] for each in targets))
        for name, bound, targets in PARTS
    ]
    wholes = [
        await _whole(where, more, hits, rounds)
        for where, more in zip(folders, (BARE, {}, EVERYTHING), strict=False)
    ]
    return Report(rows, *wholes)


def print_report(console: Console, report: Report) -> None:
    """Show the parts, their share of the bound, and their sum."""
    table = Table(title=f"CPU µs an event, of {BOUND_US:.0f}", title_justify="left")
    table.add_column("part")
    for name in ("default", "share", "everything on", "share", "bound"):
        table.add_column(name, justify="right")
    for row in report.parts:
        over = "[bold red]" if row.default_us > row.bound_us else ""
        table.add_row(
            row.name,
            f"{over}{row.default_us:.2f}",
            f"{row.default_us / BOUND_US:.0%}",
            f"{row.everything_us:.2f}",
            f"{row.everything_us / BOUND_US:.0%}",
            f"{row.bound_us:.1f}",
        )
    table.add_section()
    sums = [sum(row.default_us for row in report.parts), sum(row.everything_us for row in report.parts)]
    table.add_row(
        "[bold]together[/bold]",
        *(cell for each in sums for cell in (f"[bold]{each:.2f}", f"{each / BOUND_US:.0%}")),
        f"{BOUND_US:.1f}",
    )
    differences = [report.default_us - report.bare_us, report.everything_us - report.bare_us]
    table.add_row(
        "by difference",
        *(cell for each in differences for cell in (f"{each:.2f}", f"{each / BOUND_US:.0%}")),
        "",
    )
    console.print(table)
    console.print(
        f"The whole pipeline, without clocks: {report.bare_us:.1f} bare, {report.default_us:.1f} as the settings come, {report.everything_us:.1f} with everything on. "
        "The ordinary event of the mix: page and product views, one sign-in in ten.",
        style="dim",
        highlight=False,
    )


def main(
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="How often everything is measured; the middle one counts.")
    ] = 9,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Measure each part of an event's way beside the bound that all of them share."""
    with tempfile.TemporaryDirectory(prefix="tracking-gateway-bench-") as name:
        report = asyncio.run(measure(Path(name), rounds))
    if json:
        print(orjson.dumps(report, default=msgspec.to_builtins).decode())
    else:
        print_report(Console(), report)


if __name__ == "__main__":
    typer.run(main)
