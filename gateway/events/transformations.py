"""`[[transformations]]`, compiled: what the settings change of an event, before anything else is done with it.

What always holds: a step does its whole work or nothing; it writes no value over another (but `set`, `map` and the casts, which are for that), and none where
the wire format wants another kind of value. Whose an event is never changes: the settings refuse such steps. Which transformations are for an
event goes by the category and action that it came with, and is worked out when they come for the first time; then their steps run in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.events.plan_checks import is_numeric
from gateway.events.tracking_plan import is_in, matcher
from gateway.settings_plan import pattern_validator, split_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import JsonObject
    from gateway.settings_transformations import Step, Transformation, When

Finder = Callable[["JsonObject", bool], "list[JsonObject]"]
"""Gives the objects that hold a field, and makes them where asked to."""

Change = Callable[["JsonObject"], bool]
"""Changes an event in place; `True` when it did."""

_REMEMBERED = 4_096
_LONGEST = 256
_MOST_ELEMENTS = 1_000
_LONGEST_MATCHED = 8_192
_MISSING: Any = object()
_KINDS: dict[str, type] = {
    "ec": str, "ea": str, "en": str, "et": str, "cid": str, "sid": str, "dims": dict, "extra": dict, "context": dict, "items": list,
}  # fmt: skip
_NEEDED = frozenset({"ec", "ea"})


class Transformations:
    """Every transformation of the settings."""

    def __init__(self, configured: Sequence[Transformation]) -> None:
        self._configured = [(matcher(each.event), each, _compiled(each)) for each in configured]
        self._known: dict[tuple[str, str, str, str], tuple[Change, ...]] = {}

    def apply(self, portal_id: str, prop_id: str, fields: JsonObject) -> bool:
        """Change an event in place; `True` when anything of it is another now."""
        key = (portal_id, prop_id, fields["ec"], fields["ea"])
        known = self._known
        changes = known[key] if key in known else self._remember(key)
        is_changed = False
        for change in changes:
            if change(fields):
                is_changed = True
        return is_changed

    def _remember(self, key: tuple[str, str, str, str]) -> tuple[Change, ...]:
        portal_id, prop_id, category, action = key
        event = f"{category}/{action}"
        found = tuple(
            change
            for matches, each, change in self._configured
            if matches(event) and is_in(each.properties, portal_id, prop_id)
        )
        if sum(map(len, key)) <= _LONGEST:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found


def _compiled(transformation: Transformation) -> Change:
    steps = [_step(each) for each in transformation.steps]
    holds = _condition(transformation.when) if transformation.when is not None else None

    def change(fields: JsonObject) -> bool:
        if holds is not None and not holds(fields):
            return False
        is_changed = False
        for step in steps:
            if step(fields):
                is_changed = True
        return is_changed

    return change


def _condition(when: When) -> Callable[[JsonObject], bool]:
    find = _finder(when.field)
    if when.exists is not None:
        wanted = when.exists
        return lambda fields: (not _is_empty(_value(find, fields))) is wanted
    if when.matches:
        matches = pattern_validator(when.matches).isinstance_python

        def fits(fields: JsonObject) -> bool:
            value = _value(find, fields)
            return value.__class__ is str and len(value) <= _LONGEST_MATCHED and matches(value)

        return fits
    allowed = {(each.__class__ is bool, each) for each in when.one_of}

    def is_one(fields: JsonObject) -> bool:
        value = _value(find, fields)
        if value.__class__ is dict or value.__class__ is list:
            return False
        return (value.__class__ is bool, value) in allowed

    return is_one


def _step(step: Step) -> Change:
    name, path = step.operation
    if name in {"rename", "duplicate"}:
        assert step.to is not None
        return _move(path, step.to, keeps=name == "duplicate")
    if name == "set":
        return _set(path, step.value)
    if name == "remove":
        return _remove(path)
    return _convert(path, _conversion(name, step))


def _finder(path: str) -> tuple[Finder, str]:
    """Give what finds the objects that hold a field (and makes them, where asked to), and the field's name."""
    *parents, leaf = split_path(path)

    def find(fields: JsonObject, makes: bool) -> list[JsonObject]:  # noqa: FBT001 -- called for each event
        found: list[JsonObject] = [fields]
        for step in parents:
            name, is_each = step.removesuffix("[]"), step.endswith("[]")
            following: list[JsonObject] = []
            for holder in found:
                value = holder.get(name)
                if is_each:
                    if value.__class__ is list:
                        following += [each for each in value[:_MOST_ELEMENTS] if each.__class__ is dict]
                elif value.__class__ is dict:
                    following.append(value)
                elif value.__class__ is list and not makes:
                    # `dims` as phones send them.
                    following += [each for each in value[:_MOST_ELEMENTS] if each.__class__ is dict]
                elif value is None and makes:
                    made: JsonObject = {}
                    holder[name] = made
                    following.append(made)
            found = following
        return found

    return find, leaf


def _value(found: tuple[Finder, str], fields: JsonObject) -> Any:
    find, leaf = found
    holders = find(fields, False)  # noqa: FBT003 -- see `_finder`
    return next((value for each in holders if (value := each.get(leaf)) is not None), None)


def _move(path: str, to: str, *, keeps: bool) -> Change:
    """Give what moves a value to another place, where there is none yet."""
    find, leaf = _finder(path)
    if "[]" in path:
        # The settings have seen to it that both are of the same element.
        return _move_within(find, leaf, to.rpartition(".")[2], keeps=keeps)
    reach, name = _finder(to)
    expected = _KINDS.get(to)

    def move(fields: JsonObject) -> bool:
        holder = next((each for each in find(fields, False) if leaf in each), None)  # noqa: FBT003 -- see `_finder`
        if holder is None:
            return False
        value = holder[leaf]
        if expected is str and value.__class__ is int:
            value = str(value)
        if expected is not None and not _is_kind(value, expected):
            return False
        goal = next(iter(reach(fields, False)), None)  # noqa: FBT003 -- see `_finder`
        if goal is not None and not _is_empty(goal.get(name)):
            return False
        if keeps:
            value = _copied(value)
        else:
            # Before the goal is made: that may be within what moves.
            del holder[leaf]
        goal = next(iter(reach(fields, True)), None)  # noqa: FBT003 -- see `_finder`
        if goal is None:
            holder[leaf] = value
            return False
        goal[name] = value
        return True

    return move


def _move_within(find: Finder, leaf: str, name: str, *, keeps: bool) -> Change:
    def move_each(fields: JsonObject) -> bool:
        is_changed = False
        for holder in find(fields, False):  # noqa: FBT003 -- see `_finder`
            if leaf in holder and _is_empty(holder.get(name)):
                holder[name] = _copied(holder[leaf]) if keeps else holder.pop(leaf)
                is_changed = True
        return is_changed

    return move_each


def _is_empty(value: Any) -> bool:
    return value is None or (value.__class__ is str and not value)


def _copied(value: Any) -> Any:
    if value.__class__ is dict:
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if value.__class__ is list else value


def _is_kind(value: Any, expected: type) -> bool:
    if value.__class__ is list:
        return expected is list and all(each.__class__ is dict for each in value)
    return value.__class__ is expected


def _set(path: str, value: Any) -> Change:
    find, leaf = _finder(path)
    expected = _KINDS.get(path)
    written = str(value) if expected is str else value

    def put(fields: JsonObject) -> bool:
        is_changed = False
        for holder in find(fields, True):  # noqa: FBT003 -- see `_finder`
            if holder.get(leaf, _MISSING) != written or holder[leaf].__class__ is not written.__class__:
                holder[leaf] = written
                is_changed = True
        return is_changed

    return put


def _remove(path: str) -> Change:
    find, leaf = _finder(path)

    def remove(fields: JsonObject) -> bool:
        found = [holder for holder in find(fields, False) if leaf in holder]  # noqa: FBT003 -- see `_finder`
        for holder in found:
            del holder[leaf]
        return bool(found)

    return remove


def _convert(path: str, conversion: Callable[[Any], Any]) -> Change:
    find, leaf = _finder(path)
    expected = _KINDS.get(path)

    def convert(fields: JsonObject) -> bool:
        is_changed = False
        for holder in find(fields, False):  # noqa: FBT003 -- see `_finder`
            value = holder.get(leaf)
            if value is None:
                continue
            new = conversion(value)
            if new is value or (new == value and new.__class__ is value.__class__):
                continue
            if expected is not None and (not _is_kind(new, expected) or (path in _NEEDED and not new.strip())):  # fmt: skip
                continue
            holder[leaf] = new
            is_changed = True
        return is_changed

    return convert


def _conversion(name: str, step: Step) -> Callable[[Any], Any]:
    if name == "map":
        table, default = dict(step.table or {}), step.default

        def mapped(value: Any) -> Any:
            if value.__class__ is dict or value.__class__ is list:
                return value
            key = str(value).lower() if value.__class__ is bool else str(value)
            return table.get(key, value if default is None else default)

        return mapped
    if name == "lower":
        return lambda value: value.lower() if value.__class__ is str else value
    if name == "trim":
        return lambda value: value.strip() if value.__class__ is str else value
    return _number if name == "number" else _text


def _number(value: Any) -> Any:
    if value.__class__ is not str or not is_numeric(value):
        return value
    number = float(value)
    # No number of JSON is endless.
    if number in {float("inf"), float("-inf")}:
        return value
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _text(value: Any) -> Any:
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value) if value.__class__ in (int, float) else value
