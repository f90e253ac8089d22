"""Runs a gateway and adds up, in a file, how long its spool's groups were being synced.

``python -m benchmarks.timed_gateway FILE -m gateway serve …``. The file is 16 bytes: how many syncs, and their seconds.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

from gateway.spool.disk import Disk

_FORMAT = struct.Struct("<qd")


class Syncs(NamedTuple):
    """How many there were, and how many seconds they took."""

    count: int
    seconds: float


def read_syncs(path: Path) -> Syncs:
    """Give what a gateway has added up so far."""
    return Syncs(*_FORMAT.unpack(path.read_bytes()))


def main() -> None:
    """Time the syncs of the gateway that the rest of the arguments run."""
    path = Path(sys.argv[1])
    path.write_bytes(_FORMAT.pack(0, 0.0))
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), _FORMAT.size)
    sync = Disk.sync
    count, seconds = 0, 0.0

    def timed(disk: Disk, descriptor: int, what: str) -> None:
        nonlocal count, seconds
        started = time.perf_counter()
        sync(disk, descriptor, what)
        if what == "group":
            count += 1
            seconds += time.perf_counter() - started
            memory[:] = _FORMAT.pack(count, seconds)

    Disk.sync = timed  # type: ignore[method-assign]
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
