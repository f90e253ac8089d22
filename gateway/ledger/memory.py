"""A ledger in memory, for one process and one run: QA and tests, never production.

It keeps the promises of `gateway.ledger.contract` but those that need a disk: it passes the same conformance suite as the
ledgers that do, and forgets everything when it goes.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.events.model import UNBOUND, AuditNote, Binding
from gateway.ledger.chain import FIRST_CHAIN, KIND_CODES, SALT_BYTES, digest, link
from gateway.ledger.contract import AddressKey, AuditEntry, BoundUid, Erasure, LedgerStats, LedgerUnavailable
from gateway.ledger.repeats import Repeats
from gateway.ledger.rules import ERASED, judge, owns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from gateway.events.model import Claim

_Key = tuple[str, str]


class MemoryLedger:
    """Who is who, for as long as the process runs."""

    def __init__(self) -> None:
        self._bound: dict[_Key, BoundUid] = {}
        self._first_cids: dict[_Key, str] = {}
        self._log: list[AuditEntry] = []
        self._repeats = Repeats()
        self._is_closed = False

    def lookup(self, portal_id: str, uid: str) -> Binding:
        """Give what holds for a UID: bound, unbound or erased."""
        self._refuse_when_closed()
        row = self._bound.get((portal_id, uid))
        if row is None:
            return UNBOUND
        return Binding(row.cid) if row.erased_ms is None else ERASED

    def known(self, claim: Claim) -> Binding | None:
        """Give what `bind` would answer, when that needs no writing; else `None`."""
        answer = judge(claim, self.lookup(claim.portal_id, claim.uid), self._first_cid(claim.portal_id))
        return None if answer.is_new or self._new_keys(claim, answer) else answer

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order."""
        self._refuse_when_closed()
        answers: list[Binding] = []
        for claim in claims:
            held = self.lookup(claim.portal_id, claim.uid)
            answer = judge(claim, held, self._first_cid(claim.portal_id))
            if answer.is_new and answer.cid is not None:
                row = BoundUid(claim.portal_id, claim.uid, answer.cid, now_ms)
                self._bound[claim.portal_id, claim.uid] = row
                self._append("bind", row, now_ms, event_id=claim.event_id)
            for key in self._new_keys(claim, answer):
                self._first_cids[claim.portal_id, key] = answer.cid or ""
            answers.append(answer)
        return answers

    async def record(self, notes: Sequence[AuditNote], now_ms: int) -> None:
        """Append to the audit log what happened besides binding, but for what was said lately."""
        self._refuse_when_closed()
        fresh = self._repeats.fresh(notes)
        for note in fresh:
            self._write(note, now_ms)
        self._repeats.wrote(fresh)

    async def import_rows(
        self, rows: Sequence[BoundUid], now_ms: int, *, buries: bool = True
    ) -> list[Binding]:
        """Bind rows of another ledger with their own times; give what holds now, in order, `is_new` for those taken."""
        self._refuse_when_closed()
        answers = [self._import(row, now_ms, buries=buries) for row in rows]
        buried = {
            (row.portal_id, answer.cid): row.reason
            for row, answer in zip(rows, answers, strict=True)
            if answer.is_erased and answer.cid is not None
        }
        for (portal_id, cid), reason in buried.items():
            if not self.uids_of(cid, portal_id):
                self._forget_customer(portal_id, cid, reason, now_ms)
        return answers

    async def erase(
        self, portal_id: str | None, *, cid: str = "", uid: str = "", reason: str, now_ms: int
    ) -> Erasure:
        """Forget a customer or one UID, in one portal or all. Raises `ValueError` unless just one of both is given."""
        self._refuse_when_closed()
        if bool(cid) == bool(uid):
            raise ValueError("name the customer by cid or the visitor by uid, one of both")

        def is_meant(portal: str) -> bool:
            return portal_id is None or portal == portal_id

        if cid:
            whom = [(row.portal_id, row.uid) for row in self.uids_of(cid, portal_id)]
        else:
            whom = [(row.portal_id, row.uid) for row in self.find(uid, portal_id)]
            if portal_id is not None:
                whom = [(portal_id, uid)]
        new = [key for key in whom if not self.lookup(*key).is_erased]
        for portal, each in new:
            self._bound[portal, each] = BoundUid(portal, each, "", now_ms, now_ms, reason)
        keys = [key for key, first in self._first_cids.items() if cid and first == cid and is_meant(key[0])]
        for key in keys:
            del self._first_cids[key]
        emptied = self._empty(
            lambda entry: (
                (entry.portal_id, entry.uid) in whom
                or bool(cid and is_meant(entry.portal_id) and cid in {entry.cid, entry.other})
            )
        )
        for portal, each in dict.fromkeys([*new, *emptied]):
            other = "" if (portal, each) in new else "entries"
            note = AuditNote(kind="erase", portal_id=portal, uid=each, other=other, note=reason)
            self._write(note, now_ms)
        self._repeats.clear()
        return Erasure(new, len(keys))

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all."""
        return [row for row in self._rows(portal_id) if row.cid == cid and row.erased_ms is None]

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings and tombstones of a UID, in one portal or all."""
        return [row for row in self._rows(portal_id) if row.uid == uid]

    def known_keys(self, *, cid: str = "", key: str = "", portal_id: str | None = None) -> list[AddressKey]:
        """Give the address keys of a CID, or what is known of one key. Raises `ValueError` unless just one is given."""
        self._refuse_when_closed()
        if bool(cid) == bool(key):
            raise ValueError("name the customer by cid or the address by key, one of both")
        return [
            AddressKey(portal, each, first)
            for (portal, each), first in sorted(self._first_cids.items())
            if (first == cid if cid else each == key) and portal_id in {None, portal}
        ]

    def export(
        self, portal_id: str | None = None, *, after: tuple[str, str] | None = None
    ) -> Iterator[BoundUid]:
        """Give every binding and tombstone by portal and UID, from behind `after`."""
        self._refuse_when_closed()
        for key in sorted(self._bound):
            if (portal_id is None or key[0] == portal_id) and (after is None or key > after):
                yield self._bound[key]

    def audit(self, after_seq: int = 0) -> Iterator[AuditEntry]:
        """Give the entries of the audit log behind `after_seq`, in order."""
        self._refuse_when_closed()
        yield from self._log[after_seq:]

    def stats(self) -> LedgerStats:
        """Give how much there is; there is no file and no cache."""
        self._refuse_when_closed()
        portals: dict[str, int] = {}
        for row in self._bound.values():
            if row.erased_ms is None:
                portals[row.portal_id] = portals.get(row.portal_id, 0) + 1
        rows = sum(portals.values())
        return LedgerStats(
            rows=rows,
            erased=len(self._bound) - rows,
            aliases=len(self._first_cids),
            audit_entries=len(self._log),
            audit_head=self._log[-1].chain if self._log else "",
            portals=portals,
            file_bytes=0,
            cache_entries=0,
            cache_hits=0,
            cache_misses=0,
        )

    def refresh(self) -> None:
        """Do nothing: no other process can write here."""
        self._refuse_when_closed()

    def still(self) -> AbstractContextManager[None]:
        """Do nothing: no other process can write here."""
        return contextlib.nullcontext()

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _import(self, row: BoundUid, now_ms: int, *, buries: bool) -> Binding:
        held = self.lookup(row.portal_id, row.uid)
        if held.is_erased or (held.cid is not None and (row.erased_ms is None or not buries)):
            return held
        if row.erased_ms is None:
            self._bound[row.portal_id, row.uid] = BoundUid(row.portal_id, row.uid, row.cid, row.bound_ms)
            self._append("import", row, now_ms)
            return Binding(row.cid, is_new=True)
        key = (row.portal_id, row.uid)
        self._bound[key] = BoundUid(*key, "", row.erased_ms, row.erased_ms, row.reason)
        if held.cid is not None:
            self._empty(lambda entry: (entry.portal_id, entry.uid) == key)
        self._write(
            AuditNote(kind="import", portal_id=key[0], uid=key[1], other="erased", note=row.reason), now_ms
        )
        self._repeats.clear()
        return Binding(held.cid, is_new=True, is_erased=True)

    def _forget_customer(self, portal_id: str, cid: str, reason: str, now_ms: int) -> None:
        """Take away what is still known of a customer whose last UID in the portal has gone."""
        for key in [key for key, first in self._first_cids.items() if key[0] == portal_id and first == cid]:
            del self._first_cids[key]
        emptied = self._empty(lambda entry: entry.portal_id == portal_id and cid in {entry.cid, entry.other})
        for portal, uid in dict.fromkeys(emptied):
            self._write(
                AuditNote(kind="erase", portal_id=portal, uid=uid, other="entries", note=reason), now_ms
            )

    def _first_cid(self, portal_id: str) -> Callable[[str], str | None]:
        return lambda key: self._first_cids.get((portal_id, key))

    def _new_keys(self, claim: Claim, answer: Binding) -> list[str]:
        if not owns(claim, answer):
            return []
        return [key for key in claim.keys if (claim.portal_id, key) not in self._first_cids]

    def _append(
        self, kind: Literal["bind", "import"], row: BoundUid, now_ms: int, event_id: str = ""
    ) -> None:
        note = AuditNote(kind=kind, portal_id=row.portal_id, uid=row.uid, cid=row.cid, event_id=event_id)
        self._write(note, now_ms)

    def _write(self, note: AuditNote, now_ms: int) -> None:
        salt = secrets.token_bytes(SALT_BYTES)
        seq = len(self._log) + 1
        previous = bytes.fromhex(self._log[-1].chain) if self._log else FIRST_CHAIN
        made = digest(salt, note.cid, note.other, note.note)
        kind = KIND_CODES[note.kind]
        chain = link(previous, seq, kind, now_ms, note.portal_id, note.uid, note.event_id, made)
        self._log.append(
            AuditEntry(
                seq=seq,
                at_ms=now_ms,
                kind=note.kind,
                portal_id=note.portal_id,
                uid=note.uid,
                cid=note.cid,
                other=note.other,
                note=note.note,
                event_id=note.event_id,
                is_erased=False,
                digest=made.hex(),
                chain=chain.hex(),
                salt=salt.hex(),
            )
        )

    def _empty(self, is_meant: Callable[[AuditEntry], bool]) -> list[_Key]:
        """Take what names the person out of the entries that are meant, and give whose entries those are."""
        emptied: list[_Key] = []
        for place, entry in enumerate(self._log):
            if not entry.is_erased and not _says_erased(entry) and is_meant(entry):
                self._log[place] = msgspec.structs.replace(
                    entry, cid="", other="", note="", salt="", is_erased=True
                )
                emptied.append((entry.portal_id, entry.uid))
        return emptied

    def _rows(self, portal_id: str | None) -> list[BoundUid]:
        self._refuse_when_closed()
        rows = (row for row in self._bound.values() if portal_id is None or row.portal_id == portal_id)
        return sorted(rows, key=lambda row: row.bound_ms)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise LedgerUnavailable("memory", "it was closed", "open the ledger again")


def _says_erased(entry: AuditEntry) -> bool:
    return entry.kind == "erase" or (entry.kind == "import" and entry.other == "erased")
