"""Which rules events that have come already would break: a plan against an archive, or against a file of events, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from gateway.archive.folder import Folder
from gateway.archive.reading import Reading, Span
from gateway.events.forms import parse_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.events.tracking_plan import CompiledPlan

_EVER = Span(0, 1 << 62)
_MOST_KINDS = 10_000


class Events:
    """The events of an archive's folder or of a file with one in each line, one after the other: portal, property and fields.

    `read` bytes of `total` say how far it is, `unreadable` counts what is no event. Raises `OSError`.
    """

    def __init__(self, path: Path, span: Span = _EVER) -> None:
        self._path = path
        self._span = span
        self.read = self.total = self.unreadable = 0

    def __iter__(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        if self._path.is_dir():
            reading = Reading(Folder(self._path), self._span)
            self.total = reading.total_bytes
            for delivery in reading:
                self.read = reading.read_bytes
                record = delivery.record
                fields = self._event(record.body)
                if fields is not None:
                    yield record.portal_id, record.prop_id, fields
            self.unreadable += len(reading.damage)
            return
        self.total = self._path.stat().st_size
        with self._path.open("rb") as file:
            for line in file:
                self.read += len(line)
                if not line.strip():
                    continue
                fields = self._event(line)
                if fields is not None:
                    yield *_whose(fields), fields

    def _event(self, text: bytes) -> dict[str, Any] | None:
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError:
            fields = None
        if isinstance(fields, dict) and isinstance(fields.get("event"), dict):
            # A line of `quarantine export`.
            fields = {**fields["event"], "portal_id": fields.get("portal_id"), "prop_id": fields.get("prop_id")}  # fmt: skip
        if isinstance(fields, dict) and isinstance(fields.get("ec"), str) and isinstance(fields.get("ea"), str):  # fmt: skip
            return fields
        self.unreadable += 1
        return None


def _whose(fields: dict[str, Any]) -> tuple[str, str]:
    query = parse_query(str(fields.get("query", "")))
    return tuple(str(fields.get(each) or query.get(each, "")) for each in ("portal_id", "prop_id"))  # type: ignore[return-value]  # two


def count_violations(plan: CompiledPlan, path: Path, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Give how many events there are, how many break the plan, and each violation with its count, the most frequent first. Raises `OSError`."""
    events, total, violating = Events(path), 0, 0
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for portal_id, prop_id, fields in events:
        total += 1
        # What the gateway has added is in it.
        found = plan.judge(portal_id, prop_id, fields, is_held=path.is_dir())
        violating += bool(found)
        if len(counts) < _MOST_KINDS:
            counts.update((each.event, each.field, each.rule, each.severity) for each in found)
        progress(events.read, events.total)
    names = ("event", "field", "rule", "severity")
    rows = [{**dict(zip(names, key, strict=True)), "events": count} for key, count in counts.most_common()]
    return {"events": total, "violating": violating, "unreadable": events.unreadable, "violations": rows}
