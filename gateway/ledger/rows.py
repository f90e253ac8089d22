"""Reading the ledger's file for people and for checks: its rows as the records of the contract, a page at a time.

Each page is a statement of its own that is read to its end, so that a slow reader never keeps the log from being emptied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.ledger.binder import PORTAL
from gateway.ledger.chain import KINDS, digest
from gateway.ledger.contract import AddressKey, AuditEntry, BoundUid
from gateway.ledger.customers import UIDS
from gateway.ledger.keys import TOMBSTONE, decode_key, encode_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.storage.sqlite_access import SqliteReader

_PAGE = 1_000

_COLUMNS = """
SELECT portal.portal_id, binding.uid, binding.cid, binding.bound_ms, erasure.reason, binding.portal
FROM {source} ON {join}
LEFT JOIN erasure ON binding.cid = x'03' AND erasure.portal = binding.portal AND erasure.uid = binding.uid
"""
_FIND = (
    _COLUMNS.format(
        source="portal CROSS JOIN binding", join="binding.portal = portal.id AND binding.uid = ?1"
    )
    + "WHERE ?2 IS NULL OR portal.portal_id = ?2 ORDER BY binding.bound_ms, portal.portal_id"
)
_EXPORT = (
    _COLUMNS.format(source="binding CROSS JOIN portal", join="portal.id = binding.portal")
    + """WHERE (binding.portal, binding.uid) > (?1, ?2) AND (?3 IS NULL OR binding.portal = ?3)
ORDER BY binding.portal, binding.uid LIMIT ?4"""
)
_AUDIT = """
SELECT seq, at_ms, kind, portal.portal_id, uid, cid, other, note, event, salt, digest, chain
FROM audit CROSS JOIN portal ON portal.id = audit.portal
WHERE seq > ? ORDER BY seq LIMIT ?
"""
_KEYS = """
SELECT portal.portal_id, alias.key, alias.cid FROM portal CROSS JOIN alias ON alias.portal = portal.id AND alias.{column} = ?1
WHERE ?2 IS NULL OR portal.portal_id = ?2 ORDER BY portal.portal_id, alias.key
"""
_OF_KEY, _OF_CID = _KEYS.format(column="key"), _KEYS.format(column="cid")
_COUNT = (
    "SELECT portal_id, bindings, erased, aliases FROM tally CROSS JOIN portal ON portal.id = tally.portal"
)
_HEAD = "SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1"
_Row = tuple[Any, ...]


def find(reader: SqliteReader, uid: str, portal_id: str | None) -> list[BoundUid]:
    """Give the bindings and tombstones of a UID, oldest first."""
    return [_bound(row) for row in reader.rows(_FIND, (encode_key(uid), portal_id))]


def uids_of(reader: SqliteReader, cid: str, portal_id: str | None) -> list[BoundUid]:
    """Give every UID of a CID, oldest first."""
    rows = reader.rows(UIDS, (encode_key(cid), portal_id))
    return [BoundUid(portal, decode_key(uid), cid, bound_ms) for portal, uid, bound_ms in rows]


def known_keys(reader: SqliteReader, cid: str, key: str, portal_id: str | None) -> list[AddressKey]:
    """Give the address keys of a CID, or what is known of one key. Raises `ValueError` unless just one is given."""
    if bool(cid) == bool(key):
        raise ValueError("name the customer by cid or the address by key, one of both")
    rows = reader.rows(_OF_CID if cid else _OF_KEY, (encode_key(cid or key), portal_id))
    return [AddressKey(portal, decode_key(each), decode_key(first)) for portal, each, first in rows]


def export(reader: SqliteReader, portal_id: str | None, after: tuple[str, str] | None) -> Iterator[BoundUid]:
    """Give every binding and tombstone by portal and UID. Raises `ValueError` for an `after` of no known portal."""
    only = None
    if portal_id is not None:
        only = reader.value(PORTAL, (portal_id,))
        if only is None:
            return
    place: tuple[int, bytes] = (0, b"")
    if after is not None:
        portal = reader.value(PORTAL, (after[0],))
        if portal is None:
            raise ValueError("`after` names a portal that this ledger does not know")
        place = (portal, encode_key(after[1]))
    while rows := reader.rows(_EXPORT, (*place, only, _PAGE)):
        for row in rows:
            yield _bound(row)
        place = (rows[-1][5], rows[-1][1])


def audit(reader: SqliteReader, after_seq: int) -> Iterator[AuditEntry]:
    """Give the entries of the audit log behind `after_seq`, in order."""
    while rows := reader.rows(_AUDIT, (after_seq, _PAGE)):
        yield from map(entry, rows)
        after_seq = rows[-1][0]


def entry(row: _Row) -> AuditEntry:
    """Give the record of a row of `audit`, whose columns are those of the table, the portal as its text."""
    seq, at_ms, kind, portal_id, *keys, salt, stored, chain = row
    try:
        texts = ["" if key is None else decode_key(key) for key in keys]
        made = stored if salt is None else digest(salt, *texts[1:4])
    except ValueError:
        # Somebody changed the bytes so that they are no id any more: what it says now is shown, and fits no chain.
        texts = ["" if key is None else key.hex() for key in keys]
        made = bytes(32)
    uid, cid, other, note, event_id = texts
    return AuditEntry(
        seq=seq,
        at_ms=at_ms,
        kind=KINDS[kind],
        portal_id=portal_id,
        uid=uid,
        cid=cid,
        other=other,
        note=note,
        event_id=event_id,
        is_erased=salt is None,
        digest=made.hex(),
        chain=chain.hex(),
        salt="" if salt is None else salt.hex(),
    )


class Count(NamedTuple):
    """How much there is: the counts of `gateway.ledger.contract.LedgerStats`."""

    portals: dict[str, int]
    erased: int
    aliases: int
    audit_entries: int
    audit_head: str


def count(reader: SqliteReader) -> Count:
    """Give how much there is, in constant time."""
    counted = reader.rows(_COUNT)
    head = reader.rows(_HEAD)
    return Count(
        portals={portal_id: bindings for portal_id, bindings, _, _ in counted if bindings},
        erased=sum(row[2] for row in counted),
        aliases=sum(row[3] for row in counted),
        audit_entries=head[0][0] if head else 0,
        audit_head=head[0][1].hex() if head else "",
    )


def _bound(row: _Row) -> BoundUid:
    portal_id, uid, cid, bound_ms, reason, _ = row
    if cid == TOMBSTONE:
        return BoundUid(portal_id, decode_key(uid), "", bound_ms, bound_ms, reason or "")
    return BoundUid(portal_id, decode_key(uid), decode_key(cid), bound_ms)
