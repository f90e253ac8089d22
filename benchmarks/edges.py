"""What the edges of the gateway cost: HTTP, ledger, spool, log and forwarder, each by itself, amortised over many events.

Where the gateway does something for many events at once (a group of the spool, a batch of the ledger, lines of the log), so
does the measurement: 64 at a time, as with 64 connections.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from benchmarks.steps import EVENTS, Bench, Step, part
from gateway.assets.own import OwnScript
from gateway.delivery.client import CollectorClient
from gateway.delivery.forwarder import Forwarder
from gateway.delivery.target import Target
from gateway.events.model import Claim, Record, Reply
from gateway.events.outcome import Outcome, Reason
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.names import Names
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.quarantine.memory import MemoryQuarantine
from gateway.settings import Logging
from gateway.settings_paths import Paths
from gateway.spool.memory import MemorySpool
from gateway.spool.segments import open_segment_spool
from gateway.stores import erasure_look_up
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.web.endpoints import endpoints
from gateway.web.public import PublicServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from benchmarks.load import Wrk
    from benchmarks.nginx import Sink
    from gateway.events.model import Request
    from gateway.ledger.sqlite import SqliteLedger

_AT_ONCE = 64
_PORTAL = "33167"


async def http_step(bench: Bench, wrk: Wrk, seconds: int) -> Step:
    """Time the public port alone: the real server, with an ingest that answers at once."""
    reply = bench.decided()[0][1].reply
    ingest: Any = _Answering(reply)
    runner = web.ServerRunner(
        PublicServer(ingest, endpoints(ingest, OwnScript(lambda *_: b"", Names(Paths(), 0))))
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024)
    await site.start()
    port = runner.addresses[0][1]
    try:
        await asyncio.to_thread(wrk.run, port, 1)
        start = time.process_time()
        load = await asyncio.to_thread(wrk.run, port, seconds)
        used = time.process_time() - start
    finally:
        await runner.cleanup()
    return Step(
        "HTTP: read the request, write the answer",
        used * 1e6 / max(load.answered, 1),
        note="the public port, loop and system calls",
    )


class _Answering:
    """An ingest without an inside."""

    max_body_bytes = 1 << 20
    address_header = "x-forwarded-for"

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def take(self, _: Request) -> Reply:
        """Give the same answer to everything."""
        return self._reply

    def submit(self, _: Request, answer: Callable[[Reply], None]) -> None:
        """Give it at once, to one who does not wait in a task."""
        answer(self._reply)

    async def drain(self) -> None:
        """Have nothing under way."""


async def ledger_steps(bench: Bench, folder: Path) -> list[Step]:
    """Time look-ups and bindings in a ledger that knows every customer of the mix, as after the first minutes."""
    ledger = open_sqlite_ledger(folder / "ledger.db", cache_entries=bench.settings.ledger.cache_entries)
    prepared = bench.prepared()
    claims = [each.claims[0] for each in prepared]
    known = [claim for claim in claims if claim.cid is not None]
    strangers = [claim for claim in claims if claim.cid is None]
    rng = random.Random(1)

    async def mix() -> int:
        for claim in claims:
            if claim.cid is None:
                ledger.known(claim)
            else:
                await ledger.bind([claim], 0)
        return len(claims)

    async def bind_new() -> int:
        fresh = [
            Claim(portal_id=_PORTAL, uid=str(rng.getrandbits(62)), cid=f"{rng.getrandbits(128):032x}")
            for _ in range(EVENTS)
        ]
        await _at_once(fresh, lambda claim: ledger.bind([claim], 0))
        return EVENTS

    try:
        await ledger.bind(known, 0)
        return [
            Step("ledger: look up or bind, in the mix", await bench.watch.batch(mix), place="ledger"),
            part("look-up, bound (cached)", _look_up(bench, ledger, known)),
            part("look-up, unbound (reads the file)", _look_up(bench, ledger, strangers), "most page views"),
            part("bind a new customer", await bench.watch.batch(bind_new), "64 at once, durable"),
        ]
    finally:
        await ledger.close()


def _look_up(bench: Bench, ledger: SqliteLedger, claims: Sequence[Claim]) -> float:
    return bench.watch.each(ledger.lookup, lambda: [(claim.portal_id, claim.uid) for claim in claims])


async def spool_steps(bench: Bench, folder: Path) -> list[Step]:
    """Time appending, durably and 64 at once, and reading and acknowledging what was appended."""
    pack = msgspec.msgpack.Encoder().encode
    payloads = [pack(record) for record in bench.records()]
    spool = await open_segment_spool(folder / "spool")

    async def append() -> int:
        await _at_once(payloads, lambda payload: spool.append([payload]))
        return len(payloads)

    async def read() -> int:
        taken = 0
        while taken < len(payloads):
            for entry in await spool.read(256):
                spool.acknowledge(entry.position)
                taken += 1
        return taken

    try:
        appending, reading = await bench.watch.batches(append, read)
    finally:
        await spool.close()
    return [
        Step(
            "spool: append, durable",
            appending,
            note="64 at once, write and fdatasync included",
            place="append",
        ),
        Step("spool: read and acknowledge", reading, place="acknowledge"),
    ]


def journal_steps(bench: Bench, folder: Path) -> list[Step]:
    """Time the log line and the counts of an accepted event; the line is written by the log's thread."""
    log = open_log(Logging(format="json", file=str(folder / "steps.log")))
    metrics = Metrics()
    journal = Journal(log, metrics)
    each = bench.watch.each
    fields = {
        "outcome": "accepted", "reason": "ok", "portal_id": _PORTAL, "prop_id": "556300706", "duration_ms": 1.234,
        "event_id": "0" * 36, "request_id": "0" * 32, "uid": "1" * 19, "uid_source": "event",
        "category": "product", "action": "view",
    }  # fmt: skip

    def count() -> None:
        metrics.event(Outcome.ACCEPTED, Reason.OK)
        metrics.answer_seconds.note(0.002)

    try:
        return [
            Step(
                "journal: log line and counts of an event",
                each(
                    journal.decided,
                    lambda: [(prepared, decision, 1.234) for prepared, decision in bench.decided()],
                ),
                place="journal",
            ),
            part("log line", each(lambda: log.logger.info("event", **fields), lambda: [()] * EVENTS)),
            part("counts", each(count, lambda: [()] * EVENTS)),
        ]
    finally:
        log.close()


async def forward_steps(bench: Bench, folder: Path, sink: Sink) -> list[Step]:
    """Time the way from the spool to the collector's answer."""
    pack, unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Record).decode
    target = Target.of("http://127.0.0.1:9000/event")
    log = open_log(Logging(format="json", file=str(folder / "forward.log")))
    journal = Journal(log, Metrics())
    each = bench.watch.each
    records = bench.records()
    parts = [
        part("unpack the record", each(unpack, lambda: [(pack(record),) for record in records])),
        part(
            "bytes of the request",
            each(target.render, lambda: [(record,) for record in records]),
            place="render",
        ),
        part(
            "log line and count of a delivery",
            each(journal.delivered, lambda: [(record, 1, 1.5) for record in records]),
            place="delivered",
        ),
    ]
    try:
        whole = await _forward(bench, folder, journal, sink, records, waited_seconds=0)
        waited = await _forward(bench, folder, journal, sink, records, waited_seconds=60)
    finally:
        log.close()
    return [
        Step("forward: send, hear the answer, log and count it", whole),
        *parts,
        part("the whole, when events waited", waited, "was the UID erased meanwhile?"),
    ]


async def _forward(
    bench: Bench, folder: Path, journal: Journal, sink: Sink, records: list[Record], *, waited_seconds: int
) -> float:
    """Give the microseconds of an event that waited so long before it was sent."""
    accepted_ms = records[0].accepted_ms
    payloads = [
        msgspec.msgpack.encode(msgspec.structs.replace(record, accepted_ms=accepted_ms)) for record in records
    ]
    ledger = open_sqlite_ledger(folder / f"forward-{waited_seconds}.db", is_only_writer=True)
    await ledger.bind([Claim(portal_id=_PORTAL, uid="1", cid="1")], 0)
    spool = MemorySpool()
    client = CollectorClient(
        f"http://127.0.0.1:{sink.port}/event", max_connections=bench.settings.collector.connections
    )
    dead_letters = QuarantineDeadLetters(MemoryQuarantine(), time.time)
    forwarder = Forwarder(
        [spool],
        client,
        dead_letters,
        journal,
        is_erased=erasure_look_up(ledger),
        concurrency=bench.settings.collector.connections,
        clock=lambda: accepted_ms / 1000 + waited_seconds,
    )
    forwarder.start()

    async def forward() -> int:
        await spool.append(payloads)
        while spool.pending:
            await asyncio.sleep(0.002)
        return len(payloads)

    try:
        await forward()
        return await bench.watch.batch(forward)
    finally:
        await forwarder.stop(1)
        await client.close()
        await ledger.close()


async def _at_once(values: Sequence[Any], work: Callable[[Any], Awaitable[Any]]) -> None:
    waiting = iter(values)

    async def client() -> None:
        for value in waiting:
            await work(value)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(client())
