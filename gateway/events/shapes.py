"""The shapes that an event's JSON may have: valid, bounded, and each known field of its own type.

Everything after this module may walk an event without fear of its depth or size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.events.outcome import Reason, Rejection

if TYPE_CHECKING:
    from gateway.events.model import JsonObject

_TEXT_OR_NUMBER = ("uid", "aid", "cid", "sid")
_TEXT = ("ec", "ea", "en", "et")
_MAX_TEXT = 1_024


class Shapes:
    """The bounds of an event's JSON: how many keys, how deep, how many events in one array."""

    def __init__(self, *, max_keys: int, max_depth: int, max_batch: int) -> None:
        self.max_keys = max_keys
        self.max_depth = max_depth
        self.max_batch = max_batch

    def parse(self, text: bytes, name: str) -> Any | Rejection:
        """Read JSON (RFC 8259: no NaN, valid UTF-8) within the bounds; `name` is the field that holds the text."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            # Of the parser's sentence only the position is given: the text around it may be an address.
            what = "the body is empty" if not text.strip() else f"not valid JSON at byte {error.pos}"
            return Rejection(Reason.BAD_JSON, name or "(body)", what)
        # Counting bytes is an upper bound that costs next to nothing; only what exceeds it is walked.
        if text.count(b":") > self.max_keys or text.count(b"[") + text.count(b"{") > self.max_depth:
            return self._walk(value, name) or value
        return value

    def _walk(self, value: Any, name: str) -> Rejection | None:
        keys = 0
        level: list[tuple[str, Any]] = [(name, value)]
        for _ in range(self.max_depth):
            below: list[tuple[str, Any]] = []
            for top, each in level:
                children = each.items() if isinstance(each, dict) else [("", child) for child in each]
                if isinstance(each, dict):
                    keys += len(each)
                    if keys > self.max_keys:
                        detail = f"more than {self.max_keys} keys in one request"
                        return Rejection(Reason.BAD_FIELD, _widest(value, name), detail)
                below += [(top or key, child) for key, child in children if isinstance(child, dict | list)]
            if not below:
                return None
            level = below
        return Rejection(
            Reason.BAD_FIELD, level[0][0] or "(body)", f"nested deeper than {self.max_depth} levels"
        )


def field_problem(fields: JsonObject) -> Rejection | None:
    """Check the type of every field that the wire format knows; `null` means absent, unknown fields pass.

    Numbers given as ids become text, and absent fields vanish, in place.
    """
    for name in (*_TEXT_OR_NUMBER, *_TEXT, "items", "dims", "extra", "context"):
        if name in fields and fields[name] is None:
            del fields[name]
    for name in _TEXT_OR_NUMBER:
        value = fields.get(name)
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            return Rejection(Reason.BAD_FIELD, name, f"must be text, got {_kind(value)}")
        if name != "sid":
            fields[name] = str(value)
    for name in _TEXT:
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            return Rejection(Reason.BAD_FIELD, name, f"must be text, got {_kind(value)}")
    for name in ("extra", "context"):
        if name in fields and not isinstance(fields[name], dict):
            return Rejection(Reason.BAD_FIELD, name, f"must be an object, got {_kind(fields[name])}")
    return _lists(fields) or _required(fields)


def _lists(fields: JsonObject) -> Rejection | None:
    items, dims = fields.get("items"), fields.get("dims")
    if items is not None and not isinstance(items, list):
        return Rejection(Reason.BAD_FIELD, "items", f"must be an array of objects, got {_kind(items)}")
    if dims is not None and not isinstance(dims, dict | list):
        return Rejection(
            Reason.BAD_FIELD, "dims", f"must be an object, or an array of objects, got {_kind(dims)}"
        )
    for name, values in (("items", items), ("dims", dims if isinstance(dims, list) else None)):
        for index, value in enumerate(values or ()):
            if not isinstance(value, dict):
                return Rejection(
                    Reason.BAD_FIELD, f"{name}[{index}]", f"must be an object, got {_kind(value)}"
                )
    return None


def _required(fields: JsonObject) -> Rejection | None:
    for name in ("ec", "ea"):
        value = fields.get(name, "")
        if not value.strip():
            what = "event category" if name == "ec" else "event action"
            return Rejection(
                Reason.BAD_FIELD,
                name,
                f"is missing: the {what}, such as {'user' if name == 'ec' else 'sign_in'}",
            )
    for name in (*_TEXT_OR_NUMBER, *_TEXT):
        value = fields.get(name)
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            return Rejection(Reason.BAD_FIELD, name, f"is longer than {_MAX_TEXT} characters")
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
