"""Release orders in the quarantine's file: each function is work for its writer, one transaction, and may run more than once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw

    from gateway.quarantine.contract import Answer

ORDERS = """
SELECT ordered.run, release_run.way, held.event_id, held.reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record
FROM (SELECT * FROM release_order ORDER BY seq LIMIT ?) AS ordered
CROSS JOIN release_run ON release_run.run = ordered.run
CROSS JOIN held ON held.event_id = ordered.event_id
ORDER BY ordered.seq
"""
"""The first orders with their ways and entries."""

HAS_ORDERS = "SELECT seq FROM release_order LIMIT 1"
IS_ORDERED = "SELECT seq FROM release_order WHERE event_id = ?"
REFUSAL = "SELECT reason, detail, asked_ms FROM release_refusal WHERE event_id = ?"
ORDERED = "SELECT ordered FROM release_run WHERE run = ?"
WAITING = "SELECT count(*) FROM release_order WHERE run = ?"
COUNTS = "SELECT reason, entries FROM release_count WHERE run = ?"

_RUN = "INSERT INTO release_run (way, ordered_ms) VALUES (?, ?) RETURNING run"
_FORGET_COUNTS = """
DELETE FROM release_count WHERE run IN
  (SELECT run FROM release_run WHERE ordered_ms < ?1 AND run NOT IN (SELECT run FROM release_order))
"""
_FORGET_RUNS = "DELETE FROM release_run WHERE ordered_ms < ?1 AND run NOT IN (SELECT run FROM release_order)"
_ORDER = """
INSERT INTO release_order (event_id, run)
SELECT event_id, ?1 FROM held WHERE event_id IN (SELECT value FROM json_each(?2)) ORDER BY held_ms, event_id
ON CONFLICT (event_id) DO NOTHING
"""
_ORDERED_MORE = "UPDATE release_run SET ordered = ordered + ? WHERE run = ?"
_LEAVE = """
UPDATE held SET is_leaving = 1 WHERE event_id IN (SELECT value FROM json_each(?))
  AND event_id IN (SELECT event_id FROM release_order) RETURNING event_id
"""
# What came back meanwhile is not what left.
_GONE = "DELETE FROM held WHERE event_id = ? AND is_leaving = 1"
_NO_ORDER = "DELETE FROM release_order WHERE event_id = ? AND run = ?"
_STAYS = "UPDATE held SET is_leaving = 0 WHERE event_id = ?"
_REFUSED = """
INSERT INTO release_refusal SELECT event_id, ?2, ?3, ?4 FROM held WHERE event_id = ?1
ON CONFLICT (event_id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, asked_ms = excluded.asked_ms
"""
_COUNT = """
INSERT INTO release_count VALUES (?1, ?2, ?3)
ON CONFLICT (run, reason) DO UPDATE SET entries = entries + excluded.entries
"""
_KEPT_MS = 30 * 86_400_000


def open_run(way: str, now_ms: int) -> Callable[[apsw.Connection], int]:
    """Begin a run, and forget those that ended a month ago."""

    def work(connection: apsw.Connection) -> int:
        with transaction(connection):
            connection.execute(_FORGET_COUNTS, (now_ms - _KEPT_MS,))
            connection.execute(_FORGET_RUNS, (now_ms - _KEPT_MS,))
            return int(connection.execute(_RUN, (way, now_ms)).get)

    return work


def order(run: int, event_ids: Sequence[str]) -> Callable[[apsw.Connection], int]:
    """Order the release of entries, and give how many are ordered now that were not."""

    def work(connection: apsw.Connection) -> int:
        with transaction(connection):
            connection.execute(_ORDER, (run, orjson.dumps(list(event_ids)).decode()))
            count = connection.changes()
            connection.execute(_ORDERED_MORE, (count, run))
            return count

    return work


def leave(event_ids: Sequence[str]) -> Callable[[apsw.Connection], set[str]]:
    """Mark entries as leaving, and give those that are still here and ordered."""

    def work(connection: apsw.Connection) -> set[str]:
        with transaction(connection):
            rows = connection.execute(_LEAVE, (orjson.dumps(list(event_ids)).decode(),)).fetchall()
        return {str(event_id) for (event_id,) in rows}

    return work


def settle(answers: Sequence[Answer], now_ms: int) -> Callable[[apsw.Connection], None]:
    """Take away what has left with its order, and keep the answers of what stays."""
    counted = Counter((each.run, each.reason) for each in answers)

    def work(connection: apsw.Connection) -> None:
        with transaction(connection):
            for each in answers:
                if not each.reason:
                    connection.execute(_GONE, (each.event_id,))
                else:
                    connection.execute(_STAYS, (each.event_id,))
                    connection.execute(_REFUSED, (each.event_id, each.reason, each.detail, now_ms))
                connection.execute(_NO_ORDER, (each.event_id, each.run))
            connection.executemany(_COUNT, [(*key, count) for key, count in counted.items()])

    return work
