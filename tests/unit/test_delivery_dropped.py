"""Records that a full spool dropped while the forwarder held them: nobody gets them any more, and nothing is said of them twice."""

from __future__ import annotations

from gateway.delivery.contract import Delivered, Retry, Undeliverable
from tests.unit.delivery_fakes import FakeSink, FakeSpool, post, record, simulate

OK = (0.01, Delivered(200, 10.0))
DOWN = (0.01, Retry("status 503"))


def test_a_dropped_record_is_not_sent():
    """It is let go of without an attempt or a report; its user's next record goes out."""

    async def scenario():
        spool = FakeSpool([record(1, "lan"), record(2, "minh"), record(3, "lan")])
        spool.dropped = {1}
        async with post(spool) as running:
            await running.until_empty(within_seconds=5)
            assert running.forwarder.held == 0
        assert {"e2", "e3"} == set(running.sink.attempts)
        assert {"e2", "e3"} == {event_id for event_id, _, _ in running.journal.fates}
        assert [] == running.faults

    simulate(scenario)


def test_a_record_that_is_dropped_between_two_attempts_is_not_tried_again():
    """The attempt that failed before was the last one."""

    async def scenario():
        sink = FakeSink(lambda r, _: DOWN if r.uid == "lan" else OK)
        spool = FakeSpool([record(1, "lan"), record(2, "minh")])
        async with post(spool, sink=sink) as running:
            await running.until(lambda: bool(running.journal.retries))
            spool.dropped = {1}
            await running.until_empty(within_seconds=60)
        assert {"e1": 1, "e2": 1} == dict(sink.attempts)
        assert [("e2", "delivered", 1)] == running.journal.fates

    simulate(scenario)


def test_a_record_that_is_dropped_while_it_is_sent_has_one_outcome():
    """Whatever the collector says of it: it is neither told as delivered nor put among the dead letters."""

    async def scenario():
        verdicts = {
            "lan": Delivered(200, 10.0),
            "minh": Undeliverable(400, "status 400"),
            "thu": Retry("status 503"),
        }
        sink = FakeSink(lambda r, _: (1.0, verdicts[r.uid]))
        spool = FakeSpool([record(1, "lan"), record(2, "minh"), record(3, "thu")])
        async with post(spool, sink=sink) as running:
            await running.until(lambda: len(sink.sent) == 3)
            spool.dropped = {1, 2, 3}
            await running.until_empty(within_seconds=60)
            assert running.forwarder.held == 0
        assert ([], []) == (running.journal.fates, running.dead_letters.kept)
        assert 1 == sink.attempts["e3"]

    simulate(scenario)


def test_dropped_records_that_fill_the_window_do_not_hold_up_the_newer_ones():
    """After a long outage, in which all that was held in memory was dropped, what still waits in the spool is delivered."""

    async def scenario():
        is_down = True
        sink = FakeSink(lambda _, __: DOWN if is_down else OK)
        spool = FakeSpool([record(i, f"u{i}") for i in range(100)])
        async with post(spool, sink=sink, window=16, concurrency=4) as running:
            await running.until(lambda: spool.given >= 14 and "open" in running.journal.phases)
            spool.dropped = set(range(1, spool.given + 1))
            last_dropped = max(spool.dropped)
            is_down = False
            await running.until_empty(within_seconds=600)
        assert {f"e{i}" for i in range(last_dropped, 100)} == {
            event_id for event_id, _, _ in running.journal.fates
        }
        assert {"delivered"} == {fate for _, fate, _ in running.journal.fates}

    simulate(scenario)
