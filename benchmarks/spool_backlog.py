"""What a long backlog costs: opening it, the memory for it, draining it, appending behind it.

Each spool is filled, dropped from the system's memory, and opened by a process of its own, whose memory is that process's peak.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from gateway.spool.disk import Disk
from gateway.spool.segments import open_segment_spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Tell = Callable[[str, float], None]

_BATCH = 500
_SLICES = 10
_READ = 256
_APPENDS = 20_000
_MAX_BYTES = 1 << 40


class Backlog(msgspec.Struct, frozen=True):
    """What a spool with so many pending records cost. `rates` are records a second, for each tenth of the backlog."""

    records: int
    payload_bytes: int
    files: int
    open_seconds: float
    bytes_read_at_opening: int
    open_mib: float
    first_read_seconds: float
    append_us: float
    rates: list[float]
    drain_us: float
    peak_mib: float
    lost: int

    @property
    def rate(self) -> float:
        """Records a second, the median of the tenths."""
        return statistics.median(self.rates)


class _CountingDisk(Disk):
    def __init__(self):
        super().__init__()
        self.bytes_read = 0

    def read(self, path, offset, length):
        data = super().read(path, offset, length)
        self.bytes_read += len(data)
        return data


def measure_backlog(directory: Path, records: int, size: int, tell: Tell) -> Backlog:
    """Fill a spool, and measure opening and draining it; `tell` hears what goes on and how many records are done."""
    uvloop.run(_fill(directory, records, size, tell))
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_drain_apart, args=(theirs, directory, records, size))
    process.start()
    theirs.close()
    while not isinstance(said := ours.recv(), Backlog):
        tell("draining", said)
    process.join()
    return said


async def _fill(directory: Path, records: int, size: int, tell: Tell) -> None:
    spool = await open_segment_spool(directory, max_bytes=_MAX_BYTES)
    block = os.urandom(size + 4096)
    pending: set[asyncio.Future[None]] = set()
    for first in range(0, records, _BATCH):
        count = min(_BATCH, records - first)
        payloads = [b"%016d" % n + block[n % 4096 :][: size - 16] for n in range(first, first + count)]
        pending.add(spool.append(payloads))
        if len(pending) > 8:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        tell("filling", count)
    if pending:
        await asyncio.wait(pending)
    await spool.close()


def _drain_apart(connection: Connection, directory: Path, records: int, size: int) -> None:
    connection.send(uvloop.run(_drain(directory, records, size, connection.send)))


async def _drain(directory: Path, records: int, size: int, tell: Callable[[int], None]) -> Backlog:
    disk = _CountingDisk()
    files = len(list(directory.glob("*.segment")))
    started = time.perf_counter()
    spool = await open_segment_spool(directory, max_bytes=_MAX_BYTES, disk=disk)
    open_seconds = time.perf_counter() - started
    bytes_read, open_mib = disk.bytes_read, _memory_mib("VmRSS")
    assert records == spool.pending
    started = time.perf_counter()
    entries = await spool.read(_READ)
    first_read_seconds = time.perf_counter() - started

    payload = [os.urandom(size)]
    cpu = time.process_time()
    for _ in range(_APPENDS // 200):
        await asyncio.wait([spool.append(payload) for _ in range(200)])
    append_us = (time.process_time() - cpu) / _APPENDS * 1e6

    rates: list[float] = []
    seen, expected = 0, records + _APPENDS
    cpu, slice_started, slice_end = time.process_time(), time.perf_counter(), expected // _SLICES
    while True:
        for entry in entries:
            spool.acknowledge(entry.position)
        seen += len(entries)
        tell(len(entries))
        if seen >= slice_end:
            now = time.perf_counter()
            rates.append(expected / _SLICES / (now - slice_started))
            slice_started, slice_end = now, slice_end + expected // _SLICES
        if seen >= expected:
            break
        entries = await spool.read(_READ)
        # As the forwarder does: others have their turn.
        await asyncio.sleep(0)
    drain_us = (time.process_time() - cpu) / expected * 1e6
    lost = spool.pending + spool.damaged
    await spool.close()
    return Backlog(
        records,
        size,
        files,
        open_seconds,
        bytes_read,
        open_mib,
        first_read_seconds,
        append_us,
        rates[:_SLICES],
        drain_us,
        _memory_mib("VmHWM"),
        lost,
    )


def _memory_mib(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
