"""A ledger in memory, for one process and one run: QA and tests, never production.

It keeps the promises of `gateway.ledger.contract` but those that need a disk: it passes the same conformance suite as the
ledgers that do, and forgets everything when it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.model import Binding
from gateway.ledger.contract import BoundUid, LedgerStats, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import Claim


class MemoryLedger:
    """Who is who, for as long as the process runs."""

    def __init__(self) -> None:
        self._bound: dict[tuple[str, str], BoundUid] = {}
        self._is_closed = False

    def lookup(self, portal_id: str, uid: str) -> str | None:
        """Give the CID of a UID, or `None` when it is unbound."""
        self._refuse_when_closed()
        row = self._bound.get((portal_id, uid))
        return None if row is None else row.cid

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order."""
        self._refuse_when_closed()
        bindings: list[Binding] = []
        for claim in claims:
            key = (claim.portal_id, claim.uid)
            row = self._bound.get(key)
            if row is None and claim.cid is not None:
                self._bound[key] = BoundUid(claim.portal_id, claim.uid, claim.cid, now_ms)
                bindings.append(Binding(claim.cid, is_new=True))
            else:
                bindings.append(Binding(None if row is None else row.cid))
        return bindings

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all."""
        return [row for row in self._rows(portal_id) if row.cid == cid]

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings of a UID, in one portal or all."""
        return [row for row in self._rows(portal_id) if row.uid == uid]

    def stats(self) -> LedgerStats:
        """Give how many bindings there are; there is no file and no cache."""
        self._refuse_when_closed()
        return LedgerStats(rows=len(self._bound), file_bytes=0, cache_entries=0, cache_hits=0, cache_misses=0)

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _rows(self, portal_id: str | None) -> list[BoundUid]:
        self._refuse_when_closed()
        rows = (row for row in self._bound.values() if portal_id is None or row.portal_id == portal_id)
        return sorted(rows, key=lambda row: row.bound_ms)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise LedgerUnavailable("memory", "it was closed", "open the ledger again")
