"""Every ledger behaves like two dictionaries that only ever gain keys, but for erasures, whatever is asked in whatever order.

The model knows bindings, tombstones and address keys, and nothing of files, caches or hashes. Two ledgers lie over one store, as
two processes have it, and are restarted at will. At the end the audit log is replayed, and gives exactly the model.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.events.model import Alias, AuditNote, Binding, Claim
from gateway.ledger.contract import BoundUid
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

PORTALS = st.sampled_from(["1", "33167"])
# Few ids, so that claims meet; of each kind that has a key of its own.
UIDS = st.sampled_from(
    [
        "0",
        "7",
        "007",
        "900719925474099",
        "5d41402abc4b2a76b9719d911017c592",
        "ä",
        "",
        "0190a0b1-0000-7000-8000-00000000000a",
    ]
)
CIDS = st.sampled_from(["1", "c", "5d41402abc4b2a76b9719d911017c592", "5D41402ABC4B2A76B9719D911017C592"])
ADDRESSES = st.lists(st.sampled_from(["a" * 64, "b" * 64, "k1:x"]), max_size=2, unique=True).map(tuple)
CLAIMS = st.builds(
    Claim,
    portal_id=PORTALS,
    uid=UIDS,
    cid=st.none() | CIDS,
    same=st.lists(CIDS, max_size=1).map(tuple),
    keys=ADDRESSES,
    older_keys=ADDRESSES,
    proved_keys=ADDRESSES,
    holds_alias=st.booleans(),
    event_id=st.sampled_from(["", "e", "0190a0b1-0000-7000-8000-00000000000b"]),
)
ERASED = Binding(is_erased=True)
TOMBSTONE = None


class Model:
    """What must hold: the CID of each UID (`TOMBSTONE` where it was erased), and of each address key its first CID."""

    def __init__(self) -> None:
        self.cids: dict[tuple[str, str], str | None] = {}
        self.firsts: dict[tuple[str, str], str] = {}

    def lookup(self, key: tuple[str, str]) -> Binding:
        if key not in self.cids:
            return Binding()
        return ERASED if self.cids[key] is TOMBSTONE else Binding(self.cids[key])

    def answer(self, claim: Claim) -> Binding:
        """What the contract says of one claim, and nothing changed."""
        key = (claim.portal_id, claim.uid)
        held = self.lookup(key)
        if claim.cid is None or held == ERASED:
            return held
        own = {claim.cid, *claim.same}
        found = [
            (address, self.firsts[claim.portal_id, address])
            for address in claim.keys + claim.older_keys
            if (claim.portal_id, address) in self.firsts
        ]
        aliases = tuple(
            Alias(address, first, address in claim.proved_keys)
            for address, first in found
            if first not in own
        )
        known = [first for _, first in found if first in own]
        if held.cid is not None:
            otherwise = known[0] if known and known[0] != held.cid else None
            return Binding(held.cid, aliases=aliases, known_cid=otherwise)
        if claim.holds_alias and [each for each in aliases if not each.is_proved]:
            return Binding(aliases=aliases)
        return Binding((known or [claim.cid])[0], is_new=True, aliases=aliases)

    def new_addresses(self, claim: Claim, answer: Binding) -> list[str]:
        if claim.cid is None or answer.cid is None or answer.cid not in {claim.cid, *claim.same}:
            return []
        return [address for address in claim.keys if (claim.portal_id, address) not in self.firsts]

    def bind(self, claim: Claim) -> Binding:
        answer = self.answer(claim)
        for address in self.new_addresses(claim, answer):
            self.firsts[claim.portal_id, address] = answer.cid
        if answer.is_new:
            self.cids[claim.portal_id, claim.uid] = answer.cid
        return answer

    def known(self, claim: Claim) -> Binding | None:
        answer = self.answer(claim)
        return None if answer.is_new or self.new_addresses(claim, answer) else answer

    def take(self, row: BoundUid) -> Binding:
        key = (row.portal_id, row.uid)
        held = self.lookup(key)
        if held == ERASED or (held.cid is not None and row.erased_ms is None):
            return held
        self.cids[key] = TOMBSTONE if row.erased_ms is not None else row.cid
        return Binding(
            held.cid if row.erased_ms is not None else row.cid,
            is_new=True,
            is_erased=row.erased_ms is not None,
        )

    def take_all(self, rows: list[BoundUid]) -> list[Binding]:
        """What the contract says of an import; with the last UID of a customer in a portal go its addresses there."""
        answers = [self.take(row) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            living = {(portal, cid) for (portal, _), cid in self.cids.items()}
            if answer.is_erased and answer.cid is not None and (row.portal_id, answer.cid) not in living:
                self.firsts = {
                    key: first
                    for key, first in self.firsts.items()
                    if (key[0], first) != (row.portal_id, answer.cid)
                }
        return answers


class LedgerAgainstModel(RuleBasedStateMachine):
    """Plays calls on two ledgers over one store, with tiny caches, and on the model."""

    is_only_writer = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.now_ms = 1
        self.erased: set[str] = set()

    def open(self):
        return open_sqlite_ledger(
            Path(self.folder.name) / "ledger.db", cache_entries=3, is_only_writer=self.is_only_writer
        )

    @initialize()
    def start(self):
        # Who only reads may be told by `refresh`; who binds beside must not be promised to be alone.
        self.ledgers = [self.open()] if self.is_only_writer else [self.open(), self.open()]

    def run(self, which: int, call):
        self.now_ms += 1
        return self.runner.run(call(self.ledgers[which % len(self.ledgers)]))

    def refresh(self) -> None:
        for ledger in self.ledgers:
            ledger.refresh()

    @rule(which=st.integers(0, 1), claims=st.lists(CLAIMS, max_size=6))
    def bind(self, which, claims):
        expected = [self.model.bind(claim) for claim in claims]
        assert expected == self.run(which, lambda ledger: ledger.bind(claims, self.now_ms))

    @rule(
        which=st.integers(0, 1),
        batches=st.lists(st.lists(CLAIMS, min_size=1, max_size=3), min_size=2, max_size=4),
    )
    def bind_from_several_tasks(self, which, batches):
        async def together(ledger):
            return await asyncio.gather(*(ledger.bind(claims, self.now_ms) for claims in batches))

        expected = [[self.model.bind(claim) for claim in claims] for claims in batches]
        # Tasks whose claims need no writing are answered first, so the order is only fixed where no two of them touch.
        touched = [{(each.portal_id, each.uid) for each in claims} for claims in batches]
        addresses = [
            {(each.portal_id, key) for each in claims for key in each.keys + each.older_keys}
            for claims in batches
        ]
        answers = self.run(which, together)
        if not any(
            touched[one] & touched[other] or addresses[one] & addresses[other]
            for one in range(len(batches))
            for other in range(one)
        ):
            assert expected == answers
        elif expected != answers:
            self.learn(batches, answers)

    def learn(self, batches, answers) -> None:
        """Let the model follow one order of tasks that met: what was answered must be what holds for ever after."""
        for claims, given in zip(batches, answers, strict=True):
            for claim, answer in zip(claims, given, strict=True):
                assert (
                    answer.cid is None or self.ledgers[0].lookup(claim.portal_id, claim.uid).cid == answer.cid
                )
        self.model.cids = {
            (row.portal_id, row.uid): TOMBSTONE if row.erased_ms is not None else row.cid
            for row in self.ledgers[0].export()
        }

    @rule(which=st.integers(0, 1), claim=CLAIMS)
    def known(self, which, claim):
        answer = self.ledgers[which % len(self.ledgers)].known(claim)
        assert self.model.known(claim) == answer

    @rule(which=st.integers(0, 1), portal_id=PORTALS, uid=UIDS)
    def lookup(self, which, portal_id, uid):
        assert self.model.lookup((portal_id, uid)) == self.ledgers[which % len(self.ledgers)].lookup(
            portal_id, uid
        )

    @rule(which=st.integers(0, 1), portal_id=PORTALS, uid=UIDS, fresh=st.integers(100, 10**18), cid=CIDS)
    def reset(self, which, portal_id, uid, fresh, cid):
        """A logout: the device goes on with a fresh UID, whoever had the old one."""
        claims = [Claim(portal_id=portal_id, uid=uid), Claim(portal_id=portal_id, uid=str(fresh), cid=cid)]
        expected = [self.model.bind(claim) for claim in claims]
        assert expected == self.run(which, lambda ledger: ledger.bind(claims, self.now_ms))

    @rule(
        which=st.integers(0, 1),
        portal_id=PORTALS,
        uid=UIDS,
        cid=CIDS,
        kind=st.sampled_from(["conflict", "repair"]),
    )
    def note(self, which, portal_id, uid, cid, kind):
        notes = [AuditNote(kind=kind, portal_id=portal_id, uid=uid, cid=cid, other="x")]
        self.run(which, lambda ledger: ledger.record(notes, self.now_ms))

    @rule(which=st.integers(0, 1), portal_id=st.none() | PORTALS, cid=CIDS)
    def erase_a_customer(self, which, portal_id, cid):
        meant = sorted(
            key for key, held in self.model.cids.items() if held == cid and portal_id in {None, key[0]}
        )
        keys = [
            key for key, first in self.model.firsts.items() if first == cid and portal_id in {None, key[0]}
        ]
        self.model.cids |= dict.fromkeys(meant, TOMBSTONE)
        for key in keys:
            del self.model.firsts[key]
        erasure = self.run(
            which, lambda ledger: ledger.erase(portal_id, cid=cid, reason="asked", now_ms=self.now_ms)
        )
        assert (meant, len(keys)) == (sorted(erasure.uids), erasure.aliases)
        self.refresh()

    @rule(which=st.integers(0, 1), portal_id=st.none() | PORTALS, uid=UIDS.filter(bool))
    def erase_a_uid(self, which, portal_id, uid):
        portals = ["1", "33167"] if portal_id is None else [portal_id]
        meant = [
            (portal, uid) for portal in portals if portal_id is not None or (portal, uid) in self.model.cids
        ]
        meant = [key for key in meant if self.model.lookup(key) != ERASED]
        self.model.cids |= dict.fromkeys(meant, TOMBSTONE)
        erasure = self.run(
            which, lambda ledger: ledger.erase(portal_id, uid=uid, reason="asked", now_ms=self.now_ms)
        )
        assert (meant, 0) == (sorted(erasure.uids), erasure.aliases)
        self.refresh()

    @rule(
        which=st.integers(0, 1),
        rows=st.lists(
            st.builds(BoundUid, PORTALS, UIDS, CIDS, st.integers(0, 99))
            | st.builds(
                lambda portal, uid, ms: BoundUid(portal, uid, "", ms, ms, "there"),
                PORTALS,
                UIDS,
                st.integers(0, 99),
            ),
            max_size=4,
        ),
    )
    def import_rows(self, which, rows):
        expected = self.model.take_all(rows)
        assert expected == self.run(which, lambda ledger: ledger.import_rows(rows, self.now_ms))
        self.refresh()

    @rule(cid=CIDS)
    def uids_of(self, cid):
        found = sorted((row.portal_id, row.uid) for row in self.ledgers[0].uids_of(cid))
        assert sorted(key for key, held in self.model.cids.items() if held == cid) == found

    @rule(uid=UIDS)
    def find(self, uid):
        found = {
            row.portal_id: TOMBSTONE if row.erased_ms is not None else row.cid
            for row in self.ledgers[0].find(uid)
        }
        assert {portal: held for (portal, of), held in self.model.cids.items() if of == uid} == found

    @rule(which=st.integers(0, 1))
    def restart(self, which):
        place = which % len(self.ledgers)
        self.runner.run(self.ledgers[place].close())
        self.ledgers[place] = self.open()

    @invariant()
    def has_as_many_rows(self):
        for ledger in getattr(self, "ledgers", []):
            stats = ledger.stats()
            living = [key for key, held in self.model.cids.items() if held is not TOMBSTONE]
            sizes = (len(living), len(self.model.cids) - len(living), len(self.model.firsts))
            assert sizes == (stats.rows, stats.erased, stats.aliases)

    def teardown(self):
        ledgers = getattr(self, "ledgers", [])
        for ledger in ledgers:
            assert self.model.cids == replayed(ledger)
            assert self.model.cids == {
                (row.portal_id, row.uid): TOMBSTONE if row.erased_ms is not None else row.cid
                for row in ledger.export()
            }
            assert verify(ledger).problems == []
        for ledger in ledgers:
            self.runner.run(ledger.close())
        self.runner.close()
        self.folder.cleanup()


def replayed(ledger) -> dict[tuple[str, str], str | None]:
    """What the audit log alone tells: each entry once, in its order, the first to bind a UID wins."""
    cids: dict[tuple[str, str], str | None] = {}
    emptied: set[tuple[str, str]] = set()
    for entry in ledger.audit():
        key = (entry.portal_id, entry.uid)
        if entry.kind in {"bind", "import"} and entry.is_erased:
            emptied.add(key)
        elif entry.kind == "bind" or (entry.kind == "import" and not entry.other):
            assert key not in cids
            cids[key] = entry.cid
        elif (entry.kind == "erase" and not entry.other) or entry.kind == "import":
            assert cids.get(key, "") is not TOMBSTONE
            cids[key] = TOMBSTONE
    assert all(cids[key] is TOMBSTONE for key in emptied)
    return cids


class MemoryAgainstModel(LedgerAgainstModel):
    """The same with the ledger in memory, which no restart survives."""

    def open(self):
        return self.ledgers[0] if hasattr(self, "ledgers") else MemoryLedger()

    @initialize()
    def start(self):
        self.ledgers = [MemoryLedger()]

    @rule()
    def restart(self):
        self.ledgers[0].refresh()


class OnlyWriterAgainstModel(LedgerAgainstModel):
    """The same with a ledger that remembers who is unbound, because nobody else binds."""

    is_only_writer = True


TestLedgerAgainstModel = LedgerAgainstModel.TestCase
TestLedgerAgainstModel.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestLedgerAgainstModel.__doc__ = (
    "Any sequence of calls on two ledgers over one file gives what the model gives."
)

TestMemoryAgainstModel = MemoryAgainstModel.TestCase
TestMemoryAgainstModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMemoryAgainstModel.__doc__ = "The ledger in memory gives what the model gives."

TestOnlyWriterAgainstModel = OnlyWriterAgainstModel.TestCase
TestOnlyWriterAgainstModel.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestOnlyWriterAgainstModel.__doc__ = "A ledger that remembers who is unbound forgets it with the binding."
