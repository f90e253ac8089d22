"""What the operating system knows: CPU time of a process and of a core, the file system under a folder, the machine.

Linux only: it reads `/proc`.
"""

from __future__ import annotations

import os
import platform
import statistics
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class CannotMeasure(Exception):
    """The machine lacks something that the measurement needs: what, and what to do."""


class CpuTime(NamedTuple):
    """CPU seconds that a process has used, all threads, in its own code and in the kernel on its behalf."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both together, in seconds."""
        return self.user + self.system

    def since(self, earlier: CpuTime) -> CpuTime:
        """Give what was used since an earlier reading."""
        return CpuTime(self.user - earlier.user, self.system - earlier.system)


class Cores(NamedTuple):
    """The two cores of a run: the measured server has one to itself, load generator and collector share the other."""

    server: int
    load: int


def two_cores() -> Cores:
    """Choose two cores that this process may use. Raises `CannotMeasure` when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise CannotMeasure("two cores are needed, one for the server and one for the load; there is one")
    siblings = _text(f"/sys/devices/system/cpu/cpu{usable[0]}/topology/thread_siblings_list")
    others = [core for core in usable[1:] if str(core) not in _expanded(siblings)]
    return Cores(usable[0], (others or usable[1:])[-1])


def pinned(core: int, *command: str) -> list[str]:
    """Give the command that runs on this core alone; the process id stays that of the command."""
    return ["taskset", "--cpu-list", str(core), *command]


def cpu_time(pid: int) -> CpuTime:
    """Give the CPU time of a process so far, from `/proc/PID/stat`. Raises `CannotMeasure` when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise CannotMeasure(f"process {pid} ended while it was measured") from None
    return CpuTime(int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)


def core_busy_seconds(core: int) -> float:
    """Give the seconds this core has worked for anybody, from `/proc/stat`."""
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS
    raise CannotMeasure(f"/proc/stat does not know core {core}")


def children(pid: int) -> list[int]:
    """Give the process ids of a process's children."""
    return [int(child) for child in _text(f"/proc/{pid}/task/{pid}/children").split()]


def file_system(folder: Path) -> str:
    """Give the type of the file system that holds a folder, such as `ext4`."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, type_, *_ = line.split()
        if len(mount) >= len(best) and folder.resolve().is_relative_to(mount.replace("\\040", " ")):
            best, kind = mount, type_
    return kind


def sync_milliseconds(folder: Path, times: int = 30) -> float:
    """Give the median time of a 4 KB write and `fdatasync` in this folder."""
    path = folder / "sync-probe"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, bytes(4096 * times), 0)
        os.fsync(descriptor)
        found = []
        for index in range(times):
            start = time.perf_counter()
            os.pwrite(descriptor, os.urandom(4096), 4096 * index)
            os.fdatasync(descriptor)
            found.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(found)


def describe(folder: Path, cores: Cores) -> dict[str, str | float | int]:
    """Say on what was measured, for the report."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _text("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "server_core": cores.server,
        "load_core": cores.load,
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version() + _build(),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
        "data_dir": str(folder),
        "file_system": file_system(folder),
        "fdatasync_ms": round(sync_milliseconds(folder), 3),
    }


def _build() -> str:
    """Say of a Python without profile-guided optimisation that it is one: it is slower by a third."""
    return (
        ""
        if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
        else " (not optimised)"
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _expanded(list_: str) -> set[str]:
    """Read the kernel's list of cores: `0,2-3`."""
    found: set[str] = set()
    for part in filter(None, list_.split(",")):
        first, _, last = part.partition("-")
        found |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return found
