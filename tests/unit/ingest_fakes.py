"""An `Ingest` with stores in memory that can be told to fail, and a log and counts that can be read back."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gateway.events.model import Record
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.memory import MemoryLedger
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.quarantine.memory import MemoryQuarantine
from gateway.settings import Logging
from gateway.spool.contract import SpoolUnavailable
from gateway.spool.memory import MemorySpool
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.web.ingest import Ingest
from tests.builders import shop_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import AuditNote, Binding, Claim, QuarantineEntry
    from gateway.events.pipeline import Pipeline
    from gateway.web.relay import Desk

LEDGER_DOWN = LedgerUnavailable("ledger.db", "disk I/O error", "look at the disk")
SPOOL_DOWN = SpoolUnavailable("spool/000", "No space left on device", "make room")
QUARANTINE_DOWN = QuarantineUnavailable("quarantine.db", "disk I/O error", "look at the disk")


class FailingLedger(MemoryLedger):
    """A ledger that raises `failure`, as long as there is one."""

    failure: Exception | None = None

    def lookup(self, portal_id: str, uid: str) -> Binding:
        if self.failure:
            raise self.failure
        return super().lookup(portal_id, uid)

    def known(self, claim: Claim) -> Binding | None:
        if self.failure:
            raise self.failure
        return super().known(claim)

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        if self.failure:
            raise self.failure
        return await super().bind(claims, now_ms)

    async def record(self, notes: Sequence[AuditNote], now_ms: int) -> None:
        if self.failure:
            raise self.failure
        await super().record(notes, now_ms)


class FailingQuarantine(MemoryQuarantine):
    """A quarantine that raises `failure`, as long as there is one."""

    failure: Exception | None = None

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        if self.failure:
            raise self.failure
        await super().put(entries)


class SlowSpool(MemorySpool):
    """A spool that fails with `failure`; while `is_held`, nothing becomes durable: `futures` wait to be done."""

    failure: Exception | None = None
    is_held = False

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[asyncio.Future[None]] = []

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        if self.failure or self.is_held:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self.failure:
                future.set_exception(self.failure)
            self.futures.append(future)
            return future
        return super().append(payloads)


def text_stream() -> io.TextIOWrapper:
    """Give a stand-in for standard error: text over bytes, to be read back from its `buffer`."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


class Bench:
    """One ingest, and everything that it leaves behind."""

    def __init__(self, pipeline: Pipeline | None = None, desk: Desk | None = None) -> None:
        self.ledger, self.spool, self.quarantine = FailingLedger(), SlowSpool(), FailingQuarantine()
        self.metrics, self.desk = Metrics(), desk
        self._stream = text_stream()
        self._log = open_log(Logging(format="json"), self._stream)
        self.ingest = Ingest(
            pipeline or shop_pipeline(),
            self.ledger,
            self.spool,
            self.quarantine,
            Journal(self._log, self.metrics),
            max_body_bytes=1_048_576,
            desk=desk,
        )

    def close(self) -> str:
        """Close the log, and give its text."""
        self._log.close()
        return self._stream.buffer.getvalue().decode()

    def log(self, event: str) -> list[dict[str, Any]]:
        """Close the log, and give its lines of one kind."""
        return [line for line in map(orjson.loads, self.close().splitlines()) if line["event"] == event]

    def counts(self) -> dict[str, int]:
        """Give how many events were counted, by `outcome/reason`, without the zeros."""
        name = "tracking_gateway_events_total"
        return {
            f"{sample.labels['outcome']}/{sample.labels['reason']}": int(sample.value)
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    async def spooled(self) -> list[Record]:
        """Give the records in the spool, and take them out."""
        if not self.spool.pending:
            return []
        entries = await self.spool.read(100_000)
        for each in entries:
            self.spool.acknowledge(each.position)
        return [msgspec.msgpack.decode(each.payload, type=Record) for each in entries]

    def held(self) -> list[QuarantineEntry]:
        """Give the entries in the quarantine."""
        return self.quarantine.list(limit=100_000)
