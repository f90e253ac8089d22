"""`[[transformations]]`: what is changed of events before anything else is done with them.

What must not be possible is refused here, with the key and the mend: to give an event another UID, to send it to another property, and to give one
customer's id, address or session to everybody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.settings_plan import EventPattern, PropertyName, Scalar, pattern_validator, split_path
from gateway.settings_types import Section

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_STEP = re.compile(r"[A-Za-z_$@-][\w$@-]{0,63}(?:\[\])?\Z", re.ASCII)
_MOST_STEPS = 8

OPERATIONS = ("rename", "duplicate", "set", "remove", "map", "lower", "trim", "number", "text")
"""What a step may do; each names the field that it is about."""

NEVER = frozenset({"uid", "aid", "portal_id", "prop_id", "request_id"})
"""Whose an event is, and which: a UID that a rule gives would join strangers, and a customer id never changes."""

NAMES_SOMEBODY = frozenset(
    {"cid", "sid", "customer_id", "identify_id", "user_id", "reset_uid", "generate_uid", "email", "phone"}
)
"""Names under which somebody's id stands: they may be moved, each to its own event, and never be made alike."""

_KEPT = frozenset({"ec", "ea"})
_TEXTS = frozenset({"ec", "ea", "en", "et", "cid", "sid"})
_NOT_LISTS = frozenset({*_TEXTS, "extra", "context"})
_CONTAINERS = frozenset({"items", "dims", "extra", "context"})


def _path(value: str) -> str:
    steps = split_path(value)
    if not 1 <= len(steps) <= _MOST_STEPS or not all(_STEP.match(each) for each in steps) or value.endswith("]"):  # fmt: skip
        msg = "write a field's path, such as extra.page_type, or items[].id for that field of each item"
        raise ValueError(msg)
    if steps[0] in NEVER:
        msg = f"leave {steps[0]} alone: whose an event is, and which, is not for a rule to change"
        raise ValueError(msg)
    if len(steps) > 1 and steps[0] in _TEXTS:
        msg = f"{steps[0]} is a text: nothing stands below it"
        raise ValueError(msg)
    if len(steps) > 1 and steps[0] == "items":
        msg = f"write items[].{value.partition('.')[2]}: items are a list"
        raise ValueError(msg)
    if steps[0].endswith("[]") and steps[0] not in {"items[]", "dims[]"} and steps[0][:-2] in _NOT_LISTS:
        msg = f"{steps[0][:-2]} is no list: leave out []"
        raise ValueError(msg)
    if value in {"extra.reset_uid", "extra.generate_uid"}:
        msg = f"leave {value} alone: it says which UID comes after which"
        raise ValueError(msg)
    return value


def _pattern(value: str) -> str:
    if value:
        pattern_validator(value)
    return value


Path = Annotated[str, AfterValidator(_path)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) else value


class When(Section):
    """A condition on one field: its value is one of `one_of`, it matches `matches`, or it is there (`exists`), or not."""

    field: Path
    one_of: Annotated[tuple[Scalar, ...], BeforeValidator(_listed)] = ()
    matches: Annotated[str, Field(max_length=500), AfterValidator(_pattern)] = ""
    exists: bool | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> When:
        if bool(self.one_of) + bool(self.matches) + (self.exists is not None) != 1:
            msg = "write one of one_of, matches and exists"
            raise ValueError(msg)
        if "[]" in self.field:
            msg = "write a field that stands once: a condition is about the whole event"
            raise ValueError(msg)
        return self


class Step(Section):
    """One thing that is done, named by its key: `{ rename = "extra.mail", to = "dims.customers.email" }`."""

    rename: Path | None = None
    duplicate: Path | None = None
    set: Path | None = None
    remove: Path | None = None
    map: Path | None = None
    lower: Path | None = None
    trim: Path | None = None
    number: Path | None = None
    text: Path | None = None
    to: Path | None = None
    value: Scalar | None = None
    table: dict[str, Scalar] | None = None
    default: Scalar | None = None

    @property
    def operation(self) -> tuple[str, str]:
        """What is done, and to which field."""
        return next((name, path) for name in OPERATIONS if (path := self._of(name)) is not None)

    @model_validator(mode="after")
    def _is_one_operation(self) -> Step:
        done = [name for name in OPERATIONS if self._of(name) is not None]
        if len(done) != 1:
            msg = f"write one operation: {', '.join(OPERATIONS)}"
            raise ValueError(msg)
        name, path = self.operation
        problem = self._shape_problem(name, path) or self._meaning_problem(name, path)
        if problem:
            raise ValueError(problem)
        return self

    def _of(self, name: str) -> str | None:
        found: str | None = getattr(self, name)
        return found

    def _shape_problem(self, name: str, path: str) -> str:
        if (self.to is not None) != (name in {"rename", "duplicate"}):
            return f'write {{ {name} = "{path}", to = "…" }}' if self.to is None else f"{name} has no `to`: leave it out"  # fmt: skip
        if (self.value is not None) != (name == "set"):
            return f'write {{ set = "{path}", value = … }}' if self.value is None else f"{name} has no `value`: leave it out"  # fmt: skip
        if (self.table is not None) != (name == "map"):
            return f'write {{ map = "{path}", table = {{ from = "to" }} }}' if self.table is None else f"{name} has no `table`: leave it out"  # fmt: skip
        if self.default is not None and name != "map":
            return f"{name} has no `default`: leave it out"
        if self.to is not None and ("[]" in path or "[]" in self.to) and _parent(path) != _parent(self.to):
            return "a field of each element can be moved within that element alone: items[].sku to items[].id"
        return ""

    def _meaning_problem(self, name: str, path: str) -> str:
        leaf = path.rpartition(".")[2]
        if name in {"rename", "remove"} and path in _KEPT:
            return f"an event needs its {path}: use duplicate, or map it to another"
        if name == "set" and path in _KEPT and not (isinstance(self.value, str) and self.value.strip()):
            return f"an event needs its {path}: write a text"
        if name in {"set", "map"}:
            if leaf.lower() in NAMES_SOMEBODY or path.endswith("customers.id"):
                return f"{path} names somebody, and this would give everybody the same: rename or duplicate the field that holds it"
            if path in _CONTAINERS:
                return f"{path} holds fields: name one of them, such as {path}.name"
        return ""


def one_for_all(transformations: Sequence[Transformation], names: Collection[str]) -> str:
    """Say which step would give everybody the same value of a field by which customers are known, `names`; empty when none would."""
    for number, transformation in enumerate(transformations):
        for place, step in enumerate(transformation.steps):
            name, path = step.operation
            leaf = path.rpartition(".")[2]
            if name in {"set", "map"} and leaf in names:
                return (
                    f"transformations[{number}].steps[{place}]: {path} is a field by which customers are known ([identity]), and this would give "
                    "everybody the same: rename or duplicate the field that holds it"
                )
    return ""


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


class Transformation(Section):
    """One of `[[transformations]]`: steps, in order, for the events that it is about."""

    event: Annotated[
        tuple[EventPattern, ...],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(min_length=1, max_length=100),
    ] = ("*",)
    properties: Annotated[tuple[PropertyName, ...], BeforeValidator(_listed)] = ()
    when: When | None = None
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)
    about: str = ""
