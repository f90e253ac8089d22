"""What a person or a program reads of a measurement: tables, or one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich import box
from rich.markup import escape
from rich.table import Table

from benchmarks.compare import PROTOTYPE_RATIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from benchmarks.compare import Comparison, Round, Server
    from benchmarks.in_place import InPlace
    from benchmarks.instructions import Instructions
    from benchmarks.profiling import Profile
    from benchmarks.steps import Step

_DISTURBED = 0.1
_NUMBERS = (
    "per_cpu_second", "us", "user_us", "system_us", "rate", "p50_ms", "p99_ms", "server_core_busy", "others_on_server_core",
)  # fmt: skip


def print_machine(console: Console, machine: Mapping[str, Any]) -> None:
    """Say on what was measured."""
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores (server on {machine['server_core']}, load on {machine['load_core']}); "
        f"Python {machine['python']}, aiohttp {machine['aiohttp']}; data on {machine['file_system']}, "
        f"fdatasync {machine['fdatasync_ms']} ms; load average {machine['load_average']}",
        style="dim",
        highlight=False,
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Show every round, the medians, and what they come to."""
    for problem in comparison.problems:
        console.print(f"[bold red]VOID[/bold red] {escape(problem)}", highlight=False)
    if not comparison.rounds:
        return
    servers: list[Server] = [each for each in ("nginx", "gateway") if comparison.of(each)]
    table = Table(
        title=f"{comparison.connections} connections, {comparison.seconds} s a round",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for name in ("ev/CPU s", "µs/ev", "own", "kernel", "ev/s", "p50 ms", "p99 ms", "busy"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, each in enumerate(comparison.rounds):
        table.add_row(f"{each.server} {index // len(servers) + 1}", *_cells(_values(each)), style="dim")
    table.add_section()
    for server in servers:
        medians = {name: comparison.median(server, name) for name in _NUMBERS}
        table.add_row(f"median {server}", *_cells(medians), style="bold")
    console.print(table)
    console.print(
        "ev: an event; nginx has forwarded it, the gateway accepted, made durable, logged and forwarded it. µs: of CPU, in the "
        "server's own code and in the kernel. busy: how much of its core the server used while the load ran.",
        style="dim",
        highlight=False,
    )
    if comparison.ratio is not None:
        spread = f"{min(comparison.ratios):.3f} to {max(comparison.ratios):.3f}"
        console.print(
            f"[bold]gateway / nginx = {comparison.ratio:.3f}[/bold] events per CPU second "
            f"({spread}, pairs: {len(comparison.ratios)}; "
            f"the prototype's plain aiohttp reached {PROTOTYPE_RATIO})",
            highlight=False,
        )
    others = max(each.others_on_server_core for each in comparison.rounds)
    if others > _DISTURBED:
        console.print(
            f"[yellow]Other programs and the kernel took up to {others:.0%} of the server's core:[/yellow] compare the ratio, not "
            "rates and latencies.",
            highlight=False,
        )
    if not comparison.problems:
        console.print(
            "Each event was answered, accepted, logged, delivered and received exactly once, by five independent counts.",
            style="dim",
            highlight=False,
        )


def comparison_json(machine: Mapping[str, Any], comparison: Comparison) -> dict[str, Any]:
    """Give the same as one document."""
    servers: list[Server] = ["nginx", "gateway"]
    return {
        "ok": not comparison.problems,
        "problems": comparison.problems,
        "machine": dict(machine),
        "connections": comparison.connections,
        "seconds": comparison.seconds,
        "ratio": comparison.ratio,
        "ratios": comparison.ratios,
        "prototype_ratio": PROTOTYPE_RATIO,
        "median": {
            server: {name: comparison.median(server, name) for name in _NUMBERS}
            for server in servers
            if comparison.of(server)
        },
        "rounds": [{**msgspec.to_builtins(each), **_values(each)} for each in comparison.rounds],
    }


def print_steps(console: Console, steps: Sequence[Step], in_place: InPlace | None) -> None:
    """Show the steps, their parts and the sum; and where it was measured, what they cost in a whole gateway."""
    total = sum(step.us for step in steps if step.is_counted)
    table = Table(title="CPU µs an event", title_justify="left")
    table.add_column("step")
    table.add_column("by itself", justify="right")
    table.add_column("in place", justify="right")
    table.add_column("", style="dim", overflow="fold")
    places = in_place.steps if in_place else {}
    for step in steps:
        place = f"{places[step.place]:.1f}" if step.place in places else ""
        if step.is_counted:
            table.add_row(escape(step.name), f"{step.us:.1f}", place, escape(step.note))
        else:
            name, us = f"[dim]  · {escape(step.name)}[/dim]", f"[dim]{step.us:.1f}[/dim]"
            table.add_row(name, us, place, escape(step.note))
    if in_place:
        table.add_row(
            "the rest of the whole", "", f"{in_place.rest_us:.1f}", "HTTP, event loop, task switches, threads"
        )
    table.add_section()
    whole = f"[bold]{in_place.whole_us:.1f}[/bold]" if in_place else ""
    table.add_row("[bold]together[/bold]", f"[bold]{total:.1f}[/bold]", whole, "without the rows with a dot")
    console.print(table)
    console.print(
        "By itself: in a loop, with warm caches. In place: inside a whole gateway under load. Rows with a dot are parts or special "
        "cases of the row above.",
        style="dim",
        highlight=False,
    )
    for problem in in_place.problems if in_place else ():
        console.print(f"[bold red]VOID[/bold red] in place: {escape(problem)}", highlight=False)


def steps_json(machine: Mapping[str, Any], steps: Sequence[Step], in_place: InPlace | None) -> dict[str, Any]:
    """Give the same as one document."""
    return {
        "ok": not (in_place and in_place.problems),
        "machine": dict(machine),
        "total_us": sum(step.us for step in steps if step.is_counted),
        "steps": msgspec.to_builtins(steps),
        "in_place": msgspec.to_builtins(in_place),
    }


def print_instructions(console: Console, rows: Sequence[Instructions]) -> None:
    """Show the instructions of each step, and their sum."""
    table = Table(title="instructions an event", title_justify="left")
    table.add_column("step")
    table.add_column("thousands", justify="right")
    for row in rows:
        name = escape(row.name) if row.is_counted else f"[dim]  · {escape(row.name)}[/dim]"
        table.add_row(name, f"{row.each / 1000:,.1f}", style="" if row.is_counted else "dim")
    table.add_section()
    table.add_row("[bold]together[/bold]", f"[bold]{_sum_of(rows) / 1000:,.1f}[/bold]")
    console.print(table)
    console.print(
        "Without sockets, disk, threads and kernel. Rows with a dot are special cases of the row above.",
        style="dim",
        highlight=False,
    )


def instructions_json(rows: Sequence[Instructions]) -> dict[str, Any]:
    """Give the same as one document."""
    return {"ok": True, "total": _sum_of(rows), "steps": msgspec.to_builtins(rows)}


def _sum_of(rows: Sequence[Instructions]) -> float:
    return sum(row.each for row in rows if row.is_counted)


def print_profile(console: Console, profile: Profile) -> None:
    """Show the functions with the most time of their own, and the time by package."""
    table = Table(title=f"µs an event under cProfile, {profile.events} events", title_justify="left")
    for name in ("own", "with callees", "calls"):
        table.add_column(name, justify="right")
    table.add_column("function", overflow="fold")
    for each in profile.functions:
        table.add_row(f"{each.own_us:.1f}", f"{each.total_us:.1f}", f"{each.calls:.2f}", escape(each.name))
    console.print(table)
    packages = Table(title="own time by package", title_justify="left")
    packages.add_column("µs", justify="right")
    packages.add_column("package")
    for name, own_us in profile.packages.items():
        packages.add_row(f"{own_us:.1f}", escape(name))
    console.print(packages)
    console.print(
        "cProfile makes calls of Python dearer than they are: look here for where, and in `steps` for how much. Rows with 0.00 calls "
        "are start-up.",
        style="dim",
        highlight=False,
    )


def _values(round_: Round) -> dict[str, float]:
    return {name: getattr(round_, name) for name in _NUMBERS}


def _cells(values: Mapping[str, float]) -> list[str]:
    return [
        f"{values['per_cpu_second']:,.0f}",
        *(f"{values[name]:.1f}" for name in ("us", "user_us", "system_us")),
        f"{values['rate']:,.0f}",
        f"{values['p50_ms']:.2f}",
        f"{values['p99_ms']:.2f}",
        f"{values['server_core_busy']:.0%}",
    ]
