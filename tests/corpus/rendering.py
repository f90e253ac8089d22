"""What a player saw of a step, as the blocks that stand in a case's file.

Ids and moments that a gateway makes up have names instead, in the order in which they show: `{{event 1}}`, `{{uid 1}}`, `{{now}}`, `{{twin of …}}`, `{{signed}}`.
So two players that saw the same give the same text.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.corpus.case import Case

_EVENT_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_UID = re.compile(r"(?<![0-9A-Za-z-])[0-9]{12,19}(?![0-9A-Za-z-])")
_NOW = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TWIN = re.compile(r"\b1\.t1\.[A-Za-z0-9_-]{12}\.([0-9A-Za-z-]+)\.[0-9]+\.[A-Za-z0-9_-]{22}")
# The cookies of a visit.
_SIGNED = re.compile(r"\b1\.t1\.[A-Za-z0-9_-]{24,}\.[A-Za-z0-9_-]{22}")
# What a transport adds, or what is another one each time.
_TRANSPORTS = frozenset({
    "date", "server", "content-length", "connection", "keep-alive", "etag",
    "content-security-policy", "cross-origin-resource-policy", "referrer-policy", "x-frame-options",
})  # fmt: skip
_LONGEST_BODY = 4_000


class SeenEvent(NamedTuple):
    """An event's fate, and what of it went on, or would go on when it is let out of the quarantine."""

    outcome: str
    reason: str
    field: str = ""
    detail: str = ""
    query: Sequence[tuple[str, str]] = ()
    body: Any = None
    client_ip: str = ""
    user_agent: str = ""


class SeenAnswer(NamedTuple):
    """An answer as the client got it."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Names:
    """Gives what a gateway made up a name, in the order in which it shows in one case; what the client sent stays as it is."""

    def __init__(self, case: Case) -> None:
        self._sent = "\n".join(text for step in case.steps for _, text in step.requests)
        self._names: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def put_into(self, text: str) -> str:
        """Give the text with names in it."""
        text = _TWIN.sub(lambda found: f"{{{{twin of {found[1]}}}}}", text)
        text = _SIGNED.sub("{{signed}}", text)
        text = _EVENT_ID.sub(lambda found: self._name("event", found[0]), text)
        text = _UID.sub(lambda found: self._name("uid", found[0]), text)
        return _NOW.sub(lambda found: found[0] if found[0] in self._sent else "{{now}}", text)

    def _name(self, kind: str, value: str) -> str:
        if value in self._sent:
            return value
        if value not in self._names:
            self._count[kind] = self._count.get(kind, 0) + 1
            self._names[value] = f"{{{{{kind} {self._count[kind]}}}}}"
        return self._names[value]


def blocks(events: Iterable[SeenEvent], answers: Iterable[SeenAnswer], names: Names) -> list[str]:
    """Give the blocks of a step."""
    texts = [*map(_event, events), *map(_answer, answers)]
    return [names.put_into(text) for text in texts]


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Give a collector's query string as pairs."""
    return parse_qsl(query, keep_blank_values=True)


def parsed_pairs(query: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give the same of a query that was parsed."""
    return list(query.items())


def _event(event: SeenEvent) -> str:
    lines = [f"--- event {event.outcome} {event.reason}"]
    if event.reason != "ok":
        lines += [
            f"{name}: {text}" for name, text in (("field", event.field), ("detail", event.detail)) if text
        ]
    if event.query:
        lines.append(f"POST ?{urlencode(event.query)}")
        sent = (("X-Forwarded-For", event.client_ip), ("User-Agent", event.user_agent))
        lines += [f"{name}: {_visible(text)}" for name, text in sent if text]
        lines += ["", _json(event.body)]
    return "\n".join(lines)


def _answer(answer: SeenAnswer) -> str:
    lines = [f"--- answer {answer.status}"]
    fields = [(name, value) for name, value in answer.headers if name.lower() not in _TRANSPORTS]
    lines += [f"{name}: {_visible(value)}" for name, value in sorted(fields)]
    if answer.body:
        lines += ["", _body(answer.body)]
    return "\n".join(lines)


def _body(body: bytes) -> str:
    if len(body) > _LONGEST_BODY:
        return "(a long body)"
    try:
        return _json(orjson.loads(body))
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text.isprintable() and text else f"base64: {base64.b64encode(body).decode()}"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
