"""The command line of the measurements: ``python -m benchmarks [steps | profile | instructions]``.

Exit codes: 0 measured, 1 the run is void, 2 it can't be measured here. With ``--json`` standard output is one JSON document.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import orjson
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import report
from benchmarks.compare import Plan, compare
from benchmarks.load import Wrk
from benchmarks.machine import CannotMeasure, describe, file_system, two_cores
from benchmarks.nginx import binary, running_sink
from benchmarks.traffic import make_hits, write_hits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.in_place import InPlace
    from benchmarks.machine import Cores
    from benchmarks.steps import Step

    Tell = Callable[[str, float], None]

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="""Begin with `python -m benchmarks --quick`. The figure to compare is **gateway / nginx**: absolute figures belong to the
machine and the hour. `benchmarks/README.md` says how to read the rest. Needs `wrk`, and `nginx` to compare with.""",
)

_DISK = Path("/var/tmp")
_IN_MEMORY = {"tmpfs", "ramfs"}

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="One short round: does it work, and roughly how much.")
]
DiskOption = Annotated[
    Path, typer.Option(help="A folder on the disk to measure with; what is written there is thrown away.")
]
UidsOption = Annotated[int, typer.Option(min=100, max=100_000, help="How many visitors the traffic has.")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    seconds: Annotated[int, typer.Option(min=1, max=120, help="Load in each round.")] = 6,
    rounds: Annotated[
        int, typer.Option(min=1, max=50, help="How often each server is measured, in turns.")
    ] = 3,
    connections: Annotated[
        int, typer.Option(min=1, max=1_000, help="Clients that send at the same time.")
    ] = 64,
    uids: UidsOption = 5_000,
    data_dir: DiskOption = _DISK,
    *,
    lean: Annotated[
        bool, typer.Option("--lean", help="Heads of four fields, as load generators send, not a browser's.")
    ] = False,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Measure what an event costs: events per CPU second of the gateway, and of nginx's `proxy_pass` in the same run.

    A real `tracking-gateway serve` on one core takes events, makes them durable, logs them and forwards them to a collector that
    answers everything; wrk and that collector have the other core. In turns with it, nginx passes the same requests to the same
    collector. CPU time is that of the server's process, all threads, until its spool has drained. A run in which the counts
    of client, gateway, log and collector do not agree to the last event is void.

    `steps` says where the time goes, `profile` which functions take it, `instructions` what a change saves on a busy machine too.
    """
    if context.invoked_subcommand is not None:
        return
    plan = Plan(
        seconds=2 if quick else seconds,
        rounds=1 if quick else rounds,
        connections=connections,
        with_nginx=binary() is not None,
    )
    if not plan.with_nginx:
        print(
            "benchmarks: nginx is not installed: the gateway is measured alone, without a ratio",
            file=sys.stderr,
        )
    with _explained(as_json=json), _prepared(data_dir, uids, is_lean=lean) as (folder, cores, requests):
        machine = describe(folder, cores)
        with _progress(plan.total_seconds) as tell:
            comparison = compare(plan, cores, folder, requests, tell)
    if json:
        _print_json(report.comparison_json(machine, comparison))
    else:
        console = Console()
        report.print_machine(console, machine)
        report.print_comparison(console, comparison)
    raise typer.Exit(1 if comparison.problems else 0)


@app.command()
def steps(
    data_dir: DiskOption = _DISK,
    uids: UidsOption = 5_000,
    *,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Measure each step of an event by itself: HTTP, decode, claim, ledger, decide, spool, log, forward.

    CPU microseconds of this process: by itself in a loop (medians), and in place inside a whole gateway under load. Without wrk
    the second column and the row of HTTP are missing.
    """
    with _explained(as_json=json), _prepared(data_dir, uids) as (folder, cores, requests):
        machine = describe(folder, cores)
        os.sched_setaffinity(0, {cores.server})
        with _progress(8) as tell:
            rows, in_place = _steps(folder, cores, requests, 3 if quick else 7, uids, tell)
    if json:
        _print_json(report.steps_json(machine, rows, in_place))
    else:
        console = Console()
        report.print_machine(console, machine)
        report.print_steps(console, rows, in_place)


@app.command()
def profile(
    seconds: Annotated[int, typer.Option(min=1, max=120, help="Load under the profiler.")] = 8,
    connections: Annotated[
        int, typer.Option(min=1, max=1_000, help="Clients that send at the same time.")
    ] = 64,
    top: Annotated[int, typer.Option(min=1, max=500, help="How many functions to show.")] = 25,
    data_dir: DiskOption = _DISK,
    uids: UidsOption = 5_000,
    *,
    json: JsonOption = False,
) -> None:
    """Load a whole gateway under cProfile and show the functions with the most time of their own."""
    from benchmarks.profiling import profile as measure  # noqa: PLC0415 -- the name is the command's here

    with (
        _explained(as_json=json),
        _prepared(data_dir, uids) as (folder, cores, requests),
        _progress(seconds) as tell,
    ):
        found = measure(seconds, connections, top, cores, folder, requests, tell)
    if json:
        _print_json(found)
    else:
        report.print_profile(Console(), found)


@app.command()
def instructions(
    events: Annotated[int, typer.Option(min=50, max=1_000, help="Events that are counted.")] = 300,
    uids: UidsOption = 1_000,
    data_dir: DiskOption = _DISK,
    *,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Count the instructions of an event, step by step: the same figures on a quiet machine and on a busy one.

    The steps of our own code run under valgrind's callgrind, without sockets, disk and kernel. Needs `valgrind`, and none of the rest.
    """
    from benchmarks.instructions import count_instructions  # noqa: PLC0415 -- half a second of imports

    with (
        _explained(as_json=json),
        tempfile.TemporaryDirectory(prefix="tracking-gateway-bench-", dir=data_dir) as name,
        _progress(1) as tell,
    ):
        tell("counting", 0)
        rows = count_instructions(100 if quick else events, uids, Path(name))
    if json:
        _print_json(report.instructions_json(rows))
    else:
        report.print_instructions(Console(), rows)


def _steps(
    folder: Path, cores: Cores, requests: Path, repeats: int, uids: int, tell: Tell
) -> tuple[list[Step], InPlace | None]:
    # Half a second of imports that `--help` need not wait for.
    from benchmarks import edges  # noqa: PLC0415
    from benchmarks.in_place import measure_in_place  # noqa: PLC0415
    from benchmarks.steps import Bench, pure_steps  # noqa: PLC0415

    bench, wrk = Bench(repeats, uids), Wrk(requests, cores.load, 64)
    if not wrk.is_installed():
        print("benchmarks: wrk is not installed: no row of HTTP and no column `in place`", file=sys.stderr)

    async def measure() -> tuple[list[Step], InPlace | None]:
        rows: list[Step] = []
        tell("HTTP", 0)
        if wrk.is_installed():
            rows.append(await edges.http_step(bench, wrk, max(1, repeats // 3)))
        tell("pipeline", 1)
        rows += pure_steps(bench)
        tell("ledger", 3)
        rows += await edges.ledger_steps(bench, folder)
        tell("spool", 1)
        rows += await edges.spool_steps(bench, folder)
        tell("journal", 1)
        rows += edges.journal_steps(bench, folder)
        tell("forwarder", 1)
        with running_sink(folder / "sink", cores.load) as sink:
            rows += await edges.forward_steps(bench, folder, sink)
            tell("the whole", 1)
            in_place = await measure_in_place(folder, wrk, sink.port, repeats) if wrk.is_installed() else None
        return rows, in_place

    return uvloop.run(measure())


@contextlib.contextmanager
def _prepared(data_dir: Path, uids: int, *, is_lean: bool = False) -> Iterator[tuple[Path, Cores, Path]]:
    """Give a folder on a real disk that is thrown away, the cores, and the file of requests. Raises `CannotMeasure`."""
    if not data_dir.is_dir():
        raise CannotMeasure(f"{data_dir} is no folder; name one with --data-dir")
    if file_system(data_dir) in _IN_MEMORY:
        raise CannotMeasure(
            f"{data_dir} is in memory, where a sync costs nothing; name a folder on a disk with --data-dir"
        )
    cores = two_cores()
    with tempfile.TemporaryDirectory(prefix="tracking-gateway-bench-", dir=data_dir) as name:
        folder = Path(name)
        requests = folder / "requests"
        write_hits(make_hits(uids), requests, is_lean=is_lean)
        yield folder, cores, requests


@contextlib.contextmanager
def _progress(total: float) -> Iterator[Tell]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    # Redrawing costs the load's core time: twice a second is enough.
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=2, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda what, more: bar.update(task, description=what, advance=more)


@contextlib.contextmanager
def _explained(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except CannotMeasure as error:
        _fail(str(error), as_json=as_json)


def _fail(message: str, *, as_json: bool) -> NoReturn:
    if as_json:
        _print_json({"ok": False, "error": message})
    else:
        print(f"benchmarks: {message}", file=sys.stderr)
    raise typer.Exit(2)


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(
        orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


if __name__ == "__main__":
    # So that servers and folders go also when the run is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
