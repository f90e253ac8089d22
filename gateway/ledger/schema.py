"""The tables of the ledger's file, and the guards that make it insert-only.

The store itself refuses to change a binding, whatever program writes to it: triggers stop every ``UPDATE`` and ``DELETE``. One
hole needs a guard of its own: ``INSERT OR REPLACE`` deletes the row that is in its way without running delete triggers
(unless ``recursive_triggers`` is on), so a trigger before each insert stops those whose key is taken. It also stops
``INSERT OR IGNORE`` and upserts of a taken key: look first, within one transaction, then insert. The portals are guarded
alike, since renaming one would move all its bindings.

What can't be stopped from inside: somebody who may write the file can drop a trigger or edit its bytes.

Keys are those of `gateway.ledger.keys`; the tables are ``STRICT``, and each key must begin with a known tag. `tally` counts the
bindings of each portal, because counting ten million rows takes seconds.
"""

from __future__ import annotations

from gateway.ledger.contract import LedgerUnavailable
from gateway.storage.sqlite_file import FileKind

_VERSION_1 = """
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

LEDGER_FILE = FileKind(
    name="ledger",
    application_id=int.from_bytes(b"TGLD", "big"),
    migrations=(_VERSION_1,),
    unavailable=LedgerUnavailable,
)
"""The kind of file that a ledger is."""
