"""The tracking plan: what is set of it (`[tracking_plan]`), and what stands in a plan's own file.

A plan file is checked like the settings are: unknown keys are refused, and what is wrong names the key, the value and the mend. Patterns are those of
Rust's `regex`, which has no look-around and no back-references, and reads any text in time that grows with its length alone.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from gateway.settings_types import Section

Severity = Literal["warn", "quarantine"]
Policy = Literal["allow", "warn", "quarantine"]
StandardPolicy = Literal["off", "warn", "quarantine"]
TypeName = Literal["text", "number", "integer", "numeric", "boolean", "id", "object", "list", "time"]

_STEP = re.compile(r"[A-Za-z_$@-][\w$@-]{0,63}(?:\[\]|\[[A-Za-z_][\w-]{0,63}=[^\[\]|]{1,64}\])?\Z", re.ASCII)
_EVENT = re.compile(r"[^/\s]{1,64}/[^/\s]{1,64}\Z")
_PROPERTY = re.compile(r"(?:[A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_-]{1,64}\Z")
_MOST_STEPS = 8


def pattern_validator(pattern: str) -> SchemaValidator:
    """Give what tells texts that match. Raises `ValueError` for a pattern that can't be read, or needs too much memory."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        reason = str(error).strip().rsplit("\n", 1)[-1].strip().removeprefix("SchemaError: ")
        msg = f"mend the pattern, or write it without look-around and back-references ({reason})"
        raise ValueError(msg) from None


def _pattern(value: str) -> str:
    if value:
        pattern_validator(value)
    return value


def field_path(value: str) -> str:
    """Give the path back when it is one. Raises `ValueError`, which says what to write."""
    for each in value.split(" | "):
        steps = split_path(each)
        if not 1 <= len(steps) <= _MOST_STEPS or not all(_STEP.match(step) for step in steps):
            msg = (
                "write a field's path such as extra.page_type, items[].id, items[type=product].price, or several "
                "of which one is enough: cid | dims.customers.customer_id"
            )
            raise ValueError(msg)
    return value


def split_path(path: str) -> list[str]:
    """Give the steps of a path: a dot within brackets separates nothing."""
    return re.split(r"\.(?![^\[]*\])", path)


def _event(value: str) -> str:
    if value != "*" and not _EVENT.match(value):
        msg = "write category/action, such as product/purchase; * stands for any characters: product/*"
        raise ValueError(msg)
    return value


def _prop(value: str) -> str:
    if not _PROPERTY.match(value):
        msg = "write a prop_id, or portal_id/prop_id where two portals have a property of that id"
        raise ValueError(msg)
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


FieldPath = Annotated[str, AfterValidator(field_path)]
EventPattern = Annotated[str, AfterValidator(_event)]
PropertyName = Annotated[str, BeforeValidator(_as_text), AfterValidator(_prop)]
Scalar = str | int | float | bool


class TrackingPlan(Section):
    """`[tracking_plan]`: which plans events are held to. A relative `file` is relative to the working directory, as `data_dir` is."""

    standard: StandardPolicy = "warn"
    file: str = ""
    mark_events: bool = False


class FieldRule(Section):
    """What must hold for one field. Bounds are inclusive; lengths are characters; `example` is a right value, to be shown to people."""

    required: bool = False
    type: TypeName | None = None
    min: float | None = None
    max: float | None = None
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    min_items: int | None = Field(default=None, ge=0)
    max_items: int | None = Field(default=None, ge=0)
    one_of: tuple[Scalar, ...] = Field(default=(), max_length=1_000)
    pattern: Annotated[str, Field(max_length=500), AfterValidator(_pattern)] = ""
    severity: Severity | None = None
    example: Any = None
    about: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> FieldRule:
        for low, high in (("min", "max"), ("min_length", "max_length"), ("min_items", "max_items")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                msg = f"{low} is above {high}: no value could be right"
                raise ValueError(msg)
        return self


class EventRule(Section):
    """One of `[[events]]`: what must hold for the events that one of the patterns means, in some properties or in all.

    `schema_file` is a JSON Schema that the whole event must fit, relative to the plan's file.
    """

    event: Annotated[tuple[EventPattern, ...], BeforeValidator(_listed), Field(min_length=1, max_length=100)]
    properties: Annotated[tuple[PropertyName, ...], BeforeValidator(_listed)] = ()
    severity: Severity | None = None
    unknown_fields: Policy = "allow"
    schema_file: str = ""
    example: Any = None
    about: str = ""
    fields: dict[FieldPath, FieldRule] = Field(default={})


class Plan(Section):
    """A plan: its events' rules. `severity` holds where a rule has none of its own; `unknown_events` are those that no rule is about."""

    version: Literal[1] = 1
    severity: Severity = "warn"
    unknown_events: Policy = "allow"
    events: tuple[EventRule, ...] = ()
