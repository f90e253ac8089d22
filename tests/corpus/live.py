"""Plays cases through a running gateway, over sockets, with the stand-in collector behind it.

Each case is played in a portal of its own (the digits of `33167` become others wherever they stand in what is sent, and are put back in what is
seen), so that no case knows of another. Behind each case a marker goes, so that the log's lines can be told apart.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.quarantine.sqlite import open_quarantine
from tests.builders import PORTAL_ID, PROP_ID
from tests.corpus.case import Case, Message, messages
from tests.corpus.core import world
from tests.corpus.rendering import Names, SeenAnswer, SeenEvent, blocks, parsed_pairs, query_pairs
from tests.processes import Gateway, running_collector, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.processes import Collector

_FIRST_PORTAL = 71_001
_MARKERS_PORTAL = "71000"
_ANSWER_SECONDS = 30.0
# What every answer has, whatever it says.
SECURITY = frozenset({"x-content-type-options", "referrer-policy", "cross-origin-resource-policy"})
_FAULT = re.compile(r'"event":"(library|not_kept|fault)"|"level":"error"|Traceback')


class _Played(NamedTuple):
    """A case with what was answered to each of its requests, in the portal where it was played."""

    case: Case
    portal_id: str
    steps: list[list[Message]]
    answers: list[list[SeenAnswer]]


class Seen(NamedTuple):
    """The blocks of each step by case, and what the log says of faults; there should be none."""

    blocks: dict[str, list[list[str]]]
    faults: list[str]


async def play_all(
    cases: Sequence[Case], folder: Path, *, is_fast: bool, kind: type[Gateway] = Gateway
) -> Seen:
    """Play cases through one gateway process, or through another process that takes requests as one."""
    async with running_collector() as collector:
        gateway = make_gateway(folder, collector.url, len(cases), is_fast=is_fast, kind=kind)
        await gateway.start()
        try:
            played = [await _play(gateway, case, portal_of(place)) for place, case in enumerate(cases)]
            lines = await _log_of_each(gateway, len(cases))
            await _delivered(gateway)
        finally:
            await gateway.stop()
        kept = await _kept(collector, gateway)
    found = {each.case.name: _rendered(each, mine, kept) for each, mine in zip(played, lines, strict=True)}
    return Seen(found, faults(gateway.log()))


def portal_of(place: int) -> str:
    """Give the portal in which the case at this place is played."""
    return str(_FIRST_PORTAL + place)


def faults(log: str) -> list[str]:
    """Give a log's lines of faults: of a library, of ours, and whatever is no line of the log at all."""
    return [line for line in log.split("\n") if (line and not line.startswith("{")) or _FAULT.search(line)]


def make_gateway(
    folder: Path,
    collector_url: str,
    portals: int,
    *,
    is_fast: bool,
    kind: type[Gateway] = Gateway,
    **sections: dict[str, Any],
) -> Gateway:
    """Give a gateway with the corpus' settings and these, and its properties in so many portals more; it is not started."""
    settings = world()
    properties, transformations = settings.pop("properties"), settings.pop("transformations")
    settings.setdefault("server", {})["fast_path"] = is_fast
    for name, section in sections.items():
        settings.setdefault(name, {}).update(section)
    gateway = kind(folder, collector_url, **settings)
    names = [PORTAL_ID, _MARKERS_PORTAL, *map(portal_of, range(portals))]
    tables = [
        "\n".join(f"{key} = {_toml(value)}" for key, value in {**property_, "portal_id": name}.items())
        for name in names
        for property_ in properties
    ]
    text = gateway.config.read_text(encoding="utf-8").partition("[[properties]]")[0]
    gateway.config.write_text(
        f"transformations = {_toml(transformations)}\n"
        + text
        + "".join(f"[[properties]]\n{table}\n" for table in tables),
        encoding="utf-8",
    )
    return gateway


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{orjson.dumps(name).decode()} = {_toml(each)}' for name, each in value.items())}}}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else orjson.dumps(value).decode()


async def _play(gateway: Gateway, case: Case, portal_id: str) -> _Played:
    steps: list[list[Message]] = []
    answers: list[list[SeenAnswer]] = []
    for step in case.steps:
        now_ms = time.time_ns() // 1_000_000
        sent = messages(
            step, now_ms, lambda text: moved(text.decode("latin-1"), PORTAL_ID, portal_id).encode("latin-1")
        )
        steps.append(sent)
        answers.append(await exchange(gateway.port, sent))
    marker = f"GET /event?portal_id={_MARKERS_PORTAL}&prop_id={PROP_ID}&uid=123456789&ec=marker&ea=end&resp_type=pixel"
    end = Message((f"{marker} HTTP/1.1".encode(), b"Host: track.shop.example"), b"")
    assert [200] == [each.status for each in await exchange(gateway.port, [end])]
    return _Played(case, portal_id, steps, answers)


def moved(text: str, portal_id: str, to: str) -> str:
    """Give a text with another portal in it."""
    return re.sub(rf"(?<![0-9]){portal_id}(?![0-9])", to, text)


async def exchange(port: int, sent: Sequence[Message]) -> list[SeenAnswer]:
    """Send requests at once over one connection, and give the answers: as many, unless the gateway closes the connection before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"".join(message.wire() for message in sent))
        found: list[SeenAnswer] = []
        async with asyncio.timeout(_ANSWER_SECONDS):
            for message in sent:
                answer = await _answer(reader, message.method)
                if answer is None:
                    break
                found.append(answer)
        return found
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, method: str) -> SeenAnswer | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status < 200:
        return await _answer(reader, method)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lower = {name.lower(): value for name, value in headers}
    assert SECURITY <= lower.keys(), f"an answer without {SECURITY - lower.keys()}: {head!r}"
    body = b""
    if method != "HEAD" and status not in {204, 304}:
        assert "content-length" in lower, f"an answer of unknown length: {head!r}"
        body = await reader.readexactly(int(lower["content-length"]))
    return SeenAnswer(status, headers, body)


async def _log_of_each(gateway: Gateway, number: int) -> list[list[dict[str, Any]]]:
    """Give the log's lines about events, case by case: the markers stand between them."""

    async def is_whole() -> bool:
        return gateway.log().count('"category":"marker"') == number

    await until(is_whole, "the log has the last marker")
    cases: list[list[dict[str, Any]]] = [[]]
    for line in gateway.log_lines("event"):
        if line.get("category") == "marker":
            cases.append([])
        else:
            cases[-1].append(line)
    return cases[:-1]


async def _delivered(gateway: Gateway) -> None:
    async def is_done() -> bool:
        metrics = await gateway.metrics()
        accepted = sum(
            value
            for name, value in metrics.items()
            if name.startswith('tracking_gateway_events_total{outcome="accepted"')
        )
        return metrics['tracking_gateway_deliveries_total{result="delivered"}'] == accepted

    await until(is_done, "every accepted event is delivered")


async def _kept(collector: Collector, gateway: Gateway) -> dict[tuple[str, str], list[SeenEvent]]:
    """Give what the collector got and the quarantine holds, by portal and request id, in order."""
    kept: defaultdict[tuple[str, str], list[SeenEvent]] = defaultdict(list)
    for got in await collector.get("/events"):
        query = got["query"]
        kept[query["portal_id"], query["request_id"]].append(
            SeenEvent(
                "",
                "",
                query=parsed_pairs(query),
                body=got["body"],
                client_ip=got["headers"]["X-Forwarded-For"],
                user_agent=got["headers"]["User-Agent"],
            )
        )
    store = open_quarantine(gateway.data_dir / "quarantine.db", max_entries=1_000_000)
    try:
        for entry in store.page(limit=100_000):
            query = query_pairs(entry.record.query)
            key = entry.portal_id, dict(query)["request_id"]
            record = entry.record
            kept[key].append(
                SeenEvent(
                    "", "", "", "", query, orjson.loads(record.body), record.client_ip, record.user_agent
                )
            )
    finally:
        await store.close()
    return kept


def _rendered(
    played: _Played, lines: list[dict[str, Any]], kept: dict[tuple[str, str], list[SeenEvent]]
) -> list[list[str]]:
    """Give the blocks of a case, as if it had been played in the portal that its text names."""
    rest = list(lines)
    names = Names(played.case)
    found: list[list[str]] = []
    for step, expected, answers in zip(played.steps, played.case.steps, played.answers, strict=True):
        # Lines don't say which request they are of; as many as are expected of a step are taken for its own, and all that are left over for the last.
        number = sum(block.startswith("--- event") for block in expected.expected)
        if step[0].is_before:
            number = 1
        is_last = expected is played.case.steps[-1]
        mine, rest = (rest, []) if is_last else (rest[:number], rest[number:])
        events = [_seen(line, played.portal_id, kept) for line in mine]
        shown = [moved(text, played.portal_id, PORTAL_ID) for text in blocks(events, answers, names)]
        if step[0].is_before:
            assert answers, played.case.name
            assert answers[0].status < 400, (played.case.name, answers)
        found.append([] if step[0].is_before else shown)
    return found


def _seen(line: dict[str, Any], portal_id: str, kept: dict[tuple[str, str], list[SeenEvent]]) -> SeenEvent:
    fate = line["outcome"], line["reason"], line.get("field", ""), line.get("detail", "")
    if fate[0] not in {"accepted", "quarantined"}:
        return SeenEvent(*fate)
    # What goes on as nobody's does so under the event's id.
    own = "event_id" if line["reason"] == "identity_stripped" else "request_id"
    waiting = kept[portal_id, line[own]]
    assert waiting, f"an event is neither with the collector nor in the quarantine: {line}"
    event = waiting.pop(0)
    return event._replace(outcome=fate[0], reason=fate[1], field=fate[2], detail=fate[3])
