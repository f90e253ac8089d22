"""The paths of a plan, made functions: an event in, the objects out that hold what the path names.

A step is a name; `name[]` is each element of a list, `name[key=value]` each element with that value. A list that a plain name meets, as the iOS
SDK's `dims`, is looked through for the first object that has the name, or is of that type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.settings_plan import split_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.model import JsonObject

    Holders = Callable[[JsonObject], Sequence[JsonObject]]

_EMPTY: JsonObject = {}
_MOST_ELEMENTS = 1_000
"""Of a list no more are looked at: what a page does wrong, it does in the first ones."""

_NAMES = re.compile(r"(?!.*\d{6})[A-Za-z_][A-Za-z0-9_]{0,39}\Z", re.ASCII)


def is_plain_name(name: str) -> bool:
    """Tell whether a field's name, which a client chose, may be told: a word, with nothing in it that could be a number of somebody's."""
    return _NAMES.match(name) is not None


def parent_and_leaf(path: str) -> tuple[str, str]:
    """Give the path of the object that holds a field, and the field's own step."""
    steps = split_path(path)
    return ".".join(steps[:-1]), steps[-1]


def chosen(step: str) -> tuple[str, str | None, str]:
    """Take a step apart: its name, and what its brackets ask of an element: key and value, both empty for each; `None` without brackets."""
    name, bracket, inner = step.partition("[")
    if not bracket:
        return name, None, ""
    key, _, value = inner.removesuffix("]").partition("=")
    return name, key, value


def step_into(holder: Any, name: str) -> Any:
    """Give what stands under a name in an object, or in the first object of a list that has it or is of that type; `None` for nothing."""
    if holder.__class__ is dict:
        return holder.get(name)
    if holder.__class__ is list:
        for each in holder[:_MOST_ELEMENTS]:
            if each.__class__ is dict:
                if name in each:
                    return each[name]
                if each.get("type") == name:
                    return each
    return None


def elements(value: Any, key: str, wanted: str) -> list[JsonObject]:
    """Give the objects of a list, all or those whose `key` is `wanted`."""
    if value.__class__ is not list:
        return []
    found = value if len(value) <= _MOST_ELEMENTS else value[:_MOST_ELEMENTS]
    if key:
        # A value that is a number is written without quotes in the brackets, too.
        return [
            each
            for each in found
            if each.__class__ is dict and ((value_of := each.get(key)) == wanted or str(value_of) == wanted)
        ]
    return [each for each in found if each.__class__ is dict]


def compile_holders(path: str) -> Holders:
    """Give what finds the objects at a path; one that is missing is an empty object, so that what it should hold is missed."""
    if not path:
        return lambda fields: (fields,)
    steps = [chosen(each) for each in split_path(path)]
    if len(steps) == 1:
        name, key, wanted = steps[0]
        if key is None:
            return _of_name(name)
        each_of = key
        return lambda fields: elements(fields.get(name), each_of, wanted)
    return lambda fields: _walk(fields, steps)


def _of_name(name: str) -> Holders:
    def find(fields: JsonObject) -> Sequence[JsonObject]:
        value = fields.get(name)
        return (value if value.__class__ is dict else step_holder(value),)

    return find


def _walk(fields: JsonObject, steps: Sequence[tuple[str, str | None, str]]) -> Sequence[JsonObject]:
    found: list[Any] = [fields]
    for name, key, wanted in steps:
        if key is None:
            found = [step_into(each, name) for each in found]
        else:
            found = [one for each in found for one in elements(step_into(each, name), key, wanted)]
        if len(found) > _MOST_ELEMENTS:
            del found[_MOST_ELEMENTS:]
    return [each if each.__class__ is dict else step_holder(each) for each in found]


def step_holder(value: Any) -> JsonObject:
    """Give an object for what should be one: a list's objects as one, the first of each name; for anything else an empty one."""
    if value.__class__ is not list:
        return _EMPTY
    merged: JsonObject = {}
    for each in value[:_MOST_ELEMENTS]:
        if each.__class__ is dict:
            kind = each.get("type")
            if kind.__class__ is str:
                merged.setdefault(kind, each)
            for name, one in each.items():
                merged.setdefault(name, one)
    return merged
