"""How a held event is shown and exported: its columns, why it is there, what would release it, and the event itself."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import orjson

from gateway.events.remedies import remedy
from gateway.ledger.transfer import moment

if TYPE_CHECKING:
    from gateway.events.model import QuarantineEntry

COLUMNS = (
    "held_at", "reason", "detail", "portal_id", "prop_id", "uid", "claimed_cid", "bound_cid", "event_id", "accepted_at", "query", "event",
)  # fmt: skip
"""The columns of an export."""


def row(entry: QuarantineEntry) -> dict[str, Any]:
    """Give an entry's columns: what a person looks for."""
    return {
        "held_at": moment(entry.held_ms),
        "reason": entry.reason,
        "portal_id": entry.portal_id,
        "prop_id": entry.prop_id,
        "uid": entry.uid,
        "claimed_cid": entry.claimed_cid,
        "bound_cid": entry.bound_cid,
        "event_id": entry.event_id,
        "detail": entry.detail,
    }


def shown(entry: QuarantineEntry) -> dict[str, Any]:
    """Give an entry for a program: its columns, why it is there, what would release it, and the event."""
    found = remedy(entry.reason)
    return {**row(entry), "why": found.why, "release": found.release, "event": event_of(entry)}


def event_of(entry: QuarantineEntry) -> Any:
    """Give the event as it is held, `None` where it can't be read."""
    try:
        return orjson.loads(entry.record.body)
    except orjson.JSONDecodeError:
        return None


def line(entry: QuarantineEntry, format_: str) -> bytes:
    """Give an entry as one line of an export, `jsonl` or `csv`, with its end."""
    values = {
        **row(entry),
        "accepted_at": moment(entry.record.accepted_ms) if entry.record.accepted_ms else "",
        "query": entry.record.query,
        "event": event_of(entry),
    }
    if format_ == "jsonl":
        return orjson.dumps({name: values[name] for name in COLUMNS}, option=orjson.OPT_APPEND_NEWLINE)
    event = values["event"]
    values["event"] = orjson.dumps(event).decode() if event is not None else ""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([_as_text(values[name]) for name in COLUMNS])
    return text.getvalue().encode()


def _as_text(value: str | None) -> str:
    """Give a cell that no spreadsheet takes for a formula (OWASP, CSV Injection): what stands in it came from the internet."""
    return f"'{value}" if value and value[0] in "=+-@\t\r" else value or ""


def header(format_: str) -> bytes:
    """Give what stands before the first line."""
    return f"{','.join(COLUMNS)}\n".encode() if format_ == "csv" else b""
