"""A ledger's file as version 1 made it: its tables to the letter, and its keys (a UUID was kept as text)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw

from gateway.ledger.keys import decode_key, encode_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TABLES = """
CREATE TABLE portal (
  id        INTEGER PRIMARY KEY CHECK (id > 0),
  portal_id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE binding (
  portal   INTEGER NOT NULL REFERENCES portal (id),
  uid      BLOB NOT NULL CHECK (length(uid) > 0 AND substr(uid, 1, 1) IN (x'00', x'01', x'02')),
  cid      BLOB NOT NULL CHECK (length(cid) > 0 AND substr(cid, 1, 1) IN (x'00', x'01', x'02')),
  bound_ms INTEGER NOT NULL,
  PRIMARY KEY (portal, uid)
) STRICT, WITHOUT ROWID;

CREATE INDEX binding_by_cid ON binding (portal, cid);

CREATE TABLE tally (
  portal   INTEGER PRIMARY KEY,
  bindings INTEGER NOT NULL
) STRICT;

CREATE TRIGGER binding_is_not_replaced BEFORE INSERT ON binding
WHEN EXISTS (SELECT 1 FROM binding WHERE portal = NEW.portal AND uid = NEW.uid)
BEGIN SELECT RAISE(ABORT, 'a binding never changes: this UID already has a CID'); END;

CREATE TRIGGER binding_is_not_updated BEFORE UPDATE ON binding
BEGIN SELECT RAISE(ABORT, 'a binding never changes: the ledger is insert-only, UPDATE is refused'); END;

CREATE TRIGGER binding_is_not_deleted BEFORE DELETE ON binding
BEGIN SELECT RAISE(ABORT, 'a binding never goes away: the ledger is insert-only, DELETE is refused'); END;

CREATE TRIGGER binding_is_counted AFTER INSERT ON binding
BEGIN UPDATE tally SET bindings = bindings + 1 WHERE portal = NEW.portal; END;

CREATE TRIGGER portal_is_not_replaced BEFORE INSERT ON portal
WHEN EXISTS (SELECT 1 FROM portal WHERE id = NEW.id OR portal_id = NEW.portal_id)
BEGIN SELECT RAISE(ABORT, 'a portal never changes: bindings are kept under it, and it is known already'); END;

CREATE TRIGGER portal_is_not_updated BEFORE UPDATE ON portal
BEGIN SELECT RAISE(ABORT, 'a portal never changes: bindings are kept under it, UPDATE is refused'); END;

CREATE TRIGGER portal_is_not_deleted BEFORE DELETE ON portal
BEGIN SELECT RAISE(ABORT, 'a portal never goes away: bindings are kept under it, DELETE is refused'); END;

CREATE TRIGGER portal_is_counted AFTER INSERT ON portal
BEGIN INSERT INTO tally (portal, bindings) VALUES (NEW.id, 0); END;
"""


def old_key(text: str) -> bytes:
    """Give the key that an id had in version 1."""
    key = encode_key(text)
    return b"\x00" + decode_key(key).encode() if key[:1] == b"\x04" else key


def make_file(path: Path, rows: Iterable[tuple[str, str, str, int]]) -> None:
    """Make a file of version 1 with these rows of (portal_id, uid, cid, bound_ms), as its gateway left it when it stopped."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "wal")
        with connection:
            connection.execute(TABLES)
            connection.pragma("application_id", int.from_bytes(b"TGLD", "big"))
            connection.pragma("user_version", 1)
            portals: dict[str, int] = {}
            for portal_id, uid, cid, bound_ms in rows:
                if portal_id not in portals:
                    portals[portal_id] = len(portals) + 1
                    connection.execute("INSERT INTO portal VALUES (?, ?)", (portals[portal_id], portal_id))
                row = (portals[portal_id], old_key(uid), old_key(cid), bound_ms)
                connection.execute("INSERT INTO binding VALUES (?, ?, ?, ?)", row)
