"""The shapes that an event's JSON may have: valid, bounded, and each known field of its own type.

Everything after this module may walk an event without fear of its depth or size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.events.json_text import has_long_numbers, mended, with_long_numbers_as_text
from gateway.events.outcome import Reason, Rejection

if TYPE_CHECKING:
    from gateway.events.model import JsonObject

_TEXT_OR_NUMBER = ("uid", "aid", "cid", "sid")
_TEXT = ("ec", "ea", "en", "et")
_EXPECTED: dict[str, type] = {
    **dict.fromkeys((*_TEXT_OR_NUMBER, *_TEXT), str),
    "items": list,
    "dims": dict,
    "extra": dict,
    "context": dict,
}
_WORDS = {
    **dict.fromkeys((*_TEXT_OR_NUMBER, *_TEXT), "text"),
    "items": "an array of objects",
    "dims": "an object, or an array of objects",
    "extra": "an object",
    "context": "an object",
}
_MAX_TEXT = 1_024
_BATCH = 10


class Shapes:
    """The bounds of an event's JSON: how many keys, how deep, how many events in one array."""

    def __init__(self, *, max_keys: int, max_depth: int, max_batch: int) -> None:
        self.max_keys = max_keys
        self.max_depth = max_depth
        self.max_batch = max_batch

    def parse(self, text: bytes, name: str) -> Any | Rejection:
        """Read JSON (RFC 8259: no NaN, valid UTF-8) within the bounds; `name` is the field that holds the text, empty for a body.

        What clients write that is no JSON, or that a parser would round, is mended first (`gateway.events.json_text`). A body may be an
        array, of which each element is bounded as one by itself is, and all of them by `batch_problem`.
        """
        exact = with_long_numbers_as_text(text) if has_long_numbers(text) else text
        try:
            value = orjson.loads(exact)
        except orjson.JSONDecodeError:
            try:
                value = orjson.loads(mended(exact))
            except orjson.JSONDecodeError:
                return Rejection(Reason.BAD_JSON, name or "(body)", _what_is_wrong(text))
        # Upper bounds that cost next to nothing; only what exceeds one is walked. An element takes at least two bytes.
        if len(text) > 2 * self.max_keys or text.count(b"[") + text.count(b"{") > self.max_depth:
            if isinstance(value, list) and not name:
                return self.batch_problem(value) or [self._walk(each, "") or each for each in value]
            return self._walk(value, name) or value
        return value

    def batch_problem(self, values: list[Any]) -> Rejection | None:
        """Say what is wrong with an array of events as a whole: it may have ten times as many keys as one event."""
        return self._walk(values, "", _BATCH, 1)

    def _walk(self, value: Any, name: str, factor: int = 1, more_depth: int = 0) -> Rejection | None:
        keys, most = 0, self.max_keys * factor
        level: list[tuple[str, Any]] = [(name, value)] if isinstance(value, dict | list) else []
        for _ in range(self.max_depth + more_depth):
            below: list[tuple[str, Any]] = []
            for top, each in level:
                # Elements count as keys do: each may be an address to be read.
                keys += len(each)
                if keys > most:
                    detail = (
                        f"more than {most} keys and elements in one {'event' if factor == 1 else 'request'}"
                    )
                    return Rejection(Reason.BAD_FIELD, _widest(value, name), detail)
                children = each.items() if isinstance(each, dict) else [("", child) for child in each]
                below += [(top or key, child) for key, child in children if isinstance(child, dict | list)]
            if not below:
                return None
            level = below
        return Rejection(
            Reason.BAD_FIELD, level[0][0] or "(body)", f"nested deeper than {self.max_depth} levels"
        )


def _what_is_wrong(text: bytes) -> str:
    """Say why a text can't be read. Of the parser's sentence only the position is given: the text around it may be an address."""
    if not text.strip():
        return "the body is empty"
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        return f"not UTF-8 at byte {wrong.start}: send UTF-8, or name the charset in Content-Type"
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"not valid JSON at byte {error.pos}"
    return "not valid JSON"


def field_problem(fields: JsonObject) -> Rejection | None:
    """Check the type of every field that the wire format knows; `null` means absent, unknown fields pass.

    Numbers given as ids become text, and absent fields vanish, in place.
    """
    # Nearly every event passes this loop; what doesn't is looked at again, slowly, to be mended or named.
    for name, value in fields.items():
        expected = _EXPECTED.get(name)
        if expected is not None and (
            value.__class__ is not expected or (expected is str and len(value) > _MAX_TEXT)  # type: ignore[arg-type]
        ):
            return _mended(fields)
    return _elements(fields) or _required(fields)


def _mended(fields: JsonObject) -> Rejection | None:
    for name in _EXPECTED:
        if name in fields and fields[name] is None:
            del fields[name]
    for name in _TEXT_OR_NUMBER:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and name != "sid":
            fields[name] = str(value)
    return _types(fields) or _elements(fields) or _required(fields)


def _types(fields: JsonObject) -> Rejection | None:
    for name, expected in _EXPECTED.items():
        value = fields.get(name)
        if value is None or isinstance(value, expected):
            if isinstance(value, str) and len(value) > _MAX_TEXT:
                return Rejection(Reason.BAD_FIELD, name, f"is longer than {_MAX_TEXT} characters")
            continue
        is_list_of_dims = name == "dims" and isinstance(value, list)
        is_number_of_session = name == "sid" and isinstance(value, int) and not isinstance(value, bool)
        if not is_list_of_dims and not is_number_of_session:
            return Rejection(Reason.BAD_FIELD, name, f"must be {_WORDS[name]}, got {_kind(value)}")
    return None


def _elements(fields: JsonObject) -> Rejection | None:
    for name in ("items", "dims"):
        values = fields.get(name)
        if values.__class__ is list:
            for index, value in enumerate(values):
                if value.__class__ is not dict:
                    return Rejection(
                        Reason.BAD_FIELD, f"{name}[{index}]", f"must be an object, got {_kind(value)}"
                    )
    return None


def _required(fields: JsonObject) -> Rejection | None:
    for name, what in (("ec", "event category, such as user"), ("ea", "event action, such as sign_in")):
        value = fields.get(name)
        if not value or value.isspace():
            return Rejection(Reason.BAD_FIELD, name, f"is missing: the {what}")
    return None


def _widest(value: Any, name: str) -> str:
    if name or not isinstance(value, dict):
        return name or "(body)"
    return max(
        value, key=lambda key: len(value[key]) if isinstance(value[key], dict | list) else 0, default="(body)"
    )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "an array" if isinstance(value, list) else "an object"
