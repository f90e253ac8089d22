"""How the stand-in collector misbehaves on request, so that retries and back-pressure can be tried without a real outage.

One value object, parsed whole: `POST /behave` replaces all of it, so `{}` always heals the collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


_LONGEST = 4_096


class Behaviour(msgspec.Struct, frozen=True):
    """What the collector does to events; the defaults are a healthy one.

    A refused event is not kept, except with `reset_body`, which keeps it and then cuts the answer off in its middle: the
    case in which a sender must retry and thereby sends a duplicate.
    """

    latency_ms: int = 0
    """Wait this long before answering."""
    status: int | None = None
    """Refuse events with this status: every one, or only the next `fail_next`."""
    fail_next: int = 0
    """Refuse only the next N events (with `status`, or 503), then be healthy again."""
    retry_after: int | None = None
    """Send `Retry-After` with refusals, in seconds."""
    down: bool = False
    """Close the connection without an answer."""
    reset_body: bool = False
    """Keep the event, send half of the answer, then reset the connection."""
    campaign: str | None = None
    """Have this campaign in each answer, for the page to show."""
    set_cookies: list[str] | None = None
    """Set these cookies with each answer: each the text of a `Set-Cookie` header."""

    @property
    def refusal(self) -> int | None:
        """The status to refuse the next event with, or `None` to take it."""
        return (self.status or 503) if self.fail_next else self.status

    def after_refusal(self) -> Behaviour:
        """Give the behaviour once one event was refused: the last of `fail_next` ends the failing."""
        if not self.fail_next:
            return self
        left = self.fail_next - 1
        return msgspec.structs.replace(self, fail_next=left, status=self.status if left else None)


class _Rule(NamedTuple):
    """What one field takes: the check, and its name for people."""

    holds: Callable[[Any], bool]
    wanted: str


def _is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= _LONGEST


_RULES = {
    "latency_ms": _Rule(lambda value: _is_integer(value, 0, 60_000), "an integer from 0 to 60000"),
    "status": _Rule(
        lambda value: value is None or _is_integer(value, 400, 599), "an integer from 400 to 599, or null"
    ),
    "fail_next": _Rule(lambda value: _is_integer(value, 0, 1_000_000), "an integer from 0 to 1000000"),
    "retry_after": _Rule(
        lambda value: value is None or _is_integer(value, 0, 86_400),
        "an integer from 0 to 86400 (seconds), or null",
    ),
    "down": _Rule(lambda value: isinstance(value, bool), "true or false"),
    "reset_body": _Rule(lambda value: isinstance(value, bool), "true or false"),
    "campaign": _Rule(
        lambda value: value is None or (isinstance(value, str) and len(value) <= _LONGEST), "a text, or null"
    ),
    "set_cookies": _Rule(
        lambda value: value is None or (isinstance(value, list) and all(map(_is_line, value))),
        "a list of texts such as seg=1; Path=/, or null",
    ),
}


class BadBehaviour(NamedTuple):
    """A behaviour that can't be taken, as a value: which field, and what to write instead."""

    field: str
    message: str


def parse_behaviour(raw: bytes) -> Behaviour | BadBehaviour:
    """Read a behaviour from JSON; fields that are absent are healthy, unknown ones are refused."""
    try:
        given = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return BadBehaviour("", f"the body is not JSON: {error}")
    if not isinstance(given, dict):
        return BadBehaviour("", "the body must be a JSON object")
    for field, value in given.items():
        if field not in _RULES:
            return BadBehaviour(field, f"unknown field {field!r}; known are {', '.join(_RULES)}")
        if not _RULES[field].holds(value):
            got = msgspec.json.encode(value).decode()
            return BadBehaviour(field, f"{field} must be {_RULES[field].wanted}, got {got}")
    return Behaviour(**given)
