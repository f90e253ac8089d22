"""What the spool costs: ``python -m benchmarks.spool [backlog | gateway | compression]``.

Without a command: clients append one payload after the other while a reader takes and acknowledges them all, as in the gateway. Exit
codes: 0 measured, 1 the run is void, 2 it can't be measured here. With ``--json`` standard output is one JSON document.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
import typer
import uvloop
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.compare import Plan
from benchmarks.machine import CannotMeasure, describe, file_system, two_cores
from benchmarks.nginx import binary
from benchmarks.spool_backlog import Backlog, measure_backlog
from benchmarks.spool_compression import measure_compression
from benchmarks.spool_nginx import compare_durability, total_seconds
from benchmarks.steps import Bench
from benchmarks.traffic import make_hits, write_hits
from gateway.spool.disk import Disk
from gateway.spool.segments import open_segment_spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.spool_nginx import Lane

    Tell = Callable[[str, float], None]

CLIENTS = (1, 8, 64, 256)
_DISK = Path("/var/tmp")
_IN_MEMORY = {"tmpfs", "ramfs"}
_SMALL_BACKLOG = 20_000
OPEN_SECONDS, PEAK_MIB = 2.0, 200.0
"""What a backlog of five million may cost at most."""

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="A small run: does it work, and roughly how much.")
]
SizeOption = Annotated[int, typer.Option(min=16, max=100_000, help="Bytes of a payload.")]
DiskOption = Annotated[
    Path, typer.Option(help="A folder on the disk to measure with; what is written there is thrown away.")
]


class TimedDisk(Disk):
    """Adds up the time that groups spend in writes and syncs."""

    def __init__(self):
        super().__init__()
        self.groups = 0
        self.write_seconds = 0.0
        self.sync_seconds = 0.0

    def write(self, descriptor, data, offset, what):
        """Write, and add the time up when it is a group."""
        started = time.perf_counter()
        super().write(descriptor, data, offset, what)
        if what == "group":
            self.write_seconds += time.perf_counter() - started

    def sync(self, descriptor, what):
        """Sync, and add the time up when it is a group."""
        started = time.perf_counter()
        super().sync(descriptor, what)
        if what == "group":
            self.groups += 1
            self.sync_seconds += time.perf_counter() - started


async def measure(directory: Path, clients: int, seconds: float, size: int) -> dict[str, float]:
    disk = TimedDisk()
    spool = await open_segment_spool(directory, disk=disk)
    payload = [os.urandom(size)]
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def client():
        while (started := time.perf_counter()) < deadline:
            await spool.append(payload)
            latencies.append(time.perf_counter() - started)

    async def reader():
        while True:
            for entry in await spool.read(1000):
                spool.acknowledge(entry.position)

    reading = asyncio.create_task(reader())
    started, loop_cpu, all_cpu = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    elapsed = time.perf_counter() - started
    loop_cpu, all_cpu = time.thread_time() - loop_cpu, time.process_time() - all_cpu
    reading.cancel()
    await spool.close()
    latencies.sort()
    count = len(latencies)
    return {
        "clients": clients,
        "durable_per_second": count / elapsed,
        "payloads_per_group": count / disk.groups,
        "loop_cpu_us": loop_cpu / count * 1e6,
        "process_cpu_us": all_cpu / count * 1e6,
        "sync_share": disk.sync_seconds / elapsed,
        "write_share": disk.write_seconds / elapsed,
        "sync_ms": disk.sync_seconds / disk.groups * 1e3,
        "p50_ms": latencies[count // 2] * 1e3,
        "p99_ms": latencies[count * 99 // 100] * 1e3,
        "worst_ms": latencies[-1] * 1e3,
    }


async def measure_calls(directory: Path, size: int) -> dict[str, float]:
    """Time the two calls of the hot path alone, without any task that waits."""
    spool = await open_segment_spool(directory)
    payload = [os.urandom(size)]
    append_us, acknowledge_us = [], []
    for _ in range(50):
        started = time.perf_counter()
        for _ in range(199):
            spool.append(payload)
        append_us.append((time.perf_counter() - started) / 199 * 1e6)
        await spool.append(payload)
        positions = []
        while len(positions) < 200:
            positions += [entry.position for entry in await spool.read(200 - len(positions))]
        started = time.perf_counter()
        for position in positions:
            spool.acknowledge(position)
        acknowledge_us.append((time.perf_counter() - started) / 200 * 1e6)
    await spool.close()
    return {"append_us": sorted(append_us)[25], "acknowledge_us": sorted(acknowledge_us)[25]}


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    directory: DiskOption = _DISK,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each number of clients.")] = 2.0,
    size: SizeOption = 1200,
    *,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Measure how fast the spool alone makes payloads durable, and where the time goes.

    `backlog` measures what five million waiting events cost, `gateway` what durability costs the whole gateway, beside nginx,
    `compression` whether compressing would pay.
    """
    if context.invoked_subcommand is not None:
        return
    seconds = 0.5 if quick else seconds
    with _explained(as_json=json), _folder(directory) as root, _progress(len(CLIENTS) + 1) as tell:
        rows = []
        for clients in CLIENTS:
            tell(f"{clients} clients", 0)
            rows.append(uvloop.run(measure(root / str(clients), clients, seconds, size)))
            tell("", 1)
        calls = uvloop.run(measure_calls(root / "calls", size))
    if json:
        _print_json({"ok": True, "size": size, "runs": rows, "calls": calls})
        return
    headings = (
        "clients", "durable/s", "a group", "loop µs", "CPU µs", "syncing", "writing", "sync ms", "p50", "p99", "worst",
    )  # fmt: skip
    cells = [
        (
            f"{row['clients']:.0f}",
            f"{row['durable_per_second']:,.0f}",
            f"{row['payloads_per_group']:.1f}",
            f"{row['loop_cpu_us']:.1f}",
            f"{row['process_cpu_us']:.1f}",
            f"{row['sync_share']:.0%}",
            f"{row['write_share']:.0%}",
            *(f"{row[key]:.2f}" for key in ("sync_ms", "p50_ms", "p99_ms", "worst_ms")),
        )
        for row in rows
    ]
    _print_table(f"Segment spool, payloads of {size} bytes, in {directory}", headings, cells)
    print(
        f"append(): {calls['append_us']:.2f} µs a call; acknowledge(): {calls['acknowledge_us']:.2f} µs a call"
    )


@app.command()
def backlog(
    records: Annotated[int, typer.Option(min=1_000, help="How many events wait.")] = 5_000_000,
    size: SizeOption = 1200,
    directory: DiskOption = _DISK,
    *,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Measure a long backlog: opening it with cold files, the memory it takes, and draining it, beside a short one.

    Needs about 1.3 KB of disk for each record: 6.5 GB for five million.
    """
    records = 200_000 if quick else records
    with _explained(as_json=json), _folder(directory) as root:
        free = os.statvfs(root)
        if free.f_bavail * free.f_frsize < records * (size + 100) * 1.1:
            raise CannotMeasure("not enough free disk: fewer --records, or another --directory")
        with _progress(2 * (records + _SMALL_BACKLOG)) as tell:
            found = [measure_backlog(root / str(n), n, size, tell) for n in (_SMALL_BACKLOG, records)]
    small, large = found
    problems = [f"{each.lost} of {each.records} records were lost" for each in found if each.lost]
    targets = {
        f"opened within {OPEN_SECONDS:.0f} s": large.open_seconds < OPEN_SECONDS,
        f"below {PEAK_MIB:.0f} MiB": large.peak_mib < PEAK_MIB,
        "draining takes no more CPU than a short backlog, but for a quarter": large.drain_us
        < 1.25 * small.drain_us,
    }
    if json:
        _print_json({"ok": not problems, "problems": problems, "targets": targets, "runs": found})
    else:
        headings = ("pending", "files", "open s", "MB", "append", "drain/s", "min", "max", "drain", "MiB")  # fmt: skip
        _print_table(f"A backlog, payloads of {size} bytes", headings, map(_backlog_cells, found))
        print(
            "MB: read while opening, with nothing of the files in the system's memory. append, drain: µs of CPU. min, max: of ten equal parts.\nMiB: the most memory that the whole process ever had."
        )
        for name, is_met in targets.items():
            print(f"{'met' if is_met else 'MISSED'}: {name}")
        for problem in problems:
            print(f"VOID: {problem}")
    raise typer.Exit(1 if problems else 0)


def _backlog_cells(each: Backlog) -> tuple[str, ...]:
    return (
        f"{each.records:,}",
        f"{each.files}",
        f"{each.open_seconds:.2f}",
        f"{each.bytes_read_at_opening / 1e6:.1f}",
        f"{each.append_us:.1f}",
        f"{each.rate:,.0f}",
        f"{min(each.rates):,.0f}",
        f"{max(each.rates):,.0f}",
        f"{each.drain_us:.2f}",
        f"{each.peak_mib:.0f}",
    )


@app.command()
def gateway(
    seconds: Annotated[int, typer.Option(min=1, max=120, help="Load in each round.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often each is measured, in turns.")] = 3,
    connections: Annotated[
        int, typer.Option(min=1, max=1_000, help="Clients that send at the same time.")
    ] = 64,
    directory: DiskOption = _DISK,
    *,
    quick: QuickOption = False,
    json: JsonOption = False,
) -> None:
    """Measure what durability costs the whole gateway: `fsync`, `os`, and nginx's `proxy_pass`, in turns in one run."""
    plan = Plan(2 if quick else seconds, 1 if quick else rounds, connections, binary() is not None)
    with _explained(as_json=json), _folder(directory) as root:
        cores = two_cores()
        requests = root / "requests"
        write_hits(make_hits(5_000), requests, is_lean=False)
        machine = describe(root, cores)
        with _progress(total_seconds(plan)) as tell:
            lanes = compare_durability(plan, cores, root, requests, tell)
    problems = [problem for lane in lanes for problem in lane.problems]
    if json:
        _print_json({"ok": not problems, "problems": problems, "machine": dict(machine), "lanes": lanes})
    else:
        _print_table(
            f"{connections} connections, {plan.seconds} s a round, medians of {plan.rounds}",
            ("", "ev/s", "of nginx", "p50", "p99", "µs/ev", "syncing", "ev/sync", "busy", "others"),
            [_lane_cells(lane, lanes) for lane in lanes if lane.rounds],
        )
        print(
            "ev/s: events answered; the gateway's were accepted, durable as the name says, logged, and later delivered.\n"
            "of nginx: median of neighbouring rounds. p50, p99: ms. syncing: the part of the load's time in which a group\n"
            "was being synced. busy, others: what the server and other programs took of the server's core."
        )
        for problem in problems:
            print(f"VOID: {problem}")
    raise typer.Exit(1 if problems else 0)


def _lane_cells(lane: Lane, lanes: Sequence[Lane]) -> tuple[str, ...]:
    share, syncing, per_sync = "", "", ""
    if lanes[0].name == "nginx":
        pairs = zip(lane.rounds, lanes[0].rounds, strict=False)
        share = f"{statistics.median(mine.rate / its.rate for mine, its in pairs):.2f}"
    if lane.sync_shares:
        syncing = f"{statistics.median(lane.sync_shares):.0%}"
        per_sync = f"{statistics.median(lane.events_per_sync):.0f}"
    return (
        lane.name,
        f"{lane.median('rate'):,.0f}",
        share,
        *(f"{lane.median(name):.0f}" for name in ("p50_ms", "p99_ms", "us")),
        syncing,
        per_sync,
        *(f"{lane.median(name):.0%}" for name in ("server_core_busy", "others_on_server_core")),
    )


@app.command()
def compression(*, json: JsonOption = False) -> None:
    """Measure what compressing the spool's groups would save, and what it would cost."""
    with _explained(as_json=json):
        pack = msgspec.msgpack.Encoder().encode
        payloads = [pack(record) for record in Bench(1, 5_000).records()]
        found = measure_compression(payloads)
    mean = sum(map(len, payloads)) / len(payloads)
    if json:
        _print_json({"ok": True, "mean_bytes": mean, "runs": found})
        return
    cells = [
        (each.name, f"{each.group}", f"{each.left:.0%}", f"{each.pack_us:.1f}", f"{each.unpack_us:.1f}")
        for each in found
    ]
    _print_table(
        f"Records of {mean:.0f} bytes",
        ("", "events a group", "bytes left", "pack µs/ev", "unpack µs/ev"),
        cells,
    )


def _print_table(
    title: str, headings: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]
) -> None:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@contextlib.contextmanager
def _folder(directory: Path) -> Iterator[Path]:
    """Give a folder on a real disk that is thrown away. Raises `CannotMeasure`."""
    if not directory.is_dir():
        raise CannotMeasure(f"{directory} is no folder; name one with --directory")
    if file_system(directory) in _IN_MEMORY:
        raise CannotMeasure(
            f"{directory} is in memory, where a sync costs nothing; name one on a disk with --directory"
        )
    with tempfile.TemporaryDirectory(dir=directory, prefix="spool-benchmark-") as root:
        yield Path(root)


@contextlib.contextmanager
def _progress(total: float) -> Iterator[Tell]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
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
        if as_json:
            _print_json({"ok": False, "error": str(error)})
        else:
            print(f"benchmarks.spool: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


def _print_json(value: Any) -> None:
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    sys.stdout.buffer.write(orjson.dumps(msgspec.to_builtins(value), option=options))


if __name__ == "__main__":
    # So that servers and folders go also when the run is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
