"""What runs under callgrind for ``python -m benchmarks instructions``: each step of an event over the same events, between two marks.

A mark is a call of `getloadavg`, which nothing else here makes: callgrind writes down what it has counted and begins anew. The
events are run through all steps once before, so that the counted run finds caches and ledger as they are in the long run. No
garbage is collected while a step is counted: when that happens depends on more than the step.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.steps import Bench
from gateway.events.packing import pack
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.settings import Logging
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.web.fast import encode_reply
from gateway.web.ingest import Stamps
from gateway.web.plain_heads import read_head, to_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.traffic import Hit
    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import Binding, Record, Request, Stamp
    from gateway.ledger.sqlite import SqliteLedger

_START = b"POST /event?portal_id=33167&prop_id=556300706&resp_type=json&format=json&request_id="
_NOW_NS = 1_790_000_000_000_000_000


class Counted(msgspec.Struct, frozen=True):
    """One step that was run between two marks: its name, over how many events, and whether it is part of the sum."""

    name: str
    events: int
    is_counted: bool


class Recorder:
    """Runs steps between marks and remembers in what order; the marks of a rehearsal do nothing."""

    def __init__(self, mark: Callable[[], object]) -> None:
        self.steps: list[Counted] = []
        self._mark = mark

    def __call__(
        self,
        name: str,
        work: Callable[..., Any],
        arguments: Iterable[tuple[Any, ...]],
        *,
        is_counted: bool = True,
    ) -> list[Any]:
        """Run a step over its events and give what it made of each."""
        given = list(arguments)
        made: list[Any] = [None] * len(given)
        self.steps.append(Counted(name, len(given), is_counted))
        self._mark()
        for index, each in enumerate(given):
            made[index] = work(*each)
        self._mark()
        return made


class Way:
    """The way of an event in this process, on a ledger in a file of its own and a log that goes nowhere."""

    def __init__(self, folder: Path, uids: int) -> None:
        self._bench = Bench(1, uids)
        self._pipeline = self._bench.pipeline
        self.ledger: SqliteLedger = open_sqlite_ledger(folder / "ledger.db", is_only_writer=True)
        self._log = open_log(Logging(format="json", file=os.devnull))
        self._journal = Journal(self._log, Metrics())
        self._stamps = Stamps()

    def run(self, record: Recorder, hits: list[Hit]) -> None:
        """Take events from their bytes to the bytes of their answer, one step after the other."""
        sent = [(_START + b"%032x" % index + hit.tail(is_lean=False),) for index, hit in enumerate(hits)]
        record("(nothing)", _nothing, sent, is_counted=False)
        wanted = self._pipeline.wanted_headers
        read = [(data, wanted) for (data,) in sent]
        requests: list[Request] = record("read the request", _read, read)
        stamps: list[Stamp] = record("stamp", self._stamps, [()] * len(hits))
        together = list(zip(requests, stamps, strict=True))
        prepared: list[Prepared] = record("prepare: decode, screen, claim", self._pipeline.prepare, together)
        for name, is_sign_in in (("a page or product view", False), ("a sign-in", True)):
            some = [each for each, hit in zip(together, hits, strict=True) if hit.is_sign_in is is_sign_in]
            record(f"prepare, {name}", self._pipeline.prepare, some, is_counted=False)
        bindings: list[list[Binding]] = record("ledger: look up", self._known, [(each,) for each in prepared])
        answered = list(zip(prepared, bindings, strict=True))
        decisions: list[Decision] = record("decide: enrich, encode, reply", self._decide, answered)
        kept = [
            (each.record, _NOW_NS) for one in decisions for each in one.verdicts if each.record is not None
        ]
        record("pack the record", pack, kept)
        decided = [(*each, 1.234) for each in zip(prepared, decisions, strict=True)]
        record("journal: log line and counts", self._journal.decided, decided)
        record("write the answer", encode_reply, [(each.reply,) for each in decisions])
        records: list[Record] = [each for each, _ in kept]
        record("journal: a delivery", self._journal.delivered, [(each, 1, 1.5) for each in records])

    async def bind(self, hits: list[Hit]) -> None:
        """Make the ledger know everybody, as it does after the first minutes."""
        for index, hit in enumerate(hits):
            prepared = self._pipeline.prepare(hit.request(f"{index:032x}"), self._stamps())
            await self.ledger.bind(prepared.claims, prepared.stamp.now_ms)

    def hits(self, events: int) -> list[Hit]:
        """Give the first so many requests of the usual mix."""
        return self._bench.mix[:events]

    async def close(self) -> None:
        """Let go of the files."""
        await self.ledger.close()
        self._log.close()

    def _known(self, prepared: Prepared) -> list[Binding]:
        known = self.ledger.known
        found = [known(claim) for claim in prepared.claims]
        return [each for each in found if each is not None]

    def _decide(self, prepared: Prepared, bindings: list[Binding]) -> Decision:
        self._pipeline.resolve(prepared, bindings)
        return self._pipeline.decide(prepared, bindings)


def _nothing(_: bytes) -> None:
    pass


def _read(data: bytes, wanted: tuple[str, ...]) -> Request:
    end = data.find(b"\r\n\r\n") + 4
    head = read_head(data, end)
    assert head is not None
    return to_request(head, data[end : end + head.body_bytes], "127.0.0.1", wanted=wanted)


async def main(folder: Path, events: int, uids: int) -> None:
    way = Way(folder, uids)
    hits = way.hits(events)
    try:
        await way.bind(hits)
        way.run(Recorder(lambda: None), hits)
        gc.collect()
        gc.disable()
        recorder = Recorder(os.getloadavg)
        way.run(recorder, hits)
    finally:
        await way.close()
    (folder / "steps.json").write_bytes(msgspec.json.encode(recorder.steps))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
