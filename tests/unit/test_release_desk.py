"""Carrying out release orders over stores in memory: what is sent, kept and told, whatever breaks in between."""

from __future__ import annotations

import asyncio
import time

import msgspec
import orjson
import pytest

from gateway.events.outcome import Reason
from gateway.events.packing import unpack
from gateway.events.pipeline import Pipeline
from gateway.events.releases import Way
from gateway.ledger.verify import verify
from gateway.quarantine.contract import Progress
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.releases import ReleaseDesk
from gateway.spool.contract import SpoolUnavailable
from gateway.telemetry.journal import Journal
from tests.builders import PORTAL_ID, event, make_settings, post, shop_pipeline
from tests.unit.ingest_fakes import LEDGER_DOWN, QUARANTINE_DOWN, SPOOL_DOWN, Bench

UID = "1234567890123"


def sign_in(customer, uid=UID):
    return event("user", "sign_in", uid=uid, dims={"customers": {"customer_id": customer}})


class Shop(Bench):
    """An ingest with everything that it leaves behind, and the desk that carries out releases into the same spool."""

    def __init__(self, pipeline=None):
        super().__init__(pipeline)
        self.journal = Journal(self._log, self.metrics)
        releases = (pipeline or shop_pipeline()).releases
        self.desk = ReleaseDesk(releases, self.ledger, self.spool, self.quarantine, self.journal)

    async def hold(self, *customers, uid=UID) -> list[str]:
        """Hold an event for each customer under a UID that is another's; gives their ids, and empties the spool."""
        for customer in ("c-first", *customers):
            await self.ingest.take(post(sign_in(customer, uid)))
        await self.spooled()
        # Those of one millisecond lie in no order of their own.
        of = {each.claimed_cid: each.event_id for each in self.held()}
        return [of[each] for each in customers]

    async def bury(self, fields=None, reason=Reason.REFUSED_BY_COLLECTOR) -> str:
        """Accept an event that the collector refuses, and give its id."""
        await self.ingest.take(post(fields or sign_in("c-first")))
        for record in await self.spooled():
            await QuarantineDeadLetters(self.quarantine, time.time).put(record, reason, "status 400")
        return record.event_id

    async def order(self, *event_ids, way=Way.POLICY) -> int:
        run = await self.quarantine.open_run(way, 1)
        await self.quarantine.order(run, event_ids)
        return run

    def released(self) -> list[str]:
        """Give the ids of the release entries in the audit log, in order."""
        return [each.event_id for each in self.ledger.audit() if each.kind == "release"]

    def count(self, result) -> int:
        value = self.metrics.registry.get_sample_value(
            "tracking_gateway_quarantine_releases_total", {"result": result}
        )
        return int(value)


@pytest.fixture
async def shop():
    made = Shop()
    yield made
    made.close()


async def test_a_release_is_sent_taken_away_counted_logged_and_audited(shop):
    """Under the UID that the second person has from now on; the first person's binding is as it was."""
    [event_id] = await shop.hold("c-second")
    run = await shop.order(event_id, way=Way.NEW_UID)

    assert 1 == await shop.desk.carry_out()

    [record] = await shop.spooled()
    assert (event_id, "c-second") == (record.event_id, orjson.loads(record.body)["cid"])
    assert "c-second" == shop.ledger.lookup(PORTAL_ID, record.uid).cid
    assert "c-first" == shop.ledger.lookup(PORTAL_ID, UID).cid
    assert [] == shop.held()
    assert Progress(1, 0, 1, {}) == shop.quarantine.progress(run)
    assert [event_id] == shop.released()
    assert (1, 0) == (shop.count("released"), shop.count("stayed"))
    [line] = shop.log("release")
    assert ("released", "cid_conflict", "new_uid", event_id, UID) == (
        line["result"], line["reason"], line["way"], line["event_id"], line["uid"],
    )  # fmt: skip


async def test_an_alias_that_somebody_accepts_binds_its_customer_and_no_address():
    """Until then nothing is bound; afterwards the address is still known as the first customer's."""
    shop = Shop(Pipeline(make_settings(identity={"on_alias": "quarantine"})))
    shared = {"dims": {"customers": {"phone": "0912345678"}}}
    await shop.ingest.take(post(event("user", "sign_in", uid=UID, cid="c-first", **shared)))
    await shop.ingest.take(post(event("user", "sign_in", uid="900000002", cid="c-second", **shared)))
    await shop.spooled()
    [entry] = shop.held()
    assert "identity_alias" == entry.reason
    for way in (Way.POLICY, Way.NEW_UID):
        await shop.order(entry.event_id, way=way)
        await shop.desk.carry_out()
        assert "identity_alias" == shop.quarantine.refusal(entry.event_id).reason
    assert None is shop.ledger.lookup(PORTAL_ID, "900000002").cid
    keys = shop.ledger.stats().aliases

    await shop.order(entry.event_id, way=Way.ACCEPT_ALIAS)
    await shop.desk.carry_out()

    [record] = await shop.spooled()
    assert ("900000002", "c-second") == (record.uid, orjson.loads(record.body)["cid"])
    assert "c-second" == shop.ledger.lookup(PORTAL_ID, "900000002").cid
    assert keys == shop.ledger.stats().aliases
    assert verify(shop.ledger).is_whole
    shop.close()


async def test_what_stays_is_answered_counted_and_logged_and_not_audited(shop):
    """Nothing happened to anybody's identity."""
    [event_id] = await shop.hold("c-second")
    run = await shop.order(event_id)

    assert 1 == await shop.desk.carry_out()

    assert [] == await shop.spooled()
    assert [event_id] == [each.event_id for each in shop.held()]
    assert Progress(1, 0, 0, {"cid_conflict": 1}) == shop.quarantine.progress(run)
    assert "cid_conflict" == shop.quarantine.refusal(event_id).reason
    assert [] == shop.released()
    assert (0, 1) == (shop.count("released"), shop.count("stayed"))
    assert 0 == await shop.desk.carry_out()


async def test_a_dead_letter_that_is_refused_again_comes_back_with_its_new_reason(shop):
    """Also when the collector is faster than the one who takes the entry away."""
    event_id = await shop.bury()
    await shop.order(event_id)
    settle = shop.quarantine.settle

    async def settle_late(answers, now_ms):
        [record] = await shop.spooled()
        await QuarantineDeadLetters(shop.quarantine, time.time).put(record, Reason.TOO_OLD, "again")
        await settle(answers, now_ms)

    shop.quarantine.settle = settle_late
    await shop.desk.carry_out()

    [entry] = shop.held()
    assert (event_id, "too_old", "again") == (entry.event_id, entry.reason, entry.detail)
    assert [] == shop.quarantine.orders(10)


async def test_a_crash_before_the_entry_goes_lets_the_event_out_twice_and_never_not_at_all(shop):
    """With the same event id and request id: the CDP can tell. The audit log has it once for each process that did it."""
    event_id = await shop.bury()
    await shop.order(event_id)

    async def killed(answers, now_ms):
        raise asyncio.CancelledError

    settle, shop.quarantine.settle = shop.quarantine.settle, killed
    with pytest.raises(asyncio.CancelledError):
        await shop.desk.carry_out()
    assert [event_id] == [each.event_id for each in shop.held()]

    shop.quarantine.settle = settle
    again = ReleaseDesk(shop_pipeline().releases, shop.ledger, shop.spool, shop.quarantine, shop.journal)
    assert 1 == await again.carry_out()

    first, second = await shop.spooled()
    assert (first.event_id, first.query, first.body) == (second.event_id, second.query, second.body)
    assert [] == shop.held()


@pytest.mark.parametrize(
    ("store", "failure"), [("ledger", LEDGER_DOWN), ("spool", SPOOL_DOWN), ("quarantine", QUARANTINE_DOWN)]
)
async def test_a_store_in_trouble_makes_orders_wait(shop, store, failure):
    """Nothing is lost or sent twice, and the audit log says it once; it goes on by itself."""
    event_ids = await shop.hold("c-second", "c-third")
    await shop.order(*event_ids, way=Way.STRIP)
    broken = getattr(shop, store)
    name = {"ledger": "record", "spool": "append", "quarantine": "leave"}[store]
    sound = getattr(broken, name)

    def fail(*arguments):
        if store == "spool":
            future = asyncio.get_running_loop().create_future()
            future.set_exception(failure)
            return future
        raise failure

    setattr(broken, name, fail)
    for _ in range(3):
        with pytest.raises(type(failure)):
            await shop.desk.carry_out()
    assert (2, 2) == (len(shop.held()), len(shop.quarantine.orders(10)))

    setattr(broken, name, sound)
    await shop.desk.carry_out()
    assert sorted(event_ids) == sorted(each.event_id for each in await shop.spooled())
    assert sorted(event_ids) == sorted(shop.released())
    assert [] == shop.held()


async def test_what_the_spool_has_no_room_for_waits_and_the_rest_goes(shop):
    """Each event is appended by itself."""
    event_ids = await shop.hold("c-second", "c-third", "c-fourth")
    await shop.order(*event_ids, way=Way.STRIP)
    append, taken = shop.spool.append, []

    def append_some(payloads):
        if unpack(payloads[0]).event_id == event_ids[1]:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(SPOOL_DOWN)
            return future
        taken.extend(payloads)
        return append(payloads)

    shop.spool.append = append_some
    with pytest.raises(SpoolUnavailable):
        await shop.desk.carry_out()

    assert [event_ids[1]] == [each.event_id for each in shop.held()]
    assert 2 == len(taken) == shop.count("released")
    shop.spool.append = append
    assert 1 == await shop.desk.carry_out()
    assert sorted(event_ids) == sorted(shop.released())


async def test_what_is_erased_after_it_was_decided_is_not_sent(shop):
    """A person's right comes before an order: with the entry goes the order."""
    event_ids = await shop.hold("c-second", "c-third")
    await shop.order(*event_ids, way=Way.STRIP)
    leave = shop.quarantine.leave

    async def leave_late(wanted):
        assert 1 == await shop.quarantine.erase(PORTAL_ID, [], ["c-second"])
        return await leave(wanted)

    shop.quarantine.leave = leave_late
    await shop.desk.carry_out()

    assert event_ids[1:] == [each.event_id for each in await shop.spooled()] == shop.released()


async def test_an_event_that_meets_a_fault_stays_and_the_others_go(shop, monkeypatch):
    """The log says its type and place."""
    first, second = await shop.hold("c-second", "c-third")
    await shop.order(first, second, way=Way.STRIP)
    releases = shop.desk._releases
    ask = releases.ask

    def fail(entry, way, stamp):
        if entry.event_id == first:
            raise RuntimeError("secret")
        return ask(entry, way, stamp)

    monkeypatch.setattr(releases, "ask", fail)
    await shop.desk.carry_out()

    assert [second] == [each.event_id for each in await shop.spooled()]
    assert [first] == [each.event_id for each in shop.held()]
    text = shop.close()
    assert "release_failed" in text
    assert "secret" not in text


async def test_many_orders_are_carried_out_in_bounded_batches(shop):
    """Oldest first, none twice."""
    await shop.ingest.take(post(sign_in("c-first")))
    entries = []
    [base] = await shop.hold("c-second")
    held = shop.held()[0]
    for number in range(230):
        event_id = f"e-{number:04d}"
        record = msgspec.structs.replace(held.record, event_id=event_id)
        entries.append(
            msgspec.structs.replace(held, event_id=event_id, held_ms=held.held_ms + number, record=record)
        )
    await shop.quarantine.put(entries)
    run = await shop.order(*[each.event_id for each in entries], way=Way.STRIP)

    done = []
    while count := await shop.desk.carry_out():
        done.append(count)

    assert [100, 100, 30] == done
    assert [each.event_id for each in entries] == [each.event_id for each in await shop.spooled()]
    assert Progress(230, 0, 230, {}) == shop.quarantine.progress(run)
    assert [base] == [each.event_id for each in shop.held()]


async def test_a_running_desk_finds_orders_and_stops_when_told(shop):
    """It tells of trouble once, and when it goes on."""
    event_ids = await shop.hold("c-second")
    shop.ledger.failure = LEDGER_DOWN
    await shop.order(*event_ids, way=Way.STRIP)
    shop.desk.start()

    async def until(condition):
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    await until(lambda: shop.desk._is_in_trouble)
    shop.ledger.failure = None
    await until(lambda: not shop.held())
    await until(lambda: not shop.desk._is_in_trouble)
    await shop.desk.stop(5)

    assert 1 == len(await shop.spooled())
    text = shop.close()
    assert 1 == text.count('"releases_wait"')
    assert 1 == text.count('"releases_go_on"')


async def test_how_much_is_held_is_counted_by_reason(shop):
    """Every reason has its series; one that has no entry any more goes back to zero."""
    event_id = (await shop.hold("c-second"))[0]
    await shop.bury()

    def entries():
        return {
            reason: shop.metrics.registry.get_sample_value(
                "tracking_gateway_quarantine_entries", {"reason": reason}
            )
            for reason in ("cid_conflict", "refused_by_collector", "too_old")
        }

    shop.desk._count()
    assert {"cid_conflict": 1, "refused_by_collector": 1, "too_old": 0} == entries()
    await shop.quarantine.discard([event_id])
    shop.desk._count()
    assert 0 == entries()["cid_conflict"]


async def test_a_desk_that_is_hurried_ends_what_it_does_and_no_more(shop):
    """While clients still get their answers; a batch that is cut off in the end would go out again at the next start."""
    event_ids = await shop.hold("c-second", "c-third")
    await shop.order(event_ids[0], way=Way.STRIP)
    shop.desk.start()
    await asyncio.sleep(0)
    shop.desk.hurry()
    async with asyncio.timeout(10):
        while [each.event_id for each in shop.held()] != event_ids[1:]:
            await asyncio.sleep(0)
    await shop.order(event_ids[1], way=Way.STRIP)
    await shop.desk.stop(5)
    assert event_ids[1:] == [each.event_id for each in shop.held()]


async def test_a_desk_that_never_started_can_be_stopped(shop):
    """As everything that is closed on the way out of a start that failed."""
    await shop.desk.stop(1)
    assert [] == shop.held()
