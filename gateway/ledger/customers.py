"""Which UIDs a customer has: an index that is written in runs.

The bindings lie in the order of their UIDs. A second tree in the order of CIDs would be right after each bind, but would touch a
second random page for each: measured with ten million bindings, that doubles the price. So what was bound is indexed later, twenty
thousand entries of the audit log at a time: a *run* is those bindings, sorted by CID, appended to the end of one tree, page by
page. A question looks into each run, and through the entries that no run has yet.

What is found is looked up in `binding`, so the index is only a hint: a UID that was erased is not found any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    import apsw

    from gateway.storage.sqlite_access import SqliteWriter

RUN_ENTRIES = 20_000
"""Entries of the audit log that make up a run."""

UIDS = """
WITH found (portal, uid) AS (
  SELECT customer.portal, customer.uid
  FROM portal CROSS JOIN customer_run CROSS JOIN customer
    ON customer.run = customer_run.id AND customer.portal = portal.id AND customer.cid = ?1
  WHERE ?2 IS NULL OR portal.portal_id = ?2
  UNION
  SELECT portal, uid FROM audit
  WHERE seq > (SELECT coalesce(max(to_seq), 0) FROM customer_run) AND kind IN (1, 2) AND cid = ?1
)
SELECT portal.portal_id, binding.uid, binding.bound_ms
FROM found
CROSS JOIN binding ON binding.portal = found.portal AND binding.uid = found.uid AND binding.cid = ?1
CROSS JOIN portal ON portal.id = binding.portal
WHERE ?2 IS NULL OR portal.portal_id = ?2
ORDER BY binding.bound_ms, portal.portal_id, binding.uid
"""
"""Gives (portal_id, UID's key, bound_ms) of a CID's key in one portal or all (`NULL`)."""

_NEW_RUN = """
INSERT INTO customer_run (id, to_seq)
SELECT coalesce(max(id), 0) + 1, ?1 FROM customer_run HAVING coalesce(max(to_seq), 0) < ?1 RETURNING id
"""
_FILL = """
INSERT INTO customer (run, portal, cid, uid)
SELECT ?1, portal, cid, uid FROM audit
WHERE seq > (SELECT coalesce(max(to_seq), 0) FROM customer_run WHERE id < ?1) AND seq <= ?2
  AND kind IN (1, 2) AND cid IS NOT NULL
ORDER BY portal, cid, uid
"""


_WAITING = """
SELECT coalesce((SELECT max(to_seq) FROM customer_run), 0), coalesce((SELECT max(seq) FROM audit), 0)
"""


def write_due_run(writer: SqliteWriter) -> None:
    """Write a run when enough entries wait for one."""
    waiting: list[Any] = writer.run(lambda connection: connection.execute(_WAITING).fetchall())
    write_run_if_due(writer, *waiting[0])


def write_run_if_due(writer: SqliteWriter, run_to: int, head: int) -> int:
    """Write a run when enough entries wait behind `run_to`, and give the entry up to which the runs reach now."""
    if head - run_to < RUN_ENTRIES:
        return run_to

    def write(connection: apsw.Connection) -> None:
        with transaction(connection):
            run = connection.execute(_NEW_RUN, (head,)).get
            # Another process may have written it meanwhile.
            if run is not None:
                connection.execute(_FILL, (run, head))

    writer.run(write)
    return head
