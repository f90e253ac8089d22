"""What every ledger promises.

A binding `(portal_id, uid) -> cid` is made once and never changes: the first CID wins, across tasks, processes, restarts
and power cuts. A binding is durable before `bind` gives it. Because bindings never change, one that was seen may be cached
for ever; that a UID is *unbound* may be cached only where no other process can write, and until this one binds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import Binding, Claim


class BoundUid(msgspec.Struct, frozen=True):
    """One row of the ledger, for people: who was bound to whom, when (Unix ms), and by which event."""

    portal_id: str
    uid: str
    cid: str
    bound_ms: int


class LedgerUnavailable(Exception):
    """The store can't be read or written: says where it is, what the system said, and what would mend it."""

    def __init__(self, where: str, cause: str, hint: str = "") -> None:
        super().__init__(f"the ledger at {where} is not available: {cause}" + (f"; {hint}" if hint else ""))
        self.where = where
        self.cause = cause
        self.hint = hint


class LedgerStats(msgspec.Struct, frozen=True):
    """How large a ledger is and how its cache does: `rows` are bindings, `file_bytes` with the log beside the file."""

    rows: int
    file_bytes: int
    cache_entries: int
    cache_hits: int
    cache_misses: int


class Ledger(Protocol):
    """Who is who."""

    def lookup(self, portal_id: str, uid: str) -> str | None:
        """Give the CID of a UID, or `None` when it is unbound. Raises `LedgerUnavailable`."""

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order.

        A claim with `cid=None` is a lookup. Of several claims of one UID in a batch the first wins. Durable on return.
        Raises `LedgerUnavailable`; then nothing is promised of the batch, and binding it again is safe.
        """

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all."""

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings of a UID, in one portal or all."""

    def stats(self) -> LedgerStats:
        """Give the size of the ledger and the hits of its cache, in constant time. Raises `LedgerUnavailable`."""

    async def close(self) -> None:
        """Finish what is under way and close the store."""
