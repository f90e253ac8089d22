"""What a person reads of a measured ledger: the calls beside their targets, and where the file's bytes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich import box
from rich.table import Table

from benchmarks.report import print_machine

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.ledger import Found

TARGETS = {
    "look-up, cached": 5.0,
    "look-up, bound": 200.0,
    "look-up, unknown": 200.0,
    "bind 256": 50_000.0,
}
"""The p99 in µs that a look-up must stay below, and the binds a second that must be reached."""

_DISTURBED = 0.1


class Row(msgspec.Struct, frozen=True):
    """One kind of call: medians over the rounds, the longest call of all, and how far the rounds lie apart.

    `lowest`, `highest`, `target` and `is_met` are about `per_second` where there is one, else about `p99_us`.
    """

    name: str
    p50_us: float
    p99_us: float
    max_us: float
    per_second: float | None
    cpu_us: float | None
    calls: int
    lowest: float
    highest: float
    target: float | None
    is_met: bool | None


def print_ledger(console: Console, found: Found) -> None:
    """Show the calls, the file, and what disturbed them."""
    print_machine(console, found.machine)
    made = f", made in {found.built_in_seconds:,.0f} s" if found.built_in_seconds else ""
    console.print(
        f"{found.bindings:,} bindings in {found.file}{made}; rounds: {found.rounds}",
        highlight=False,
        soft_wrap=True,
    )
    table = _table("A call, medians of the rounds")
    for name in ("p50", "p99", "max", "binds/s", "CPU", "target", "spread"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(
            row.name,
            *map(_duration, (row.p50_us, row.p99_us, row.max_us)),
            "" if row.per_second is None else f"{row.per_second:,.0f}",
            "" if row.cpu_us is None else _duration(row.cpu_us),
            _target(row),
            _spread(row),
        )
    console.print(table)
    parts = _table(f"{found.file_bytes:,} bytes, {found.file_bytes / found.bindings:.1f} for each binding")
    for name in ("bytes a binding", "of the file", "filled"):
        parts.add_column(name, justify="right", no_wrap=True)
    for part in found.parts:
        if part.file_bytes > found.file_bytes / 1000:
            parts.add_row(
                part.name,
                f"{part.file_bytes / found.bindings:.1f}",
                f"{part.file_bytes / found.file_bytes:.0%}",
                f"{part.content_bytes / part.file_bytes:.0%}",
            )
    console.print(parts)
    console.print(
        f"A binding that is kept in memory takes {found.cache_bytes_per_entry:,.0f} bytes. `ledger verify` reads "
        f"{found.checked_entries_per_second:,.0f} entries a second.",
        highlight=False,
    )
    console.print(
        "By the wall clock, nothing subtracted. CPU: of one binding, all threads. spread: the lowest and the highest round, of binds/s or p99. A look-up that is not cached: "
        "in a process that has read nothing before, the file in the system's memory, or not (on disk).",
        style="dim",
        highlight=False,
    )
    missed = [row.name for row in found.rows if row.is_met is False]
    if missed:
        console.print(f"[bold red]Missed:[/bold red] {'; '.join(missed)}", highlight=False)
    if found.others_share > _DISTURBED:
        console.print(
            f"[yellow]Other programs had {found.others_share:.0%} of the machine meanwhile.[/yellow]",
            highlight=False,
        )


def _duration(us: float) -> str:
    """Give a time in three digits, in the unit that suits it."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} µs"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    limit = f"≥ {row.target:,.0f}" if row.per_second is not None else f"< {_duration(row.target)}"
    return f"[green]{limit}[/green]" if row.is_met else f"[bold red]{limit}[/bold red]"


def _spread(row: Row) -> str:
    """Give how far the lowest and the highest round lie from the median."""
    middle = row.p99_us if row.per_second is None else row.per_second
    return f"{row.lowest / middle - 1:+.0%} {row.highest / middle - 1:+.0%}"


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    return table
