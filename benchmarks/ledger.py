"""What the ledger costs with ten million bindings: look-ups, binds, erasures, and the file's bytes.

``python -m benchmarks.ledger [--rows 10000000] [--file PATH] [--rounds 5] [--json] [--quick]``

The file is made once and used again; what writes is measured on a copy beside it. Each round measures everything, so that a slow
minute of the machine falls on all; medians count. Exit codes: 0 measured, whether targets are met or not; 2 it can't be measured here.
"""

from __future__ import annotations

import contextlib
import os
import resource
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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import ledger_measures as measures
from benchmarks.ledger_measures import Part
from benchmarks.ledger_report import TARGETS, Row, print_ledger
from benchmarks.ledger_rows import Population, build, check
from benchmarks.machine import CannotMeasure, describe, file_system, two_cores
from gateway.ledger.contract import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.ledger_measures import Timing

    Tell = Callable[[str, float, float], None]

_IN_MEMORY = {"tmpfs", "ramfs"}
_PAGE_BYTES = 4096

app = typer.Typer(pretty_exceptions_enable=False)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured. `others_share` is the part of the machine that other programs had meanwhile."""

    machine: dict[str, Any]
    bindings: int
    file: str
    file_bytes: int
    built_in_seconds: float
    rounds: int
    others_share: float
    rows: list[Row]
    parts: list[Part]
    cache_bytes_per_entry: float
    checked_entries_per_second: float


@app.command()
def main(
    rows: Annotated[int, typer.Option(min=10_000, help="Bindings in the file.")] = 10_000_000,
    file: Annotated[
        Path | None,
        typer.Option(
            help="The ledger to measure with: made where there is none (2 GB for 10 million, on a real disk), and kept.",
            show_default="/var/tmp/tracking-gateway-ledger-ROWS.db",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=50, help="How often everything is measured, in turns.")
    ] = 5,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="200,000 bindings, one round, nothing kept: does it work.")
    ] = False,
) -> None:
    """Measure the ledger: look-ups, binds in batches, erasures beside a gateway, bytes for each binding.

    Targets with ten million bindings: p99 of a cached look-up below 5 µs, of any other below 200 µs, 50,000 binds a second in batches of 256.
    """
    with contextlib.ExitStack() as stack:
        if quick:
            rows, rounds = 200_000, 1
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ledger-", dir="/var/tmp"))
            file = file or Path(folder) / "ledger.db"
        path = file or Path(f"/var/tmp/tracking-gateway-ledger-{rows}.db")
        try:
            found = _measure(path, rows, rounds, calls=1_000 if quick else 5_000)
        except (CannotMeasure, LedgerUnavailable) as error:
            if json:
                _print_json({"ok": False, "error": str(error)})
            else:
                sys.stderr.write(f"benchmarks: {error}\n")
            raise typer.Exit(2) from None
    if json:
        _print_json(
            {
                "ok": True,
                "missed": [row.name for row in found.rows if row.is_met is False],
                **msgspec.to_builtins(found),
            }
        )
    else:
        print_ledger(Console(), found)


def _measure(path: Path, rows: int, rounds: int, calls: int) -> Found:
    path.parent.mkdir(parents=True, exist_ok=True)
    if file_system(path.parent) in _IN_MEMORY:
        raise CannotMeasure(
            f"{path.parent} is in memory, where a sync costs nothing; name a file on a disk with --file"
        )
    population = Population(rows)
    built = 0.0
    with _progress() as tell:
        if path.exists():
            check(path, population)
        else:
            built = _build(path, population, tell)
        machine = describe(path.parent, two_cores())
        started, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
        timings: dict[str, list[Timing]] = {}
        with tempfile.TemporaryDirectory(prefix="ledger-copy-", dir=path.parent) as folder:
            copy = _copied(path, Path(folder) / "ledger.db")
            for round_ in range(rounds):
                tell(f"round {round_ + 1}", round_, rounds)
                for name, timing in _round(path, copy, rows, round_, calls).items():
                    timings.setdefault(name, []).append(timing)
        tell("the audit log", rounds, rounds)
        checked = measures.in_new_process(measures.check_speed, path, 10.0)
        spent = time.monotonic() - started
        others = (_busy_seconds() - busy) - (_own_seconds() - own)
        return Found(
            machine=machine,
            bindings=rows,
            file=str(path),
            file_bytes=path.stat().st_size,
            built_in_seconds=built,
            rounds=rounds,
            others_share=max(0.0, others) / spent / (os.cpu_count() or 1),
            rows=[_row(name, each) for name, each in timings.items()],
            parts=measures.parts(path),
            cache_bytes_per_entry=measures.in_new_process(measures.cache_bytes, path, rows),
            checked_entries_per_second=checked,
        )


def _build(path: Path, population: Population, tell: Tell) -> float:
    started = time.monotonic()
    # Under another name until it is whole, so that one that was interrupted is not measured.
    unfinished = path.with_name(f"{path.name}.unfinished")
    build(unfinished, population, lambda number: tell("making the ledger", number, population.rows))
    for suffix in ("-wal", "-shm"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    unfinished.rename(path)
    return time.monotonic() - started


def _round(path: Path, copy: Path, rows: int, round_: int, calls: int) -> dict[str, Timing]:
    numbers = (measures.claims_of(measures.STYLES) + 1_000_000) * round_
    measures.warm(path)
    found = measures.in_new_process(measures.reads, path, rows, calls, round_)
    found |= measures.in_new_process(measures.writes, copy, rows, rows + numbers, measures.STYLES)
    found |= measures.in_new_process(measures.erasure, copy, rows, round_, rows + numbers + 900_000)
    found |= measures.in_new_process(measures.cold_look_ups, path, rows, calls // 5, round_)
    return found


def _row(name: str, timings: list[Timing]) -> Row:
    target = TARGETS.get(name)
    values = [each.p99_us if each.per_second is None else each.per_second for each in timings]
    middle = statistics.median(values)
    cpu = [each.cpu_us for each in timings if each.cpu_us is not None]
    rates = [each.per_second for each in timings if each.per_second is not None]
    return Row(
        name=name,
        p50_us=statistics.median(each.p50_us for each in timings),
        p99_us=statistics.median(each.p99_us for each in timings),
        max_us=max(each.max_us for each in timings),
        per_second=statistics.median(rates) if rates else None,
        cpu_us=statistics.median(cpu) if cpu else None,
        calls=sum(each.calls for each in timings),
        lowest=min(values),
        highest=max(values),
        target=target,
        is_met=None if target is None else (middle >= target if rates else middle <= target),
    )


def _copied(path: Path, copy: Path) -> Path:
    """Copy the file in pieces as SQLite writes them, and let the disk have all of it.

    The kernel keeps what is written at once as one piece: with larger ones every change of a page would cost more than it does in a file
    that has grown by itself.
    """
    with path.open("rb") as source, copy.open("wb", buffering=0) as target:
        while piece := source.read(_PAGE_BYTES):
            target.write(piece)
        os.fsync(target.fileno())
    return copy


def _busy_seconds() -> float:
    """Give the seconds that all cores have worked for anybody."""
    first = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Give the CPU seconds of this process and of those that it has started and that ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextlib.contextmanager
def _progress() -> Iterator[Tell]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=2, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    # So that the copy goes also when the run is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
