"""The ledger in a file of SQLite: for one machine, any number of processes, tens of millions of bindings.

How the contract is kept:

- *First wins.* A UID is bound within one write transaction, which SQLite gives to one process at a time, if it is unbound.
  The file refuses a change by itself (`gateway.ledger.schema`).
- *Durable before it is given.* ``synchronous=FULL``: the log is synced before a commit returns, and before another process can
  see it (`gateway.storage.sqlite_file` says what each setting buys).
- *The loop never waits for a write.* Claims of unbound UIDs collect while a batch is under way and go to a thread together
  (`gateway.storage.group_commit`, `gateway.ledger.binder`).
- *Bound ones are cheap.* The cache answers without I/O; what it doesn't know is read at once, without any lock. Only UIDs
  that are really unbound make processes take turns.

`lookup`, `find`, `uids_of` and `stats` read at once, through a connection that belongs to the event loop's thread and can't
write. Everything is called from that thread. After an error of the disk the next call opens the file anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.model import UNBOUND, Binding
from gateway.ledger.binder import PORTAL, Ask, Binder
from gateway.ledger.cache import BindingCache
from gateway.ledger.contract import BoundUid, LedgerStats, LedgerUnavailable
from gateway.ledger.keys import decode_key, encode_key
from gateway.ledger.schema import LEDGER_FILE
from gateway.storage.group_commit import GroupCommit, GroupCommitClosed
from gateway.storage.sqlite_access import SqliteReader, SqliteWriter, closed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.events.model import AuditNote, Claim

_CID = "SELECT cid FROM binding WHERE portal = ? AND uid = ?"
_ROWS = """
SELECT portal.portal_id, binding.uid, binding.cid, binding.bound_ms
FROM portal CROSS JOIN binding ON binding.portal = portal.id AND binding.{column} = ?1
WHERE ?2 IS NULL OR portal.portal_id = ?2
ORDER BY binding.bound_ms, binding.uid
"""
_COUNT = "SELECT coalesce(sum(bindings), 0) FROM tally"

_WRITER_PATIENCE_SECONDS = 5.0
# The loop stands still for as long: a reader waits only while another process repairs the log of one that was killed.
_LOOP_PATIENCE_SECONDS = 0.25


class SqliteLedger:
    """Who is who, in a file: the contract is that of `gateway.ledger.contract.Ledger`."""

    def __init__(
        self,
        path: Path,
        reader: SqliteReader,
        writer: SqliteWriter | None,
        cache: BindingCache,
        unbound: BindingCache,
    ) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._cache = cache
        self._probe = cache.probe
        self._unbound = unbound
        self._probe_unbound = unbound.probe
        # Shared with the writer's thread: only what is stored for good enters it, and a dict's own methods are atomic.
        self._portals: dict[str, int] = {}
        self._commits: GroupCommit[Ask, Binding] | None = (
            None
            if writer is None
            else GroupCommit(Binder(writer, self._portals).commit, thread_name="ledger")
        )
        self._hits = 0
        self._misses = 0

    def lookup(self, portal_id: str, uid: str) -> Binding:
        """Give what holds for a UID. Raises `LedgerUnavailable`."""
        cid = self._cid(portal_id, uid)
        return UNBOUND if cid is None else Binding(cid)

    def known(self, claim: Claim) -> Binding | None:
        """Give what `bind` would answer, when that needs no writing. Raises `LedgerUnavailable`."""
        binding = self.lookup(claim.portal_id, claim.uid)
        return None if binding.cid is None and claim.cid is not None else binding

    async def record(self, notes: Sequence[AuditNote], now_ms: int) -> None:
        """Append to the audit log what happened besides binding."""

    def refresh(self) -> None:
        """Notice what other processes erased or imported since the last time."""

    def _cid(self, portal_id: str, uid: str) -> str | None:
        key = (portal_id, uid)
        cid = self._probe(key)
        if cid is not None:
            self._hits += 1
            return cid
        if self._probe_unbound(key) is not None:
            self._hits += 1
            return None
        self._misses += 1
        portal = self._portals.get(portal_id)
        if portal is None:
            portal = self._reader.value(PORTAL, (portal_id,))
            if portal is None:
                return None
            self._portals[portal_id] = portal
        stored = self._reader.value(_CID, (portal, encode_key(uid)))
        if stored is None:
            self._unbound.keep(portal_id, uid, "")
            return None
        cid = decode_key(stored)
        self._cache.keep(portal_id, uid, cid)
        return cid

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order.

        Raises `LedgerUnavailable`; then nothing is promised of the batch, and binding it again is safe. Raises `ValueError`
        for a portal id that is not Unicode text.
        """
        bindings = [self.lookup(claim.portal_id, claim.uid) for claim in claims]
        unbound = [place for place, binding in enumerate(bindings) if binding.cid is None]
        if all(claims[place].cid is None for place in unbound):
            return bindings
        asks = [
            Ask((claims[place].portal_id, claims[place].uid), claims[place].cid, now_ms) for place in unbound
        ]
        for place, ask, binding in zip(unbound, asks, await self._submit(asks), strict=True):
            bindings[place] = binding
            if binding.cid is not None:
                # From here on nobody hears "unbound" again: the writer's thread has stored it, this thread forgets it.
                self._unbound.forget(ask.key)
                self._cache.keep(*ask.key, binding.cid)
        return bindings

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all. Raises `LedgerUnavailable`."""
        return self._rows("cid", cid, portal_id)

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings of a UID, oldest first, in one portal or all. Raises `LedgerUnavailable`."""
        return self._rows("uid", uid, portal_id)

    def stats(self) -> LedgerStats:
        """Give the size of the ledger and the hits of its cache, in constant time. Raises `LedgerUnavailable`."""
        log = self._path.with_name(self._path.name + "-wal")
        return LedgerStats(
            rows=self._reader.value(_COUNT),
            erased=0,
            aliases=0,
            audit_entries=0,
            audit_head="",
            portals={},
            file_bytes=_bytes_of(self._path) + _bytes_of(log),
            cache_entries=len(self._cache),
            cache_hits=self._hits,
            cache_misses=self._misses,
        )

    async def close(self) -> None:
        """Finish what is under way and close the file; closing again does nothing. Raises `LedgerUnavailable`."""
        self._reader.close()
        if self._commits is not None and self._writer is not None:
            await self._commits.close(self._writer.close)

    async def _submit(self, asks: Sequence[Ask]) -> Sequence[Binding]:
        if self._commits is None:
            raise LedgerUnavailable(
                str(self._path), "it was opened for reading only", "open it without read_only to bind"
            )
        try:
            return await self._commits.submit(asks)
        except GroupCommitClosed:
            raise closed(self._path, LEDGER_FILE) from None

    def _rows(self, column: str, text: str, portal_id: str | None) -> list[BoundUid]:
        rows = self._reader.rows(_ROWS.format(column=column), (encode_key(text), portal_id))
        return [
            BoundUid(portal, decode_key(uid), decode_key(cid), bound_ms)
            for portal, uid, cid, bound_ms in rows
        ]


def open_sqlite_ledger(
    path: Path,
    *,
    cache_entries: int = 100_000,
    read_only: bool = False,
    is_only_writer: bool = False,
    patience_seconds: float = _WRITER_PATIENCE_SECONDS,
) -> SqliteLedger:
    """Open the ledger in this file, made where there is none, and give it; its directory must exist.

    `read_only` is for another process than the server's, while that runs or not: nothing is made or written, and
    `bind` answers for bound UIDs alone. `cache_entries` bounds the bindings kept in memory, about 270 bytes each.
    `patience_seconds` bounds how long a batch waits for the other processes that write. `is_only_writer` is the caller's word
    that no other process writes this file while it is open: then as many unbound UIDs are remembered too, and the page views of
    an anonymous visitor cost no I/O. Raises `LedgerUnavailable`.
    """
    cache, unbound = BindingCache(cache_entries), BindingCache(cache_entries if is_only_writer else 0)
    if read_only:
        return SqliteLedger(
            path, SqliteReader(path, LEDGER_FILE, patience_seconds=patience_seconds), None, cache, unbound
        )
    writer = SqliteWriter(path, LEDGER_FILE, patience_seconds=patience_seconds)
    try:
        reader = SqliteReader(
            path, LEDGER_FILE, patience_seconds=min(_LOOP_PATIENCE_SECONDS, patience_seconds)
        )
    except BaseException:
        writer.close()
        raise
    return SqliteLedger(path, reader, writer, cache, unbound)


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
