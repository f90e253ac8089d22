"""The quarantine's file: its tables, its versions, and how an entry stands in a row.

- **1**: ``held``, an entry a row, whose columns are what a person looks for, and the record as MessagePack, byte for byte.
- **2**: ``is_leaving`` in it; how many entries there are of each reason, kept by triggers; release orders, and what became of them.

What always holds in version 2, because the file itself sees to it: with an entry go its order and the answer that it had. Neither these nor the
counts of a run hold any id but the event's own. A step between versions runs in one transaction and reads no record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gateway.events.model import QuarantineEntry, Record
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.storage.sqlite_file import FileKind

if TYPE_CHECKING:
    import apsw

    from gateway.quarantine.contract import Which
    from gateway.storage.sqlite_file import Progress

Row = tuple[Any, ...]
Rows = list[Row]

_HELD = """
CREATE TABLE held (
  event_id    TEXT NOT NULL PRIMARY KEY,
  reason      TEXT NOT NULL,
  portal_id   TEXT NOT NULL,
  prop_id     TEXT NOT NULL,
  uid         TEXT NOT NULL,
  held_ms     INTEGER NOT NULL,
  detail      TEXT NOT NULL,
  claimed_cid TEXT,
  bound_cid   TEXT,
  record      BLOB NOT NULL
) STRICT;
CREATE INDEX held_by_age ON held (held_ms, event_id);
CREATE INDEX held_by_reason ON held (reason, held_ms, event_id);
CREATE INDEX held_by_uid ON held (uid, held_ms, event_id);
"""

_LEAVING = "ALTER TABLE held ADD COLUMN is_leaving INTEGER NOT NULL DEFAULT 0;"

_ORDERS = """
CREATE TABLE tally (
  reason  TEXT NOT NULL PRIMARY KEY,
  entries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE release_run (
  run        INTEGER PRIMARY KEY AUTOINCREMENT,
  way        TEXT NOT NULL,
  ordered_ms INTEGER NOT NULL,
  ordered    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE release_order (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  run      INTEGER NOT NULL
) STRICT;
CREATE INDEX release_order_by_run ON release_order (run);
CREATE TABLE release_count (
  run     INTEGER NOT NULL,
  reason  TEXT NOT NULL,
  entries INTEGER NOT NULL,
  PRIMARY KEY (run, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE release_refusal (
  event_id TEXT NOT NULL PRIMARY KEY,
  reason   TEXT NOT NULL,
  detail   TEXT NOT NULL,
  asked_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_TALLY = "INSERT INTO tally SELECT reason, count(*) FROM held GROUP BY reason;"

_GUARDS = """
CREATE TRIGGER held_comes AFTER INSERT ON held BEGIN
  INSERT INTO tally VALUES (NEW.reason, 1) ON CONFLICT (reason) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER held_goes AFTER DELETE ON held BEGIN
  UPDATE tally SET entries = entries - 1 WHERE reason = OLD.reason;
  DELETE FROM release_order WHERE event_id = OLD.event_id;
  DELETE FROM release_refusal WHERE event_id = OLD.event_id;
END;
CREATE TRIGGER held_comes_back AFTER UPDATE OF reason ON held BEGIN
  UPDATE tally SET entries = entries - 1 WHERE reason = OLD.reason;
  INSERT INTO tally VALUES (NEW.reason, 1) ON CONFLICT (reason) DO UPDATE SET entries = entries + 1;
END;
"""


def _from_version_1(connection: apsw.Connection, on_upgrade: Progress) -> None:
    on_upgrade(0, 1)
    connection.execute(_LEAVING + _ORDERS + _TALLY + _GUARDS)
    on_upgrade(1, 1)


QUARANTINE_FILE = FileKind(
    name="quarantine",
    application_id=int.from_bytes(b"TGQU", "big"),
    migrations=(_HELD + _LEAVING + _ORDERS + _GUARDS, _from_version_1),
    unavailable=QuarantineUnavailable,
)
"""The kind of file that a quarantine is."""

COLUMNS = "event_id, reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record"
"""The columns of an entry, in the order of `row_of` and `entry_of`."""


def row_of(entry: QuarantineEntry) -> Row:
    """Give the row of an entry. Raises `ValueError` for text that is no Unicode."""
    texts = (entry.event_id, str(entry.reason), entry.portal_id, entry.prop_id, entry.uid)
    for text in (*texts, entry.detail, entry.claimed_cid or "", entry.bound_cid or ""):
        # Here, where it concerns one caller: in the thread it would fail everybody in the batch.
        text.encode()
    record = msgspec.msgpack.encode(entry.record)
    return (*texts, entry.held_ms, entry.detail, entry.claimed_cid, entry.bound_cid, record)


def entry_of(row: Row) -> QuarantineEntry:
    """Give the entry of a row."""
    event_id, reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record = row
    return QuarantineEntry(
        event_id=event_id,
        portal_id=portal_id,
        prop_id=prop_id,
        uid=uid,
        reason=reason,
        detail=detail,
        held_ms=held_ms,
        claimed_cid=claimed_cid,
        bound_cid=bound_cid,
        record=msgspec.msgpack.decode(record, type=Record),
    )


def conditions(which: Which) -> dict[str, Any]:
    """Give the conditions of a selection as SQL, each with the one value that it takes."""
    given = {
        "reason = ?": which.reason,
        "portal_id = ?": which.portal_id,
        "prop_id = ?": which.prop_id,
        "uid = ?": which.uid,
        "held_ms >= ?": which.since_ms,
        "held_ms < ?": which.until_ms,
        "event_id IN (SELECT value FROM json_each(?))": orjson.dumps(which.event_ids).decode()
        if which.event_ids
        else None,
    }
    return {condition: value for condition, value in given.items() if value is not None}


def where(found: dict[str, Any]) -> str:
    """Give the conditions as one clause."""
    return f" WHERE {' AND '.join(found)}" if found else ""
