"""Taking over rows of another ledger: what is free is bound, with its own time; what is taken stays as it is.

A batch is one transaction. A tombstone takes away a binding of its UID as an erasure does (`gateway.ledger.tombstones`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.events.model import UNBOUND, AuditNote, Binding
from gateway.ledger.binder import Key, read_bound, store_portals
from gateway.ledger.customers import write_due_run
from gateway.ledger.keys import encode_key
from gateway.ledger.rules import ERASED
from gateway.ledger.tombstones import Stones, empty, entries_of, lay, tell
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from gateway.ledger.contract import BoundUid
    from gateway.storage.sqlite_access import SqliteWriter

IMPORTED_TOMBSTONE = "erased"
"""What stands in `other` of the `import` entry of a tombstone."""


def import_rows(writer: SqliteWriter, rows: Sequence[BoundUid], now_ms: int) -> list[Binding]:
    """Take rows over: see `gateway.ledger.contract.Ledger.import_rows`."""

    def take(connection: apsw.Connection) -> tuple[list[Binding], bool]:
        with transaction(connection):
            return _take(connection, rows, now_ms)

    answers, has_overwritten = writer.run(take)
    write_due_run(writer)
    if has_overwritten:
        writer.empty_log()
    return answers


def _take(connection: apsw.Connection, rows: Sequence[BoundUid], now_ms: int) -> tuple[list[Binding], bool]:
    portals = store_portals(connection, [row.portal_id for row in rows])
    stored = read_bound(connection, [(row.portal_id, row.uid) for row in rows], portals)
    held = dict(stored)
    answers: list[Binding] = []
    living: dict[Key, BoundUid] = {}
    stones: Stones = {}
    notes: list[AuditNote] = []
    for row in rows:
        key = (row.portal_id, row.uid)
        now = held.get(key, UNBOUND)
        if now.is_erased or (now.cid is not None and row.erased_ms is None):
            answers.append(now)
        elif row.erased_ms is None:
            held[key] = Binding(row.cid)
            living[key] = row
            notes.append(AuditNote(kind="import", portal_id=row.portal_id, uid=row.uid, cid=row.cid))
            answers.append(Binding(row.cid, is_new=True))
        else:
            held[key] = ERASED
            stones[key] = (row.erased_ms, row.reason)
            note = AuditNote(
                kind="import", portal_id=row.portal_id, uid=row.uid, other=IMPORTED_TOMBSTONE, note=row.reason
            )
            notes.append(note)
            answers.append(Binding(is_new=True, is_erased=True))
    connection.executemany(
        "INSERT INTO binding VALUES (?, ?, ?, ?)",
        [
            (portals[portal_id], encode_key(uid), encode_key(row.cid), row.bound_ms)
            for (portal_id, uid), row in living.items()
        ],
    )
    for portal_id, count in Counter(portal_id for portal_id, _ in living).items():
        connection.execute(
            "UPDATE tally SET bindings = bindings + ? WHERE portal = ?", (count, portals[portal_id])
        )
    if notes:
        tell(connection, notes, now_ms)
    overwritten = [key for key in stones if key in living or key in stored]
    lay(connection, stones, portals)
    if overwritten:
        empty(connection, entries_of(connection, overwritten), set(stones), now_ms, "")
    return answers, bool(overwritten)
