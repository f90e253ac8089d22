"""How a batch of claims becomes bindings in the ledger's file, in the thread that owns the writing connection.

The thread needs the interpreter's lock after each call into SQLite, and a busy event loop lets go of it rarely: under load
the thread waits longer between two statements than SQLite works on them. So a batch is one statement, which takes the write
lock, inserts and syncs in a single call. It is tried as if all its UIDs were unbound, which the ledger has just read. When
another process was faster with one of them, the file's own guard refuses the statement as a whole; then the slow way tells
apart, under the write lock, what is bound and what is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw
import orjson

from gateway.events.model import Binding
from gateway.ledger.keys import decode_key, encode_key
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.storage.sqlite_access import SqliteWriter

PORTAL = "SELECT id FROM portal WHERE portal_id = ?"

_NEW_PORTAL = "INSERT INTO portal (portal_id) VALUES (?) RETURNING id"
_BIND = """
INSERT INTO binding (portal, uid, cid, bound_ms)
SELECT value ->> 0, unhex(value ->> 1), unhex(value ->> 2), value ->> 3 FROM json_each(?)
"""
_CIDS = """
SELECT json_group_array(json_array(wanted.key, lower(hex(binding.cid))))
FROM json_each(?) AS wanted
CROSS JOIN binding ON binding.portal = wanted.value ->> 0 AND binding.uid = unhex(wanted.value ->> 1)
"""

Key = tuple[str, str]


class Ask(NamedTuple):
    """A claim whose UID was unbound a moment ago, as (portal_id, uid), and the time of the claim in Unix ms."""

    key: Key
    cid: str | None
    now_ms: int


class Binder:
    """Binds batches of asks through one writer; `portals` is filled with the row ids of portals that are stored."""

    def __init__(self, writer: SqliteWriter, portals: dict[str, int]) -> None:
        self._writer = writer
        self._portals = portals
        self._last_bound: dict[Key, str] = {}

    def commit(self, asks: Sequence[Ask]) -> list[Binding]:
        """Give what holds for each ask, in order, after binding the first claimed CID of each unbound UID.

        Raises `LedgerUnavailable`.
        """
        # A page sends several events at once: those that were asked while the batch before was under way.
        bound = self._last_bound
        first: dict[Key, Ask] = {}
        for ask in asks:
            if ask.cid is not None and ask.key not in bound:
                first.setdefault(ask.key, ask)
        if first:
            bound = bound | self._writer.run(lambda connection: self._bind(connection, first))
        answers: list[Binding] = []
        new: dict[Key, str] = {}
        for ask in asks:
            cid = bound.get(ask.key, new.get(ask.key))
            if cid is None and ask.cid is not None:
                new[ask.key] = ask.cid
                answers.append(Binding(ask.cid, is_new=True))
            else:
                answers.append(Binding(cid))
        self._last_bound = new
        return answers

    def _bind(self, connection: apsw.Connection, first: Mapping[Key, Ask]) -> dict[Key, str]:
        """Bind the asks whose UID is unbound, and give the CIDs of the others."""
        portals = self._portals
        if all(portal_id in portals for portal_id, _ in first):
            try:
                connection.execute(_BIND, (_rows(first, portals),))
            except apsw.ConstraintError:
                pass
            else:
                return {}
        with transaction(connection):
            stored = {portal_id: _portal(connection, portal_id) for portal_id, _ in first}
            bound = _read(connection, first, stored)
            unbound = {key: ask for key, ask in first.items() if key not in bound}
            connection.execute(_BIND, (_rows(unbound, stored),))
        portals.update(stored)
        return bound


def _portal(connection: apsw.Connection, portal_id: str) -> int:
    portal: int | None = connection.execute(PORTAL, (portal_id,)).get
    return portal or int(connection.execute(_NEW_PORTAL, (portal_id,)).get)


def _rows(asks: Mapping[Key, Ask], portals: Mapping[str, int]) -> str:
    rows = [
        (portals[portal_id], encode_key(uid).hex(), encode_key(ask.cid).hex(), ask.now_ms)
        for (portal_id, uid), ask in asks.items()
        if ask.cid is not None
    ]
    return orjson.dumps(rows).decode()


def _read(connection: apsw.Connection, asks: Mapping[Key, Ask], portals: Mapping[str, int]) -> dict[Key, str]:
    keys = list(asks)
    wanted = [(portals[portal_id], encode_key(uid).hex()) for portal_id, uid in keys]
    found = connection.execute(_CIDS, (orjson.dumps(wanted).decode(),)).get
    return {keys[place]: decode_key(bytes.fromhex(cid)) for place, cid in orjson.loads(found)}
