"""What the QA addon adds to mitmproxy: ``python -m benchmarks.qa [--quick] [--json] [--requests N] [--rounds N] [--answer-ms MS]``.

Two mitmdumps run throughout, one alone and one with the addon, and get the same calls in turns, one call at a time over kept connections: nine that are not
tracking (a page of 20 KB) and one that is (the comparison's own events), shuffled by a seed. Of each pair of neighbouring rounds the quotient is taken, of all pairs the
median; a first pair fills caches. *Latency* is what the client waits, by its clock; *CPU* the time of the mitmdump process, which other programs disturb less. The
origin answers after `--answer-ms`: 0 is the harshest, since nothing hides what is added; sites take 20 and more. `--flows N` sends as many through the one
with the addon and tells how its memory grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import CannotMeasure, cpu_time
from benchmarks.traffic import COOKIE_KEY, ORIGIN, PORTAL_ID, PROP_ID, QUERY, SITE, make_hits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.traffic import Hit

ROOT = Path(__file__).parents[1]
BOUND = 0.05
_SHARE = 10
_PAGE = b"<p>" + b"tea " * 5_000
_ANSWER = b'{"status":"ok"}'
# Two addresses of this machine, so that one is the site and the other its collector.
_SITE, _COLLECTOR = "127.0.0.1", "127.0.0.2"
_CONFIG = f"""
[collector]
url = "https://a.cdp.asia/event"

[cookies]
keys = ["{COOKIE_KEY}"]

[[properties]]
portal_id = "{PORTAL_ID}"
prop_id = "{PROP_ID}"
site = "{SITE}"
origins = ["{ORIGIN}"]

[qa]
tracking_hosts = ["{_COLLECTOR}"]
"""


class Round(NamedTuple):
    """One round through one proxy: milliseconds that the client waited for each call, on average and half of them, and CPU milliseconds of mitmdump for each."""

    mean_ms: float
    median_ms: float
    cpu_ms: float


class Gain(NamedTuple):
    """What is added, as a share: the median of all pairs, and the quarters around it."""

    median: float
    low: float
    high: float

    def words(self) -> str:
        """Say it."""
        return f"{self.median:+.1%} (middle half {self.low:+.1%} … {self.high:+.1%})"


class Proxy:
    """A mitmdump process, and one kept connection to it for each host."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = 0
        self.process: asyncio.subprocess.Process | None = None
        self._streams: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it and wait until it takes connections. Raises `CannotMeasure`."""
        self.folder.mkdir()
        command = ROOT / ".venv-qa/bin/mitmdump"
        if not command.exists():
            raise CannotMeasure("there is no mitmdump: run `make qa` first")
        with (self.folder / "out").open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                command, "-q", "--listen-host", "127.0.0.1", "--listen-port", "0", "--set", f"confdir={self.folder}", *self.arguments,
                stdout=output, stderr=output, cwd=ROOT,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.port:
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise CannotMeasure(f"mitmdump does not start: {(self.folder / 'out').read_text()[-500:]}")
            await asyncio.sleep(0.1)
            self.port = _listening_port(self.process.pid)

    async def ask(self, host: str, request: bytes) -> None:
        """Send a request and read its whole answer. Raises `CannotMeasure` for one that is none of the origin's."""
        if host not in self._streams:
            self._streams[host] = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams[host]
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise CannotMeasure(f"an answer is {head[:80]!r}")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)

    async def stop(self) -> None:
        """End it."""
        for _, writer in self._streams.values():
            writer.close()
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self.process.wait(), 60)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


def _listening_port(pid: int) -> int:
    """Give the port on which a process listens; 0 for none yet."""
    sockets = set()
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            sockets.add(str(each.readlink()))
    for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].partition(":")[2], 16)
    return 0


@contextlib.asynccontextmanager
async def _origin(answer_ms: float) -> AsyncIterator[dict[str, int]]:
    """Serve the site and its collector; gives the port of each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r")[0]
                await reader.readexactly(int(length or 0))
                if answer_ms:
                    await asyncio.sleep(answer_ms / 1000)
                body = _ANSWER if head.startswith(b"post") else _PAGE
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for host in (_SITE, _COLLECTOR):
            server = await asyncio.start_server(serve, host, 0)
            stack.callback(server.close)
            ports[host] = server.sockets[0].getsockname()[1]
        yield ports


class Traffic:
    """The calls, in an order that a seed fixes; each event has an id of its own."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._dice = random.Random(365)
        self._hits: list[Hit] = make_hits(250)
        self._ports = ports
        self._sent = 0

    def calls(self, number: int) -> list[tuple[str, bytes]]:
        """Give so many calls, each with its host."""
        kinds = [index % _SHARE == 0 for index in range(number)]
        self._dice.shuffle(kinds)
        return [self._event() if is_tracking else self._page() for is_tracking in kinds]

    def _page(self) -> tuple[str, bytes]:
        agent = self._hits[0].user_agent
        target = f"http://{_SITE}:{self._ports[_SITE]}/tea/{self._dice.randrange(400)}"
        return _SITE, f"GET {target} HTTP/1.1\r\nHost: {_SITE}\r\nUser-Agent: {agent}\r\n\r\n".encode()

    def _event(self) -> tuple[str, bytes]:
        self._sent += 1
        hit = self._hits[self._sent % len(self._hits)]
        target = f"http://{_COLLECTOR}:{self._ports[_COLLECTOR]}/event?{QUERY}b{self._sent}"
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {_COLLECTOR}\r\nUser-Agent: {hit.user_agent}\r\nOrigin: {ORIGIN}\r\nCookie: {hit.cookie}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(hit.body)}\r\n\r\n"
        )
        return _COLLECTOR, head.encode() + hit.body


async def _round(proxy: Proxy, calls: list[tuple[str, bytes]]) -> Round:
    before, waited = cpu_time(proxy.pid), []
    for host, request in calls:
        start = time.perf_counter()
        await proxy.ask(host, request)
        waited.append((time.perf_counter() - start) * 1000)
    used = cpu_time(proxy.pid).since(before)
    return Round(statistics.fmean(waited), statistics.median(waited), used.total * 1000 / len(calls))


def _gain(pairs: list[tuple[float, float]]) -> Gain:
    shares = [beside / alone - 1 for alone, beside in pairs]
    quarters = statistics.quantiles(shares, n=4) if len(shares) > 1 else [shares[0]] * 3
    return Gain(statistics.median(shares), quarters[0], quarters[2])


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


@contextlib.asynccontextmanager
async def _proxies(folder: Path) -> AsyncIterator[tuple[Proxy, Proxy]]:
    config = folder / "gateway.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    alone = Proxy(folder / "alone")
    addon = ("-s", "addons/tracking.py", "--set", f"tracking_config={config}")
    beside = Proxy(folder / "beside", *addon)
    try:
        await asyncio.gather(alone.start(), beside.start())
        yield alone, beside
    finally:
        await asyncio.gather(alone.stop(), beside.stop())


async def _measured(requests: int, rounds: int, answer_ms: float, flows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tracking-gateway-bench-") as folder:
        async with _origin(answer_ms) as ports, _proxies(Path(folder)) as (alone, beside):
            traffic = Traffic(ports)
            pairs: list[tuple[Round, Round]] = []
            for number in range(rounds + 1):
                # In turns, and each first as often as the other.
                order = (alone, beside) if number % 2 else (beside, alone)
                calls = traffic.calls(requests)
                found = {each: await _round(each, calls) for each in order}
                if number:
                    pairs.append((found[alone], found[beside]))
            return {
                "requests": requests,
                "rounds": rounds,
                "answer_ms": answer_ms,
                "tracking_share": 1 / _SHARE,
                "load_average": round(os.getloadavg()[0], 2),
                "alone": _typical([each for each, _ in pairs]),
                "with_addon": _typical([each for _, each in pairs]),
                "added": {
                    name: _gain([(getattr(a, name), getattr(b, name)) for a, b in pairs])._asdict()
                    for name in Round._fields
                },
                "memory": await _grown(beside, traffic, flows) if flows else [],
            }


def _typical(rounds: list[Round]) -> dict[str, float]:
    return {name: statistics.median(getattr(each, name) for each in rounds) for name in Round._fields}


async def _grown(proxy: Proxy, traffic: Traffic, flows: int) -> list[dict[str, float]]:
    """Give the memory of a proxy, in MB, after so many flows, ten times."""
    told = [{"flows": 0.0, "mb": _memory_mb(proxy.pid)}]
    for part in range(10):
        for _ in range(flows // 10 // 500 or 1):
            for host, request in traffic.calls(min(500, flows // 10)):
                await proxy.ask(host, request)
        told.append({"flows": (part + 1) * flows / 10, "mb": _memory_mb(proxy.pid)})
    return told


def main(
    *,
    requests: Annotated[int, typer.Option(min=10, help="Calls in a round.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of rounds.")] = 20,
    answer_ms: Annotated[
        float, typer.Option(min=0, help="How long the origin takes to answer; sites take 20 and more.")
    ] = 0,
    flows: Annotated[
        int,
        typer.Option(min=0, help="Then send so many through the one with the addon, and tell its memory."),
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Roughly: does it work here.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure what the addon adds to mitmdump, in pairs of rounds. Exit code 0 measured, 2 it can't be measured here."""
    try:
        found = asyncio.run(_measured(100 if quick else requests, 3 if quick else rounds, answer_ms, flows))
    except CannotMeasure as error:
        print(error)
        raise typer.Exit(2) from None
    if json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(width=120, highlight=False)
    table = Table("for each call", "alone", "with the addon", "added, of pairs of rounds", box=None)
    for name, words in (
        ("mean_ms", "latency, mean"),
        ("median_ms", "latency, median"),
        ("cpu_ms", "CPU of mitmdump"),
    ):
        table.add_row(
            words,
            f"{found['alone'][name]:.2f} ms",
            f"{found['with_addon'][name]:.2f} ms",
            Gain(**found["added"][name]).words(),
        )
    console.print(table)
    console.print(
        f"{found['rounds']} pairs of {found['requests']} calls, {found['tracking_share']:.0%} tracking; the origin answers after {answer_ms:g} ms; "
        f"load average {found['load_average']}; the bound for the mean latency is {BOUND:.0%}"
    )
    for each in found["memory"]:
        console.print(f"{each['flows']:>10,.0f} flows  {each['mb']:,.0f} MB")


if __name__ == "__main__":
    typer.run(main)
