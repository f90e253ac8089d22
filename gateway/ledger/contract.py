"""What every ledger promises.

A binding `(portal_id, uid) -> cid` is made once and never changes: the first CID wins, across tasks, processes, restarts
and power cuts. A binding is durable before `bind` gives it. Because bindings never change, one that was seen may be cached;
that a UID is *unbound* may be cached only where no other process serves traffic from the same store.

An address key `(portal_id, key) -> cid` remembers alike with which CID an address first came.

The one thing that takes a binding away is an erasure, a person's right: it leaves a tombstone with its time and reason, and a
UID with a tombstone can't be bound again, to anybody. Erasures and imports are made by another process than the one that
serves; that one hears of them through `refresh`.

Everything that happens to an identity is an entry of the audit log, written in the same transaction as what it tells:
append-only, each entry chained to the one before by a hash (`gateway.ledger.chain`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.events.model import AuditKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from gateway.events.model import AuditNote, Binding, Claim


class BoundUid(msgspec.Struct, frozen=True):
    """One row of the ledger, for people: who is bound to whom since when (Unix ms).

    A tombstone has an empty `cid`, the time of the erasure in `erased_ms` and its `reason`; its `bound_ms` is that time too.
    """

    portal_id: str
    uid: str
    cid: str
    bound_ms: int
    erased_ms: int | None = None
    reason: str = ""


class AddressKey(msgspec.Struct, frozen=True):
    """An address, as an opaque `key`, and the CID with which it first came."""

    portal_id: str
    key: str
    cid: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log, in the words of `AuditNote`.

    `seq` counts from 1 without gaps. `is_erased`: what named the person was taken out since, and `digest` is all that is left of it; then
    `cid`, `other`, `note` and `salt` are empty. `digest` covers these four, `chain` this entry and all before it (all lower-case hex);
    as long as the entry is not erased, `digest` is computed from what the store holds now.

    In an `erase` entry `other` is empty where the UID became a tombstone, and `entries` where only entries of the log were emptied
    (those in which its UID was claimed for a forgotten customer, or that came after its erasure). An `import` entry whose `other`
    is `erased` is an imported tombstone.
    """

    seq: int
    at_ms: int
    kind: AuditKind
    portal_id: str
    uid: str
    cid: str
    other: str
    note: str
    event_id: str
    is_erased: bool
    digest: str
    chain: str
    salt: str = ""


class LedgerUnavailable(Exception):
    """The store can't be read or written: says where it is, what the system said, and what would mend it."""

    def __init__(self, where: str, cause: str, hint: str = "") -> None:
        super().__init__(f"the ledger at {where} is not available: {cause}" + (f"; {hint}" if hint else ""))
        self.where = where
        self.cause = cause
        self.hint = hint


class LedgerStats(msgspec.Struct, frozen=True, kw_only=True):
    """How large a ledger is and how its cache does.

    `rows` are living bindings, `portals` the same by portal, `erased` tombstones, `aliases` address keys, `audit_entries` the length
    of the audit log and `audit_head` its last chain hash (hex, empty when there is none). `file_bytes` includes the log beside the
    file.
    """

    rows: int
    erased: int
    aliases: int
    audit_entries: int
    audit_head: str
    portals: dict[str, int]
    file_bytes: int
    cache_entries: int
    cache_hits: int
    cache_misses: int


class Erasure(msgspec.Struct, frozen=True):
    """What an erasure did: the (portal_id, uid) that have a tombstone now and had none, and how many address keys went."""

    uids: list[tuple[str, str]]
    aliases: int


class Ledger(Protocol):
    """Who is who."""

    def lookup(self, portal_id: str, uid: str) -> Binding:
        """Give what holds for a UID: bound, unbound or erased. Raises `LedgerUnavailable`."""

    def known(self, claim: Claim) -> Binding | None:
        """Give what `bind` would answer, when that needs no writing and no waiting; else `None`: ask `bind`.

        Raises `LedgerUnavailable`.
        """

    async def bind(self, claims: Sequence[Claim], now_ms: int) -> list[Binding]:
        """Bind each claimed CID to its UID unless one is bound already, and give what holds now, in order.

        A claim with `cid=None` is a lookup. Of several claims of one UID in a batch the first wins. For an unbound UID: where an
        address key of the claim is known with one of `same`, that CID is bound instead of `cid` (the first such key decides, and one
        that is known with `cid` is such a key too); where it is known with any other CID, that is an alias, told in the answer, and
        with `holds_alias` nothing is bound, unless all such keys are among `proved_keys`. For a bound UID, `known_cid` tells that an address key of
        the claim is known with one of the claim's CIDs that the UID does not have. An erased UID stays unbound, and nothing is said of its addresses.
        Address keys are remembered when the UID has the claimed CID (or one of `same`) afterwards, with the CID that it has.
        Each new binding is one `bind` entry of the audit log, in the same transaction.

        Durable on return. Raises `LedgerUnavailable`; then nothing is promised of the batch, and binding it again is safe.
        """

    async def record(self, notes: Sequence[AuditNote], now_ms: int) -> None:
        """Append to the audit log what happened besides binding. Durable on return. Raises `LedgerUnavailable`.

        A `repair` or `alias` that says the same as one that this process wrote lately is left out.
        """

    async def import_rows(
        self, rows: Sequence[BoundUid], now_ms: int, *, buries: bool = True
    ) -> list[Binding]:
        """Bind rows of another ledger with their own times, in one transaction; give what holds now, in order.

        Never overwrites: a row whose UID is bound to another CID, or erased, is answered with what holds. `is_new` marks the
        rows that were taken; each of these is one `import` entry of the audit log.

        A tombstone takes away a binding of its UID, as `erase` does, and its answer has the CID that the UID had. With the last UID of
        a CID in a portal go its address keys there, and what names it in the entries of other UIDs (an `erase` entry each). Unless it
        `buries`: then a tombstone of a bound UID is not taken. Durable on return. Raises `LedgerUnavailable`.
        """

    async def erase(
        self, portal_id: str | None, *, cid: str = "", uid: str = "", reason: str, now_ms: int
    ) -> Erasure:
        """Forget a customer (`cid`: all UIDs of it and its address keys) or one `uid`, in one portal or all.

        Each UID becomes a tombstone; a `uid` that was never bound gets one too, if its portal is given. What names the
        person goes out of the audit log as well, whose chain stays whole; the erasure is an entry itself, one for each UID. The bytes are overwritten, not
        only unlinked. Durable on return. Raises `LedgerUnavailable`.
        """

    def uids_of(self, cid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give every UID of a CID, oldest first, in one portal or all."""

    def find(self, uid: str, portal_id: str | None = None) -> list[BoundUid]:
        """Give the bindings and tombstones of a UID, in one portal or all."""

    def known_keys(self, *, cid: str = "", key: str = "", portal_id: str | None = None) -> list[AddressKey]:
        """Give the address keys that first came with a CID, or what is known of one key, in one portal or all.

        Raises `ValueError` unless just one of `cid` and `key` is given. Of a CID it looks through all keys there are.
        """

    def export(
        self, portal_id: str | None = None, *, after: tuple[str, str] | None = None
    ) -> Iterator[BoundUid]:
        """Give every binding and tombstone in an order that stays the same, in bounded memory.

        `after` is the (portal_id, uid) of the last row of an earlier export: goes on behind it. Rows that come to be meanwhile may
        or may not be among them.
        """

    def audit(self, after_seq: int = 0) -> Iterator[AuditEntry]:
        """Give the entries of the audit log behind `after_seq`, in order, in bounded memory."""

    def stats(self) -> LedgerStats:
        """Give the size of the ledger and the hits of its cache, in constant time. Raises `LedgerUnavailable`."""

    def refresh(self) -> None:
        """Notice what other processes erased or imported since the last time: to be called every second by who serves."""

    def still(self) -> AbstractContextManager[None]:
        """Read one unchanging state within the block, whatever other processes write meanwhile. Raises `LedgerUnavailable`."""

    async def close(self) -> None:
        """Finish what is under way and close the store."""
