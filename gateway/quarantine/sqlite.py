"""The quarantine in a file of SQLite: for one machine and any number of processes.

An entry is a row whose columns are what a person looks for, and the record as MessagePack, byte for byte what was held. Writes
collect on the event loop and are committed together in a thread (`gateway.storage.group_commit`), synced before they
return (`gateway.storage.sqlite_file` says what each setting buys). `list`, `page`, `count` and `orders` read at once, through a connection that
can't write and belongs to the thread that opened the store; a process that serves traffic asks for short pages.

`put` changes a row only where an entry is leaving and comes back. `settle`, `discard` and `erase` remove some, `erase` through a connection and a
thread of its own, and so that no copy is left (`gateway.quarantine.erasing`). Which entries a release takes along is said by the orders in the same file
(`gateway.quarantine.orders`).
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.events.releases import Way
from gateway.quarantine import orders
from gateway.quarantine.contract import ALL, Order, Progress, QuarantineUnavailable, Refusal
from gateway.quarantine.erasing import Whom, delete, erase, overwrite
from gateway.quarantine.naming import Naming
from gateway.quarantine.schema import COLUMNS, QUARANTINE_FILE, Row, Rows, conditions, entry_of, row_of, where
from gateway.storage.group_commit import GroupCommit, GroupCommitClosed
from gateway.storage.sqlite_access import SqliteReader, SqliteWriter, closed
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import apsw

    from gateway.events.model import QuarantineEntry
    from gateway.quarantine.contract import Answer, Entries, Orders, Place, Which
    from gateway.storage.sqlite_file import Progress as OnUpgrade

# Only one that leaves is taken the place of: it comes back from where it went.
_PUT = f"""
INSERT INTO held ({COLUMNS}) VALUES {{places}} ON CONFLICT (event_id) DO UPDATE SET
  reason = excluded.reason, portal_id = excluded.portal_id, prop_id = excluded.prop_id, uid = excluded.uid, held_ms = excluded.held_ms,
  detail = excluded.detail, claimed_cid = excluded.claimed_cid, bound_cid = excluded.bound_cid, record = excluded.record, is_leaving = 0
WHERE is_leaving = 1
"""  # noqa: S608 -- of constants
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 100
_BATCH_PUTS = 256
_ALL = "SELECT coalesce(sum(entries), 0) FROM tally"
_KNOWN = "SELECT count(*) FROM held WHERE event_id IN (SELECT value FROM json_each(?))"
_COUNT = "SELECT reason, entries FROM tally WHERE entries > 0"
_COUNT_SOME = "SELECT reason, count(*) FROM held{} GROUP BY reason"
_LIST = f"SELECT {COLUMNS} FROM held"  # noqa: S608 -- of constants
_OLDER = "(held_ms, event_id) < (SELECT held_ms, event_id FROM held WHERE event_id = ?)"
_NEWER = "(held_ms, event_id) > (?, ?)"
_NEWEST_FIRST = " ORDER BY held_ms DESC, event_id DESC LIMIT ?"
_OLDEST_FIRST = " ORDER BY held_ms, event_id LIMIT ?"

_WRITER_PATIENCE_SECONDS = 5.0
_LOOP_PATIENCE_SECONDS = 0.25


class _Put(NamedTuple):
    """What one caller wants to be kept."""

    rows: Rows


class _Job(NamedTuple):
    """Anything else that is one transaction; its answer is what it gives, or the exception that it raises."""

    work: Callable[[apsw.Connection], Any]


class SqliteQuarantine:
    """Where events wait for a person, in a file: `gateway.quarantine.contract.QuarantineStore` is the contract."""

    def __init__(
        self,
        path: Path,
        reader: SqliteReader,
        writer: SqliteWriter | None,
        patience_seconds: float,
        max_entries: int | None,
    ) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._max_entries = max_entries
        self._reader = reader
        self._writer = writer
        self._commits: GroupCommit[_Put | _Job, Any] | None = (
            None
            if writer is None
            else GroupCommit(self._commit, thread_name="quarantine", batch_items=_BATCH_PUTS)
        )

    @property
    def trouble(self) -> QuarantineUnavailable | None:
        """Why nothing more would be kept now, and what would mend it. Raises `QuarantineUnavailable`."""
        if self._max_entries is None or self._reader.value(_ALL) < self._max_entries:
            return None
        return self._full()

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries, durably on return. An event id that is kept already is left as it is, unless that entry is leaving.

        Raises `QuarantineUnavailable`, also when there are as many as may be; then nothing is promised of the entries, and putting them
        again is safe. Raises `ValueError` for an entry whose text is not Unicode (it has lone surrogates), and keeps none.
        """
        if entries:
            await self._submit(_Put([row_of(entry) for entry in entries]), "put")

    def list(self, *, limit: int, which: Which = ALL, after: str | None = None) -> Entries:
        """Give at most `limit` of these entries, the newest (by `held_ms`) first.

        `after` is the event id of the last entry of the page before; an id that is not kept gives an empty page. Raises
        `QuarantineUnavailable`.
        """
        found = conditions(which) | ({_OLDER: after} if after is not None else {})
        rows = self._reader.rows(_LIST + where(found) + _NEWEST_FIRST, (*found.values(), limit))
        return [entry_of(row) for row in rows]

    def page(self, *, limit: int, which: Which = ALL, after: Place | None = None) -> Entries:
        """Give at most `limit` of these entries, the oldest first, behind (held_ms, event_id). Raises `QuarantineUnavailable`."""
        found = conditions(which)
        values = (*found.values(), *(after or ()), limit)
        rows = self._reader.rows(
            _LIST + where(found | ({_NEWER: after} if after else {})) + _OLDEST_FIRST, values
        )
        return [entry_of(row) for row in rows]

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
        self._refuse_to_read_only("erase")
        whom = Whom(portal_id, tuple(uids), tuple(cids), Naming(cids, texts))
        return await asyncio.to_thread(erase, self._path, whom, self._patience_seconds)

    async def discard(self, event_ids: Sequence[str]) -> int:
        """Take these entries away, durably on return, and give how many there were. Raises `QuarantineUnavailable`."""
        return int(await self._submit(_Job(delete(event_ids)), "discard"))

    async def overwrite(self) -> None:
        """Overwrite the bytes of everything that has gone. Raises `QuarantineUnavailable`."""
        self._refuse_to_read_only("overwrite")
        await asyncio.to_thread(overwrite, self._path, self._patience_seconds)

    def count(self, which: Which = ALL) -> dict[str, int]:
        """Give how many of these entries there are of each reason that has any. Raises `QuarantineUnavailable`."""
        found = conditions(which)
        if not found:
            return dict(self._reader.rows(_COUNT))
        return dict(self._reader.rows(_COUNT_SOME.format(where(found)), tuple(found.values())))

    async def open_run(self, way: Way, now_ms: int) -> int:
        """Begin to order releases in one way, and give the run's number. Raises `QuarantineUnavailable`."""
        return int(await self._submit(_Job(orders.open_run(way, now_ms)), "release"))

    async def order(self, run: int, event_ids: Sequence[str]) -> int:
        """Order the release of these entries, durably on return; give how many are ordered now that were not."""
        return int(await self._submit(_Job(orders.order(run, event_ids)), "release"))

    def orders(self, limit: int) -> Orders:
        """Give at most `limit` orders that wait, in the order of ordering. Raises `QuarantineUnavailable`."""
        if self._reader.value(orders.HAS_ORDERS) is None:
            return []
        return [
            Order(run, Way(way), entry_of(tuple(row)))
            for run, way, *row in self._reader.rows(orders.ORDERS, (limit,))
        ]

    async def leave(self, event_ids: Sequence[str]) -> set[str]:
        """Mark those of these entries that are still here and still ordered as leaving, durably on return, and give them."""
        left: set[str] = await self._submit(_Job(orders.leave(event_ids)), "release")
        return left

    async def settle(self, answers: Sequence[Answer], now_ms: int) -> None:
        """Take away what has left, with its order, and keep the answers of what stays: one transaction, durable on return."""
        await self._submit(_Job(orders.settle(answers, now_ms)), "release")

    def progress(self, run: int) -> Progress:
        """Give how far a run is. Raises `QuarantineUnavailable`."""
        with self._reader.still():
            counts: dict[str, int] = dict(self._reader.rows(orders.COUNTS, (run,)))
            ordered = self._reader.value(orders.ORDERED, (run,)) or 0
            waiting = self._reader.value(orders.WAITING, (run,))
        released = counts.pop("", 0)
        return Progress(ordered, waiting, released, counts)

    def refusal(self, event_id: str) -> Refusal | None:
        """Give why an entry was not let out the last time, `None` when nobody wanted it to. Raises `QuarantineUnavailable`."""
        for row in self._reader.rows(orders.REFUSAL, (event_id,)):
            return Refusal(*row)
        return None

    def is_ordered(self, event_id: str) -> bool:
        """Tell whether the release of an entry is ordered. Raises `QuarantineUnavailable`."""
        return self._reader.value(orders.IS_ORDERED, (event_id,)) is not None

    async def close(self) -> None:
        """Finish what is under way and close the file; closing again does nothing. Raises `QuarantineUnavailable`."""
        self._reader.close()
        if self._commits is not None and self._writer is not None:
            await self._commits.close(self._writer.close)

    async def _submit(self, item: _Put | _Job, what: str) -> Any:
        self._refuse_to_read_only(what)
        assert self._commits is not None
        try:
            (answer,) = await self._commits.submit([item])
        except GroupCommitClosed:
            raise closed(self._path, QUARANTINE_FILE) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _refuse_to_read_only(self, what: str) -> None:
        if self._commits is None:
            raise QuarantineUnavailable(
                str(self._path), "it was opened for reading only", f"open it without read_only to {what}"
            )

    def _commit(self, items: Sequence[_Put | _Job]) -> Sequence[Any]:
        """Do what a batch asks for, in the writer's thread: all that is to be kept in one transaction, then each job in its own."""
        assert self._writer is not None
        writer = self._writer
        puts = [each.rows for each in items if isinstance(each, _Put)]
        kept = iter(writer.run(lambda connection: self._keep(connection, puts)) if puts else ())
        return [next(kept) if isinstance(each, _Put) else _done(writer, each) for each in items]

    def _keep(
        self, connection: apsw.Connection, puts: Sequence[Rows]
    ) -> Sequence[QuarantineUnavailable | None]:
        with transaction(connection):
            rows = list(itertools.chain.from_iterable(puts))
            if self._max_entries is None or connection.execute(_ALL).get + len(rows) <= self._max_entries:
                _insert(connection, rows)
                return [None] * len(puts)
            return [self._keep_one(connection, each) for each in puts]

    def _keep_one(self, connection: apsw.Connection, rows: Rows) -> QuarantineUnavailable | None:
        """Keep what one caller brought, all of it or nothing, where it is not too much."""
        event_ids = dict.fromkeys(row[0] for row in rows)
        new = len(event_ids) - connection.execute(_KNOWN, (orjson.dumps(list(event_ids)).decode(),)).get
        if new and connection.execute(_ALL).get + new > (self._max_entries or 0):
            return self._full()
        _insert(connection, rows)
        return None

    def _full(self) -> QuarantineUnavailable:
        return QuarantineUnavailable(
            str(self._path),
            f"it is full: {self._max_entries:,} events are held",
            "look with `tracking-gateway quarantine list`, release or discard some, or raise quarantine.max_entries",
        )


def open_quarantine(
    path: Path,
    *,
    read_only: bool = False,
    patience_seconds: float = _WRITER_PATIENCE_SECONDS,
    max_entries: int | None = None,
    on_upgrade: OnUpgrade | None = None,
) -> SqliteQuarantine:
    """Open the quarantine in this file, made where there is none, and give it; its directory must exist.

    `read_only` is for another process than the server's, while that runs or not: nothing is made or written.
    `patience_seconds` bounds how long a write waits for other processes. `max_entries` bounds how many entries there may be for a `put` to be
    taken. `on_upgrade` allows to bring a file of an older version up to date; without it such a file is refused. Raises `QuarantineUnavailable`.
    """
    if read_only:
        reader = SqliteReader(path, QUARANTINE_FILE, patience_seconds=patience_seconds)
        return SqliteQuarantine(path, reader, None, patience_seconds, max_entries)
    writer = SqliteWriter(path, QUARANTINE_FILE, patience_seconds=patience_seconds, on_upgrade=on_upgrade)
    try:
        loop_patience = min(_LOOP_PATIENCE_SECONDS, patience_seconds)
        reader = SqliteReader(path, QUARANTINE_FILE, patience_seconds=loop_patience)
    except BaseException:
        writer.close()
        raise
    return SqliteQuarantine(path, reader, writer, patience_seconds, max_entries)


def _done(writer: SqliteWriter, job: _Job) -> Any:
    try:
        return writer.run(job.work)
    except Exception as error:  # noqa: BLE001 -- it is the job's answer, and goes to its caller alone
        return error


def _insert(connection: apsw.Connection, rows: Sequence[Row]) -> None:
    """Insert rows in as few statements as can be: `gateway.ledger.binder` says why."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = rows[start : start + _ROWS_AT_ONCE]
        statement = _PUT.format(places=", ".join([_PLACES] * len(chunk)))
        connection.execute(statement, tuple(itertools.chain.from_iterable(chunk)))
