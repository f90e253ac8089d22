"""A plan from what has come: which fields each kind of event has had, how often, of which type, between which bounds, with which few values.

What always holds: memory is bounded, whatever came: so many kinds of event, so many fields of each, so many values of each field. A value that
stood in an event is written only where it is a plain word, came from several visitors, is one of few, and stands in no field that names
somebody or something of hers; of everything else there are types and rounded bounds. A name of a field or an event that may be more than a name
is left out.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.events.campaign import CLICK_IDS
from gateway.events.plan_checks import ABSENT, TIME, is_numeric
from gateway.events.plan_paths import is_plain_name, step_holder
from gateway.settings_transformations import NAMES_SOMEBODY
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_KINDS = 500
_MOST_FIELDS = 300
_MOST_CHILDREN = 60
_MOST_ELEMENTS = 100
_MOST_DEPTH = 6
_MOST_TYPES = 8
_ENOUGH_VISITORS = 5
_ENOUGH_OF_A_VALUE = 20
_LEAST_SHARE = 0.01
_EVENT = re.compile(r"(?!.*\d{6})[A-Za-z0-9_.:-]{1,64}/[A-Za-z0-9_.:-]{1,64}\Z", re.ASCII)
_WORD = re.compile(r"(?!.*\d{4})[A-Za-z][A-Za-z0-9_./-]{0,31}\Z", re.ASCII)
# The gateway adds them; whoever is judged has not got them yet.
_ADDED = frozenset(
    {
        "extra.event_id",
        "extra.receive_time",
        "extra.corrected_time",
        "extra.fbp",
        "extra.fbc",
        "extra.consent",
        *(f"extra.{name}" for name in CLICK_IDS),
    }
)
_WALKED = ("extra", "items", "dims")
_PERSONAL = re.compile(
    r"(?:^|_)(?:id|ids|uid|name|first|last|mail|email|phone|tel|mobile|address|street|city|zip|postal|birth|birthday|dob|gender|sex|age|ip|token|"
    r"secret|password|key|hash|url|link|href|referrer|title|term|query|search|comment|message|note|text|iban|card|passport|user|customer|member|login|account)s?(?:_|$)"
)
_ID = re.compile(r"(?:id|ids|sku|code|key)$")
_PERSONAL_DIMS = frozenset({"customers", "users", "leads", "accounts"})


class Thresholds(NamedTuple):
    """In which share of the events a field is for a rule to say `required` (and to be of one type), and how many events, and values, are enough."""

    required: float = 0.99
    least_events: int = 20
    most_values: int = 12


class _Field:
    """What has stood in one field."""

    __slots__ = ("count", "integers", "kinds", "least", "longest", "most", "numeric", "times", "values")

    def __init__(self) -> None:
        self.count = self.integers = self.numeric = self.times = self.longest = 0
        self.kinds: dict[str, int] = {}
        self.least, self.most = math.inf, -math.inf
        self.values: dict[Any, tuple[int, frozenset[int]]] | None = {}

    def add(self, value: Any, visitor: int, most_values: int) -> None:
        self.count += 1
        kind = type(value).__name__
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if is_numeric(value):
            self.numeric += 1
            number = float(value)
            self.integers += kind == "int"
            self.least, self.most = min(self.least, number), max(self.most, number)
        if kind == "str":
            self.longest = max(self.longest, len(value))
            self.times += TIME.match(value) is not None
        if self.values is not None:
            self._keep(value, visitor, most_values)

    def _keep(self, value: Any, visitor: int, most: int) -> None:
        assert self.values is not None
        if not isinstance(value, str) or not _WORD.match(value) or redact(value) != value:
            self.values = None
            return
        count, visitors = self.values.get(value, (0, frozenset()))
        if not count and len(self.values) >= most:
            self.values = None
            return
        if len(visitors) < _ENOUGH_VISITORS:
            visitors |= {visitor}
        self.values[value] = (count + 1, visitors)


class _Kind:
    """What is known of one kind of event: its fields, and of how many objects there have been at each path."""

    def __init__(self) -> None:
        self.count = 0
        self.fields: dict[str, _Field] = {}
        self.objects: dict[str, int] = {}
        self.parents: dict[str, str] = {}
        self.types: set[str] = set()


class Inference:
    """Takes events, one after the other, and gives the plan that nearly all of them keep."""

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 -- it is frozen
        self._thresholds = thresholds
        self._kinds: dict[str, _Kind] = {}
        self.events = self.odd = 0

    def add(self, fields: dict[str, Any]) -> None:
        """Take an event."""
        self.events += 1
        event = f"{fields['ec']}/{fields['ea']}"
        kind = self._kinds.get(event)
        if kind is None:
            if len(self._kinds) >= _MOST_KINDS or not _EVENT.match(event) or redact(event) != event:
                self.odd += 1
                return
            kind = self._kinds[event] = _Kind()
        kind.count += 1
        visitor = hash(str(fields.get("uid", "")))
        for name in _WALKED:
            value = fields.get(name)
            if name == "dims" and isinstance(value, list):
                value = step_holder(value)
            if name == "items":
                self._items(kind, value, visitor)
            elif isinstance(value, dict):
                self._object(kind, name, "", value, visitor, 1)

    def rules(self) -> list[dict[str, Any]]:
        """Give the rules, those of the most frequent events first: `event`, `count`, and `fields` with a rule each."""
        ranked = sorted(self._kinds.items(), key=lambda each: (-each[1].count, each[0]))
        return [
            {"event": event, "count": kind.count, "fields": dict(self._rules_of(kind))}
            for event, kind in ranked
            if kind.count >= self._thresholds.least_events
        ]

    @property
    def rare(self) -> int:
        """How many kinds of event came too seldom to say anything of them."""
        return sum(kind.count < self._thresholds.least_events for kind in self._kinds.values())

    def _items(self, kind: _Kind, value: Any, visitor: int) -> None:
        if not isinstance(value, list) or not value:
            return
        seen = set()
        for item in value[:_MOST_ELEMENTS]:
            if not isinstance(item, dict):
                continue
            name = item.get("type")
            if isinstance(name, str) and is_plain_name(name) and redact(name) == name and (name in kind.types or len(kind.types) < _MOST_TYPES):  # fmt: skip
                kind.types.add(name)
                path = f"items[type={name}]"
            else:
                path = "items[]"
            if path not in seen:
                seen.add(path)
                self._note(kind, path, "", value, visitor)
            rest = {key: each for key, each in item.items() if key != "type"}
            self._object(kind, path, path, rest, visitor, 2)

    def _object(
        self, kind: _Kind, path: str, base: str, value: dict[str, Any], visitor: int, depth: int
    ) -> None:
        """Note the fields of an object. `base` is the element that it is part of, empty for the event itself."""
        if path == base:
            kind.objects[path] = kind.objects.get(path, 0) + 1
        for name, each in value.items():
            below = f"{path}.{name}"
            if below in _ADDED or not is_plain_name(name) or each is None:
                continue
            if isinstance(each, str) and each in ABSENT:
                continue
            if isinstance(each, dict) and depth < _MOST_DEPTH:
                self._object(kind, below, base, each, visitor, depth + 1)
            self._note(kind, below, base, each, visitor)

    def _note(self, kind: _Kind, path: str, base: str, value: Any, visitor: int) -> None:
        field = kind.fields.get(path)
        if field is None:
            if len(kind.fields) >= _MOST_FIELDS:
                return
            field = kind.fields[path] = _Field()
            kind.parents[path] = base
        field.add(value, visitor, self._thresholds.most_values)

    def _rules_of(self, kind: _Kind) -> Iterator[tuple[str, dict[str, Any]]]:
        children: dict[str, int] = {}
        for path in kind.fields:
            parent = path.rpartition(".")[0]
            children[parent] = children.get(parent, 0) + 1
        for path, field in kind.fields.items():
            base = kind.parents[path]
            if base == "items[]" and kind.types:
                # A rule for all elements would be one for those of a type, too.
                continue
            of = kind.objects.get(base, 0) if base else kind.count
            share = field.count / of if of else 0.0
            # What is always an object is told by its fields; one with so many names is a table of somebody's, not a record.
            if (
                set(field.kinds) == {"dict"}
                or share < _LEAST_SHARE
                or children[path.rpartition(".")[0]] > _MOST_CHILDREN
            ):
                continue
            yield path, self._rule(path, field, share)

    def _rule(self, path: str, field: _Field, share: float) -> dict[str, Any]:
        rule: dict[str, Any] = {}
        leaf = path.rpartition(".")[2].lower()
        if share >= self._thresholds.required and leaf not in NAMES_SOMEBODY:
            rule["required"] = True
        if path.endswith("]"):
            return rule
        name = self._type(field, is_id=_ID.search(leaf) is not None)
        if name:
            rule["type"] = name
        if is_personal(path):
            return rule
        values = self._values(field)
        if values:
            rule["one_of"] = values
            rule["example"] = values[0]
        elif name in {"number", "integer", "numeric"} and field.count >= self._thresholds.least_events:
            rule |= {"min": _outward(field.least, up=False), "max": _outward(field.most, up=True)}
        elif name == "text":
            rule["max_length"] = 1 << max(5, (2 * field.longest - 1).bit_length())
        return rule

    def _type(self, field: _Field, *, is_id: bool) -> str:
        enough = self._thresholds.required * field.count
        of = field.kinds.get
        numbers = of("int", 0) + of("float", 0)
        if is_id and of("str", 0) + of("int", 0) >= enough:
            # A number that only names something.
            return "id"
        for name, count in (
            ("boolean", of("bool", 0)),
            ("integer", field.integers),
            ("number", numbers),
            ("numeric", field.numeric),
            ("time", field.times),
            ("text", of("str", 0)),
            ("id", of("str", 0) + of("int", 0)),
            ("object", of("dict", 0)),
            ("list", of("list", 0)),
        ):
            if count >= enough:
                return name
        return ""

    def _values(self, field: _Field) -> list[str]:
        if not field.values or field.count < _ENOUGH_OF_A_VALUE * len(field.values):
            return []
        if any(len(visitors) < _ENOUGH_VISITORS for _, visitors in field.values.values()):
            return []
        return sorted(field.values, key=lambda each: (-field.values[each][0], each))  # type: ignore[index]  # it is there


def is_personal(path: str) -> bool:
    """Tell whether a field may be about a person, by its name or its place: then no value of it is written, nor a bound."""
    steps = path.lower().split(".")
    leaf = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.rpartition(".")[2]).lower()
    return not _PERSONAL_DIMS.isdisjoint(steps[:-1]) or _PERSONAL.search(leaf) is not None


def _outward(value: float, *, up: bool) -> int | float:
    """Give a bound rounded away from what came, to one digit: 1290000 up is 2000000. No amount of anybody's is left in it."""
    if value == 0 or (value > 0 and not up):
        return 0
    if value < 0 and up:
        return 0
    size = 10.0 ** math.floor(math.log10(abs(value)))
    rounded = math.copysign((math.floor(abs(value) / size) + 1) * size, value)
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1 << 53 else float(f"{rounded:.1g}")
