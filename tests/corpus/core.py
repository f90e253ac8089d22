"""Plays cases through the pure core, as an adapter without a server does: a pipeline, a ledger in memory, and nothing else.

Another adapter is another player: it needs `play`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import orjson

from gateway.events.model import Head, Request
from gateway.events.pipeline import Pipeline
from gateway.events.ppid import PATH as PPID_PATH
from gateway.events.seen import Look
from gateway.events.world import World
from gateway.ledger.memory import MemoryLedger
from gateway.plans.keeper import compile_plans
from gateway.settings import Settings
from gateway.web.endpoints import COLLECT_PATHS
from tests.builders import STAMP
from tests.corpus.case import Case, Message, messages
from tests.corpus.rendering import Names, SeenAnswer, SeenEvent, blocks, query_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.decisions import Decision, Prepared, Verdict
    from gateway.events.model import Reply

WORLD = Path(__file__).parent / "gateway.toml"
PEER = "127.0.0.1"
_LISTS = {"cookie": "; ", "x-forwarded-for": ",", "content-encoding": ","}
# Where a field of the head is called otherwise than the header.
_HEADERS = {
    "forwarded_for": "x-forwarded-for",
    "fetch_site": "sec-fetch-site",
    "fetch_mode": "sec-fetch-mode",
    "fetch_dest": "sec-fetch-dest",
    "asked_headers": "access-control-request-headers",
    "asks_private_network": "access-control-request-private-network",
}


def world() -> dict[str, Any]:
    """Give the settings of the gateway that the corpus is played through."""
    return tomllib.loads(WORLD.read_text(encoding="utf-8"))


class SeenHere:
    """The events that came before, as long as the process lasts."""

    seed = 1

    def __init__(self) -> None:
        self.checks: dict[int, int] = {}

    def look(self, key: int, check: int, now_s: int, window_s: int) -> Look:
        del now_s, window_s
        known = self.checks.get(key)
        return Look.NEW if known is None else Look.SAME if known == check else Look.OTHER

    def remember(self, key: int, check: int, now_s: int, window_s: int) -> None:
        del now_s, window_s
        self.checks[key] = check if self.checks.get(key, check) == check else -1


class CorpusPipeline(Pipeline):
    """The pipeline of the corpus' gateway, and the events that it knows."""

    def __init__(self) -> None:
        self.seen = SeenHere()
        settings = Settings.model_validate(world())
        plan, _ = compile_plans(settings)
        assert plan is not None
        super().__init__(settings, World(judge=plan.judge, seen=self.seen))


def make_pipeline() -> CorpusPipeline:
    """Give the pipeline of the corpus' gateway."""
    return CorpusPipeline()


async def play(case: Case, pipeline: CorpusPipeline) -> list[list[str]]:
    """Play a case with an empty ledger, and give the blocks of each of its steps."""
    ledger = MemoryLedger()
    pipeline.seen.checks.clear()
    steps = [messages(step, STAMP.now_ms) for step in case.steps]
    names = Names(case)
    found: list[list[str]] = []
    for number, step in enumerate(steps):
        events: list[SeenEvent] = []
        answers: list[SeenAnswer] = []
        for place, message in enumerate(step):
            # A moment and dice of its own for each request.
            stamp = type(STAMP)(STAMP.now_ms + 1000 * number + place, STAMP.entropy * (number + 2) + place)
            verdicts, reply = await _played(message, stamp, pipeline, ledger)
            events += map(seen_of, verdicts)
            answers.append(SeenAnswer(reply.status, reply.headers, reply.body))
        if step[0].is_before:
            assert answers[0].status < 400, (case.name, answers)
        shown = blocks(events, answers, names)
        found.append([] if step[0].is_before else shown)
    return found


async def _played(
    message: Message, stamp: Any, pipeline: Pipeline, ledger: MemoryLedger
) -> tuple[list[Verdict], Reply]:
    request = _request(message, pipeline.wanted_headers)
    if request.head.path == PPID_PATH:
        return [], pipeline.ppid(request, stamp.now_ms)
    assert request.head.path in COLLECT_PATHS, f"{request.head.path} is for the live player alone"
    if request.head.method == "OPTIONS":
        return [], pipeline.preflight(request)
    assert request.head.method in {"GET", "POST"}, f"{request.head.method} is for the live player alone"
    decision = await take(request, stamp, pipeline, ledger)
    return decision.verdicts, decision.reply


async def take(request: Request, stamp: Any, pipeline: Pipeline, ledger: MemoryLedger) -> Decision:
    """Take a request to its decision."""
    prepared: Prepared = pipeline.prepare(request, stamp)
    bindings = await ledger.bind(prepared.claims, stamp.now_ms)
    while pipeline.resolve(prepared, bindings):
        bindings = await ledger.bind(prepared.claims, stamp.now_ms)
    decision = pipeline.decide(prepared, bindings)
    if pipeline.duplicates is not None:
        pipeline.duplicates.settle(prepared, decision)
    return decision


def _request(message: Message, wanted: Sequence[str] = ()) -> Request:
    fields: dict[str, str] = {}
    for name, value in message.fields:
        joined = _LISTS.get(name)
        if name in fields and joined is None:
            continue
        fields[name] = f"{fields[name]}{joined}{value}" if name in fields else value
    target = message.target
    if not target.startswith("/"):
        parts = urlsplit(target)
        target = f"{parts.path}?{parts.query}"
    path, _, query = target.partition("?")
    names = {field: _HEADERS.get(field, field.replace("_", "-")) for field in Head.__struct_fields__}
    said = {field: fields[name] for field, name in names.items() if name in fields}
    head = {**said, "method": message.method, "path": path, "query": query, "peer": PEER}
    head["named"] = {name: fields[name] for name in wanted if name in fields}
    return Request(msgspec.convert(head, Head), message.body)


def seen_of(verdict: Verdict) -> SeenEvent:
    """Give what a player that has the verdict itself saw of an event."""
    record = verdict.record or (verdict.entry.record if verdict.entry else None)
    fate = str(verdict.outcome), str(verdict.reason), verdict.rejection.field, verdict.rejection.detail
    if record is None:
        return SeenEvent(*fate)
    return SeenEvent(
        *fate,
        query=query_pairs(record.query),
        body=orjson.loads(record.body),
        client_ip=record.client_ip,
        user_agent=record.user_agent,
    )
