"""Checking a whole ledger: whether the audit log is unbroken, and tells exactly what the ledger holds.

Two things are held against each other. The chain of hashes shows that no entry was changed, left out, put in or moved since
somebody last wrote down its head; the entries show which bindings and tombstones there must be. Both are read once, in order and in
bounded memory: every fact (this UID is bound to this CID, this UID is erased) is hashed with a key made for this one run, and added up
in one of 65,536 drawers, once for the entries and once for the rows. Where the sums of a drawer differ, its facts are looked at one
by one. Nobody can prepare a change that leaves the sums alike, because nobody knows the key before. What is kept besides are the
emptied entries whose erasure has not come yet.

It works on any ledger, through its contract alone.
"""

from __future__ import annotations

import secrets
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from gateway.ledger.chain import FIRST_CHAIN, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ledger.contract import AuditEntry, BoundUid, Ledger

_DRAWERS = 1 << 16
_MOST_PROBLEMS = 20
_MOST_DRAWERS_OPENED = 64
_PROGRESS_EVERY = 10_000

# A broken chain goes before what may follow from it, and that before what is about no entry.
_BROKEN, _ODD, _NO_ENTRY = range(3)

_Fact = tuple[str, str, str]
"""Portal, UID, and either `_STONE` or `=` with the CID."""
_STONE = "erased"


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it should be: at entry `seq` of the audit log, or 0 where it is about no entry."""

    seq: int
    what: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: how much was looked at, the head of the chain to write down, and the problems.

    At most 20 problems are named: first where the chain is broken, then what entries say that does not hold, then what no entry
    tells; each by entry. `head` is (seq, chain hash in hex) of the last entry.
    """

    entries: int
    rows: int
    erased: int
    head: tuple[int, str]
    problems: list[Problem]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first_broken(self) -> Problem | None:
        """The first problem that is about an entry, if there is one."""
        return next((problem for problem in self.problems if problem.seq), None)


def verify(
    ledger: Ledger,
    *,
    on_progress: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005 -- the signature says what they are
    expected_head: tuple[int, str] | None = None,
) -> Verification:
    """Check the whole ledger as it is at this moment, while others may go on writing.

    `on_progress` hears how many entries and rows of how many were read. `expected_head` is the (seq, chain hash) of an earlier
    check, which must still be part of the log. Raises `LedgerUnavailable`.
    """
    with ledger.still():
        return _Check(ledger, on_progress, expected_head).run()


class _Check:
    """One run over one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        on_progress: Callable[[int, int], None],
        expected_head: tuple[int, str] | None,
    ) -> None:
        self._ledger = ledger
        self._on_progress = on_progress
        self._expected_head = expected_head
        self._stats = ledger.stats()
        self._key = secrets.token_bytes(32)
        self._told = [0] * _DRAWERS
        self._held = [0] * _DRAWERS
        self._problems: list[tuple[int, Problem]] = []
        self._done = 0

    def run(self) -> Verification:
        head = self._walk()
        rows, erased = self._compare()
        self._sort()
        problems = [problem for _, problem in self._problems]
        return Verification(entries=head[0], rows=rows, erased=erased, head=head, problems=problems)

    def _walk(self) -> tuple[int, str]:
        """Follow the chain, and add up what it tells; give its head."""
        previous, seq = FIRST_CHAIN, 0
        # An entry whose own hash does not fit is told apart by whether the next one fits behind it.
        suspect: tuple[AuditEntry, bytes] | None = None
        emptied: dict[tuple[str, str], tuple[int, bool]] = {}
        for entry in self._ledger.audit():
            chain = bytes.fromhex(entry.chain)
            right = follow(previous, entry)
            if suspect is not None:
                self._explain(*suspect, entry)
                suspect = None
            if entry.seq != seq + 1:
                # What stood before this entry is not known, so its own hash can't be checked.
                self._problem(seq + 1, "is missing")
            elif right != chain:
                suspect = (entry, right)
            self._add(entry, emptied)
            if self._expected_head is not None and entry.seq == self._expected_head[0]:
                self._hold_against_head(entry.chain)
            previous, seq = chain, entry.seq
            self._tick()
        if suspect is not None:
            self._problem(suspect[0].seq, "was changed: its hash does not follow from what it says")
        if self._expected_head is not None and self._expected_head[0] > seq:
            self._problem(
                seq + 1, f"is missing: the log reached to {self._expected_head[0]} when it was seen before"
            )
        for where, _ in emptied.values():
            self._problem(where, "was emptied, but no erasure of its UID stands behind it", _ODD)
        head = (seq, previous.hex() if seq else "")
        if head != (self._stats.audit_entries, self._stats.audit_head):
            self._problem(seq, "is the last one, which is not what the ledger says of its log", _ODD)
        return head

    def _explain(self, entry: AuditEntry, right: bytes, following: AuditEntry) -> None:
        if follow(right, following).hex() == following.chain:
            what = "was changed: its chain hash is not the one that the next entry was chained to"
        elif follow(bytes.fromhex(entry.chain), following).hex() == following.chain:
            what = "was changed: its hash does not follow from what it says"
        else:
            what = "does not follow the entry before it, nor the next one it: entries were changed, moved or made up"
        self._problem(entry.seq, what)

    def _hold_against_head(self, chain: str) -> None:
        assert self._expected_head is not None
        seq, seen = self._expected_head
        if seen.lower() != chain:
            self._problem(seq, "is not the entry that was seen there before: the log was written anew")

    def _add(self, entry: AuditEntry, emptied: dict[tuple[str, str], tuple[int, bool]]) -> None:
        """Add up what an entry tells; `emptied` has the first emptied entry of a UID, and whether one of them was a binding."""
        key = (entry.portal_id, entry.uid)
        if entry.is_erased:
            seq, was_bound = emptied.get(key, (entry.seq, False))
            emptied[key] = (seq, was_bound or entry.kind in {"bind", "import"})
            return
        fact = _told(entry)
        if fact is not None:
            self._put(self._told, fact)
        if fact is not None and fact[2] == _STONE:
            emptied.pop(key, None)
        elif entry.kind == "erase" and not emptied.get(key, (0, False))[1]:
            # Without a tombstone only what was said besides binding may be emptied.
            emptied.pop(key, None)

    def _compare(self) -> tuple[int, int]:
        """Hold the rows against what the log tells, and give how many are living and erased."""
        living: Counter[str] = Counter()
        erased = 0
        for row in self._ledger.export():
            if row.erased_ms is None:
                living[row.portal_id] += 1
            else:
                erased += 1
            self._put(self._held, _held(row))
            self._tick()
        if dict(living) != self._stats.portals or erased != self._stats.erased:
            self._problem(
                0, "the ledger's own counts of bindings and tombstones are not what it holds", _NO_ENTRY
            )
        differing = [drawer for drawer in range(_DRAWERS) if self._told[drawer] != self._held[drawer]]
        if differing:
            self._open(set(differing[:_MOST_DRAWERS_OPENED]))
        return living.total(), erased

    def _open(self, drawers: set[int]) -> None:
        """Look at the facts of drawers whose sums differ, one by one."""
        told: dict[_Fact, int] = {}
        times: Counter[_Fact] = Counter()
        held: set[_Fact] = set()
        for entry in self._ledger.audit():
            fact = None if entry.is_erased else _told(entry)
            if fact is not None and self._hash(fact)[0] in drawers:
                told.setdefault(fact, entry.seq)
                times[fact] += 1
        for row in self._ledger.export():
            fact = _held(row)
            if self._hash(fact)[0] not in drawers:
                continue
            if fact in told:
                held.add(fact)
            else:
                what = "erased" if row.erased_ms is not None else "bound"
                text = f"UID {row.uid} of portal {row.portal_id} is {what} as no entry of the log tells"
                self._problem(0, text, _NO_ENTRY)
        for fact, count in times.items():
            if fact not in held:
                what = (
                    "an erasure, but its UID has no tombstone"
                    if fact[2] == _STONE
                    else "a binding that does not hold"
                )
                self._problem(told[fact], f"tells of {what}", _ODD)
            elif count > 1:
                self._problem(told[fact], "tells what another entry tells again", _ODD)

    def _hash(self, fact: _Fact) -> tuple[int, int]:
        # Lengths in front: no two facts are the same bytes.
        text = f"{len(fact[0])}:{len(fact[1])}:{fact[0]}{fact[1]}{fact[2]}"
        made = blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=34).digest()
        return int.from_bytes(made[:2], "big"), int.from_bytes(made[2:], "big")

    def _put(self, drawers: list[int], fact: _Fact) -> None:
        drawer, number = self._hash(fact)
        drawers[drawer] += number

    def _problem(self, seq: int, what: str, rank: int = _BROKEN) -> None:
        self._problems.append((rank, Problem(seq, what)))
        if len(self._problems) > 10 * _MOST_PROBLEMS:
            self._sort()

    def _sort(self) -> None:
        self._problems.sort(key=lambda found: (found[0], found[1].seq))
        del self._problems[_MOST_PROBLEMS:]

    def _tick(self) -> None:
        self._done += 1
        if self._done % _PROGRESS_EVERY == 0:
            stats = self._stats
            self._on_progress(self._done, stats.audit_entries + stats.rows + stats.erased)


def _told(entry: AuditEntry) -> _Fact | None:
    """Give the fact that an entry tells, if it is one that must hold now."""
    if entry.kind == "erase" or (entry.kind == "import" and entry.other == "erased"):
        return None if entry.other == "entries" else (entry.portal_id, entry.uid, _STONE)
    if entry.kind in {"bind", "import"}:
        return (entry.portal_id, entry.uid, f"={entry.cid}")
    return None


def _held(row: BoundUid) -> _Fact:
    return (row.portal_id, row.uid, _STONE if row.erased_ms is not None else f"={row.cid}")
