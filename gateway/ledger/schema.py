"""The tables of the ledger's file, and the guards that make it insert-only.

- ``binding``: one tree of all UIDs, living and erased, so that a look-up is one read. A tombstone is a row like the others with the key
  ``x'03'`` for a CID: the primary key itself keeps an erased UID from being bound again.
- ``erasure``: when and why a UID was erased. ``alias``: with which CID an address first came. ``forgotten``: that address keys were erased.
- ``audit``: what happened, in order (`gateway.ledger.chain` says how it is hashed). ``digest`` is stored when the text is erased,
  until then it follows from the row. ``emptied``: entries of others that named somebody who was erased.
- ``customer``: the UIDs of each CID, in sorted runs of what the audit log bound (`gateway.ledger.customers`). A second tree in random
  order would double the price of a bind.
- ``tally`` counts, because counting ten million rows takes seconds; ``state`` tells other processes that something was erased.
- ``intake``: a view that is written through: one ``INSERT`` of many rows writes bindings, addresses, entries and counts at once.

The file itself refuses to change a binding, whatever program writes to it: triggers stop every ``UPDATE`` and ``DELETE`` but the
ones of an erasure, which must be told first. One hole needs a guard of its own: ``INSERT OR REPLACE`` deletes the row that
is in its way without running delete triggers (unless ``recursive_triggers`` is on), so a trigger before each insert stops those whose
key is taken; that stops ``INSERT OR IGNORE`` and upserts of a taken key alike. What can't be stopped from inside: somebody who may
write the file can drop a trigger or edit its bytes. `gateway.ledger.verify` finds that.

Keys are those of `gateway.ledger.keys`; the tables are ``STRICT``, and each key must begin with a known tag.

This is version 2. Files with these tables are in the hands of those who run the gateway: from here on any change of the SQL below, be it
one check, is another version, with its own step in `gateway.ledger.versions`.
"""

from __future__ import annotations

OP_BIND, OP_NOTE, OP_ALIAS, OP_COUNT, OP_GENERATION = 1, 2, 3, 4, 5
"""What a row of ``intake`` is: a binding with its entry, an entry, an address key, counts to add, a generation to insist on."""

# Comparing costs a third of taking the first byte out: x'00' and what follows up to x'03', x'04' up to x'05'.
_ID = "({0} >= x'00' AND {0} < x'03') OR ({0} >= x'04' AND {0} < x'05')"

TABLES = f"""
CREATE TABLE portal (
  id        INTEGER PRIMARY KEY CHECK (id > 0),
  portal_id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE binding (
  portal   INTEGER NOT NULL REFERENCES portal (id),
  uid      BLOB NOT NULL CHECK ({_ID.format("uid")}),
  cid      BLOB NOT NULL CHECK ({_ID.format("cid")} OR cid = x'03'),
  bound_ms INTEGER NOT NULL,
  PRIMARY KEY (portal, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE erasure (
  portal    INTEGER NOT NULL REFERENCES portal (id),
  uid       BLOB NOT NULL CHECK ({_ID.format("uid")}),
  erased_ms INTEGER NOT NULL,
  reason    TEXT NOT NULL,
  PRIMARY KEY (portal, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias (
  portal  INTEGER NOT NULL REFERENCES portal (id),
  key     BLOB NOT NULL CHECK ({_ID.format("key")}),
  cid     BLOB NOT NULL CHECK ({_ID.format("cid")}),
  seen_ms INTEGER NOT NULL,
  PRIMARY KEY (portal, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE forgotten (
  id        INTEGER PRIMARY KEY,
  portal    INTEGER NOT NULL REFERENCES portal (id),
  key       BLOB,
  erased_ms INTEGER NOT NULL,
  reason    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX forgotten_now ON forgotten (portal, key) WHERE key IS NOT NULL;

CREATE TABLE audit (
  seq    INTEGER PRIMARY KEY,
  at_ms  INTEGER NOT NULL,
  kind   INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 7),
  portal INTEGER NOT NULL REFERENCES portal (id),
  uid    BLOB NOT NULL,
  cid    BLOB,
  other  BLOB,
  note   BLOB,
  event  BLOB,
  salt   BLOB CHECK (length(salt) = 16),
  digest BLOB CHECK (length(digest) = 32),
  chain  BLOB NOT NULL CHECK (length(chain) = 32),
  CHECK ((salt IS NULL) = (digest IS NOT NULL))
) STRICT;

CREATE TABLE emptied (
  seq       INTEGER PRIMARY KEY,
  erased_ms INTEGER NOT NULL,
  reason    TEXT NOT NULL
) STRICT;

CREATE TABLE customer_run (
  id     INTEGER PRIMARY KEY,
  to_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE customer (
  run    INTEGER NOT NULL REFERENCES customer_run (id),
  portal INTEGER NOT NULL,
  cid    BLOB NOT NULL,
  uid    BLOB NOT NULL,
  PRIMARY KEY (run, portal, cid, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
  portal   INTEGER PRIMARY KEY,
  bindings INTEGER NOT NULL DEFAULT 0,
  erased   INTEGER NOT NULL DEFAULT 0,
  aliases  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE state (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  generation INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0);

CREATE VIEW intake AS
SELECT 0 AS op, 0 AS seq, 0 AS at_ms, 0 AS kind, 0 AS portal, x'' AS uid, x'' AS cid, x'' AS other, x'' AS note, x'' AS event,
       x'' AS salt, x'' AS chain
FROM state WHERE false;

CREATE TRIGGER intake_binds INSTEAD OF INSERT ON intake WHEN NEW.op = 1
BEGIN
  INSERT INTO audit VALUES (NEW.seq, NEW.at_ms, NEW.kind, NEW.portal, NEW.uid, NEW.cid, NEW.other, NEW.note, NEW.event, NEW.salt, NULL,
                            NEW.chain);
  INSERT INTO binding VALUES (NEW.portal, NEW.uid, NEW.cid, NEW.at_ms);
END;

CREATE TRIGGER intake_writes INSTEAD OF INSERT ON intake WHEN NEW.op > 1
BEGIN
  INSERT INTO audit SELECT NEW.seq, NEW.at_ms, NEW.kind, NEW.portal, NEW.uid, NEW.cid, NEW.other, NEW.note, NEW.event, NEW.salt,
                           NULL, NEW.chain
    WHERE NEW.op = 2;
  INSERT INTO alias SELECT NEW.portal, NEW.uid, NEW.cid, NEW.at_ms WHERE NEW.op = 3;
  UPDATE tally SET bindings = bindings + NEW.seq, aliases = aliases + NEW.at_ms WHERE NEW.op = 4 AND portal = NEW.portal;
  SELECT RAISE(ABORT, 'something was erased meanwhile')
    WHERE NEW.op = 5 AND NEW.seq IS NOT (SELECT generation FROM state);
END;
"""  # noqa: S608 -- constants only
"""The tables, and the view through which they are filled."""

_TRIGGERS = """
CREATE TRIGGER binding_is_new BEFORE INSERT ON binding
BEGIN
  SELECT RAISE(ABORT, 'a binding never changes: this UID already has a CID or was erased')
    WHERE EXISTS (SELECT 1 FROM binding WHERE portal = NEW.portal AND uid = NEW.uid);
  SELECT RAISE(ABORT, 'a tombstone never comes alone: tell the erasure first')
    WHERE NEW.cid = x'03' AND NOT EXISTS (SELECT 1 FROM erasure WHERE portal = NEW.portal AND uid = NEW.uid);
END;

CREATE TRIGGER binding_is_only_erased BEFORE UPDATE ON binding
WHEN OLD.cid = x'03' OR NEW.cid IS NOT x'03' OR NEW.portal IS NOT OLD.portal OR NEW.uid IS NOT OLD.uid
  OR NOT EXISTS (SELECT 1 FROM erasure WHERE portal = OLD.portal AND uid = OLD.uid AND erased_ms = NEW.bound_ms)
BEGIN SELECT RAISE(ABORT, 'a binding never changes: the ledger is insert-only, UPDATE is refused'); END;

CREATE TRIGGER alias_is_only_erased BEFORE DELETE ON alias
WHEN NOT EXISTS (SELECT 1 FROM forgotten WHERE portal = OLD.portal AND key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'an address key never goes away: tell first that it is forgotten'); END;

CREATE TRIGGER forgotten_is_only_blanked BEFORE UPDATE ON forgotten
WHEN NEW.key IS NOT NULL OR NEW.id IS NOT OLD.id OR NEW.portal IS NOT OLD.portal OR NEW.erased_ms IS NOT OLD.erased_ms
  OR NEW.reason IS NOT OLD.reason
BEGIN SELECT RAISE(ABORT, 'an erasure never changes: UPDATE is refused'); END;

CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit log never changes: an entry is appended behind the last one'); END;

CREATE TRIGGER audit_is_only_emptied BEFORE UPDATE ON audit
WHEN OLD.salt IS NULL OR NEW.cid IS NOT NULL OR NEW.other IS NOT NULL OR NEW.note IS NOT NULL OR NEW.salt IS NOT NULL
  OR NEW.seq IS NOT OLD.seq OR NEW.at_ms IS NOT OLD.at_ms OR NEW.kind IS NOT OLD.kind OR NEW.portal IS NOT OLD.portal
  OR NEW.uid IS NOT OLD.uid OR NEW.event IS NOT OLD.event OR NEW.chain IS NOT OLD.chain
  OR NOT (EXISTS (SELECT 1 FROM binding WHERE portal = OLD.portal AND uid = OLD.uid AND cid = x'03')
          OR EXISTS (SELECT 1 FROM emptied WHERE seq = OLD.seq))
BEGIN SELECT RAISE(ABORT, 'the audit log never changes: it is append-only, UPDATE is refused'); END;

CREATE TRIGGER emptied_is_told BEFORE INSERT ON emptied
WHEN EXISTS (SELECT 1 FROM emptied WHERE seq = NEW.seq)
  OR NOT EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq AND kind BETWEEN 3 AND 6)
BEGIN SELECT RAISE(ABORT, 'the audit log never changes: only what was said besides binding can be emptied so'); END;

CREATE TRIGGER customer_is_only_erased BEFORE DELETE ON customer
WHEN NOT EXISTS (SELECT 1 FROM binding WHERE portal = OLD.portal AND uid = OLD.uid AND cid = x'03')
BEGIN SELECT RAISE(ABORT, 'a binding never goes away: DELETE is refused'); END;

CREATE TRIGGER state_only_grows BEFORE UPDATE ON state
WHEN NEW.one IS NOT 1 OR NEW.generation <= OLD.generation
BEGIN SELECT RAISE(ABORT, 'the generation never goes back'); END;

CREATE TRIGGER portal_is_counted AFTER INSERT ON portal
BEGIN INSERT INTO tally (portal) VALUES (NEW.id); END;
"""

_TAKEN = """
CREATE TRIGGER {table}_is_new BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
BEGIN SELECT RAISE(ABORT, '{what} never changes: it is there already'); END;
"""
_REFUSED = """
CREATE TRIGGER {table}_refuses_{action} BEFORE {action} ON {table}
BEGIN SELECT RAISE(ABORT, '{what} never {verb}: {action} is refused'); END;
"""

_SAME_UID = "portal = NEW.portal AND uid = NEW.uid"
_INSERTED_ONCE = {
    "portal": ("a portal", "id = NEW.id OR portal_id = NEW.portal_id"),
    "erasure": ("an erasure", _SAME_UID),
    "alias": ("an address key", "portal = NEW.portal AND key = NEW.key"),
    "forgotten": ("an erasure", "id = NEW.id OR (portal = NEW.portal AND key = NEW.key)"),
    "customer_run": ("a run of bindings", "id = NEW.id OR to_seq >= NEW.to_seq"),
    "state": ("the generation", "true"),
}
_NEVER_UPDATED = {
    "portal": "a portal",
    "erasure": "an erasure",
    "alias": "an address key",
    "emptied": "an erasure",
    "customer_run": "a run of bindings",
    "customer": "a binding",
}
_NEVER_DELETED = {
    "portal": "a portal",
    "binding": "a binding",
    "erasure": "an erasure",
    "forgotten": "an erasure",
    "audit": "the audit log",
    "emptied": "an erasure",
    "customer_run": "a run of bindings",
    "state": "the generation",
}

GUARDS = "".join(
    [
        _TRIGGERS,
        *(_TAKEN.format(table=table, what=what, same=same) for table, (what, same) in _INSERTED_ONCE.items()),
        *(
            _REFUSED.format(table=table, what=what, action="UPDATE", verb="changes")
            for table, what in _NEVER_UPDATED.items()
        ),
        *(
            _REFUSED.format(table=table, what=what, action="DELETE", verb="goes away")
            for table, what in _NEVER_DELETED.items()
        ),
    ]
)
"""The triggers that make the tables insert-only; what was there before them is not asked."""
