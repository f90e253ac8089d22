"""A million requests that went wrong on their way, against a running gateway, and what must hold all the same.

Requests come in two kinds of rounds. In an `intact` one each is framed as it should be: each gets exactly one answer, in its place, and the events
that the answers tell of are the events that were counted. In a `broken` one they are any bytes: what is answered is HTTP, and no more events are
counted than could have been in them. What must hold after all of it stands in `Campaign.verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import orjson

from tests.corpus.live import SECURITY, faults, make_gateway
from tests.fuzz.client import Answer, Line, connected
from tests.fuzz.mutations import Mutator, Shot
from tests.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from tests.processes import Gateway

_ROUND = 5_000
_LINES = 48
_ANSWER_SECONDS = 60.0
_SILENCE_SECONDS = 0.25
_BROKEN_SHARE = 0.4
_MEMORY_BYTES = 32 << 20
_MOST_PROBLEMS = 20
_FAULT = re.compile(r'"(?:event|error|at|message)":"[^"]*"')
# Raw identity, as it is in the requests: it may be neither answered, logged nor counted by.
_CANARY = re.compile(
    rb"[a-z0-9]@example\.com|(?<![0-9])(?:\+?84|0)[ .-]?912[ .-]?345[ .-]?678(?![0-9])", re.IGNORECASE
)
_LOCATION = re.compile(rb"(?i)\r\nlocation: [^\r]*")


class Report(msgspec.Struct):
    """What was seen. `problems` are sentences with how often each was true and what was sent the first time; there should be none."""

    requests: int = 0
    answers: int = 0
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    events: dict[str, int] = msgspec.field(default_factory=dict)
    collected: int = 0
    silent: int = 0
    unheard: int = 0
    memory_bytes: list[int] = msgspec.field(default_factory=list)
    seconds: float = 0.0
    problems: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)


class Collector(asyncio.Protocol):
    """Takes every event, and counts."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            self._report.collected += 1
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )


class Campaign:
    """One gateway process under fire."""

    def __init__(self, gateway: Gateway, mutator: Mutator, report: Report) -> None:
        self._gateway = gateway
        self._mutator = mutator
        self._report = report
        self._log_position = 0
        self._log_rest = b""
        self._logged = 0
        self._quiets = 0

    async def run(self, requests: int, tick: Callable[[int], None]) -> None:
        """Send so many requests, round after round; `tick` hears of each round how many it were."""
        report, dice = self._report, self._mutator.dice
        started = asyncio.get_running_loop().time()
        goal = report.requests + requests
        while report.requests < goal and len(report.problems) < _MOST_PROBLEMS:
            size = min(_ROUND, goal - report.requests)
            if dice.random() < _BROKEN_SHARE:
                await self._broken_round(size)
            else:
                await self._intact_round(size)
            report.memory_bytes.append(_resident_bytes(self._gateway))
            self._read_log()
            tick(size)
        report.seconds += asyncio.get_running_loop().time() - started

    async def _intact_round(self, size: int) -> None:
        report, mutator = self._report, self._mutator
        before = await self._counted()
        seen, unheard = 0, 0

        async def shoot(batches: Iterator[list[Shot]]) -> None:
            nonlocal seen, unheard
            line: Line | None = None
            for shots in batches:
                if line is None or line.is_lost:
                    line = await connected(self._gateway.port)
                line.answers = []
                data = b"".join(shot.data for shot in shots)
                await line.exchange(shots, _pieces(mutator, data), _ANSWER_SECONDS)
                events, lost = self._judged(shots, line)
                seen += events
                unheard += lost
                if line.is_lost or len(line.answers) < len(shots) or line.answers[-1].is_last:
                    _hang_up(line)
                    line = None
            if line is not None:
                _hang_up(line)

        await self._on_all_lines(shoot, self._batches(size, self._some_intact))
        report.unheard += unheard
        # Nothing behind a request with which the connection ends is looked at.
        await self._agrees(before, seen, seen)

    def _judged(self, shots: Sequence[Shot], line: Line) -> tuple[int, int]:
        """Look at the answers to requests; give how many events they tell of, and how many requests were not answered."""
        report, answers = self._report, line.answers
        report.requests += len(shots)
        events = 0
        sent = b"".join(shot.data for shot in shots)
        history, line.history = line.history, sent
        for shot, answer in zip(shots, answers, strict=False):
            self._look_at(answer, shot.data)
            events += answer.events if shot.is_event else 0
            if shot.expects and shot.expects not in answer.body:
                before, _, behind = sent.partition(shot.data)
                around = (history + b" || " + before)[-1000:] + shot.data + b" || " + behind[:2000]
                self._problem("an answer is not that of its request", around, answer.head + answer.body)
        if line.problem:
            self._problem(line.problem, sent)
        if len(answers) > len(shots):
            self._problem("more answers than requests", sent)
        missing = shots[len(answers) :]
        if missing and not line.is_lost and not (answers and answers[-1].is_last):
            self._problem(f"no answer within {_ANSWER_SECONDS} s", missing[0].data)
        elif missing and not line.may_lose_answers and not (answers and answers[-1].is_last):
            self._problem("the connection ended without a word", sent[:1500] + b" || " + missing[0].data)
        return events, len(missing)

    async def _broken_round(self, size: int) -> None:
        report, mutator = self._report, self._mutator
        before = await self._counted()
        seen, sent = 0, 0

        async def shoot(batches: Iterator[list[Shot]]) -> None:
            nonlocal seen, sent
            for shots in batches:
                line = await connected(self._gateway.port)
                end = shots[-1]
                data = b"".join(shot.data for shot in shots)
                await line.blurt(_pieces(mutator, data), end.expects, _SILENCE_SECONDS)
                report.requests += len(shots)
                if line.problem and not line.problem.startswith("an answer of unknown length"):
                    self._problem(line.problem, data)
                for answer in line.answers:
                    self._look_at(answer, data)
                    seen += answer.events if answer.is_an_events else 0
                if not line.is_lost and end.expects not in (line.answers[-1].body if line.answers else b""):
                    report.silent += 1
                _hang_up(line)
                # As many events as there are beginnings of requests, and more where a body is an array.
                sent += data.count(b"event") + data.count(b'"ec"') + len(shots)

        await self._on_all_lines(shoot, self._batches(size, self._some_broken))
        await self._quiet()
        await self._agrees(before, seen + 3, seen + 3 + sent)

    async def _agrees(self, before: int, least: int, most: int) -> None:
        """Check that so many events were counted in a round: at least, and at most."""
        counted = await self._counted() - before
        if not least <= counted <= most:
            self._problem(f"{counted} events were counted where the answers tell of {least} to {most}")

    async def _quiet(self) -> None:
        """Wait until nothing is under way any more, also for connections that have gone: what the spool, the ledger and the quarantine do, they do in order."""
        self._quiets += 1
        uid = f"9{self._quiets:011d}"
        line = await connected(self._gateway.port)
        for customer in ("", "first", "second"):
            shot = self._mutator.signed_in(uid, customer)
            line.answers = []
            await line.exchange([shot], [shot.data], _ANSWER_SECONDS)
            if [200] != [answer.status for answer in line.answers]:
                self._problem("a plain event is not taken", shot.data)
        _hang_up(line)

    def _look_at(self, answer: Answer, sent: bytes) -> None:
        report = self._report
        report.answers += 1
        report.statuses[answer.status] += 1
        if answer.status >= 500:
            self._problem(f"an answer of {answer.status}", sent, answer.head + answer.body)
        for name in SECURITY:
            if f"\r\n{name}: ".encode() not in answer.head:
                self._problem(f"an answer without {name}", sent, answer.head)
        if _CANARY.search(answer.body) or _CANARY.search(_LOCATION.sub(b"", answer.head)):
            self._problem("an answer with a raw identity", sent, answer.head + answer.body)

    def _problem(self, what: str, sent: bytes = b"", answer: bytes = b"") -> None:
        count, example = self._report.problems.get(
            what, (0, f"sent: {sent[:3000]!r} answer: {answer[:1000]!r}")
        )
        self._report.problems[what] = count + 1, example

    def _some_intact(self) -> list[Shot]:
        mutator, dice = self._mutator, self._mutator.dice
        number = dice.choice((1, 1, 2, 4, 8, 16))
        return [mutator.plain() if dice.random() < 0.15 else mutator.intact() for _ in range(number)]

    def _some_broken(self) -> list[Shot]:
        mutator, dice = self._mutator, self._mutator.dice
        number = dice.choice((1, 1, 2, 3))
        broken = [Shot(mutator.broken(), "", is_event=False) for _ in range(number)]
        return [*broken, mutator.plain()]

    def _batches(self, size: int, some: Callable[[], list[Shot]]) -> Iterator[list[Shot]]:
        while size > 0:
            shots = some()[-size:]
            size -= len(shots)
            yield shots

    async def _on_all_lines(
        self, shoot: Callable[[Iterator[list[Shot]]], Any], batches: Iterator[list[Shot]]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(_LINES):
                group.create_task(shoot(batches))

    async def _counted(self) -> int:
        """Give how many events have been counted in all, and keep by which fate."""
        metrics = await self._gateway.metrics()
        name = "tracking_gateway_events_total{"
        self._report.events = {
            key[len(name) : -1]: int(value)
            for key, value in metrics.items()
            if key.startswith(name) and value
        }
        return sum(self._report.events.values())

    def _read_log(self) -> None:
        """Look at what was logged since the last time; a log that has become long begins anew."""
        path = self._gateway.log_file
        with path.open("rb") as log:
            log.seek(self._log_position)
            data = self._log_rest + log.read()
            self._log_position = log.tell()
        whole, _, self._log_rest = data.rpartition(b"\n")
        self._logged += whole.count(b'"event":"event"')
        for found in _CANARY.finditer(whole):
            self._problem("a raw identity in the log", whole[max(0, found.start() - 300) : found.end() + 100])
        for line in faults(whole.decode("utf-8", "replace")):
            self._problem(f"a fault in the log: {' '.join(_FAULT.findall(line)) or line[:300]}")

    async def verdict(self) -> None:
        """See what must hold when all is over: nothing waits, every event is accounted for, memory is flat, an event is taken as ever."""
        report, gateway = self._report, self._gateway

        counted = await self._counted()
        accepted = sum(value for name, value in report.events.items() if 'outcome="accepted"' in name)

        async def is_delivered() -> bool:
            metrics = await gateway.metrics()
            return metrics['tracking_gateway_deliveries_total{result="delivered"}'] >= accepted

        with contextlib.suppress(AssertionError):
            await until(is_delivered, "every accepted event is delivered", 120)
        metrics = await gateway.metrics()
        delivered = metrics['tracking_gateway_deliveries_total{result="delivered"}']
        if not delivered == accepted == report.collected:
            self._problem(
                f"{accepted} accepted, {delivered} delivered, {report.collected} with the collector"
            )

        async def is_logged() -> bool:
            self._read_log()
            return self._logged >= counted

        with contextlib.suppress(AssertionError):
            await until(is_logged, "every event is logged", 10)
        if self._logged != counted:
            self._problem(f"{counted} events were counted, {self._logged} logged")
        for name, value in report.events.items():
            if "unavailable" in name:
                self._problem(f"{value} events could not be kept: {name}")
        text = orjson.dumps(list(metrics))
        if _CANARY.search(text):
            self._problem("a raw identity in the metrics")
        # What is remembered of earlier requests is bounded, and full by half-time.
        sizes = report.memory_bytes
        warm = max(sizes[: len(sizes) // 2 + 1])
        if sizes[-1] > warm + _MEMORY_BYTES:
            self._problem(f"memory grew from {warm >> 20} to {sizes[-1] >> 20} MiB")
        await self._quiet()


@contextlib.asynccontextmanager
async def campaign(folder: Path, seed: int, report: Report, *, is_fast: bool) -> AsyncIterator[Campaign]:
    """Run a gateway with the corpus' settings, and a collector that takes everything."""
    server = await asyncio.get_running_loop().create_server(lambda: Collector(report), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    unlimited = {"address_events_per_second": 0, "uid_events_per_second": 0}
    gateway = make_gateway(folder, url, 0, is_fast=is_fast, ledger={"cache_entries": 1_000}, limits=unlimited)
    await gateway.start()
    try:
        yield Campaign(gateway, Mutator(seed), report)
    finally:
        await gateway.stop()
        server.close()


async def fire(
    folder: Path, seed: int, requests: int, tick: Callable[[int], None], *, is_fast: bool
) -> Report:
    """Send so many requests to a gateway of its own, and give what was seen."""
    report = Report()
    async with campaign(folder, seed, report, is_fast=is_fast) as running:
        await running.run(requests, tick)
        with contextlib.suppress(aiohttp.ClientError):
            await running.verdict()
    return report


def _pieces(mutator: Mutator, data: bytes) -> list[bytes]:
    """Cut bytes at random, as networks do; mostly not at all."""
    dice = mutator.dice
    if dice.random() < 0.85 or len(data) < 2:
        return [data]
    cuts = sorted({dice.randrange(1, len(data)) for _ in range(dice.randrange(1, 4))})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _hang_up(line: Line) -> None:
    if line.transport is not None:
        line.transport.abort()


def _resident_bytes(gateway: Gateway) -> int:
    assert gateway.process is not None
    with open(f"/proc/{gateway.process.pid}/statm", encoding="ascii") as statm:  # noqa: PTH123 -- no file on a disk
        return int(statm.read().split()[1]) * 4_096
