"""The versions that the ledger's file has had, and the steps from each to the next.

- **1** (before the audit log): ``portal``, ``binding`` with an index by CID, ``tally``. UUIDs were kept as text.
- **2**: the tables of `gateway.ledger.schema`. From 1: a file of ten million bindings grows from 0.9 to 3 GB, of which 0.9 are free pages;
  the log reaches 2.8 GB meanwhile and the process 53 MB (measured; 90 s of a processor's time).

What holds of a step: it runs in one transaction, so that a file is wholly of one version whenever the gateway is killed; it reads and
writes some rows at a time, whatever their number; no binding changes, goes or gets another time; what the old tables held is
overwritten, so that a later erasure leaves no copy. A step leads to the tables of its own
version, not to the newest: when version 3 comes, the SQL of version 2 moves here with its step.

While version 2 was made, files with its tables, or with earlier drafts of them, carried the number 1. The former are told by their SQL and
only get their number; drafts are refused.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import apsw

from gateway.ledger.chain import KIND_CODES, SALT_BYTES, digest, link
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.intake import Head, read_head
from gateway.ledger.keys import decode_key, encode_key
from gateway.ledger.schema import GUARDS, TABLES
from gateway.storage.sqlite_file import FileKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.storage.sqlite_file import Progress

NOTE = "version 1"
"""What the audit log says of a binding that was made before there was one."""

_ROWS_AT_ONCE = 2_000
_IMPORT = KIND_CODES["import"]

_TABLES_NOW = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
_SQL_NOW = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name"
_OLD_TABLES = ["binding", "portal", "tally"]
_OLD_TRIGGERS = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"

# A text of 36 characters may be a UUID, whose key is another one now and lies behind all others: it is written when they are, so
# that the new tree grows at its end.
_ROWS = "SELECT uid, cid, bound_ms FROM binding_1 WHERE portal = ? AND {} ORDER BY uid"
_PARTS = ("(uid >= x'01' OR length(uid) <> 37)", "uid < x'01' AND length(uid) = 37")
# In the order of the old index, which has all three.
_BY_CID = "SELECT portal, cid, uid FROM binding_1 ORDER BY portal, cid, uid"

_Row = tuple[Any, ...]


def _from_version_1(connection: apsw.Connection, on_upgrade: Progress) -> None:
    """Make a file of version 2 from one of version 1: every binding becomes an entry of the audit log, too."""
    if _is_version_2_already(connection):
        return
    found = [name for (name,) in connection.execute(_TABLES_NOW)]
    if found != _OLD_TABLES:
        raise _refused(
            connection,
            "its tables are those of a draft that was never released",
            "export it with the program that made it, and import that into a new ledger",
        )
    for (trigger,) in connection.execute(_OLD_TRIGGERS).fetchall():
        connection.execute(f'DROP TRIGGER "{trigger}"')
    for table in _OLD_TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    connection.execute(TABLES)
    try:
        _Copy(connection, on_upgrade).run()
    except ValueError:
        raise _refused(
            connection,
            "a binding in it has bytes that are no id: somebody changed them",
            "keep the broken file for inspection and put a backup of the ledger in its place",
        ) from None
    for table in _OLD_TABLES:
        connection.execute(f"DROP TABLE {table}_1")
    # Last: what they ask before each row is true of all these, and would double the time.
    connection.execute(GUARDS)


LEDGER_FILE = FileKind(
    name="ledger",
    application_id=int.from_bytes(b"TGLD", "big"),
    migrations=(TABLES + GUARDS, _from_version_1),
    unavailable=LedgerUnavailable,
    overwrites=True,
)
"""The kind of file that a ledger is."""


class _Copy:
    """Fills the tables of version 2 from those of version 1, within one transaction."""

    def __init__(self, connection: apsw.Connection, on_upgrade: Progress) -> None:
        self._connection = connection
        self._on_upgrade = on_upgrade
        self._now_ms = time.time_ns() // 1_000_000
        self._head: Head = read_head(connection)
        self._done = 0
        # Each is written twice: as it is with its entry, and into the index of customers.
        self._all = 2 * int(connection.execute("SELECT coalesce(sum(bindings), 0) FROM tally_1").get)

    def run(self) -> None:
        self._on_upgrade(0, self._all)
        portals: list[Any] = self._connection.execute(
            "SELECT id, portal_id FROM portal_1 ORDER BY id"
        ).fetchall()
        for portal, portal_id in portals:
            self._connection.execute("INSERT INTO portal VALUES (?, ?)", (portal, portal_id))
            bindings = sum(self._bindings(portal, portal_id, part) for part in _PARTS)
            self._connection.execute("INSERT INTO tally (portal, bindings) VALUES (?, ?)", (portal, bindings))
        if self._head.seq:
            self._customers()

    def _bindings(self, portal: int, portal_id: str, part: str) -> int:
        """Copy some bindings of a portal, each with its entry, and give how many there were."""
        before = self._head.seq
        for rows in _some(self._connection, _ROWS.format(part), (portal,)):
            salts = os.urandom(SALT_BYTES * len(rows))
            note = encode_key(NOTE)
            seq, chain = self._head
            bindings, entries = [], []
            for place, (old_uid, old_cid, bound_ms) in enumerate(rows):
                uid, cid = decode_key(old_uid), decode_key(old_cid)
                uid_key, cid_key = _key(old_uid, uid), _key(old_cid, cid)
                salt = salts[place * SALT_BYTES : (place + 1) * SALT_BYTES]
                seq += 1
                made = digest(salt, cid, "", NOTE)
                chain = link(chain, seq, _IMPORT, self._now_ms, portal_id, uid, "", made)
                bindings.append((portal, uid_key, cid_key, bound_ms))
                entries.append((seq, self._now_ms, _IMPORT, portal, uid_key, cid_key, note, salt, chain))
            self._connection.executemany("INSERT INTO binding VALUES (?, ?, ?, ?)", bindings)
            self._connection.executemany(
                "INSERT INTO audit (seq, at_ms, kind, portal, uid, cid, note, salt, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                entries,
            )
            self._head = Head(seq, chain)
            self._tick(len(rows))
        return self._head.seq - before

    def _customers(self) -> None:
        """Write all of it as one run: the old index has the order already."""
        self._connection.execute("INSERT INTO customer_run VALUES (1, ?)", (self._head.seq,))
        for rows in _some(self._connection, _BY_CID, ()):
            self._connection.executemany(
                "INSERT INTO customer VALUES (1, ?, ?, ?)",
                [(portal, _key(cid), _key(uid)) for portal, cid, uid in rows],
            )
            self._tick(len(rows))

    def _tick(self, rows: int) -> None:
        self._done += rows
        self._on_upgrade(self._done, self._all)


def _some(connection: apsw.Connection, statement: str, parameters: tuple[Any, ...]) -> Iterator[list[_Row]]:
    """Give the rows of a statement, some at a time."""
    rows = connection.execute(statement, parameters)
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _key(old: bytes, text: str | None = None) -> bytes:
    """Give the key that an id has now; only that of a UUID is another one than in version 1."""
    if len(old) != 37 or old[0] != 0:
        return old
    return encode_key(decode_key(old) if text is None else text)


def _is_version_2_already(connection: apsw.Connection) -> bool:
    fresh = apsw.Connection(":memory:")
    try:
        fresh.execute(TABLES + GUARDS)
        expected: list[Any] = fresh.execute(_SQL_NOW).fetchall()
    finally:
        fresh.close()
    return bool(connection.execute(_SQL_NOW).fetchall() == expected)


def _refused(connection: apsw.Connection, cause: str, hint: str) -> LedgerUnavailable:
    return LedgerUnavailable(connection.filename, cause, hint)
