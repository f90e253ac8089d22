"""The public port in this process, on a free port, with memory behind it: what tests of the connection layer talk to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from gateway.assets.own import OwnScript
from gateway.events.packing import unpack
from gateway.events.pipeline import Pipeline
from gateway.ledger.memory import MemoryLedger
from gateway.names import Names
from gateway.quarantine.memory import MemoryQuarantine
from gateway.settings import Logging
from gateway.spool.memory import MemorySpool
from gateway.telemetry.door import DoorBook
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.web.endpoints import endpoints
from gateway.web.ingest import Ingest
from gateway.web.public import PublicServer
from tests.builders import QUERY, event, make_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GENEROUS_SECONDS = 20.0
EVENT = orjson.dumps(event())


class PublicPort:
    """A server that takes events: where it listens, and what it has counted, kept and logged."""

    def __init__(
        self, port: int, server: PublicServer, spool: MemorySpool, metrics: Metrics, log: Path
    ) -> None:
        self.port = port
        self.server = server
        self.spool = spool
        self._metrics = metrics
        self._log = log

    def counted(self, series: str = "tracking_gateway_events_total") -> dict[tuple[str, ...], float]:
        """Give the values of a series that are not 0, by their labels' values."""
        samples = [each for family in self._metrics.registry.collect() for each in family.samples]
        return {
            tuple(each.labels.values()): each.value for each in samples if each.name == series and each.value
        }

    def last_record(self) -> dict[str, Any]:
        """Give what was kept last, as it will be forwarded, without its ids and moments."""
        record = unpack(list(self.spool._waiting.values())[-1])
        fields = orjson.loads(record.body)
        for name in ("event_id", "receive_time"):
            del fields["extra"][name]
        return {
            "query": record.query,
            "fields": fields,
            "uid": record.uid,
            "client_ip": record.client_ip,
            "user_agent": record.user_agent,
            "cookie": record.cookie,
        }

    def log_lines(self) -> list[dict[str, Any]]:
        """Give what was logged."""
        return [orjson.loads(line) for line in self._log.read_bytes().splitlines()]

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Hold a connection while the block runs."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class Client:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @property
    def is_gone(self) -> bool:
        """Whether the server has closed it."""
        return self.reader.at_eof() or self._writer.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    async def until_closed(self) -> bytes:
        """Give all that comes until the server closes, in a generous time."""
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(self.reader.read(65_536), GENEROUS_SECONDS):
                answer += part
        return answer

    async def answer(self) -> bytes:
        """Give one answer, head and body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), GENEROUS_SECONDS)
        size = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        return head + await self.reader.readexactly(int(size or 0))


@functools.cache
def _pipeline(sections: bytes) -> Pipeline:
    """Give a pipeline of these settings; compiling its rules takes a moment."""
    return Pipeline(make_settings(**orjson.loads(sections)))


def own(limits: dict[str, Any]) -> Pipeline:
    """Give a pipeline that has counted nobody yet."""
    return Pipeline(make_settings(limits=limits))


@contextlib.asynccontextmanager
async def serving(
    folder: Path, *, is_fast: bool = True, pipeline: Pipeline | None = None, **sections: Any
) -> AsyncIterator[PublicPort]:
    """Run a server while the block runs; `sections` are settings. A test that counts what an address sends needs a `pipeline` of its own."""
    settings = make_settings(**sections)
    pipeline = pipeline or _pipeline(orjson.dumps(sections))
    metrics, spool = Metrics(), MemorySpool()
    path = folder / f"public-{is_fast}.log"
    log = open_log(Logging(format="json", file=str(path)))
    journal = Journal(log, metrics)
    ingest = Ingest(
        pipeline,
        MemoryLedger(),
        spool,
        MemoryQuarantine(),
        journal,
        max_body_bytes=settings.server.max_body_bytes,
    )
    server = PublicServer(
        ingest,
        endpoints(ingest, OwnScript(lambda *_: b"/* script */" * 200, Names(settings.paths, 0))),
        is_fast=is_fast,
        limits=settings.limits,
        client_of=pipeline.limiter.client_of,
        door=DoorBook(log, metrics, journal.limited),
    )
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    await web.SockSite(runner, bound).start()
    try:
        yield PublicPort(bound.getsockname()[1], server, spool, metrics, path)
    finally:
        await runner.cleanup()
        log.close()


def post(body: bytes = EVENT, *fields: bytes, query: str = QUERY, version: bytes = b"HTTP/1.1") -> bytes:
    """Give the bytes of an event's POST."""
    lines = [b"POST /event?%s %s" % (query.encode(), version), b"Host: track.shop.example", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
