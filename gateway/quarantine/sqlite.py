"""The quarantine in a file of SQLite: for one machine and any number of processes.

An entry is a row whose columns are what a person looks for, and the record as MessagePack, byte for byte what a release would
forward. Writes collect on the event loop and are committed together in a thread (`gateway.storage.group_commit`), synced before
`put` returns (`gateway.storage.sqlite_file` says what each setting buys). `list` and `count` read at once, through a connection
that can't write and belongs to the thread that opened the store; a process that serves traffic asks for short pages.

Nothing in here changes a row, and only `erase` removes some, through a connection and a thread of its own. ``secure_delete`` alone would not
do: pages that were split before keep copies of rows in their unused space. So it rebuilds the file (``VACUUM``) and empties the log into it
before it returns: no copy is left in either. Other writers wait while the file is rebuilt, about a second for each 200 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

from gateway.events.model import QuarantineEntry, Record
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.quarantine.naming import Naming
from gateway.storage.group_commit import GroupCommit, GroupCommitClosed
from gateway.storage.sqlite_access import SqliteReader, SqliteWriter, closed
from gateway.storage.sqlite_file import FileKind, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.quarantine.contract import Entries

_VERSION_1 = """
CREATE TABLE held (
  event_id    TEXT NOT NULL PRIMARY KEY,
  reason      TEXT NOT NULL,
  portal_id   TEXT NOT NULL,
  prop_id     TEXT NOT NULL,
  uid         TEXT NOT NULL,
  held_ms     INTEGER NOT NULL,
  detail      TEXT NOT NULL,
  claimed_cid TEXT,
  bound_cid   TEXT,
  record      BLOB NOT NULL
) STRICT;
CREATE INDEX held_by_age ON held (held_ms, event_id);
CREATE INDEX held_by_reason ON held (reason, held_ms, event_id);
CREATE INDEX held_by_uid ON held (uid, held_ms, event_id);
"""

QUARANTINE_FILE = FileKind(
    name="quarantine",
    application_id=int.from_bytes(b"TGQU", "big"),
    migrations=(_VERSION_1,),
    unavailable=QuarantineUnavailable,
)
"""The kind of file that a quarantine is."""

_PUT = """
INSERT INTO held (event_id, reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record)
VALUES {places} ON CONFLICT (event_id) DO NOTHING
"""
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 100
_OF_UID = "SELECT event_id FROM held WHERE portal_id = ? AND uid = ?"
_OF_CID = """
SELECT event_id FROM held WHERE (claimed_cid = ?1 OR bound_cid = ?1) AND (?2 IS NULL OR portal_id = ?2)
"""
_RECORDS = """
SELECT rowid, event_id, record FROM held WHERE rowid > ?1 AND (?2 IS NULL OR portal_id = ?2) ORDER BY rowid LIMIT ?3
"""
_ERASE = "DELETE FROM held WHERE event_id = ?"
_COUNT = "SELECT reason, count(*) FROM held GROUP BY reason"
_LIST = """
SELECT event_id, reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record FROM held
"""
_OLDER = "(held_ms, event_id) < (SELECT held_ms, event_id FROM held WHERE event_id = ?)"
_NEWEST_FIRST = " ORDER BY held_ms DESC, event_id DESC LIMIT ?"

_WRITER_PATIENCE_SECONDS = 5.0
_LOOP_PATIENCE_SECONDS = 0.25

_Row = tuple[Any, ...]


class _Whom(NamedTuple):
    portal_id: str | None
    uids: tuple[tuple[str, str], ...]
    cids: tuple[str, ...]
    naming: Naming


class SqliteQuarantine:
    """Where events wait for a person, in a file: `gateway.quarantine.contract.QuarantineStore` is the contract."""

    def __init__(
        self, path: Path, reader: SqliteReader, writer: SqliteWriter | None, patience_seconds: float
    ) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._reader = reader
        self._writer = writer
        self._commits: GroupCommit[_Row, None] | None = (
            None
            if writer is None
            else GroupCommit(lambda rows: writer.run(_put(rows)), thread_name="quarantine")
        )

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries, durably on return. An event id that is kept already is left as it is.

        Raises `QuarantineUnavailable`; then nothing is promised of the entries, and putting them again is safe. Raises
        `ValueError` for an entry whose text is not Unicode (it has lone surrogates), and keeps none.
        """
        if not entries:
            return
        if self._commits is None:
            raise QuarantineUnavailable(
                str(self._path), "it was opened for reading only", "open it without read_only to put"
            )
        rows = [_row(entry) for entry in entries]
        try:
            await self._commits.submit(rows)
        except GroupCommitClosed:
            raise closed(self._path, QUARANTINE_FILE) from None

    def list(
        self,
        *,
        limit: int,
        reason: str | None = None,
        portal_id: str | None = None,
        uid: str | None = None,
        after: str | None = None,
    ) -> Entries:
        """Give at most `limit` entries, the newest (by `held_ms`) first, that agree with each filter that is given.

        `after` is the event id of the last entry of the page before; an id that is not kept gives an empty page. Raises
        `QuarantineUnavailable`.
        """
        filters = {"reason = ?": reason, "portal_id = ?": portal_id, "uid = ?": uid, _OLDER: after}
        given = {condition: value for condition, value in filters.items() if value is not None}
        where = f"WHERE {' AND '.join(given)}" if given else ""
        rows = self._reader.rows(_LIST + where + _NEWEST_FIRST, (*given.values(), limit))
        return [_entry(row) for row in rows]

    async def erase(
        self,
        portal_id: str | None,
        uids: Sequence[tuple[str, str]],
        cids: Sequence[str] = (),
        texts: Sequence[str] = (),
    ) -> int:
        """Forget every entry of these (portal_id, uid), and every one about a person; give how many went.

        About a person is, in one portal or all (`None`), what claims one of the `cids`, what was held because of one, and what names
        one, or one of the `texts`, in its record (`gateway.quarantine.naming`). `texts` are hashes of addresses or normalised addresses; they
        are looked for and kept nowhere. Durable on return; the bytes are overwritten, not only unlinked. Erasing again is safe. Raises `QuarantineUnavailable`.
        """
        if self._commits is None:
            raise QuarantineUnavailable(
                str(self._path), "it was opened for reading only", "open it without read_only to erase"
            )
        whom = _Whom(portal_id, tuple(uids), tuple(cids), Naming(cids, texts))
        return await asyncio.to_thread(_erase, self._path, whom, self._patience_seconds)

    def count(self) -> dict[str, int]:
        """Give how many entries there are of each reason that has any. Raises `QuarantineUnavailable`."""
        return dict(self._reader.rows(_COUNT))

    async def close(self) -> None:
        """Finish what is under way and close the file; closing again does nothing. Raises `QuarantineUnavailable`."""
        self._reader.close()
        if self._commits is not None and self._writer is not None:
            await self._commits.close(self._writer.close)


def open_quarantine(
    path: Path, *, read_only: bool = False, patience_seconds: float = _WRITER_PATIENCE_SECONDS
) -> SqliteQuarantine:
    """Open the quarantine in this file, made where there is none, and give it; its directory must exist.

    `read_only` is for another process than the server's, while that runs or not: nothing is made or written.
    `patience_seconds` bounds how long a write waits for other processes. Raises `QuarantineUnavailable`.
    """
    if read_only:
        reader = SqliteReader(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
        return SqliteQuarantine(path, reader, None, patience_seconds)
    writer = SqliteWriter(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
    try:
        loop_patience = min(_LOOP_PATIENCE_SECONDS, patience_seconds)
        reader = SqliteReader(path, QUARANTINE_FILE, patience_seconds=loop_patience)
    except BaseException:
        writer.close()
        raise
    return SqliteQuarantine(path, reader, writer, patience_seconds)


def _erase(path: Path, whom: _Whom, patience_seconds: float) -> int:
    writer = SqliteWriter(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
    try:
        event_ids = _found(path, whom, patience_seconds)
        count = sum(
            writer.run(_delete(event_ids[start : start + _ROWS_AT_ONCE]))
            for start in range(0, len(event_ids), _ROWS_AT_ONCE)
        )
        writer.run(_leave_no_copies)
    finally:
        writer.close()
    return count


def _found(path: Path, whom: _Whom, patience_seconds: float) -> list[str]:
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


def _delete(event_ids: Sequence[str]) -> Callable[[apsw.Connection], int]:
    def delete(connection: apsw.Connection) -> int:
        with transaction(connection):
            before = connection.total_changes()
            connection.executemany(_ERASE, [(each,) for each in event_ids])
            return connection.total_changes() - before

    return delete


def _leave_no_copies(connection: apsw.Connection) -> None:
    connection.execute("VACUUM")
    (is_busy, _, _) = next(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if is_busy:
        # A reader still needs the log; it is waited for as for any other turn.
        raise apsw.BusyError("the log is in use")


def _put(rows: Sequence[_Row]) -> Callable[[apsw.Connection], Sequence[None]]:
    """Give the work that inserts the rows in as few statements as can be: `gateway.ledger.binder` says why."""
    chunks = [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]

    def insert(connection: apsw.Connection) -> Sequence[None]:
        # A single statement is a transaction by itself.
        with transaction(connection) if len(chunks) > 1 else contextlib.nullcontext():
            for chunk in chunks:
                statement = _PUT.format(places=", ".join([_PLACES] * len(chunk)))
                connection.execute(statement, tuple(itertools.chain.from_iterable(chunk)))
        return [None] * len(rows)

    return insert


def _row(entry: QuarantineEntry) -> _Row:
    texts = (entry.event_id, str(entry.reason), entry.portal_id, entry.prop_id, entry.uid)
    for text in (*texts, entry.detail, entry.claimed_cid or "", entry.bound_cid or ""):
        # Here, where it concerns one caller: in the thread it would fail everybody in the batch.
        text.encode()
    record = msgspec.msgpack.encode(entry.record)
    return (*texts, entry.held_ms, entry.detail, entry.claimed_cid, entry.bound_cid, record)


def _entry(row: _Row) -> QuarantineEntry:
    event_id, reason, portal_id, prop_id, uid, held_ms, detail, claimed_cid, bound_cid, record = row
    return QuarantineEntry(
        event_id=event_id,
        portal_id=portal_id,
        prop_id=prop_id,
        uid=uid,
        reason=reason,
        detail=detail,
        held_ms=held_ms,
        claimed_cid=claimed_cid,
        bound_cid=bound_cid,
        record=msgspec.msgpack.decode(record, type=Record),
    )
