"""Taking entries out of the quarantine's file for good: by a person's right, or because somebody discards them.

``secure_delete`` alone would not do: pages that were split before keep copies of rows in their unused space. So the file is rebuilt
(``VACUUM``) and the log emptied into it: no copy is left in either. Other writers wait while the file is rebuilt, about a second for
each 200 MB. With an entry go its order and its last answer, which name no more than the event's id (`gateway.quarantine.schema`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw
import msgspec

from gateway.events.model import Record
from gateway.quarantine.schema import QUARANTINE_FILE
from gateway.storage.sqlite_access import SqliteReader, SqliteWriter
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.quarantine.naming import Naming

_ROWS_AT_ONCE = 100
_OF_UID = "SELECT event_id FROM held WHERE portal_id = ? AND uid = ?"
_OF_CID = """
SELECT event_id FROM held WHERE (claimed_cid = ?1 OR bound_cid = ?1) AND (?2 IS NULL OR portal_id = ?2)
"""
_RECORDS = """
SELECT rowid, event_id, record FROM held WHERE rowid > ?1 AND (?2 IS NULL OR portal_id = ?2) ORDER BY rowid LIMIT ?3
"""
_ERASE = "DELETE FROM held WHERE event_id = ?"


class Whom(NamedTuple):
    """Whose entries are meant: those of UIDs, those held because of CIDs, in one portal or all, and those that name the person."""

    portal_id: str | None
    uids: tuple[tuple[str, str], ...]
    cids: tuple[str, ...]
    naming: Naming


def erase(path: Path, whom: Whom, patience_seconds: float) -> int:
    """Take away the entries of a person, and their bytes; give how many there were. Raises `QuarantineUnavailable`."""
    writer = SqliteWriter(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
    try:
        event_ids = _found(path, whom, patience_seconds)
        count = sum(
            writer.run(delete(event_ids[start : start + _ROWS_AT_ONCE]))
            for start in range(0, len(event_ids), _ROWS_AT_ONCE)
        )
        writer.run(_leave_no_copies)
    finally:
        writer.close()
    return count


def overwrite(path: Path, patience_seconds: float) -> None:
    """Overwrite the bytes of everything that has gone. Raises `QuarantineUnavailable`."""
    writer = SqliteWriter(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
    try:
        writer.run(_leave_no_copies)
    finally:
        writer.close()


def delete(event_ids: Sequence[str]) -> Callable[[apsw.Connection], int]:
    """Give the work that takes entries away, and gives how many there were."""

    def work(connection: apsw.Connection) -> int:
        count = 0
        with transaction(connection):
            for each in event_ids:
                connection.execute(_ERASE, (each,))
                # Without what the triggers do.
                count += connection.changes()
        return count

    return work


def _found(path: Path, whom: Whom, patience_seconds: float) -> list[str]:
    """Give the events of a person; reads every record, some at a time, so that a large quarantine is no question of memory."""
    reader = SqliteReader(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
    try:
        found: dict[str, None] = {}
        for key in dict.fromkeys(whom.uids):
            found |= dict.fromkeys(each for (each,) in reader.rows(_OF_UID, key))
        for cid in dict.fromkeys(whom.cids):
            found |= dict.fromkeys(each for (each,) in reader.rows(_OF_CID, (cid, whom.portal_id)))
        last = 0
        while whom.naming and (rows := reader.rows(_RECORDS, (last, whom.portal_id, _ROWS_AT_ONCE))):
            last = rows[-1][0]
            for _, event_id, record in rows:
                if whom.naming.is_named_in(msgspec.msgpack.decode(record, type=Record)):
                    found[event_id] = None
        return list(found)
    finally:
        reader.close()


def _leave_no_copies(connection: apsw.Connection) -> None:
    connection.execute("VACUUM")
    (is_busy, _, _) = next(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if is_busy:
        # A reader still needs the log; it is waited for as for any other turn.
        raise apsw.BusyError("the log is in use")
