"""The ledger in a file of SQLite: for one machine, any number of processes, tens of millions of bindings.

How the contract is kept:

- *First wins.* A UID is bound within one write transaction, which SQLite gives to one process at a time, if it is unbound.
  The file refuses a change by itself (`gateway.ledger.schema`).
- *Durable before it is given.* ``synchronous=FULL``: the log is synced before a commit returns, and before another process can
  see it (`gateway.storage.sqlite_file` says what each setting buys).
- *The loop never waits for a write.* Claims that need one collect while a batch is under way and go to a thread together
  (`gateway.storage.group_commit`, `gateway.ledger.binder`).
- *Bound ones are cheap.* The caches answer without I/O; what they don't know is read at once, without any lock.
- *Erasures of others are noticed.* They raise the file's generation; `refresh` drops the caches when it has changed. What the loop
  knew is never written by: the thread is told of which generation it is, and looks itself when that is over.

`lookup`, `known`, `find`, `uids_of`, `export`, `audit` and `stats` read at once, through a connection that belongs to the event loop's
thread and can't write. Everything is called from that thread. After an error of the disk the next call opens the file anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.events.model import UNBOUND, Binding
from gateway.ledger import rows
from gateway.ledger.binder import GENERATION, PORTAL, Ask, Binder, Job, Say
from gateway.ledger.cache import BoundedCache
from gateway.ledger.contract import Erasure, LedgerStats, LedgerUnavailable
from gateway.ledger.importer import import_rows
from gateway.ledger.keys import TOMBSTONE, decode_key, encode_key
from gateway.ledger.repeats import Repeats
from gateway.ledger.rules import ERASED, judge, owns
from gateway.ledger.tombstones import Whom, erase
from gateway.ledger.versions import LEDGER_FILE
from gateway.storage.group_commit import GroupCommit, GroupCommitClosed
from gateway.storage.sqlite_access import SqliteReader, SqliteWriter, closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.events.model import AuditNote, Claim
    from gateway.ledger.binder import Item, Key
    from gateway.ledger.contract import AddressKey, AuditEntry, BoundUid
    from gateway.storage.sqlite_file import Progress

_CID = "SELECT cid FROM binding WHERE portal = ? AND uid = ?"
_FIRST = "SELECT cid FROM alias WHERE portal = ? AND key = ?"

_NOTHING: Mapping[Key, str] = {}

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
        cache_entries: int,
        unbound_entries: int,
    ) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._bound: BoundedCache[Binding] = BoundedCache(cache_entries)
        self._unbound: BoundedCache[Binding] = BoundedCache(unbound_entries)
        self._firsts: BoundedCache[str] = BoundedCache(cache_entries)
        self._probe = self._bound.probe
        self._repeats = Repeats()
        # Shared with the writer's thread: only what is stored for good enters it, and a dict's own methods are atomic.
        self._portals: dict[str, int] = {}
        self._commits: GroupCommit[Item, Any] | None = (
            None
            if writer is None
            else GroupCommit(Binder(writer, self._portals).commit, thread_name="ledger")
        )
        self._generation: int = reader.value(GENERATION)
        self._hits = 0
        self._misses = 0

    def lookup(self, portal_id: str, uid: str) -> Binding:
        """Give what holds for a UID: bound, unbound or erased. Raises `LedgerUnavailable`."""
        key = (portal_id, uid)
        held = self._probe(key) or self._unbound.probe(key)
        if held is not None:
            self._hits += 1
            return held
        self._misses += 1
        portal = self._portal(portal_id)
        if portal is None:
            return UNBOUND
        stored = self._reader.value(_CID, (portal, encode_key(uid)))
        if stored is None:
            self._unbound.keep(key, UNBOUND)
            return UNBOUND
        held = ERASED if stored == TOMBSTONE else Binding(decode_key(stored))
        self._bound.keep(key, held)
        return held

    def known(self, claim: Claim) -> Binding | None:
        """Give what `bind` would answer, when that needs no writing; else `None`. Raises `LedgerUnavailable`."""
        held = self.lookup(claim.portal_id, claim.uid)
        if claim.cid is None or held.is_erased:
            return held
        if held.cid is None and not claim.holds_alias:
            return None
        portal_id = claim.portal_id
        if claim.keys or claim.older_keys:
            if owns(claim, held) and any(self._first(portal_id, key) is None for key in claim.keys):
                return None
            held = judge(claim, held, lambda key: self._first(portal_id, key))
        # Unbound is an answer where an alias holds the claim back.
        return None if held.is_new or (held.cid is None and not held.aliases) else held

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order.

        Raises `LedgerUnavailable`; then nothing is promised of the batch, and binding it again is safe. Raises `ValueError`
        for a portal id that is not Unicode text.
        """
        answers: list[Binding] = []
        for claim in claims:
            # What is not in the cache is not read here: `known` did that, and it was unbound.
            answer = None if self._is_open_question(claim) else self.known(claim)
            if answer is None:
                break
            answers.append(answer)
        else:
            return answers
        generation = self._generation
        answers = await self._submit([self._ask(claim, now_ms) for claim in claims])
        # Else somebody was erased meanwhile, and the answers may be of the time before.
        if generation == self._generation:
            for claim, answer in zip(claims, answers, strict=True):
                self._remember((claim.portal_id, claim.uid), answer)
        return answers

    async def record(self, notes: Sequence[AuditNote], now_ms: int) -> None:
        """Append to the audit log what happened besides binding, but for what this process said lately.

        Durable on return. Raises `LedgerUnavailable`, and `ValueError` for a portal id that is not Unicode text.
        """
        fresh = self._repeats.fresh(notes)
        for note in fresh:
            # Here, where it concerns one caller: in the thread it would fail everybody in the batch.
            note.portal_id.encode()
        if fresh:
            await self._submit([Say(note, now_ms) for note in fresh])
            self._repeats.wrote(fresh)

    async def import_rows(
        self, rows: Sequence[BoundUid], now_ms: int, *, buries: bool = True
    ) -> list[Binding]:
        """Bind rows of another ledger with their own times, in one transaction; give what holds now, in order.

        Never overwrites; `is_new` marks the rows that were taken. Raises `LedgerUnavailable`.
        """
        taken: list[Binding] = await self._do(lambda writer: import_rows(writer, rows, now_ms, buries=buries))
        return taken

    async def erase(
        self, portal_id: str | None, *, cid: str = "", uid: str = "", reason: str, now_ms: int
    ) -> Erasure:
        """Forget a customer or one UID, in one portal or all. Raises `ValueError` unless just one of both is given.

        Durable on return, and the bytes overwritten. Raises `LedgerUnavailable`, also when all that is left to do is to cut the
        log, because another process reads: erasing again does that.
        """
        if bool(cid) == bool(uid):
            raise ValueError("name the customer by cid or the visitor by uid, one of both")
        whom = Whom(portal_id, cid, uid)
        erasure: Erasure = await self._do(lambda writer: erase(writer, whom, reason, now_ms))
        return erasure

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all. Raises `LedgerUnavailable`."""
        return rows.uids_of(self._reader, cid, portal_id)

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings and tombstones of a UID, oldest first, in one portal or all. Raises `LedgerUnavailable`."""
        return rows.find(self._reader, uid, portal_id)

    def known_keys(self, *, cid: str = "", key: str = "", portal_id: str | None = None) -> list[AddressKey]:
        """Give the address keys of a CID, or what is known of one key. Raises `LedgerUnavailable`, and `ValueError` without just one."""
        return rows.known_keys(self._reader, cid, key, portal_id)

    def export(
        self, portal_id: str | None = None, *, after: tuple[str, str] | None = None
    ) -> Iterator[BoundUid]:
        """Give every binding and tombstone by portal and UID, from behind `after`. Raises `LedgerUnavailable`.

        Raises `ValueError` for an `after` whose portal is not known here.
        """
        return rows.export(self._reader, portal_id, after)

    def audit(self, after_seq: int = 0) -> Iterator[AuditEntry]:
        """Give the entries of the audit log behind `after_seq`, in order. Raises `LedgerUnavailable`."""
        return rows.audit(self._reader, after_seq)

    def stats(self) -> LedgerStats:
        """Give the size of the ledger and the hits of its cache, in constant time. Raises `LedgerUnavailable`."""
        counted = rows.count(self._reader)
        return LedgerStats(
            rows=sum(counted.portals.values()),
            erased=counted.erased,
            aliases=counted.aliases,
            audit_entries=counted.audit_entries,
            audit_head=counted.audit_head,
            portals=counted.portals,
            file_bytes=self._reader.bytes_on_disk(),
            cache_entries=len(self._bound),
            cache_hits=self._hits,
            cache_misses=self._misses,
        )

    def refresh(self) -> None:
        """Notice what other processes erased or imported since the last time. Raises `LedgerUnavailable`."""
        generation: int = self._reader.value(GENERATION)
        if generation != self._generation:
            for cache in (self._bound, self._unbound, self._firsts):
                cache.clear()
            self._repeats.clear()
            self._generation = generation

    def still(self) -> AbstractContextManager[None]:
        """Read one unchanging state within the block, whatever others write meanwhile; the file's log grows with that."""
        return self._reader.still()

    async def close(self) -> None:
        """Finish what is under way and close the file; closing again does nothing. Raises `LedgerUnavailable`."""
        self._reader.close()
        if self._commits is not None and self._writer is not None:
            await self._commits.close(self._writer.close)

    def _portal(self, portal_id: str) -> int | None:
        portal = self._portals.get(portal_id)
        if portal is None:
            portal = self._reader.value(PORTAL, (portal_id,))
            if portal is not None:
                self._portals[portal_id] = portal
        return portal

    def _first(self, portal_id: str, address: str) -> str | None:
        """Give the CID with which an address key first came."""
        key = (portal_id, address)
        first = self._firsts.probe(key)
        if first is None:
            portal = self._portal(portal_id)
            if portal is None:
                return None
            stored = self._reader.value(_FIRST, (portal, encode_key(address)))
            if stored is None:
                return None
            first = decode_key(stored)
            self._firsts.keep(key, first)
        return first

    def _is_open_question(self, claim: Claim) -> bool:
        """Tell whether only the writer can answer a claim: who only reads asks the file instead."""
        is_cached = self._probe((claim.portal_id, claim.uid)) is not None
        return claim.cid is not None and not is_cached and self._commits is not None

    def _ask(self, claim: Claim, now_ms: int) -> Ask:
        # Raises here, where it concerns one caller, for a portal id that can't be stored.
        portal_id = claim.portal_id
        self._portal(portal_id)
        if claim.cid is None:
            return Ask(claim, now_ms, self.lookup(portal_id, claim.uid), _NOTHING, self._generation)
        held = self._probe((portal_id, claim.uid), UNBOUND)
        if not claim.keys and not claim.older_keys:
            return Ask(claim, now_ms, held, _NOTHING, self._generation)
        firsts: dict[Key, str] = {}
        for key in (*claim.keys, *claim.older_keys):
            first = self._first(portal_id, key)
            if first is not None:
                firsts[portal_id, key] = first
        return Ask(claim, now_ms, held, firsts, self._generation)

    def _remember(self, key: Key, answer: Binding) -> None:
        if answer.is_erased:
            # What was bound before the erasure may still stand there.
            self._bound.forget(key)
            self._bound.keep(key, ERASED)
        elif answer.cid is not None:
            # From here on nobody hears "unbound" again: the writer's thread has stored it, this thread forgets it.
            self._unbound.forget(key)
            self._bound.keep(key, Binding(answer.cid))

    async def _do(self, work: Callable[[SqliteWriter], Any]) -> Any:
        """Run something rare in the writer's thread, and notice at once what it changed."""
        try:
            (answer,) = await self._submit([Job(work)])
        finally:
            self.refresh()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _submit(self, items: Sequence[Item]) -> Any:
        if self._commits is None:
            raise LedgerUnavailable(
                str(self._path), "it was opened for reading only", "open it without read_only to write"
            )
        try:
            return await self._commits.submit(items)
        except GroupCommitClosed:
            raise closed(self._path, LEDGER_FILE) from None


def open_sqlite_ledger(
    path: Path,
    *,
    cache_entries: int = 100_000,
    read_only: bool = False,
    is_only_writer: bool = False,
    patience_seconds: float = _WRITER_PATIENCE_SECONDS,
    on_upgrade: Progress | None = None,
) -> SqliteLedger:
    """Open the ledger in this file, made where there is none, and give it; its directory must exist.

    `read_only` is for another process than the server's, while that runs or not: nothing is made or written, and
    `bind` answers for bound UIDs alone. `cache_entries` bounds the bindings kept in memory, and the address keys, about 330
    bytes each. `patience_seconds` bounds how long a batch waits for the other processes that write. `is_only_writer` is the
    caller's word that no other process binds in this file while it is open (erasures and imports may come: see `refresh`): then as many
    unbound UIDs are remembered too, and the page views of an anonymous visitor cost no I/O. `on_upgrade` allows to bring a file of an
    older version up to date, which takes minutes for ten million bindings, and hears how many rows of how many are written;
    without it such a file is refused. Raises `LedgerUnavailable`.
    """
    unbound_entries = cache_entries if is_only_writer else 0
    if read_only:
        reader = SqliteReader(path, LEDGER_FILE, patience_seconds=patience_seconds)
        return SqliteLedger(path, reader, None, cache_entries, unbound_entries)
    writer = SqliteWriter(
        path, LEDGER_FILE, patience_seconds=patience_seconds, has_checkpointer=True, on_upgrade=on_upgrade
    )
    try:
        reader = SqliteReader(
            path, LEDGER_FILE, patience_seconds=min(_LOOP_PATIENCE_SECONDS, patience_seconds)
        )
        return SqliteLedger(path, reader, writer, cache_entries, unbound_entries)
    except BaseException:
        writer.close()
        raise
