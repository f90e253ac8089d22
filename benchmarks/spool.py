"""How fast the segment spool makes payloads durable, and where the time goes.

`python benchmarks/spool.py [--directory DIR] [--seconds 2] [--size 1200] [--json]`: clients append one payload after the
other while a reader takes and acknowledges them all, as in the gateway. The directory decides which disk is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from gateway.spool.disk import Disk
from gateway.spool.segments import open_segment_spool

CLIENTS = (1, 8, 64, 256)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number of clients")
    parser.add_argument("--size", type=int, default=1200, help="bytes of a payload")
    parser.add_argument("--json", action="store_true", help="machine-readable, to standard output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="spool-benchmark-") as root:
        rows = [
            uvloop.run(measure(Path(root) / str(clients), clients, options.seconds, options.size))
            for clients in CLIENTS
        ]
        calls = uvloop.run(measure_calls(Path(root) / "calls", options.size))
    if options.json:
        print(json.dumps({"size": options.size, "runs": rows, "calls": calls}, indent=2))
        return
    table = Table(title=f"Segment spool, payloads of {options.size} bytes, in {options.directory}")
    headings = (
        "clients",
        "durable/s",
        "per group",
        "loop CPU µs",
        "CPU µs",
        "in fsync",
        "in write",
        "fsync ms",
        "p50 ms",
        "p99 ms",
        "worst ms",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row['clients']:.0f}",
            f"{row['durable_per_second']:,.0f}",
            f"{row['payloads_per_group']:.1f}",
            f"{row['loop_cpu_us']:.1f}",
            f"{row['process_cpu_us']:.1f}",
            f"{row['sync_share']:.0%}",
            f"{row['write_share']:.0%}",
            *(f"{row[key]:.2f}" for key in ("sync_ms", "p50_ms", "p99_ms", "worst_ms")),
        )
    console = Console()
    console.print(table)
    console.print(
        f"append(): {calls['append_us']:.2f} µs a call; acknowledge(): {calls['acknowledge_us']:.2f} µs a call"
    )


if __name__ == "__main__":
    main()
