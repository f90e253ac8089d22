"""Waiting records of a UID that was erased: nobody gets them any more, and everybody else's go on."""

from __future__ import annotations

import asyncio

from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.delivery.retry import RetryPolicy
from tests.unit.delivery_fakes import FakeSink, FakeSpool, post, record, simulate

OK = (0.01, Delivered(200, 10.0))
DOWN = (0.01, Retry("status 503"))
REFUSED = (0.01, Undeliverable(400, "status 400"))
LAN, MINH = ("1", "lan"), ("1", "minh")


def now() -> float:
    return asyncio.get_running_loop().time()


def waited(index: int, uid: str, seconds: float = 60.0):
    return record(index, uid, age_seconds=seconds)


def test_a_waiting_record_of_an_erased_uid_goes_nowhere():
    """It and those behind it are acknowledged without an attempt, and told as erased; another's, and another portal's, go out."""

    async def scenario():
        there = record(5, "lan", age_seconds=60.0, portal_id="2")
        spool = FakeSpool([waited(1, "lan"), waited(2, "minh"), waited(3, "lan"), waited(4, "minh"), there])
        async with post(spool) as running:
            running.forgotten.add(LAN)
            await running.until_empty(within_seconds=5)
            assert running.forwarder.held == 0
        assert {"e2", "e4", "e5"} == set(running.sink.attempts)
        assert [("e1", "erased", 0), ("e3", "erased", 0)] == [
            fate for fate in running.journal.fates if fate[1] == "erased"
        ]
        assert ([], []) == (running.dead_letters.kept, running.faults)

    simulate(scenario)


def test_no_further_attempt_is_made_for_a_uid_that_was_erased_meanwhile():
    """The attempt that failed before the erasure was the last one."""

    async def scenario():
        sink = FakeSink(lambda r, _: DOWN if r.uid == "lan" else OK)
        spool = FakeSpool([record(1, "lan"), record(2, "minh")])
        async with post(spool, sink=sink) as running:
            await running.until(lambda: sink.attempts["e1"] == 1 and bool(running.journal.retries))
            running.forgotten.add(LAN)
            await running.until_empty(within_seconds=60)
        assert {"e1": 1, "e2": 1} == dict(sink.attempts)
        assert ("e1", "erased", 1) in running.journal.fates

    simulate(scenario)


def test_a_refused_record_of_an_erased_uid_is_not_buried():
    """An erasure while the collector makes up its mind: the refused record goes nowhere, and the young one behind it is not sent."""

    async def scenario():
        def behave(sent, _):
            running.forgotten.add((sent.portal_id, sent.uid))
            return REFUSED

        async with post(FakeSpool([record(1, "lan"), record(2, "lan")]), sink=FakeSink(behave)) as running:
            await running.until_empty(within_seconds=5)
        assert [] == running.dead_letters.kept
        assert [("e1", "erased", 1), ("e2", "erased", 0)] == running.journal.fates

    simulate(scenario)


def test_a_record_of_an_erased_uid_that_became_too_old_is_not_buried():
    """It is erased, not expired; another's of the same age is kept for a person."""

    async def scenario():
        spool = FakeSpool([waited(1, "lan"), waited(2, "minh"), waited(3, "lan")])
        async with post(spool, max_age_seconds=50.0) as running:
            running.forgotten.add(LAN)
            await running.until_empty(within_seconds=5)
        assert ["e2"] == [kept.event_id for kept, _, _ in running.dead_letters.kept]
        assert {("e1", "erased", 0), ("e2", "expired", 0), ("e3", "erased", 0)} == set(running.journal.fates)
        assert {} == dict(running.sink.attempts)

    simulate(scenario)


def test_a_record_that_waits_for_sick_dead_letters_is_forgotten_too():
    """Who was erased is asked before each try to bury, not before the first alone."""

    async def scenario():
        sink = FakeSink(lambda *_: REFUSED)
        async with post(FakeSpool([record(1, "lan"), record(2, "minh")]), sink=sink) as running:
            running.dead_letters.faults = [OSError("disk full") for _ in range(6)]
            await running.until(lambda: len(running.journal.retries) >= 3)
            running.forgotten.add(LAN)
            await running.until_empty(within_seconds=600)
        assert ["e2"] == [kept.event_id for kept, _, _ in running.dead_letters.kept]
        assert {("e1", "erased", 1), ("e2", "undeliverable", 1)} == set(running.journal.fates)

    simulate(scenario)


def test_a_record_that_gives_way_is_forgotten_instead():
    """A refused record that is in everybody's way, and whose UID was erased, is not kept for a person."""

    async def scenario():
        def behave(sent, attempt):
            if sent.uid != "lan":
                return OK
            if attempt == 3:
                running.forgotten.add(LAN)
            return DOWN

        spool = FakeSpool([record(0, "lan"), *(record(i, f"u{i}") for i in range(1, 400))])
        async with post(spool, sink=FakeSink(behave), window=1, concurrency=1, give_way_after=3) as running:
            await running.until_empty(within_seconds=3600)
        assert [("e0", "erased", 3)] == [fate for fate in running.journal.fates if fate[1] != "delivered"]
        assert [] == running.dead_letters.kept

    simulate(scenario)


def test_the_end_of_an_outage_is_found_with_somebody_who_was_not_erased():
    """Those who were erased in the outage leave without a probe; the first probe after it is a living one's, and all goes on."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN if now() < 600 else OK)
        erased = [waited(i, f"gone{i}") for i in range(100)]
        living = [waited(i, f"u{i}") for i in range(100, 140)]
        spool = FakeSpool([*erased, *living])
        async with post(spool, sink=sink) as running:
            await running.until(lambda: running.forwarder.state == "open")
            running.forgotten |= {("1", item.uid) for item in erased}
            before = dict(sink.attempts)
            await running.until(lambda: now() >= 600)
            await running.until_empty(within_seconds=40)
            assert running.forwarder.state == "closed"
        assert {f"e{i}" for i in range(100, 140)} == {item.event_id for item in sink.delivered}
        assert {item.event_id: before.get(item.event_id, 0) for item in erased} == {
            item.event_id: sink.attempts[item.event_id] for item in erased
        }

    simulate(scenario)


def test_a_probe_that_nobody_is_left_for_is_made_by_the_next_who_comes():
    """When the erased were all that waited the spool drains in the outage, nothing is sent, and the breaker isn't stuck."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN if now() < 600 else OK)
        spool = FakeSpool([waited(i, "lan") for i in range(3)])
        spool.add(*(waited(i, f"gone{i}") for i in range(3, 40)))
        async with post(spool, sink=sink) as running:
            await running.until(lambda: running.forwarder.state == "open")
            running.forgotten |= {LAN, *(("1", f"gone{i}") for i in range(3, 40))}
            sent = len(sink.sent)
            await running.until_empty(within_seconds=120)
            assert (sent, "open") == (len(sink.sent), running.forwarder.state)
            await running.until(lambda: now() >= 600)
            spool.add(record(50, "minh"))
            await running.until_empty(within_seconds=5)
            assert "closed" == running.forwarder.state
        assert ["e50"] == [item.event_id for item in sink.delivered]

    simulate(scenario)


def test_a_probe_is_not_put_off_when_those_who_were_ready_for_it_are_gone():
    """Then one who waits for a later attempt makes it: the end of the outage is noticed at the end of the breaker's pause."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN if now() < 60 else OK)
        slow = RetryPolicy(base_seconds=50_000.0, cap_seconds=50_000.0)
        spool = FakeSpool([waited(i, f"u{i}") for i in range(16)])
        async with post(spool, sink=sink, retry=slow, concurrency=16) as running:
            await running.until(lambda: running.forwarder.state == "open")
            spool.add(*(waited(i, f"gone{i}") for i in range(16, 24)))
            running.forgotten |= {("1", f"gone{i}") for i in range(16, 24)}
            await running.until(lambda: now() >= 60)
            await running.until_empty(within_seconds=70)
        assert 16 == len(sink.delivered)
        assert not {f"e{i}" for i in range(16, 24)} & set(sink.attempts)

    simulate(scenario)


def test_only_records_that_waited_are_asked_about():
    """A first attempt within the second of its acceptance asks nothing; one that is older, or comes from the future, does."""

    async def scenario():
        asked = []
        ages = {"young": 0.5, "old": 1.5, "future": -30.0, "": 60.0}
        spool = FakeSpool([record(i, uid, age_seconds=age) for i, (uid, age) in enumerate(ages.items())])
        async with post(spool, is_erased=lambda *whom: asked.append(whom)) as running:
            await running.until_empty(within_seconds=0.2)
        assert [("1", "old"), ("1", "future")] == asked
        assert 4 == len(running.sink.delivered)

    simulate(scenario)


def test_each_further_attempt_asks_once():
    """Four attempts of a young record are three questions."""

    async def scenario():
        asked = []
        sink = FakeSink(lambda _, attempt: OK if attempt == 4 else DOWN)
        async with post(
            FakeSpool([record(1, "lan")]), sink=sink, is_erased=lambda *whom: asked.append(whom)
        ) as running:
            await running.until_empty(within_seconds=60)
        assert [LAN] * 3 == asked

    simulate(scenario)


def test_a_ledger_that_cannot_be_read_holds_nothing_up_and_is_told_once():
    """All is delivered, one report for the whole trouble, and no more than a question a second; afterwards it is believed again."""

    async def scenario():
        asked = []

        def is_erased(portal_id, uid):
            asked.append(now())
            if now() < 10:
                raise OSError("io")
            return (portal_id, uid) == LAN

        sink = FakeSink(lambda *_: (0.1, Delivered(200, 100.0)))
        spool = FakeSpool([waited(i, "lan") for i in range(200)])
        async with post(spool, sink=sink, is_erased=is_erased) as running:
            await running.until_empty(within_seconds=60)
        fates = [fate for _, fate, _ in running.journal.fates]
        assert ["it can't be asked who was erased: waiting events of theirs may go out"] == running.faults
        assert 200 == len(fates)
        assert sorted(fates) == fates, "first those that are delivered, then those that are erased"
        assert 90 <= fates.count("delivered") <= 110
        in_trouble = [moment for moment in asked if moment < 10]
        assert 5 <= len(in_trouble) <= 11

    simulate(scenario)


def test_a_second_trouble_of_the_ledger_is_told_again():
    """A report is due for each trouble, not once in a lifetime."""

    async def scenario():
        def is_erased(*_):
            if int(now()) % 10 < 5:
                raise OSError("io")
            return False

        sink = FakeSink(lambda *_: (0.5, Delivered(200, 500.0)))
        spool = FakeSpool([waited(i, "lan") for i in range(36)])
        async with post(spool, sink=sink, is_erased=is_erased) as running:
            await running.until_empty(within_seconds=60)
        assert 2 == len(running.faults)
        assert 36 == len(sink.delivered)

    simulate(scenario)


def test_an_observer_that_raises_at_an_erasure_costs_no_event():
    """The fault is reported; every record is settled once."""

    async def scenario():
        spool = FakeSpool([waited(1, "lan"), waited(2, "lan"), waited(3, "minh")])
        async with post(spool) as running:

            def broken(*_):
                raise ZeroDivisionError

            running.journal.erased = broken
            running.forgotten.add(LAN)
            await running.until_empty(within_seconds=5)
            assert ["a delivery met a fault"] * 2 == running.faults
        assert ["e3"] == [item.event_id for item in running.sink.delivered]

    simulate(scenario)
