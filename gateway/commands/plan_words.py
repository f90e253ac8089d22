"""What a tracking plan means, in rows and sentences, for the commands that show one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from gateway.terminal import fail, plain, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.plans.reading import PlanUnusable, ReadPlan
    from gateway.settings import Settings
    from gateway.settings_plan import FieldRule, Plan

_BOUNDS = (("from", "min", "to", "max"), ("length from", "min_length", "to", "max_length"), ("elements from", "min_items", "to", "max_items"))  # fmt: skip
_MOST_VALUES = 8


def read_or_fail(path: Path, *, as_json: bool) -> ReadPlan:
    """Read a plan's file, or say every problem in it and end with 2."""
    from gateway.plans.reading import PlanUnusable, read_plan  # noqa: PLC0415 -- `--help` need not wait for it

    try:
        return read_plan(path)
    except PlanUnusable as error:
        fail_of(error, as_json=as_json)


def fail_of(error: PlanUnusable, *, as_json: bool) -> NoReturn:
    """Say every problem of a plan and end with 2."""
    if as_json:
        print_json({"ok": False, "file": error.path, "problems": [each._asdict() for each in error.problems]})
    else:
        sys.stderr.write(f"{plain(str(error))}\n")
    raise typer.Exit(2) from None


def seen_plan(loaded: Settings, *, as_json: bool) -> tuple[dict[str, Any], str]:
    """Give what events are held to, as a document and as a sentence; end with 2 where the plan's file can't be used."""
    from pathlib import Path  # noqa: PLC0415 -- see above

    section = loaded.tracking_plan
    document: dict[str, Any] = {"standard": section.standard}
    sentence = f"tracking plan: standard events {section.standard}"
    others = {each.standard_plan for each in loaded.properties} - {"", section.standard}
    if others:
        sentence += f" (some properties: {', '.join(sorted(others))})"
    if section.file:
        plan = read_or_fail(Path(section.file), as_json=as_json).plan
        document |= {"file": section.file, "events": len(plan.events), "fields": fields_of(plan)}
        sentence += f"; {section.file}: {len(plan.events)} kinds of event, {fields_of(plan)} fields"
    return document, sentence


def seen_plugins(loaded: Settings, *, as_json: bool) -> None:
    """Look whether each plugin that the settings name is there; end with 2 where one can't be used."""
    from gateway.plugins.contract import PluginsUnusable  # noqa: PLC0415 -- see above
    from gateway.plugins.finding import find_plugins  # noqa: PLC0415

    try:
        find_plugins(loaded.plugins.enabled)
    except PluginsUnusable as error:
        fail(f"{error}; {error.hint}", code=2, as_json=as_json)


def fields_of(plan: Plan) -> int:
    """Count the fields that a plan has rules for."""
    return sum(len(each.fields) for each in plan.events)


def rows(plan: Plan) -> list[dict[str, Any]]:
    """Give one row for each field of each event: what must hold, how grave, and what would be right."""
    found = []
    for rule in plan.events:
        event = ", ".join(rule.event)
        where = ", ".join(rule.properties)
        severity = rule.severity or plan.severity
        for path, field in rule.fields.items():
            found.append(_row(event, where, path, meaning(field), field.severity or severity, field.example))
        if rule.schema_file:
            found.append(_row(event, where, "(event)", f"fits {rule.schema_file}", severity, rule.example))
        if rule.unknown_fields != "allow":
            found.append(_row(event, where, "(others)", "no other fields", rule.unknown_fields, None))
    if plan.unknown_events != "allow":
        found.append(_row("(others)", "", "ec, ea", "no other events", plan.unknown_events, None))
    return found


def meaning(rule: FieldRule) -> str:
    """Say what a field's rule asks, in words."""
    words = ["required" if rule.required else "optional"]
    if rule.type is not None:
        words.append(rule.type)
    for low_word, low, high_word, high in _BOUNDS:
        least, most = getattr(rule, low), getattr(rule, high)
        parts = [f"{low_word} {least:g}"] if least is not None else []
        if most is not None:
            parts.append(f"{high_word if parts else low_word.replace('from', 'to')} {most:g}")
        if parts:
            words.append(" ".join(parts))
    if rule.one_of:
        shown = ", ".join(str(each) for each in rule.one_of[:_MOST_VALUES])
        words.append(f"one of {shown}" + (", …" if len(rule.one_of) > _MOST_VALUES else ""))
    if rule.pattern:
        words.append(f"like {rule.pattern}")
    return ", ".join(words)


def _row(event: str, where: str, path: str, means: str, severity: str, example: Any) -> dict[str, Any]:
    shown = "" if example is None else str(example)
    row = {"event": event, "field": path, "must be": means, "severity": severity, "example": shown}
    return row | ({"properties": where} if where else {})
