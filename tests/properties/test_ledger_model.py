"""The ledger on disk behaves like a dict that only ever gains keys, whatever is asked of it in whatever order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.events.model import Binding, Claim
from gateway.ledger.sqlite import open_sqlite_ledger

PORTALS = st.sampled_from(["1", "33167"])
# Few ids, so that claims meet; of each kind that has a key of its own.
UIDS = st.sampled_from(["0", "7", "007", "900719925474099", "5d41402abc4b2a76b9719d911017c592", "ä", ""])
CIDS = st.sampled_from(["1", "c", "5d41402abc4b2a76b9719d911017c592", "5D41402ABC4B2A76B9719D911017C592", ""])
CLAIMS = st.builds(Claim, PORTALS, UIDS, CIDS)
CLAIMS_AND_LOOKUPS = st.builds(Claim, PORTALS, UIDS, st.none() | CIDS)


class LedgerAgainstDict(RuleBasedStateMachine):
    """Plays calls on a ledger with a tiny cache and on a dict."""

    is_only_writer = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.runner = asyncio.Runner()
        self.ledger = open_sqlite_ledger(self.path, cache_entries=3, is_only_writer=self.is_only_writer)
        self.model: dict[tuple[str, str], str] = {}

    def expected(self, claims: list[Claim]) -> list[Binding]:
        bindings = []
        for claim in claims:
            key = (claim.portal_id, claim.uid)
            is_new = key not in self.model and claim.cid is not None
            if is_new:
                self.model[key] = claim.cid
            bindings.append(Binding(self.model.get(key), is_new=is_new))
        return bindings

    @rule(claims=st.lists(CLAIMS_AND_LOOKUPS, max_size=6))
    def bind(self, claims):
        assert self.runner.run(self.ledger.bind(claims, 1)) == self.expected(claims)

    @rule(batches=st.lists(st.lists(CLAIMS, min_size=1, max_size=3), min_size=2, max_size=4))
    def bind_from_several_tasks(self, batches):
        async def together():
            return await asyncio.gather(*(self.ledger.bind(claims, 1) for claims in batches))

        assert self.runner.run(together()) == [self.expected(claims) for claims in batches]

    @rule(portal_id=PORTALS, uid=UIDS)
    def lookup(self, portal_id, uid):
        assert self.ledger.lookup(portal_id, uid) == self.model.get((portal_id, uid))

    @rule(cid=CIDS)
    def uids_of(self, cid):
        found = sorted((row.portal_id, row.uid) for row in self.ledger.uids_of(cid))
        assert found == sorted(key for key, bound in self.model.items() if bound == cid)

    @rule(uid=UIDS)
    def find(self, uid):
        found = sorted((row.portal_id, row.cid) for row in self.ledger.find(uid))
        assert found == sorted((portal_id, cid) for (portal_id, of), cid in self.model.items() if of == uid)

    @rule()
    def reopen(self):
        self.runner.run(self.ledger.close())
        self.ledger = open_sqlite_ledger(self.path, cache_entries=3, is_only_writer=self.is_only_writer)

    @invariant()
    def has_as_many_rows(self):
        assert self.ledger.stats().rows == len(self.model)

    def teardown(self):
        self.runner.run(self.ledger.close())
        self.runner.close()
        self.folder.cleanup()


TestLedgerAgainstDict = LedgerAgainstDict.TestCase
TestLedgerAgainstDict.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLedgerAgainstDict.__doc__ = "Any sequence of binds, lookups and reopenings gives what a dict would give."


class OnlyWriterAgainstDict(LedgerAgainstDict):
    """The same with a ledger that remembers who is unbound, because nobody else writes."""

    is_only_writer = True


TestOnlyWriterAgainstDict = OnlyWriterAgainstDict.TestCase
TestOnlyWriterAgainstDict.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestOnlyWriterAgainstDict.__doc__ = "A ledger that remembers who is unbound forgets it with the binding."
