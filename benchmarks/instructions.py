"""How many instructions an event takes, step by step: the same on a quiet machine and on a busy one.

`benchmarks.counted` runs the steps in a process of its own under valgrind's callgrind, which executes every instruction of the
process itself and counts them. What the kernel does is not in it, nor what waiting for memory costs. Two runs differ by
about one in a hundred, whatever else the machine does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.counted import Counted
from benchmarks.machine import CannotMeasure

if TYPE_CHECKING:
    from pathlib import Path

_TOTALS = re.compile(rb"^totals: (\d+)$", re.MULTILINE)
_SECONDS = 600


class Instructions(msgspec.Struct, frozen=True):
    """One row: a step, its instructions an event (or each time it is taken), and whether it is part of the sum."""

    name: str
    each: float
    is_counted: bool


def count_instructions(events: int, uids: int, folder: Path) -> list[Instructions]:
    """Run the steps of so many events under callgrind. Raises `CannotMeasure`."""
    if shutil.which("valgrind") is None:
        raise CannotMeasure(
            "valgrind is not installed: it counts the instructions (apt-get install valgrind)"
        )
    out = folder / "callgrind"
    done = subprocess.run(
        [
            *(
                "valgrind",
                "--quiet",
                "--tool=callgrind",
                "--dump-before=getloadavg",
                f"--callgrind-out-file={out}",
            ),
            *(sys.executable, "-m", "benchmarks.counted", str(folder), str(events), str(uids)),
        ],
        # The same hashes of texts in every run, so the same walks through dictionaries.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stderr=subprocess.PIPE,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise CannotMeasure(f"the steps failed under valgrind: {said[-600:]}")
    steps = msgspec.json.decode((folder / "steps.json").read_bytes(), type=list[Counted])
    # Callgrind numbers what it writes: odd ones up to a step's beginning, even ones from there to its end.
    totals = [_total(folder / f"callgrind.{2 * number}") for number in range(1, len(steps) + 1)]
    nothing = totals[0] / steps[0].events
    return [
        Instructions(step.name, total / step.events - nothing, step.is_counted)
        for step, total in zip(steps[1:], totals[1:], strict=True)
    ]


def _total(path: Path) -> int:
    found = _TOTALS.search(path.read_bytes())
    if found is None:
        raise CannotMeasure(f"callgrind's file {path.name} has no total")
    return int(found[1])
