"""What slow clients cost the others: ``python -m benchmarks.slowloris [--sockets 2000] [--json]``.

A real `tracking-gateway serve` takes a steady, light traffic of events, whose latencies are measured, while a process of its own holds
sockets that dribble: a head or a body, a byte each second, and begins anew with each that is cut off. Rounds without and with them take
turns, on the same gateway and the same connections. Exit codes: 0 measured, 1 the run is void, 2 it can't be measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from benchmarks.gateway import running_gateway
from benchmarks.machine import CannotMeasure, two_cores
from benchmarks.traffic import QUERY, make_hits

if TYPE_CHECKING:
    from benchmarks.gateway import Gateway
    from benchmarks.traffic import Hit

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_HEAD = (
    b"POST /event?"
    + QUERY.encode()
    + b"slow HTTP/1.1\r\nHost: track.shop.example\r\nContent-Type: application/json\r\nX-Slow: "
)
_BODY = _HEAD + b"y\r\nContent-Length: 5000\r\n\r\n{"
_CLIENTS = 20
_DRIBBLE_SECONDS = 1.0
_SETTLE_SECONDS = 2.0
_DISK = Path("/var/tmp")


class Round(msgspec.Struct, frozen=True):
    """One stretch of traffic: how many events, their latencies in milliseconds, and how many slow sockets there were."""

    sockets: int
    events: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Sink(asyncio.Protocol):
    """A collector that takes everything."""

    def __init__(self):
        self._held = b""

    def connection_made(self, transport):
        """Remember whom to answer."""
        self._transport = transport

    def data_received(self, data):
        """Answer each whole request."""
        self._held += data
        while True:
            head, end, rest = self._held.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if end else 0
            if not end or len(rest) < size:
                return
            self._held = rest[size:]
            self._transport.write(_OK)


class Slow(asyncio.Protocol):
    """A client that has time: one byte each second, and again from the beginning when it was cut off."""

    def __init__(self, crowd):
        self._crowd = crowd
        self.transport = None

    def connection_made(self, transport):
        """Begin a head, or a head and a body."""
        self.transport = transport
        self._crowd.connected.add(self)
        transport.write(random.choice((_HEAD, _BODY)))

    def connection_lost(self, _exc):
        """Count it; the crowd opens another."""
        self._crowd.connected.discard(self)


class Crowd:
    """So many slow clients."""

    def __init__(self, port, number):
        self._port = port
        self._number = number
        self.connected = set()
        self.opened = 0

    async def dribble(self):
        """Keep them all connected, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            missing = self._number - len(self.connected)
            for _ in range(missing):
                with contextlib.suppress(OSError):
                    await loop.create_connection(lambda: Slow(self), "127.0.0.1", self._port)
                    self.opened += 1
            for place, each in enumerate(list(self.connected)):
                if not each.transport.is_closing():
                    each.transport.write(b"x")
                if place % 50 == 49:
                    # Spread over the second, as clients of their own would be.
                    await asyncio.sleep(_DRIBBLE_SECONDS * 0.8 * 50 / self._number)
            await asyncio.sleep(max(0.0, started + _DRIBBLE_SECONDS - loop.time()))


async def _attack(port, number):
    crowd = Crowd(port, number)
    task = asyncio.create_task(crowd.dribble())
    while len(crowd.connected) < number * 0.95 and not task.done():
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await task


async def _client(
    port: int, hits: list[Hit], rate: float, ends: float, found: list[float], failed: list[str]
) -> None:
    """Send events over one connection, at a rate by the clock, and note how long each answer takes."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = loop.time() + random.random() / rate
    while due < ends:
        await asyncio.sleep(max(0.0, due - loop.time()))
        tail = random.choice(hits).tail(is_lean=False)
        # From when it was due: a client that waits for the one before it waits too.
        writer.write(b"POST /event?%s%032x%s" % (QUERY.encode(), random.getrandbits(120), tail))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        found.append(loop.time() - due)
        if not head.startswith(b"HTTP/1.1 200 "):
            failed.append(head[:60].decode("latin-1"))
        due += 1 / rate
    writer.close()


async def _round(port: int, hits: list[Hit], rate: float, seconds: float, sockets: int) -> Round:
    ends = asyncio.get_running_loop().time() + seconds
    found: list[float] = []
    failed: list[str] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(_client(port, hits, rate / _CLIENTS, ends, found, failed))
    if failed or not found:
        raise CannotMeasure(f"{len(failed)} of {len(found)} events were not taken: {failed[:1]}")
    cuts = statistics.quantiles(found, n=100)
    return Round(sockets, len(found), cuts[49] * 1000, cuts[98] * 1000, max(found) * 1000)


async def _measure(gateway: Gateway, options: argparse.Namespace, core: int) -> list[Round]:
    hits = make_hits(500)
    rounds: list[Round] = []
    await _round(gateway.port, hits, options.rate, 2.0, 0)
    for number in range(2 * options.rounds):
        sockets = options.sockets if number % 2 else 0
        if not sockets:
            rounds.append(await _round(gateway.port, hits, options.rate, options.seconds, 0))
            continue
        command = [
            sys.executable,
            "-m",
            "benchmarks.slowloris",
            "--attack",
            str(gateway.port),
            "--sockets",
            str(sockets),
        ]
        process = await asyncio.create_subprocess_exec(
            "taskset", "-c", str(core), *command, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            await asyncio.wait_for(process.stdout.readline(), 60)
            await asyncio.sleep(_SETTLE_SECONDS)
            rounds.append(await _round(gateway.port, hits, options.rate, options.seconds, sockets))
            if process.returncode is not None:
                raise CannotMeasure("the slow clients ended before the round did")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
    return rounds


async def _run(options: argparse.Namespace) -> list[Round]:
    cores = two_cores()
    sink = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    port = sink.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(dir=_DISK) as folder:
        stack = contextlib.ExitStack()
        # Its start and end are waited for in threads: the sink is in this loop.
        gateway = await asyncio.to_thread(
            stack.enter_context, running_gateway(Path(folder) / "g", cores.server, port)
        )
        try:
            return await _measure(gateway, options, cores.load)
        finally:
            await asyncio.to_thread(stack.close)
            sink.close()


def _tell(rounds: list[Round]) -> None:
    for each in rounds:
        print(f"{each.sockets:6} slow sockets: {each.events} events, p50 {each.p50_ms:.2f} ms, p99 {each.p99_ms:.2f} ms, "
              f"longest {each.longest_ms:.1f} ms")  # fmt: skip
    ratios = [two.p99_ms / one.p99_ms for one, two in zip(rounds[::2], rounds[1::2], strict=True)]
    print(
        f"p99 with them / without, by pairs: {', '.join(f'{each:.2f}' for each in ratios)}; median {statistics.median(ratios):.2f}"
    )


def main() -> int:
    """Measure, or be the slow ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slowloris", description=__doc__)
    parser.add_argument("--sockets", type=int, default=2_000, help="slow clients at once (2000)")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second of the others (200)")
    parser.add_argument(
        "--seconds", type=float, default=25.0, help="of each round (25: longer than limits.head_seconds)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs of rounds (3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--attack", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, options.sockets + 500)), hard))
    if options.attack:
        uvloop.run(_attack(options.attack, options.sockets))
        return 0
    try:
        rounds = uvloop.run(_run(options))
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(msgspec.json.encode({"at": int(time.time()), "rounds": rounds}).decode())
    else:
        _tell(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
