"""A quarantine's file as version 1 made it, written with what the standard library has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.events.model import QuarantineEntry

TABLES = """
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


def make_file(path: Path, entries: Iterable[QuarantineEntry]) -> None:
    """Make the file with these entries."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(TABLES)
        connection.executemany(
            "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    each.event_id, str(each.reason), each.portal_id, each.prop_id, each.uid, each.held_ms, each.detail,
                    # Records had ten fields then.
                    each.claimed_cid, each.bound_cid, msgspec.msgpack.encode(msgspec.structs.astuple(each.record)[:10]),
                )
                for each in entries
            ],
        )  # fmt: skip
        connection.execute(f"PRAGMA application_id = {int.from_bytes(b'TGQU', 'big')}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
