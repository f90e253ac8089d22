"""A plan as the TOML text that people read and change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence


def plan_text(rules: Sequence[dict[str, Any]], heading: Sequence[str]) -> str:
    """Give the file of a plan with these rules (see `gateway.plans.inferring`); `heading` are its first lines, as comments."""
    lines = [*(f"# {each}" for each in heading), "", "version = 1", 'severity = "warn"']
    for rule in rules:
        lines += ["", f"# {rule['count']:,} events", "[[events]]", f"event = {_toml(rule['event'])}"]
        if rule["fields"]:
            lines.append("[events.fields]")
        lines += [f"{_toml(path)} = {_toml(field)}" for path, field in rule["fields"].items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return orjson.dumps(value).decode()
