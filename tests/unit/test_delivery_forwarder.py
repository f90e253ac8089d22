"""The forwarder in simulated time: order, fates, acknowledgements, outages, and users whose records are refused."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.delivery.retry import RetryPolicy
from gateway.events.outcome import Reason
from tests.unit.delivery_fakes import FakeSink, FakeSpool, HastyLoop, post, record, simulate

OK = (0.01, Delivered(200, 10.0))
DOWN = (0.01, Retry("status 503"))


def now() -> float:
    return asyncio.get_running_loop().time()


def ids(records) -> list[str]:
    return [item.event_id for item in records]


def test_a_users_records_are_delivered_in_the_spools_order():
    """One user's records go out one after another, in order, whatever each of them takes."""

    async def scenario():
        sink = FakeSink(lambda record, _: (1.0 / int(record.event_id[1:]), Delivered(200, 1.0)))
        spool = FakeSpool([record(i) for i in range(1, 21)])
        async with post(spool, sink=sink) as running:
            await running.until_empty()
        assert [f"e{i}" for i in range(1, 21)] == ids(sink.delivered)
        assert sink.most_at_once == 1

    simulate(scenario)


def test_different_users_are_served_side_by_side_up_to_the_concurrency():
    """A hundred users are served ten at once, when ten is the limit."""

    async def scenario():
        sink = FakeSink()
        async with post(
            FakeSpool([record(i, f"u{i}") for i in range(100)]), sink=sink, concurrency=10
        ) as running:
            await running.until_empty()
        assert sink.most_at_once == 10
        assert len(sink.delivered) == 100

    simulate(scenario)


def test_the_same_uid_of_two_portals_is_two_users():
    """Portals do not wait for each other."""

    async def scenario():
        sink = FakeSink()
        spool = FakeSpool([record(1, portal_id="1"), record(2, portal_id="2")])
        async with post(spool, sink=sink) as running:
            await running.until_empty()
        assert sink.most_at_once == 2

    simulate(scenario)


def test_a_record_in_retry_blocks_only_its_own_user():
    """While one user's record waits for its next attempt, the others' pass, and its followers stay behind it."""

    async def scenario():
        sink = FakeSink(lambda record, attempt: DOWN if record.event_id == "e0" and attempt < 4 else OK)
        spool = FakeSpool([record(0, "a"), record(1, "a"), *(record(i, f"u{i}") for i in range(2, 50))])
        async with post(spool, sink=sink) as running:
            await running.until_empty()
        delivered = ids(sink.delivered)
        assert delivered[-2:] == ["e0", "e1"]
        assert sink.attempts["e0"] == 4
        assert ("e0", "delivered", 4) in running.journal.fates
        assert [attempt for _, attempt, _, _ in running.journal.retries] == [1, 2, 3]

    simulate(scenario)


def test_the_collectors_retry_after_is_waited_for():
    """The next attempt does not come before the time that the collector named."""

    async def scenario():
        sink = FakeSink(lambda _, attempt: (0.0, Retry("status 429", 120.0)) if attempt == 1 else OK)
        async with post(FakeSpool([record(1)]), sink=sink) as running:
            await running.until_empty()
        first, second = (moment for moment, _ in sink.sent)
        assert 120.0 <= second - first <= 121.0

    simulate(scenario)


def test_an_undeliverable_record_goes_to_the_dead_letters_and_the_next_one_follows():
    """A refused record is kept for a person, acknowledged after that, and does not hold its user up."""

    async def scenario():
        sink = FakeSink(lambda r, _: (0.0, Undeliverable(400, "status 400")) if r.event_id == "e1" else OK)
        async with post(FakeSpool([record(1), record(2)]), sink=sink) as running:
            await running.until_empty()
        assert [(record(1), Reason.REFUSED_BY_COLLECTOR, "status 400")] == running.dead_letters.kept
        assert running.journal.fates == [("e1", "undeliverable", 1), ("e2", "delivered", 1)]
        assert running.journal.causes == ["status 400"]

    simulate(scenario)


def test_nothing_is_acknowledged_before_the_dead_letters_have_it():
    """While the dead letters can't be written the record stays in the spool, its user waits, and others go on."""

    async def scenario():
        sink = FakeSink(lambda r, _: (0.0, Undeliverable(400, "status 400")) if r.event_id == "e1" else OK)
        spool = FakeSpool([record(1, "a"), record(2, "a"), record(3, "b")])
        async with post(spool, sink=sink, concurrency=1) as running:
            running.dead_letters.faults = [OSError("disk full") for _ in range(5)]
            await running.until(lambda: len(running.journal.retries) == 4)
            assert spool.acknowledged == {3}
            await running.until_empty()
            assert sink.attempts["e1"] == 1
            assert len(running.dead_letters.kept) == 1
            causes = {cause for _, _, cause, _ in running.journal.retries}
            assert causes == {"the dead letters are not available: OSError"}

    simulate(scenario)


def test_a_record_that_is_too_old_expires_without_being_sent():
    """What is older than the limit goes to the dead letters as too old; what is younger is sent."""

    async def scenario():
        sink = FakeSink()
        spool = FakeSpool([record(1, age_seconds=3601), record(2, age_seconds=3599)])
        async with post(spool, sink=sink, max_age_seconds=3600) as running:
            await running.until_empty()
        assert ids(sink.delivered) == ["e2"]
        assert [reason for _, reason, _ in running.dead_letters.kept] == [Reason.TOO_OLD]
        assert running.journal.fates == [("e1", "expired", 0), ("e2", "delivered", 1)]

    simulate(scenario)


def test_records_expire_while_the_collector_is_down():
    """An outage longer than the limit expires what waits, all of it at the next probe, and later records follow."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN)
        spool = FakeSpool([record(i, f"u{i}") for i in range(300)])
        async with post(spool, sink=sink, max_age_seconds=3600, window=200) as running:
            await running.until(lambda: len(running.dead_letters.kept) >= 150, within_seconds=3600 + 31)
            await running.until_empty(within_seconds=600)
            assert {fate for _, fate, _ in running.journal.fates} == {"expired"}
            assert len(running.dead_letters.kept) == 300

    simulate(scenario)


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1a\x01", b"\x99" + b"\xa1\xff" * 9]
)
def test_a_payload_that_is_no_record_is_reported_and_blocks_nobody(payload):
    """An unreadable payload goes to the dead letters with its bytes, and the rest is delivered."""

    async def scenario():
        spool = FakeSpool([record(1), payload, record(2)])
        sink = FakeSink()
        async with post(spool, sink=sink) as running:
            await running.until_empty()
        assert ids(sink.delivered) == ["e1", "e2"]
        ((kept, reason, detail),) = running.dead_letters.kept
        assert (payload, "", Reason.UNREADABLE) == (kept.body, kept.uid, reason)
        assert detail.startswith("the spool's payload is not a record")
        assert [fate for _, fate, _ in running.journal.fates].count("undeliverable") == 1

    simulate(scenario)


def test_the_window_bounds_what_is_read():
    """Not more entries are read ahead than the window holds, without the eighth that is kept for scouts."""

    async def scenario():
        sink = FakeSink(lambda *_: (1000.0, Delivered(200, 1.0)))
        spool = FakeSpool([record(i, f"u{i}") for i in range(500)])
        async with post(spool, sink=sink, window=40, concurrency=8) as running:
            await running.until(lambda: now() > 100)
            assert (spool.given, running.forwarder.held) == (35, 35)
            await running.until_empty()

    simulate(scenario)


def test_several_spools_share_one_line_for_each_user():
    """Records of one user that lie in two spools are never under way together, and both spools are emptied."""

    async def scenario():
        first, second = (
            FakeSpool([record(i) for i in range(20)]),
            FakeSpool([record(i) for i in range(20, 40)]),
        )
        sink = FakeSink()
        async with post(first, second, sink=sink) as running:
            await running.until_empty()
        delivered = ids(sink.delivered)
        assert [f"e{i}" for i in range(20)] == [i for i in delivered if int(i[1:]) < 20]
        assert [f"e{i}" for i in range(20, 40)] == [i for i in delivered if int(i[1:]) >= 20]

    simulate(scenario)


def test_a_collector_that_is_down_for_an_hour_is_left_alone_and_then_gets_everything():
    """In an outage of an hour it is asked about twice a minute; then the backlog drains at full speed, in order."""

    async def scenario():
        hour = 3600.0
        sink = FakeSink(lambda *_: DOWN if now() < hour else OK)
        users, each = 200, 10
        spool = FakeSpool([record(i, f"u{i % users}") for i in range(users * each)])
        async with post(spool, sink=sink, concurrency=32) as running:
            await running.until(lambda: now() >= hour)
            sent_in_outage = len(sink.sent)
            assert "open" in running.journal.phases
            assert spool.acknowledged == set()
            # The first burst is the concurrency's, then probes: pauses of 15 to 30 s once they have grown.
            assert sent_in_outage <= 32 + hour / 15 + 10
            await running.until_empty(within_seconds=60)
            assert now() - hour < 35
            assert sink.most_at_once == 32
            assert running.forwarder.state == "closed"
            assert running.faults == []
        assert len(sink.delivered) == users * each
        for user in range(users):
            of_user = [int(item.event_id[1:]) for item in sink.delivered if item.uid == f"u{user}"]
            assert of_user == sorted(of_user)
        assert {fate for _, fate, _ in running.journal.fates} == {"delivered"}
        drained_from = next(moment for moment, _ in sink.sent if moment >= hour)
        drained_at = max(moment for moment, _ in sink.sent)
        assert drained_at - drained_from < 2000 / 32 * 0.01 + 1.0

    simulate(scenario)


def test_an_outage_ends_also_when_timers_fire_a_little_early():
    """A probe that is not permitted yet is tried again at once: nothing waits for the next event to come in."""

    async def scenario():
        sink = FakeSink(
            lambda _record, _attempt: (0.01, Retry("down") if now() < 100 else Delivered(200, 1.0))
        )
        async with post(FakeSpool([record(index, f"u{index}") for index in range(40)]), sink=sink) as running:
            await running.until_empty(within_seconds=400)
            assert running.journal.phases[-1] == "closed"

    simulate(scenario, HastyLoop)


def test_one_probe_at_a_time_while_the_breaker_is_open():
    """After the breaker has opened, no two sends overlap until it is closed again."""

    async def scenario():
        sink = FakeSink(lambda *_: (5.0, Retry("timeout")) if now() < 600 else OK)
        spool = FakeSpool([record(i, f"u{i}") for i in range(200)])
        async with post(spool, sink=sink, concurrency=20) as running:
            await running.until(lambda: "open" in running.journal.phases)
            await running.until(lambda: not sink._under_way)
            sink.most_at_once = 0
            await running.until(lambda: now() >= 599)
            assert sink.most_at_once == 1
            assert running.journal.phases.count("half_open") >= 10
            await running.until_empty()
        assert running.journal.phases[-1] == "closed"
        assert running.journal.states[0] == ("open", "timeout")

    simulate(scenario)


def test_a_poisoned_record_does_not_keep_the_breaker_open():
    """When the only record to probe with is one that always fails, other users' records are still found and sent."""

    async def scenario():
        sink = FakeSink(lambda r, _: DOWN if r.uid == "bad" or now() < 300 else OK)
        spool = FakeSpool([record(0, "bad"), *(record(i, f"u{i}") for i in range(1, 60))])
        async with post(spool, sink=sink, concurrency=4) as running:
            await running.until(lambda: spool.pending == 1, within_seconds=900)
            assert running.forwarder.state == "closed"

    simulate(scenario)


def test_a_refused_record_waits_as_long_as_there_is_room():
    """While the window has room a record is tried again and again, and never given up before its age."""

    async def scenario():
        sink = FakeSink(lambda r, _: DOWN if r.uid == "bad" else OK)
        spool = FakeSpool([record(0, "bad")])
        async with post(spool, sink=sink, window=100, max_age_seconds=86_400) as running:
            for hour in range(12):
                spool.add(record(hour + 1, "good"))
                end = (hour + 1) * 3600
                await running.until(lambda end=end: now() >= end)
            assert running.dead_letters.kept == []
            assert sink.attempts["e0"] > 100
            await running.until_empty()
        assert ("e0", "expired", sink.attempts["e0"]) == running.journal.fates[-1]

    simulate(scenario)


def test_poisoned_users_give_way_when_they_would_stop_everybody():
    """Records that fail while others succeed go to the dead letters once they fill the window; the rest is delivered."""

    async def scenario():
        sink = FakeSink(lambda r, _: DOWN if r.uid.startswith("bad") else OK)
        records = [record(i, f"bad{i % 7}" if i % 3 == 0 else f"u{i}") for i in range(1500)]
        spool = FakeSpool(records)
        async with post(spool, sink=sink, window=64, concurrency=8) as running:
            await running.until(lambda: len(sink.delivered) == 1000, within_seconds=4 * 3600)
            assert {item.uid[:3] for item, _, _ in running.dead_letters.kept} == {"bad"}
            assert all(detail.startswith("gave way") for _, _, detail in running.dead_letters.kept)
        fates = [event_id for event_id, _, _ in running.journal.fates]
        assert len(fates) == len(set(fates))

    simulate(scenario)


def test_nothing_gives_way_in_an_outage():
    """However full the window is, a collector that fails at everything makes nobody's record undeliverable."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN)
        spool = FakeSpool([record(i, f"u{i % 9}") for i in range(500)])
        async with post(spool, sink=sink, window=32, concurrency=8) as running:
            await running.until(lambda: now() >= 86_400)
            # Seven eighths of the window and, one for each probe, the scouts.
            assert (running.forwarder.held, running.dead_letters.kept) == (32, [])

    simulate(scenario)


def test_a_suspect_whose_answer_comes_in_an_outage_does_not_give_way():
    """A record that was refused often is still not given up by a refusal that came while the breaker was open."""

    async def scenario():
        outage = 600.0
        sink = FakeSink(
            lambda r, _: (30.0, Retry("status 500")) if r.uid == "bad" else DOWN if now() >= outage else OK
        )
        spool = FakeSpool([record(0, "bad")])
        async with post(spool, sink=sink, window=16, concurrency=4, give_way_after=3) as running:
            for number in range(1, 30):
                spool.add(record(number, "good"))
                await running.until(lambda end=number * 20: now() >= end)
            assert sink.attempts["e0"] > 3
            await running.until(lambda: sink.sent[-1][1].uid == "bad" and now() >= outage - 15)
            await running.until(lambda: now() >= outage)
            spool.add(*(record(number, f"u{number}") for number in range(100, 200)))
            await running.until(lambda: now() >= outage + 3600)
            assert running.dead_letters.kept == []

    simulate(scenario)


def test_suspects_do_not_delay_the_end_of_an_outage():
    """The first probe after an outage is made with a record that can succeed, however many suspects wait."""

    async def scenario():
        outage, end = 900.0, 1800.0
        sink = FakeSink(lambda r, _: DOWN if r.uid.startswith("bad") or outage <= now() < end else OK)
        spool = FakeSpool([record(number, f"bad{number}") for number in range(30)])
        async with post(spool, sink=sink, window=400, concurrency=8) as running:
            for number in range(100, 140):
                spool.add(record(number, f"u{number}"))
                await running.until(lambda until=(number - 99) * 20: now() >= until)
            spool.add(*(record(number, f"u{number}") for number in range(200, 230)))
            await running.until(lambda: now() >= outage)
            spool.add(*(record(number, f"u{number}") for number in range(300, 330)))
            await running.until(lambda: now() >= end)
            assert running.forwarder.state == "open"
            await running.until(lambda: spool.pending == 30, within_seconds=35)
            assert running.forwarder.state == "closed"

    simulate(scenario)


def test_what_waited_for_the_collector_goes_out_when_it_is_back():
    """When the breaker closes, records are not left to the long waits that they had collected in the outage."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN if now() < 600 else OK)
        spool = FakeSpool([record(i, f"u{i}") for i in range(40)])
        slow = RetryPolicy(base_seconds=50_000.0, cap_seconds=50_000.0)
        async with post(spool, sink=sink, concurrency=16, retry=slow) as running:
            await running.until(lambda: now() >= 600)
            assert len(running.journal.retries) >= 16
            await running.until_empty(within_seconds=40)

    simulate(scenario)


def test_a_time_that_the_collector_named_outlasts_the_outage():
    """When the breaker closes, a record whose answer named a time still waits for that time."""

    async def scenario():
        named = Retry("status 429", 500.0)
        sink = FakeSink(
            lambda r, attempt: (0.0, named) if (r.uid, attempt) == ("held", 1) else DOWN if now() < 60 else OK
        )
        spool = FakeSpool([record(0, "held"), *(record(i, f"u{i}") for i in range(1, 40))])
        async with post(spool, sink=sink) as running:
            await running.until(lambda: spool.pending == 1, within_seconds=200)
            await running.until_empty(within_seconds=1000)
        assert [fate for fate in running.journal.fates if fate[0] == "e0"] == [("e0", "delivered", 2)]
        assert sink.sent[-1][0] >= 500.0

    simulate(scenario)


def test_no_more_is_read_ahead_than_is_sent_soon():
    """While the collector takes events only a small part of a large window is filled, and no send waits for the spool."""

    async def scenario():
        sink = FakeSink(lambda *_: (1.0, Delivered(200, 1000.0)))
        spool = FakeSpool([record(i, f"u{i}") for i in range(4000)])
        async with post(spool, sink=sink, concurrency=20) as running:
            for second in range(1, 200):
                await running.until(lambda end=second: now() >= end)
                assert running.forwarder.held <= 20 + 4 * 20 + 256
            await running.until_empty(within_seconds=2)
        assert sink.most_at_once == 20

    simulate(scenario)


def test_one_users_long_backlog_is_delivered_whole():
    """A user whose backlog is many windows long is served record by record, none of it given up."""

    async def scenario():
        sink = FakeSink()
        spool = FakeSpool([record(i) for i in range(2000)] + [record(2000, "other")])
        async with post(spool, sink=sink, window=16) as running:
            await running.until_empty()
        assert [f"e{i}" for i in range(2000)] == [i for i in ids(sink.delivered) if i != "e2000"]

    simulate(scenario)


def test_a_sink_that_raises_is_a_failed_attempt():
    """A fault inside a sink is reported and the record is tried again."""

    async def scenario():
        class Faulty(FakeSink):
            refused = 0

            def post(self, record, done):
                if not self.refused:
                    self.refused += 1
                    raise ZeroDivisionError
                super().post(record, done)

        async with post(FakeSpool([record(1), record(2)]), sink=Faulty()) as running:
            await running.until_empty()
            assert running.journal.fates == [("e1", "delivered", 2), ("e2", "delivered", 1)]
            assert running.faults == ["a sink raised instead of reporting"]

    simulate(scenario)


def test_an_observer_that_raises_costs_no_event():
    """Faults of the observer are reported; every record is still settled once."""

    async def scenario():
        sink = FakeSink(lambda *_: DOWN if now() < 60 else OK)
        spool = FakeSpool([record(i, f"u{i % 5}") for i in range(50)])
        async with post(spool, sink=sink, concurrency=3) as running:

            def broken(*_):
                raise ZeroDivisionError

            for name in ("delivered", "retrying", "state"):
                setattr(running.journal, name, broken)
            await running.until_empty(within_seconds=3600)
            assert "a delivery observer raised" in running.faults
        assert len(sink.delivered) == 50

    simulate(scenario)


def test_a_spool_that_cannot_be_read_is_read_again_later():
    """Faults of the spool are reported and reading goes on when it works again."""

    async def scenario():
        spool = FakeSpool([record(1)])
        spool.read_faults = [OSError("io") for _ in range(6)]
        async with post(spool) as running:
            await running.until_empty()
            assert running.faults == ["a spool can't be read; trying again"] * 6

    simulate(scenario)


def test_stopping_lets_the_sends_under_way_finish():
    """Within the drain time what is under way is delivered and acknowledged, and nothing new begins."""

    async def scenario():
        sink = FakeSink(lambda *_: (2.0, Delivered(200, 1.0)))
        spool = FakeSpool([record(i, f"u{i}") for i in range(10)])
        async with post(spool, sink=sink, concurrency=3) as running:
            await running.until(lambda: len(sink.sent) == 3)
            await running.forwarder.stop(5.0)
            assert now() < 3.0
        assert (3, {1, 2, 3}) == (len(sink.sent), spool.acknowledged)

    simulate(scenario)


def test_stopping_cancels_what_takes_too_long_and_acknowledges_none_of_it():
    """A send that outlasts the drain time is cancelled; its record is still in the spool for the next start."""

    async def scenario():
        sink = FakeSink(lambda *_: (1000.0, Delivered(200, 1.0)))
        spool = FakeSpool([record(i, f"u{i}") for i in range(4)])
        async with post(spool, sink=sink, concurrency=2) as running:
            await running.until(lambda: len(sink.sent) == 2)
            begun = now()
            await running.forwarder.stop(5.0)
            assert now() - begun == pytest.approx(5.0)
        assert (set(), {}, []) == (spool.acknowledged, sink._under_way, running.journal.fates)

    simulate(scenario)


def test_what_was_not_settled_comes_again_at_the_next_start():
    """A second forwarder over the unacknowledged rest delivers it: at least once, in order."""

    async def scenario():
        records = [record(i, f"u{i % 3}") for i in range(30)]
        spool = FakeSpool(records)
        slow = FakeSink(lambda *_: (1.0, Delivered(200, 1.0)))
        async with post(spool, sink=slow, concurrency=2) as running:
            await running.until(lambda: len(slow.delivered) >= 7)
        rest = [item for index, item in enumerate(records, 1) if index not in spool.acknowledged]
        again = FakeSink()
        async with post(FakeSpool(rest), sink=again) as running:
            await running.until_empty()
        assert set(ids(records)) == set(ids(slow.delivered)) | set(ids(again.delivered))
        assert set(ids(rest)) == set(ids(again.delivered))

    simulate(scenario)


def test_retries_are_spread_by_chance():
    """A hundred records that failed in the same instant do not come back in the same instant."""

    async def scenario():
        sink = FakeSink(lambda _, attempt: (0.0, Retry("status 500")) if attempt == 1 else OK)
        spool = FakeSpool([record(i, f"u{i}") for i in range(15)])
        policy = RetryPolicy(base_seconds=10.0)
        async with post(spool, sink=sink, retry=policy) as running:
            await running.until_empty()
        delays = [delay for _, _, _, delay in running.journal.retries]
        assert (len(delays), len({round(delay, 3) for delay in delays})) == (15, 15)
        assert max(delays) - min(delays) > 3.0

    simulate(scenario)
