"""Laws of releases, over whatever happens between visitors, a collector that refuses, people who decide and stores that fail."""

from __future__ import annotations

import asyncio
import time

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.events.outcome import Reason
from gateway.events.releases import Way
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.spool.contract import SpoolUnavailable
from tests.builders import PORTAL_ID, event, post
from tests.unit.ingest_fakes import QUARANTINE_DOWN, SPOOL_DOWN
from tests.unit.test_release_desk import Shop

UIDS = ("100000001", "100000002")
CIDS = ("c-lan-0001", "c-binh-002", "c-minh-003")
LAW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

visits = st.tuples(st.just("visit"), st.sampled_from(UIDS), st.sampled_from([*CIDS, "", "two"]))
failures = st.sampled_from(["", "", "append", "leave", "settle", "kill", "race"])
# What every example begins with: somebody signed in, and held events of each kind.
PRELUDE = (
    ("visit", UIDS[0], CIDS[0]),
    ("deliver", Reason.REFUSED_BY_COLLECTOR),
    ("visit", UIDS[0], CIDS[1]),
    ("visit", UIDS[1], "two"),
    ("visit", UIDS[1], CIDS[1]),
)
steps = st.one_of(
    visits,
    visits,
    st.tuples(st.just("deliver"), st.sampled_from([Reason.OK, Reason.REFUSED_BY_COLLECTOR, Reason.TOO_OLD])),
    st.tuples(st.just("order"), st.sampled_from(list(Way)), st.integers(0, 3)),
    st.tuples(st.just("carry_out"), failures),
    *[st.tuples(st.just("release"), st.sampled_from(list(Way)), failures)] * 3,
    st.tuples(st.just("erase_uid"), st.sampled_from(UIDS), st.just(value=False)),
    st.tuples(st.just("erase_cid"), st.sampled_from(CIDS)),
)


class World(Shop):
    """A shop in which things happen, and what must hold of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[str, str] = {}
        self.kept: set[str] = set()
        self.gone: set[str] = set()
        self.sent: dict[str, int] = {}
        self.in_spool: list = []

    async def visit(self, uid, customer) -> None:
        fields = event("user", "sign_in", uid=uid)
        if customer == "two":
            fields |= {"cid": CIDS[0], "extra": {"customer_id": CIDS[1]}}
        elif customer:
            fields |= {"cid": customer}
        reply = await self.ingest.take(post(fields))
        assert reply.status == 200
        await self.collect()
        self.kept |= {each.event_id for each in self.held()} | {each.event_id for each in self.in_spool}

    async def collect(self) -> None:
        for record in await self.spooled():
            self.in_spool.append(record)
            self.sent[record.event_id] = self.sent.get(record.event_id, 0) + 1

    async def deliver(self, reason) -> None:
        records, self.in_spool = self.in_spool, []
        for record in records:
            if (record.uid and self.ledger.lookup(PORTAL_ID, record.uid).is_erased) or reason is Reason.OK:
                self.gone.add(record.event_id)
            else:
                await QuarantineDeadLetters(self.quarantine, time.time).put(record, reason, "")

    async def decide(self, way, how_many) -> None:
        await self.order(*[each.event_id for each in self.quarantine.page(limit=how_many)], way=way)

    async def carry(self, failing) -> None:
        broken = self.spool if failing == "append" else self.quarantine
        name = "settle" if failing in {"kill", "race"} else failing
        sound = getattr(broken, name, None)

        def fail(*arguments):
            if failing == "append":
                future = asyncio.get_running_loop().create_future()
                future.set_exception(SPOOL_DOWN)
                return future
            if failing == "race":
                return self.come_back(sound(*arguments))
            raise asyncio.CancelledError if failing == "kill" else QUARANTINE_DOWN

        if failing:
            setattr(broken, name, fail)
        erased = {uid for uid in UIDS if self.ledger.lookup(PORTAL_ID, uid).is_erased}
        before = {each.event_id: each for each in self.held()}
        released = len(self.in_spool)
        try:
            await self.desk.carry_out()
        except (SpoolUnavailable, QuarantineUnavailable, asyncio.CancelledError):
            assert failing
        finally:
            if failing:
                setattr(broken, name, sound)
        await self.collect()
        for record in self.in_spool[released:]:
            self.check_released(record, before, erased)

    async def come_back(self, settled) -> None:
        """Let the collector refuse what went out before its entries are taken away."""
        await self.collect()
        await self.deliver(Reason.REFUSED_BY_COLLECTOR)
        await settled

    def check_released(self, record, before, erased) -> None:
        """What goes out names nobody but whom its UID is bound to, and is not of somebody who was forgotten."""
        assert before[record.event_id].uid not in erased
        cid = orjson.loads(record.body).get("cid", "")
        if record.uid:
            held = self.ledger.lookup(PORTAL_ID, record.uid)
            assert not held.is_erased
            assert cid in {"", held.cid}
            assert before[record.event_id].claimed_cid in {None, cid}
        else:
            assert not any(each.encode() in record.body for each in (*UIDS, *CIDS))

    async def erase(self, *, wholly=True, **whom) -> None:
        erasure = await self.ledger.erase(PORTAL_ID, reason="r", now_ms=1, **whom)
        if not wholly:
            # The command was killed between the ledger and the quarantine, or something was held a moment later.
            return
        named = [(PORTAL_ID, whom["uid"])] if "uid" in whom else []
        before = {each.event_id for each in self.held()}
        await self.quarantine.erase(
            PORTAL_ID, [*erasure.uids, *named], [whom["cid"]] if "cid" in whom else []
        )
        self.gone |= before - {each.event_id for each in self.held()}

    def check(self) -> None:
        """A binding stays or becomes a tombstone; every event that was acknowledged is somewhere."""
        for row in self.ledger.export(PORTAL_ID):
            before = self.bound.setdefault(row.uid, row.cid)
            assert row.cid in {before, ""} or not before
            self.bound[row.uid] = row.cid
        somewhere = {each.event_id for each in self.held()} | {each.event_id for each in self.in_spool}
        assert self.kept <= somewhere | self.gone
        ordered = {each.entry.event_id for each in self.quarantine.orders(1_000)}
        assert ordered <= {each.event_id for each in self.held()}


async def live(what) -> None:
    world = World()
    erased_once = set()
    try:
        for name, *arguments in [*PRELUDE, *what]:
            if name == "visit":
                await world.visit(*arguments)
            elif name == "deliver":
                await world.deliver(*arguments)
            elif name == "order":
                await world.decide(*arguments)
            elif name == "carry_out":
                await world.carry(*arguments)
            elif name == "release":
                await world.decide(arguments[0], 10)
                await world.carry(arguments[1])
            elif name == "erase_uid":
                await world.erase(uid=arguments[0], wholly=arguments[1])
                erased_once.add(arguments[0])
            else:
                await world.erase(cid=arguments[0])
            world.check()
        for uid in erased_once:
            assert world.ledger.lookup(PORTAL_ID, uid).is_erased
    finally:
        world.close()


@LAW
@given(st.lists(steps, min_size=4, max_size=20))
def test_a_release_changes_no_binding_loses_no_event_and_lets_nothing_erased_out(what):
    """Law: whoever decides what, and whatever fails in between."""
    asyncio.run(live(what))
