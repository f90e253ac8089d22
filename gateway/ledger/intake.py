"""What is to be written to the ledger's file, as the rows of one statement.

A thread needs the interpreter's lock after each call into SQLite, and a busy event loop lets go of it rarely: under load it waits
longer between two statements than SQLite works on them. So a whole batch (bindings, address keys, entries of the audit log, counts) is
one ``INSERT`` into the view ``intake``, which takes the write lock, writes and syncs in a single call.

The statements are as long as their rows are many. To let SQLite keep them prepared, there are few lengths: a batch is filled up
with rows that do nothing.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from gateway.ledger.chain import FIRST_CHAIN, KIND_CODES, SALT_BYTES, digest, link
from gateway.ledger.keys import encode_key
from gateway.ledger.schema import OP_ALIAS, OP_BIND, OP_COUNT, OP_GENERATION, OP_NOTE

if TYPE_CHECKING:
    import apsw

    from gateway.events.model import AuditNote

_PLACES = "(?,?,?,?,?,?,?,?,?,?,?,?)"
_BLANK = (None,) * 11
_NOTHING = (0, *_BLANK)
MOST_ROWS = 512
"""Rows of one statement; more are several, and need a transaction around them."""
_SALTS_AT_ONCE = 256

_HEAD = "SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1"
_Row = tuple[object, ...]


class Head(NamedTuple):
    """The last entry of the audit log: its number and its chain hash."""

    seq: int
    chain: bytes


def read_head(connection: apsw.Connection) -> Head:
    """Give the last entry of the audit log; number 0 when there is none."""
    found = connection.execute(_HEAD).fetchone()
    return Head(0, FIRST_CHAIN) if found is None else Head(*found)


class Intake:
    """Collects rows; entries are numbered and chained behind `head`, and `portals` are the row ids of the portals."""

    def __init__(self, head: Head, portals: dict[str, int]) -> None:
        self._seq, self._chain = head
        self._portals = portals
        self._rows: list[_Row] = []
        self._salts = b""
        self._salts_used = 0
        self._counts: dict[int, list[int]] = {}

    @property
    def head(self) -> Head:
        """The last entry, once the rows are written."""
        return Head(self._seq, self._chain)

    @property
    def is_one_statement(self) -> bool:
        """Whether what was collected goes in one statement, which is a transaction by itself."""
        return len(self._rows) + len(self._counts) <= MOST_ROWS

    def __len__(self) -> int:
        return len(self._rows)

    def bind(self, portal_id: str, uid: str, cid: str, event_id: str, at_ms: int) -> None:
        """Bind a UID, and tell so in the audit log."""
        portal = self._portals[portal_id]
        salt = self._salt()
        self._seq += 1
        made = digest(salt, cid, "", "")
        self._chain = link(self._chain, self._seq, 1, at_ms, portal_id, uid, event_id, made)
        event = encode_key(event_id) if event_id else None
        self._rows.append(
            (OP_BIND, self._seq, at_ms, 1, portal, encode_key(uid), encode_key(cid), None, None, event, salt, self._chain)
        )  # fmt: skip
        self._count(portal)[0] += 1

    def note(self, note: AuditNote, at_ms: int) -> None:
        """Append an entry to the audit log."""
        kind = KIND_CODES[note.kind]
        salt = self._salt()
        self._seq += 1
        made = digest(salt, note.cid, note.other, note.note)
        self._chain = link(self._chain, self._seq, kind, at_ms, note.portal_id, note.uid, note.event_id, made)
        texts = [
            encode_key(text) if text else None for text in (note.cid, note.other, note.note, note.event_id)
        ]
        portal = self._portals[note.portal_id]
        self._rows.append(
            (OP_NOTE, self._seq, at_ms, kind, portal, encode_key(note.uid), *texts, salt, self._chain)
        )

    def alias(self, portal_id: str, key: str, cid: str, at_ms: int) -> None:
        """Remember with which CID an address first came."""
        portal = self._portals[portal_id]
        self._rows.append(
            (OP_ALIAS, None, at_ms, None, portal, encode_key(key), encode_key(cid), *_BLANK[:5])
        )
        self._count(portal)[1] += 1

    def insist_on(self, generation: int) -> None:
        """Let all of it fail when something was erased since that generation."""
        self._rows.insert(0, (OP_GENERATION, generation, *_BLANK[:10]))

    def write(self, connection: apsw.Connection) -> None:
        """Write what was collected; the caller has a transaction around it unless `is_one_statement`."""
        rows = self._rows + [
            (OP_COUNT, bindings, aliases, None, portal, *_BLANK[:7])
            for portal, (bindings, aliases) in self._counts.items()
        ]
        for start in range(0, len(rows), MOST_ROWS):
            some = rows[start : start + MOST_ROWS]
            length = _length(len(some))
            some += [_NOTHING] * (length - len(some))
            statement = f"INSERT INTO intake VALUES {','.join([_PLACES] * length)}"  # noqa: S608 -- places only
            connection.execute(statement, tuple(chain.from_iterable(some)))

    def _count(self, portal: int) -> list[int]:
        count = self._counts.get(portal)
        if count is None:
            count = self._counts[portal] = [0, 0]
        return count

    def _salt(self) -> bytes:
        start = self._salts_used
        if start == len(self._salts):
            # One call into the system for many.
            self._salts, start = os.urandom(SALT_BYTES * _SALTS_AT_ONCE), 0
        self._salts_used = start + SALT_BYTES
        return self._salts[start : start + SALT_BYTES]


def _length(rows: int) -> int:
    step = 1 if rows <= 8 else 8 if rows <= 64 else 32
    return -(-rows // step) * step
