"""The tracking plan, compiled: which fields an event needs and what may stand in them, and what an event has not kept of it.

What always holds: a violation tells of the plan alone, the event's pattern, the field, the kind of rule and the plan's own example, and never what
stood in the event. What an event can cost is bounded: of its lists the first thousand elements are looked at, and no more than `MOST` violations
are told. The rules of an event are compiled when its category and action come for the first time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.events.model import JsonObject
from gateway.events.plan_checks import ABSENT, compile_check, plain_classes
from gateway.events.plan_paths import chosen, compile_holders, elements, is_plain_name, parent_and_leaf

if TYPE_CHECKING:
    from gateway.settings_plan import EventRule, FieldRule, Plan, Severity

MOST = 10
"""So many violations are told of one event."""

_REMEMBERED = 4_096
_LONGEST = 256


class Violation(NamedTuple):
    """What an event has not kept: the rule's event and field as the plan writes them, its kind, how grave, and what would be right."""

    event: str
    field: str
    rule: str
    severity: Severity
    example: Any = None

    @property
    def text(self) -> str:
        """Say it in a few words: `extra.order_id: required (product/purchase; such as "A-1001")`."""
        such_as = "" if self.example is None else f"; such as {_short(self.example)}"
        return f"{self.field}: {self.rule} ({self.event}{such_as})"


class Fault(NamedTuple):
    """What a whole-event check found: the field's path and the kind of rule."""

    field: str
    rule: str


WholeCheck = Callable[[JsonObject], Sequence[Fault]]
"""What a JSON Schema is for the plan: gives what an event has not kept."""


class _Leaf(NamedTuple):
    name: str
    path: str
    event: str
    rule: FieldRule
    severity: Severity
    check: Callable[[Any], str] | None

    def breaks(self, value: Any) -> str:
        """Give the kind of rule that a value breaks, empty for none."""
        if value is None or (value.__class__ is str and value in ABSENT):
            return "required" if self.rule.required else ""
        return self.check(value) if self.check is not None else ""

    def violation(self, kind: str) -> Violation:
        return Violation(self.event, self.path, kind, self.severity, self.rule.example)


class _Known(NamedTuple):
    """Which names an object may have."""

    holders: Callable[[JsonObject], Sequence[JsonObject]]
    path: str
    names: frozenset[str]
    event: str
    severity: Severity


class _Group(NamedTuple):
    """Objects, whether there must be one, and what must hold for the fields of each: name, classes of which any value will do, the rule."""

    holders: Callable[[JsonObject], Sequence[JsonObject]]
    needed: _Leaf | None
    leaves: tuple[tuple[str, frozenset[type], _Leaf], ...]


class _Compiled(NamedTuple):
    """The rules of one kind of event."""

    groups: tuple[_Group, ...] = ()
    tests: tuple[Callable[[JsonObject], Violation | None], ...] = ()
    known: tuple[_Known, ...] = ()
    whole: tuple[tuple[WholeCheck, EventRule, Severity], ...] = ()
    at_once: tuple[Violation, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self)


class CompiledPlan:
    """One or several plans that hold together, with the properties that each is for (`None`: all); `schemas` are the whole-event checks by their file."""

    def __init__(
        self,
        plans: Sequence[tuple[Plan, Callable[[str, str], Severity | None] | None]],
        schemas: dict[str, WholeCheck] | None = None,
    ) -> None:
        self._plans = [(plan, severity_of, [(matcher(each.event), each) for each in plan.events]) for plan, severity_of in plans]  # fmt: skip
        self._schemas = schemas or {}
        self._compiled: dict[tuple[str, str, str, str], _Compiled | None] = {}

    def judge(
        self, portal_id: str, prop_id: str, fields: JsonObject, *, is_held: bool = False
    ) -> Sequence[Violation]:
        """Give what the event has not kept, the first ones; empty when it has. `is_held`: it has what the gateway adds, so no field is unknown."""
        key = (portal_id, prop_id, fields["ec"], fields["ea"])
        known = self._compiled
        compiled = known[key] if key in known else self._remember(key)
        if compiled is None:
            return ()
        found: list[Violation] | None = None
        for holders, needed, leaves in compiled.groups:
            objects = holders(fields)
            if needed is not None and not objects:
                found = found if found is not None else []
                found.append(needed.violation("required"))
            for holder in objects:
                for name, plain, leaf in leaves:
                    value = holder.get(name)
                    if value.__class__ in plain and (value.__class__ is not str or value not in ABSENT):
                        continue
                    if kind := leaf.breaks(value):
                        found = found if found is not None else []
                        found.append(leaf.violation(kind))
                if found is not None and len(found) > MOST:
                    return _first(found)
        if compiled.tests or compiled.known or compiled.whole or compiled.at_once:
            more = _rest(compiled, fields, is_held=is_held)
            if more:
                found = (found or []) + more
        return _first(found) if found is not None else ()

    def rules_of(self, portal_id: str, prop_id: str, category: str, action: str) -> list[tuple[EventRule, Severity]]:  # fmt: skip
        """Give the rules that are about an event, each with the severity that holds where a field has none of its own."""
        return [(rule, severity) for rule, severity, _ in self._rules(portal_id, prop_id, category, action)]

    def _rules(self, portal_id: str, prop_id: str, category: str, action: str) -> list[tuple[EventRule, Severity, bool]]:  # fmt: skip
        event, found = f"{category}/{action}", []
        for plan, severity_of, rules in self._plans:
            forced = severity_of(portal_id, prop_id) if severity_of is not None else None
            if severity_of is not None and forced is None:
                continue
            for matches, rule in rules:
                if matches(event) and is_in(rule.properties, portal_id, prop_id):
                    found.append((rule, forced or rule.severity or plan.severity, forced is not None))
        return found

    def _remember(self, key: tuple[str, str, str, str]) -> _Compiled | None:
        compiled = self._compile(*key)
        kept = None if compiled.is_empty else compiled
        if sum(map(len, key)) <= _LONGEST:
            if len(self._compiled) >= _REMEMBERED:
                self._compiled.clear()
            self._compiled[key] = kept
        return kept

    def _compile(self, portal_id: str, prop_id: str, category: str, action: str) -> _Compiled:
        rules = self._rules(portal_id, prop_id, category, action)
        if not rules:
            return _Compiled(at_once=self._unknown(portal_id, prop_id))
        leaves: dict[str, list[_Leaf]] = {}
        needed: dict[str, _Leaf] = {}
        tests: list[Callable[[JsonObject], Violation | None]] = []
        whole: list[tuple[WholeCheck, EventRule, Severity]] = []
        for rule, severity, is_forced in rules:
            name = _named(rule, category, action)
            for path, field in rule.fields.items():
                parent, leaf = parent_and_leaf(path)
                grave = severity if is_forced else field.severity or severity
                made = _Leaf(leaf, path, name, field, grave, compile_check(field))
                if "[" in leaf and " | " not in path and field.required and made.check is None:
                    needed.setdefault(path, made)
                    leaves.setdefault(path, [])
                elif " | " in path or "[" in leaf:
                    tests.append(_test(made))
                else:
                    leaves.setdefault(parent, []).append(made)
            if rule.schema_file:
                whole.append((self._schemas[rule.schema_file], rule, severity))
        groups = tuple(
            _Group(
                compile_holders(parent),
                needed.get(parent),
                tuple((each.name, plain_classes(each.rule), each) for each in found),
            )
            for parent, found in leaves.items()
        )
        return _Compiled(groups, tuple(tests), tuple(_closed(rules, category, action)), tuple(whole))

    def _unknown(self, portal_id: str, prop_id: str) -> tuple[Violation, ...]:
        for plan, severity_of, _ in self._plans:
            if severity_of is None and plan.unknown_events != "allow":
                return (Violation("*", "ec, ea", "unknown_event", plan.unknown_events),)
        del portal_id, prop_id
        return ()


def _rest(compiled: _Compiled, fields: JsonObject, *, is_held: bool) -> list[Violation]:
    found = list(compiled.at_once)
    for test in compiled.tests:
        violation = test(fields)
        if violation is not None:
            found.append(violation)
    if not is_held:
        for known in compiled.known:
            for holder in known.holders(fields):
                found += [
                    Violation(known.event, _told(known.path, name), "unknown_field", known.severity)
                    for name in holder
                    if name not in known.names
                ][: MOST + 1]
    for check, rule, severity in compiled.whole:
        found += [
            Violation(rule.event[0], fault.field, fault.rule, severity, rule.example)
            for fault in check(fields)
        ]
    return found


def _test(leaf: _Leaf) -> Callable[[JsonObject], Violation | None]:
    """Give the test of a list as a whole, or of several places of which one is enough."""
    places = [_place(each) for each in leaf.path.split(" | ")]

    def test(fields: JsonObject) -> Violation | None:
        kind = ""
        for find in places:
            for value in find(fields):
                if value is None or (value.__class__ is str and value in ABSENT):
                    continue
                kind = leaf.check(value) if leaf.check is not None else ""
                if not kind:
                    return None
        kind = kind or ("required" if leaf.rule.required else "")
        return leaf.violation(kind) if kind else None

    return test


def _place(path: str) -> Callable[[JsonObject], Sequence[Any]]:
    """Give what finds the values at a path; of a list with brackets the elements that are meant, as one list, and none where there are none."""
    parent, leaf = parent_and_leaf(path)
    holders = compile_holders(parent)
    name, key, wanted = chosen(leaf)
    if key is None:
        return lambda fields: [holder.get(name) for holder in holders(fields)]
    each_of = key
    return lambda fields: [
        found for holder in holders(fields) if (found := elements(holder.get(name), each_of, wanted))
    ]


def _closed(rules: Sequence[tuple[EventRule, Severity, bool]], category: str, action: str) -> list[_Known]:
    """Give which names are known, for each object that a rule with `unknown_fields` names fields of; all rules of the event know names."""
    asking = [rule for rule, _, _ in rules if rule.unknown_fields != "allow"]
    if not asking:
        return []
    names: dict[str, set[str]] = {}
    for rule, _, _ in rules:
        for path in rule.fields:
            for one in path.split(" | "):
                parent, leaf = parent_and_leaf(one)
                if parent:
                    names.setdefault(parent, {"type"}).add(chosen(leaf)[0])
    rule = asking[0]
    grave: Severity = "quarantine" if any(each.unknown_fields == "quarantine" for each in asking) else "warn"
    return [
        _Known(compile_holders(parent), parent, frozenset(known), _named(rule, category, action), grave)
        for parent, known in names.items()
    ]


def _first(found: list[Violation]) -> Sequence[Violation]:
    """Give each violation once, as the gravest rule has it; those that quarantine before the others, and no more than `MOST`."""
    found.sort(key=lambda each: each.severity != "quarantine")
    once: dict[tuple[str, str], Violation] = {}
    for each in found:
        once.setdefault((each.field, each.rule), each)
    return tuple(once.values())[:MOST]


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Give what tells whether `category/action` is one that the patterns mean."""
    exact = frozenset(each for each in patterns if "*" not in each)
    wild = [each.split("*") for each in patterns if "*" in each]
    return lambda event: event in exact or any(fits(event, parts) for parts in wild)


def fits(text: str, parts: Sequence[str]) -> bool:
    """Tell whether a text is one that a pattern means: the pattern's texts between its stars come in it, in order. One look along the text."""
    first, *between, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in between:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _named(rule: EventRule, category: str, action: str) -> str:
    """Give the pattern by which an event is meant."""
    event = f"{category}/{action}"
    return event if event in rule.event else next(
        each for each in rule.event if "*" in each and fits(event, each.split("*"))
    )  # fmt: skip


def is_in(properties: Sequence[str], portal_id: str, prop_id: str) -> bool:
    """Tell whether a rule that names these properties is for this one; one that names none is for all."""
    return not properties or any(each in {prop_id, f"{portal_id}/{prop_id}"} for each in properties)


def _told(path: str, name: str) -> str:
    """Give the path of a field that the plan does not know; a name that may be more than a name is not told."""
    return f"{path}.{name}" if is_plain_name(name) else f"{path}.(a name)"


def _short(example: Any) -> str:
    text = json.dumps(example, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"
