"""Taking over rows of another ledger: what is free is bound, with its own time; what is taken stays as it is.

A batch is one transaction. A tombstone takes away a binding of its UID as an erasure does (`gateway.ledger.tombstones`), and with the last
UID of a customer in a portal goes what is still known of the customer there: address keys, and its name in the entries of other UIDs. As
for an erasure, these are looked for before the write lock is taken, and under it only among what came since.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.events.model import UNBOUND, AuditNote, Binding
from gateway.ledger.binder import PORTAL, Key, read_bound, store_portals
from gateway.ledger.customers import write_due_run
from gateway.ledger.intake import read_head
from gateway.ledger.keys import decode_key, encode_key
from gateway.ledger.rows import entry
from gateway.ledger.rules import ERASED
from gateway.ledger.tombstones import Stones, empty, forget_key, lay, tell
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import apsw

    from gateway.ledger.contract import AuditEntry, BoundUid
    from gateway.storage.sqlite_access import SqliteWriter

IMPORTED_TOMBSTONE = "erased"
"""What stands in `other` of the `import` entry of a tombstone."""

# Entries of UIDs, and what was said besides binding about customers; an erasure names nobody and stays.
_NAMING = """
WITH customer (portal, cid) AS (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?3))
SELECT seq, at_ms, kind, portal.portal_id, uid, audit.cid, other, note, event, salt, digest, chain
FROM audit CROSS JOIN portal ON portal.id = audit.portal
WHERE seq > ?1 AND salt IS NOT NULL AND kind <> 7 AND NOT (kind = 2 AND other IS NOT NULL)
  AND ((audit.portal, audit.uid) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?2))
       OR (kind BETWEEN 3 AND 6 AND ((audit.portal, audit.cid) IN customer OR (audit.portal, other) IN customer)))
"""
_KEYS = """
SELECT portal.portal_id, alias.cid, alias.portal, alias.key FROM alias CROSS JOIN portal ON portal.id = alias.portal
WHERE (alias.portal, alias.cid) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1))
"""

# Those of some customers who have a UID.
_STILL_BOUND = """
WITH asked (portal, cid) AS (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1)),
found (portal, uid, cid) AS (
  SELECT customer.portal, customer.uid, customer.cid
  FROM asked CROSS JOIN customer_run CROSS JOIN customer
    ON customer.run = customer_run.id AND customer.portal = asked.portal AND customer.cid = asked.cid
  UNION
  SELECT portal, uid, cid FROM audit
  WHERE seq > (SELECT coalesce(max(to_seq), 0) FROM customer_run) AND kind IN (1, 2) AND (portal, cid) IN asked
)
SELECT DISTINCT portal.portal_id, found.cid FROM found
CROSS JOIN binding ON binding.portal = found.portal AND binding.uid = found.uid AND binding.cid = found.cid
CROSS JOIN portal ON portal.id = found.portal
"""
# Changes with every address key that comes or goes.
_KEYS_MARK = "SELECT generation, (SELECT coalesce(sum(aliases), 0) FROM tally) FROM state"

_Customer = tuple[str, str]
"""Portal and CID."""


class _Known(NamedTuple):
    """What was known of UIDs that are to be buried and of their customers: entries up to one, address keys as of a mark."""

    uids: frozenset[Key]
    customers: frozenset[_Customer]
    entries: list[AuditEntry]
    last_seq: int
    keys: list[tuple[str, bytes, int, bytes]]
    mark: object


class _Taken(NamedTuple):
    """What a batch comes to: what holds for each row, what is to be bound, laid and told, and whose UIDs are buried, with the reason."""

    answers: list[Binding]
    living: dict[Key, BoundUid]
    stones: Stones
    notes: list[AuditNote]
    buried: dict[Key, tuple[str, str]]


def import_rows(
    writer: SqliteWriter, rows: Sequence[BoundUid], now_ms: int, *, buries: bool
) -> list[Binding]:
    """Take rows over: see `gateway.ledger.contract.Ledger.import_rows`."""
    known = None
    if buries and any(row.erased_ms is not None for row in rows):
        known = writer.run(partial(_look, rows))
    answers, has_overwritten = writer.run(partial(_take, rows, now_ms, known))
    write_due_run(writer)
    if has_overwritten:
        writer.empty_log()
    return answers


def _look(rows: Sequence[BoundUid], connection: apsw.Connection) -> _Known:
    """Find what tombstones among the rows would take away."""
    stones = {(row.portal_id, row.uid) for row in rows if row.erased_ms is not None}
    portals = _portals(connection, {portal_id for portal_id, _ in stones})
    stored = read_bound(connection, [key for key in stones if key[0] in portals], portals)
    cids = {(*key, binding.cid) for key, binding in stored.items() if binding.cid is not None}
    # A file may have a binding and its tombstone.
    cids |= {
        (row.portal_id, row.uid, row.cid)
        for row in rows
        if row.erased_ms is None and (row.portal_id, row.uid) in stones
    }
    uids = frozenset((portal_id, uid) for portal_id, uid, _ in cids)
    return _known(connection, uids, frozenset((portal_id, cid) for portal_id, _, cid in cids))


def _known(connection: apsw.Connection, uids: frozenset[Key], customers: frozenset[_Customer]) -> _Known:
    last_seq = read_head(connection).seq
    mark = connection.execute(_KEYS_MARK).fetchone()
    entries = _entries(connection, uids, customers)
    return _Known(uids, customers, entries, last_seq, _keys(connection, customers), mark)


def _take(
    rows: Sequence[BoundUid], now_ms: int, known: _Known | None, connection: apsw.Connection
) -> tuple[list[Binding], bool]:
    with transaction(connection):
        portals = store_portals(connection, [row.portal_id for row in rows])
        taken = _judged(
            rows,
            read_bound(connection, [(row.portal_id, row.uid) for row in rows], portals),
            buries=known is not None,
        )
        if known is not None and taken.buried:
            known = _up_to_date(connection, known, taken.buried)
        connection.executemany(
            "INSERT INTO binding VALUES (?, ?, ?, ?)",
            [
                (portals[portal_id], encode_key(uid), encode_key(row.cid), row.bound_ms)
                for (portal_id, uid), row in taken.living.items()
            ],
        )
        for portal_id, count in Counter(portal_id for portal_id, _ in taken.living).items():
            connection.execute(
                "UPDATE tally SET bindings = bindings + ? WHERE portal = ?", (count, portals[portal_id])
            )
        if taken.notes:
            tell(connection, taken.notes, now_ms)
        lay(connection, taken.stones, portals)
        if known is not None and taken.buried:
            _forget(connection, known, taken, now_ms)
    return taken.answers, bool(taken.buried)


def _judged(rows: Sequence[BoundUid], stored: Mapping[Key, Binding], *, buries: bool) -> _Taken:
    held = dict(stored)
    taken = _Taken([], {}, {}, [], {})
    for row in rows:
        key = (row.portal_id, row.uid)
        now = held.get(key, UNBOUND)
        if now.is_erased or (now.cid is not None and (row.erased_ms is None or not buries)):
            taken.answers.append(now)
        elif row.erased_ms is None:
            held[key] = Binding(row.cid)
            taken.living[key] = row
            taken.notes.append(AuditNote(kind="import", portal_id=row.portal_id, uid=row.uid, cid=row.cid))
            taken.answers.append(Binding(row.cid, is_new=True))
        else:
            held[key] = ERASED
            taken.stones[key] = (row.erased_ms, row.reason)
            if now.cid is not None:
                taken.buried[key] = (now.cid, row.reason)
            note = AuditNote(
                kind="import", portal_id=row.portal_id, uid=row.uid, other=IMPORTED_TOMBSTONE, note=row.reason
            )
            taken.notes.append(note)
            taken.answers.append(Binding(now.cid, is_new=True, is_erased=True))
    return taken


def _up_to_date(connection: apsw.Connection, known: _Known, buried: Mapping[Key, tuple[str, str]]) -> _Known:
    """Add what came between the look and the lock."""
    customers = frozenset((portal_id, cid) for (portal_id, _), (cid, _) in buried.items())
    if not (customers <= known.customers and frozenset(buried) <= known.uids):
        # A UID of a tombstone was bound meanwhile.
        return _known(connection, frozenset(buried), customers)
    since = _entries(connection, known.uids, known.customers, known.last_seq)
    keys = known.keys
    if connection.execute(_KEYS_MARK).fetchone() != known.mark:
        keys = _keys(connection, known.customers)
    return known._replace(entries=known.entries + since, keys=keys)


def _forget(connection: apsw.Connection, known: _Known, taken: _Taken, now_ms: int) -> None:
    """Empty the entries of buried UIDs, and what is known of customers who have no UID any more."""
    reasons = {(portal_id, cid): reason for (portal_id, _), (cid, reason) in taken.buried.items()}
    still: list[Any] = connection.execute(_STILL_BOUND, (_as_json(connection, reasons),)).fetchall()
    for portal_id, cid_key in still:
        del reasons[portal_id, decode_key(cid_key)]
    by_reason: dict[str, dict[int, AuditEntry]] = {}
    # What the batch itself told of its living rows is among them, too.
    for each in (*known.entries, *_entries(connection, taken.buried, (), known.last_seq)):
        named = [cid for cid in (each.cid, each.other) if (each.portal_id, cid) in reasons]
        if (each.portal_id, each.uid) in taken.buried:
            by_reason.setdefault("", {})[each.seq] = each
        elif each.kind not in {"bind", "import"} and named:
            by_reason.setdefault(reasons[each.portal_id, named[0]], {})[each.seq] = each
    notes = []
    for reason, entries in by_reason.items():
        emptied = dict.fromkeys(empty(connection, entries, set(taken.stones), now_ms, reason))
        notes += [
            AuditNote(kind="erase", portal_id=portal_id, uid=uid, other="entries", note=reason)
            for portal_id, uid in emptied
            if (portal_id, uid) not in taken.buried
        ]
    for portal_id, cid, portal, key in known.keys:
        reason_of_key = reasons.get((portal_id, decode_key(cid)))
        if reason_of_key is not None:
            forget_key(connection, portal, key, now_ms, reason_of_key)
    if notes:
        tell(connection, notes, now_ms)


def _entries(
    connection: apsw.Connection, uids: Iterable[Key], customers: Iterable[_Customer], after_seq: int = 0
) -> list[AuditEntry]:
    """Give the entries behind one that are of these UIDs, or say something besides a binding about these customers."""
    wanted, named = _as_json(connection, uids), _as_json(connection, customers)
    if (wanted, named) == ("[]", "[]"):
        return []
    return [entry(row) for row in connection.execute(_NAMING, (after_seq, wanted, named))]


def _keys(connection: apsw.Connection, customers: Iterable[_Customer]) -> list[tuple[str, bytes, int, bytes]]:
    """Give the address keys of customers: portal, key of the CID, the portal's number, key."""
    named = _as_json(connection, customers)
    keys: list[Any] = [] if named == "[]" else connection.execute(_KEYS, (named,)).fetchall()
    return keys


def _as_json(connection: apsw.Connection, ids: Iterable[tuple[str, str]]) -> str:
    ids = list(ids)
    portals = _portals(connection, {portal_id for portal_id, _ in ids})
    return orjson.dumps(
        [(portals[portal_id], encode_key(id_).hex()) for portal_id, id_ in ids if portal_id in portals]
    ).decode()


def _portals(connection: apsw.Connection, portal_ids: Iterable[str]) -> dict[str, int]:
    """Give the row ids of those portals that the file knows."""
    found = {portal_id: connection.execute(PORTAL, (portal_id,)).get for portal_id in portal_ids}
    return {portal_id: portal for portal_id, portal in found.items() if portal is not None}
