"""Erasing a person from the ledger's file: what names them goes, that something was there stays.

A binding becomes a tombstone, the entries of the audit log lose their text and keep their digest, the address keys go, and the
erasure is an entry itself. All of that is one transaction (ten thousand UIDs at most in one), and afterwards the log beside the file is
written back and cut, so that the overwritten bytes are in neither. Entries and addresses lie in no order that would help to find
those of a person: they are looked for before the write lock is taken, and under it only among what came since.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.events.model import AuditNote
from gateway.ledger.binder import PORTAL, read_bound, store_portals
from gateway.ledger.contract import Erasure
from gateway.ledger.customers import UIDS
from gateway.ledger.intake import Intake, read_head
from gateway.ledger.keys import TOMBSTONE, decode_key, encode_key
from gateway.ledger.rows import entry
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import apsw

    from gateway.ledger.binder import Key
    from gateway.ledger.contract import AuditEntry
    from gateway.storage.sqlite_access import SqliteWriter

MOST_UIDS = 10_000
"""UIDs that become tombstones in one transaction."""

# An erasure (kind 7, or an imported one) names nobody and stays.
_ENTRIES = """
SELECT seq, at_ms, kind, portal.portal_id, uid, cid, other, note, event, salt, digest, chain
FROM audit CROSS JOIN portal ON portal.id = audit.portal
WHERE seq > ?1 AND salt IS NOT NULL AND kind <> 7 AND NOT (kind = 2 AND other IS NOT NULL)
  AND ((audit.portal, audit.uid) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?2))
       OR (kind BETWEEN 3 AND 6 AND ?3 IS NOT NULL AND (cid = ?3 OR other = ?3) AND (?4 IS NULL OR portal.portal_id = ?4)))
"""
_KEYS = """
SELECT alias.portal, alias.key FROM alias CROSS JOIN portal ON portal.id = alias.portal
WHERE alias.cid = ?1 AND (?2 IS NULL OR portal.portal_id = ?2)
"""
_BURY = "UPDATE binding SET cid = ?, bound_ms = ? WHERE portal = ? AND uid = ?"
_COUNT = "UPDATE tally SET bindings = bindings - ?, erased = erased + 1 WHERE portal = ?"
_INDEXED = """
SELECT customer.run, customer.uid FROM customer_run CROSS JOIN customer
ON customer.run = customer_run.id AND customer.portal = ? AND customer.cid = ?
"""
_UNINDEX = "DELETE FROM customer WHERE run = ? AND portal = ? AND cid = ? AND uid = ?"
_STILL_TOLD = "SELECT 1 FROM audit WHERE seq = ? AND salt IS NOT NULL"
_ALIASES = "SELECT coalesce(sum(aliases), 0) FROM tally"

Stones = dict["Key", tuple[int, str]]


class Whom(NamedTuple):
    """Who is to be forgotten: a customer or one UID (the other is empty), in one portal or all."""

    portal_id: str | None
    cid: str
    uid: str


class _Found(NamedTuple):
    """What was found of a person before the lock: UIDs, entries up to one of the log, address keys among so many of all."""

    uids: list[Key]
    entries: list[AuditEntry]
    last_seq: int
    keys: list[tuple[int, bytes]]
    aliases: int


class _Gone(NamedTuple):
    """What one transaction took away, and whether that were all UIDs and all address keys."""

    uids: list[Key]
    keys: int
    has_all_uids: bool
    has_all_keys: bool


def erase(writer: SqliteWriter, whom: Whom, reason: str, now_ms: int) -> Erasure:
    """Forget whom: see `gateway.ledger.contract.Ledger.erase`."""
    uids: list[Key] = []
    keys = 0
    had_all_uids = False
    while True:
        gone = writer.run(partial(_forget, whom, writer.run(partial(_look, whom)), reason, now_ms))
        uids += gone.uids
        keys += gone.keys
        # Addresses may have come between the look and the lock, but none comes once the customer has no UID: one more look.
        if gone.has_all_uids and (gone.has_all_keys or had_all_uids):
            break
        had_all_uids = gone.has_all_uids
    writer.empty_log()
    return Erasure(uids, keys)


def _look(whom: Whom, connection: apsw.Connection) -> _Found:
    uids = _uids(connection, whom)[:MOST_UIDS]
    last_seq = read_head(connection).seq
    entries = _entries(connection, uids, whom)
    aliases: int = connection.execute(_ALIASES).get
    keys: list[Any] = []
    if whom.cid:
        keys = connection.execute(_KEYS, (encode_key(whom.cid), whom.portal_id)).fetchall()
    return _Found(uids, entries, last_seq, keys, aliases)


def _forget(whom: Whom, found: _Found, reason: str, now_ms: int, connection: apsw.Connection) -> _Gone:
    with transaction(connection):
        now = _uids(connection, whom)
        uids = list(dict.fromkeys([*found.uids, *now]))[:MOST_UIDS]
        since = _entries(connection, uids, whom, found.last_seq if uids == found.uids else 0)
        portals = store_portals(connection, [portal_id for portal_id, _ in uids])
        new = lay(connection, dict.fromkeys(uids, (now_ms, reason)), portals)
        entries = {each.seq: each for each in (*found.entries, *since)}
        emptied = empty(connection, entries, set(uids), now_ms, reason)
        gone = sum(forget_key(connection, portal, key, now_ms, reason) for portal, key in found.keys)
        laid = set(new)
        notes = [
            AuditNote(
                kind="erase",
                portal_id=portal_id,
                uid=uid,
                other="" if (portal_id, uid) in laid else "entries",
                note=reason,
            )
            for portal_id, uid in dict.fromkeys([*new, *emptied])
        ]
        tell(connection, notes, now_ms)
        aliases = connection.execute(_ALIASES).get
    return _Gone(new, gone, len(now) <= len(uids), aliases == found.aliases - gone)


def lay(connection: apsw.Connection, stones: Stones, portals: Mapping[str, int]) -> list[Key]:
    """Make tombstones of UIDs, each with its time and reason, and give those that had none; within a transaction."""
    held = read_bound(connection, stones, portals)
    new = [key for key in stones if key not in held or not held[key].is_erased]
    of_customers: set[tuple[int, bytes]] = set()
    for portal_id, uid in new:
        portal, key = portals[portal_id], encode_key(uid)
        erased_ms, reason = stones[portal_id, uid]
        connection.execute("INSERT INTO erasure VALUES (?, ?, ?, ?)", (portal, key, erased_ms, reason))
        bound = held.get((portal_id, uid))
        if bound is None or bound.cid is None:
            connection.execute("INSERT INTO binding VALUES (?, ?, ?, ?)", (portal, key, TOMBSTONE, erased_ms))
        else:
            connection.execute(_BURY, (TOMBSTONE, erased_ms, portal, key))
            of_customers.add((portal, encode_key(bound.cid)))
        is_bound = int(bound is not None)
        connection.execute(_COUNT, (is_bound, portal))
    gone = {(portals[portal_id], encode_key(uid)) for portal_id, uid in new}
    for portal, cid in of_customers:
        for run, uid_key in connection.execute(_INDEXED, (portal, cid)).fetchall():
            if (portal, uid_key) in gone:
                connection.execute(_UNINDEX, (run, portal, cid, uid_key))
    return new


def empty(
    connection: apsw.Connection, entries: Mapping[int, AuditEntry], erased: set[Key], now_ms: int, reason: str
) -> list[Key]:
    """Take the text out of entries, and give whose they are; those of UIDs that are not erased are noted down first."""
    emptied: list[Key] = []
    for seq, each in entries.items():
        # They were found before the lock: another process may have emptied them.
        if connection.execute(_STILL_TOLD, (seq,)).get is None:
            continue
        if (each.portal_id, each.uid) not in erased:
            connection.execute("INSERT INTO emptied VALUES (?, ?, ?)", (seq, now_ms, reason))
        connection.execute(
            "UPDATE audit SET cid = NULL, other = NULL, note = NULL, salt = NULL, digest = ? WHERE seq = ?",
            (bytes.fromhex(each.digest), seq),
        )
        emptied.append((each.portal_id, each.uid))
    return emptied


def tell(connection: apsw.Connection, notes: Sequence[AuditNote], now_ms: int) -> None:
    """Append notes to the audit log and let other processes notice; within a transaction."""
    portals = store_portals(connection, [note.portal_id for note in notes])
    intake = Intake(read_head(connection), portals)
    for note in notes:
        intake.note(note, now_ms)
    intake.write(connection)
    connection.execute("UPDATE state SET generation = generation + 1")


def _uids(connection: apsw.Connection, whom: Whom) -> list[Key]:
    """Give the UIDs that are meant: of a customer the living ones, of one UID also where it is erased or was never bound."""
    if whom.cid:
        rows = connection.execute(UIDS, (encode_key(whom.cid), whom.portal_id))
        return [(portal_id, decode_key(uid)) for portal_id, uid, _ in rows]
    if whom.portal_id is not None:
        return [(whom.portal_id, whom.uid)]
    portals = connection.execute(
        "SELECT portal_id FROM portal CROSS JOIN binding ON binding.portal = portal.id AND binding.uid = ? ORDER BY 1",
        (encode_key(whom.uid),),
    )
    return [(portal_id, whom.uid) for (portal_id,) in portals]


def _entries(
    connection: apsw.Connection, uids: Sequence[Key], whom: Whom, after_seq: int = 0
) -> list[AuditEntry]:
    """Give the entries behind one that name the person."""
    wanted = []
    for portal_id, uid in uids:
        portal: int | None = connection.execute(PORTAL, (portal_id,)).get
        if portal is not None:
            wanted.append((portal, encode_key(uid).hex()))
    cid = encode_key(whom.cid) if whom.cid else None
    rows = connection.execute(_ENTRIES, (after_seq, orjson.dumps(wanted).decode(), cid, whom.portal_id))
    return [entry(row) for row in rows]


def forget_key(connection: apsw.Connection, portal: int, key: bytes, now_ms: int, reason: str) -> int:
    """Take an address key away and give how many went (0: another process was faster); within a transaction."""
    connection.execute(
        "INSERT INTO forgotten (portal, key, erased_ms, reason) VALUES (?, ?, ?, ?)",
        (portal, key, now_ms, reason),
    )
    connection.execute("DELETE FROM alias WHERE portal = ? AND key = ?", (portal, key))
    gone = connection.changes()
    connection.execute("UPDATE forgotten SET key = NULL WHERE portal = ? AND key = ?", (portal, key))
    connection.execute("UPDATE tally SET aliases = aliases - ? WHERE portal = ?", (gone, portal))
    return gone
