"""Where the gateway's own thread spends its time: the whole server under load, with cProfile inside.

A profiler makes every call of Python dearer and leaves compiled code as it is, so its figures show where to look, never how
much there is to gain: for that there are the steps and the comparison. Threads (the spool's writer, the ledger's, the log's)
are not in it.
"""

from __future__ import annotations

import pstats
import re
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.gateway import running_gateway
from benchmarks.load import Wrk
from benchmarks.nginx import running_sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.machine import Cores

_PACKAGE = re.compile(r"/lib/python[\d.]+/(?:site-packages/)?([A-Za-z_0-9]+)")


_LOOP = "uvloop: its work, system calls, waiting"


class Function(msgspec.Struct, frozen=True):
    """One row: a function, how often an event calls it, and its microseconds an event, own and with all it calls."""

    name: str
    calls: float
    own_us: float
    total_us: float


class Profile(msgspec.Struct, frozen=True):
    """What was seen: the functions with the most time of their own, and the same time by package."""

    events: int
    functions: list[Function]
    packages: dict[str, float]


def profile(
    seconds: int,
    connections: int,
    top: int,
    cores: Cores,
    folder: Path,
    requests: Path,
    progress: Callable[[str, float], None],
) -> Profile:
    """Load a gateway that runs under cProfile and give its `top` functions by own time. Raises `CannotMeasure`."""
    dump = folder / "profile"
    interpreter = (sys.executable, "-m", "cProfile", "-o", str(dump))
    wrk = Wrk(requests, cores.load, connections)
    with (
        running_sink(folder / "sink", cores.load) as sink,
        running_gateway(folder / "gateway", cores.server, sink.port, interpreter) as gateway,
    ):
        load = wrk.run(gateway.port, seconds, lambda gone: progress("profiling", gone))
    return _read(dump, load.answered, top)


def _read(dump: Path, events: int, top: int) -> Profile:
    # pstats keeps its table in an attribute that its documentation does not mention, and nowhere else.
    table = pstats.Stats(str(dump)).stats  # type: ignore[attr-defined]
    functions: list[Function] = []
    packages: dict[str, float] = {}
    for (file, line, name), (_, calls, own, total, _) in table.items():
        own_us, total_us = own * 1e6 / events, total * 1e6 / events
        package = _package(file, name)
        functions.append(Function(_label(file, line, name), calls / events, own_us, total_us))
        packages[package] = packages.get(package, 0.0) + own_us
    functions.sort(key=lambda each: each.own_us, reverse=True)
    ordered = sorted(packages.items(), key=lambda each: each[1], reverse=True)
    return Profile(events, functions[:top], dict(ordered[:12]))


def _package(file: str, name: str) -> str:
    if _is_loop(file, name):
        return _LOOP
    if "/gateway/" in file:
        return "gateway." + file.rpartition("/gateway/")[2].removesuffix(".py").replace("/", ".")
    found = _PACKAGE.search(file)
    if found:
        return found[1]
    if file == "~":
        return "compiled code that Python calls"
    return file


def _is_loop(file: str, name: str) -> bool:
    """Tell whether this is the call that runs the event loop: what is its own is uvloop's work, and waiting."""
    return name == "run" and file.endswith("asyncio/runners.py")


def _label(file: str, line: int, name: str) -> str:
    if _is_loop(file, name):
        return _LOOP
    if file == "~":
        return name.strip("<>")
    short = file.rpartition("/gateway/")[2] if "/gateway/" in file else "/".join(file.split("/")[-2:])
    return f"{short}:{line} {name}"
