"""Sends requests that went wrong on their way to a gateway, and says what must not be: `python -m tests.fuzz --requests 1000000 --seed 1`.

Half of them go to a gateway with the fast path, half to one without. The same seed gives the same requests. Exit code 1 when something was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

import orjson
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.campaign import Report, fire


def main() -> int:
    """Fire, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many in all")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(2**32), help="for the same requests again"
    )
    parser.add_argument(
        "--path", choices=("both", "fast", "plain"), default="both", help="which way through the gateway"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args()
    ways = ("fast", "plain") if options.path == "both" else (options.path,)
    console = Console(stderr=True)
    console.print(f"seed {options.seed}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    reports: dict[str, Report] = {}
    with Progress(*columns, console=console) as progress:
        for way in ways:
            number = options.requests // len(ways)
            task = progress.add_task(way, total=number)
            with (
                tempfile.TemporaryDirectory() as folder,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                reports[way] = runner.run(
                    fire(
                        Path(folder),
                        options.seed,
                        number,
                        lambda done, task=task: progress.advance(task, done),
                        is_fast=way == "fast",
                    )
                )
    if options.json:
        sys.stdout.buffer.write(
            orjson.dumps({way: _shown(report) for way, report in reports.items()}) + b"\n"
        )
    else:
        for way, report in reports.items():
            _print(way, report)
    return int(any(report.problems for report in reports.values()))


def _shown(report: Report) -> dict[str, object]:
    sizes = report.memory_bytes or [0]
    return {
        "requests": report.requests,
        "seconds": round(report.seconds, 1),
        "answers": report.answers,
        "statuses": {str(status): count for status, count in sorted(report.statuses.items())},
        "events": report.events,
        "with_the_collector": report.collected,
        "unanswered_in_time": report.silent,
        "cut_off": report.unheard,
        "memory_mib": [size >> 20 for size in (*sizes[:: max(1, len(sizes) // 10)], sizes[-1])],
        "problems": report.problems,
    }


def _print(way: str, report: Report) -> None:
    shown = _shown(report)
    shown.pop("problems")
    sys.stdout.write(
        f"{way}\n" + "".join(f"  {name.replace('_', ' ')}: {value}\n" for name, value in shown.items())
    )
    sys.stdout.writelines(
        f"  PROBLEM ({count} times): {what}\n    {example}\n"
        for what, (count, example) in report.problems.items()
    )


if __name__ == "__main__":
    sys.exit(main())
