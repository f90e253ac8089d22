"""One field's rule, made a function: a value in, the kind of rule out that it breaks, empty for none.

What always holds: nothing here keeps or gives back a value, and each function takes time that grows with the length of the value alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.settings_plan import pattern_validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings_plan import FieldRule, TypeName

KINDS = (
    "required", "type", "range", "length", "allowed", "pattern", "items", "schema", "unknown_field", "unknown_event",
)  # fmt: skip
"""The kinds of rule: a closed set, for they are a metric's labels."""

ABSENT = frozenset({"", "undefined", "null", "NaN", "[object Object]"})
"""Texts that scripts write where they have no value: a required field with one of them is missing."""

# A text that is longer is matched by no pattern: whoever means such texts bounds them by length.
_LONGEST_MATCHED = 8_192
_LONGEST_NUMBER = 40
_NUMERIC = re.compile(r"\s*[+-]?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,3})?\s*\Z", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)


def _is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


def is_numeric(value: Any) -> bool:
    """Tell whether a value is a number, or a text that is written as one."""
    kind = value.__class__
    if kind is int or kind is float:
        return True
    return kind is str and len(value) <= _LONGEST_NUMBER and _NUMERIC.match(value) is not None


_TYPES: dict[TypeName, Callable[[Any], bool]] = {
    "text": lambda value: value.__class__ is str,
    "number": _is_number,
    "integer": lambda value: value.__class__ is int,
    "numeric": is_numeric,
    "boolean": lambda value: value.__class__ is bool,
    "id": lambda value: value.__class__ is str or value.__class__ is int,
    "object": lambda value: value.__class__ is dict,
    "list": lambda value: value.__class__ is list,
    "time": lambda value: value.__class__ is str and TIME.match(value) is not None,
}


_CLASSES: dict[TypeName | None, frozenset[type]] = {
    "text": frozenset({str}),
    "number": frozenset({int, float}),
    "integer": frozenset({int}),
    "numeric": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "id": frozenset({str, int}),
    "object": frozenset({dict}),
    "list": frozenset({list}),
    "time": frozenset(),
    None: frozenset({str, int, float, bool, dict, list}),
}


def plain_classes(rule: FieldRule) -> frozenset[type]:
    """Give the classes of values that need no further look: what nearly every field has is passed without a call."""
    is_of_type_alone = compile_check(rule.model_copy(update={"type": None})) is None
    return _CLASSES[rule.type] if is_of_type_alone else frozenset()


def compile_check(rule: FieldRule) -> Callable[[Any], str] | None:
    """Give the check of a field's value; `None` where any value will do."""
    parts = [each for each in (_type(rule), _range(rule), _length(rule), _items(rule), _allowed(rule), _pattern(rule)) if each]  # fmt: skip
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]

    def check(value: Any) -> str:
        for each in parts:
            if kind := each(value):
                return kind
        return ""

    return check


def _type(rule: FieldRule) -> Callable[[Any], str] | None:
    if rule.type is None:
        return None
    if rule.type == "text":
        return lambda value: "" if value.__class__ is str else "type"
    holds = _TYPES[rule.type]
    return lambda value: "" if holds(value) else "type"


def _range(rule: FieldRule) -> Callable[[Any], str] | None:
    if rule.min is None and rule.max is None:
        return None
    least = float("-inf") if rule.min is None else rule.min
    most = float("inf") if rule.max is None else rule.max

    def check(value: Any) -> str:
        if value.__class__ is str and is_numeric(value):
            value = float(value)
        elif not _is_number(value):
            # A bound is of numbers; that it must be one, the type says.
            return "" if rule.type else "range"
        return "" if least <= value <= most else "range"

    return check


def _length(rule: FieldRule) -> Callable[[Any], str] | None:
    if rule.min_length is None and rule.max_length is None:
        return None
    least, most = rule.min_length or 0, rule.max_length

    def check(value: Any) -> str:
        length = len(value) if value.__class__ is str else len(str(value)) if _is_number(value) else -1
        if length < 0:
            return "" if rule.type else "length"
        return "" if least <= length and (most is None or length <= most) else "length"

    return check


def _items(rule: FieldRule) -> Callable[[Any], str] | None:
    if rule.min_items is None and rule.max_items is None:
        return None
    least, most = rule.min_items or 0, rule.max_items

    def check(value: Any) -> str:
        if value.__class__ is not list:
            return "items"
        return "" if least <= len(value) and (most is None or len(value) <= most) else "items"

    return check


def _allowed(rule: FieldRule) -> Callable[[Any], str] | None:
    if not rule.one_of:
        return None
    # True and 1 are one in a set, and are two in JSON.
    allowed = frozenset((each.__class__ is bool, each) for each in rule.one_of)

    def check(value: Any) -> str:
        if value.__class__ is dict or value.__class__ is list:
            return "allowed"
        return "" if (value.__class__ is bool, value) in allowed else "allowed"

    return check


def _pattern(rule: FieldRule) -> Callable[[Any], str] | None:
    if not rule.pattern:
        return None
    matches = pattern_validator(rule.pattern).isinstance_python

    def check(value: Any) -> str:
        if _is_number(value):
            value = str(value)
        if value.__class__ is not str or len(value) > _LONGEST_MATCHED:
            return "pattern"
        return "" if matches(value) else "pattern"

    return check
