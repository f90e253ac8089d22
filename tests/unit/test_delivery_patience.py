"""What a poisoned event costs its user, and what must not be taken for one: in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.patience import Patience
from gateway.delivery.retry import RetryPolicy
from gateway.events.outcome import Reason
from tests.unit.delivery_fakes import FakeSpool, post, record, simulate
from tests.unit.delivery_weather import Spell, Weather, WeatherSink

HOUR = 3600.0
WAITS = RetryPolicy(base_seconds=0.5, cap_seconds=30.0)
PATIENCE = {"max_refusals": 100, "max_refused_seconds": 2 * HOUR}


def now() -> float:
    return asyncio.get_running_loop().time()


async def shop_is_open(spool, hours, a_minute=6):
    """Let visitors of their own send so many events a minute, for so many hours."""
    end = now() + hours * HOUR
    while now() < end:
        number = 1000 * int(now() + 1000.0)
        spool.add(*(record(number + i, f"v{number + i}") for i in range(a_minute)))
        await asyncio.sleep(60.0)


def test_a_poisoned_event_is_given_up_and_its_users_later_ones_go_on():
    """It is tried at least so often and so long as is set; then it is with the dead letters, and its followers are delivered in order."""

    async def scenario():
        sink = WeatherSink(Weather(1, poisoned=frozenset({"e0"})))
        spool = FakeSpool([record(i, "u") for i in range(5)])
        async with post(spool, sink=sink, retry=WAITS, patience=Patience(**PATIENCE)) as running:
            await shop_is_open(spool, 2.0)
            assert [] == running.dead_letters.kept
            await shop_is_open(spool, 0.2)
            ((kept, reason, detail),) = running.dead_letters.kept
            assert ("e0", Reason.REFUSED_BY_COLLECTOR) == (kept.event_id, reason)
            assert f"given up, others were taken, after {sink.attempts['e0']} attempts: status 500" == detail
            assert ["e1", "e2", "e3", "e4"] == [item.event_id for item in sink.delivered if item.uid == "u"]
            assert ("e0", "undeliverable", sink.attempts["e0"]) in running.journal.fates
        assert sink.attempts["e0"] >= 100

    simulate(scenario)


def test_what_follows_a_poisoned_event_has_a_patience_of_its_own():
    """The second poisoned event of a user is tried as long as the first: nothing is given up for what another was refused."""

    async def scenario():
        sink = WeatherSink(Weather(1, poisoned=frozenset({"u"})))
        spool = FakeSpool([record(0, "u"), record(1, "u")])
        async with post(spool, sink=sink, retry=WAITS, patience=Patience(**PATIENCE)) as running:
            await shop_is_open(spool, 4.0)
            assert ["e0"] == [item.event_id for item, _, _ in running.dead_letters.kept]
            await shop_is_open(spool, 0.5)
            assert ["e0", "e1"] == [item.event_id for item, _, _ in running.dead_letters.kept]
            assert sink.attempts["e1"] > 100

    simulate(scenario)


@pytest.mark.parametrize("mood", ["a_tenth_fails", "half_fails", "most_fail", "flapping", "errors"])
def test_a_long_trouble_of_the_collector_buries_nothing(mood):
    """Eight hours of chance failures, flapping or outage: every event is delivered in the end, none is given up."""

    async def scenario():
        sink = WeatherSink(Weather(5, [Spell(0.0, 8 * HOUR, mood)]))
        spool = FakeSpool([record(i, f"u{i % 50}") for i in range(200)])
        # Far less than the defaults: so the proof that the collector is well has to carry it.
        patience = Patience(max_refusals=12, max_refused_seconds=60.0)
        async with post(spool, sink=sink, concurrency=8, retry=WAITS, patience=patience) as running:
            await shop_is_open(spool, 8.0, a_minute=1)
            await running.until_empty(within_seconds=2 * HOUR)
            assert [] == running.dead_letters.kept

    simulate(scenario)


def test_where_nobody_else_sends_nothing_is_held_against_an_event():
    """Without others' events there is no proof that the collector is well, so a refused event is tried until it is too old."""

    async def scenario():
        sink = WeatherSink(Weather(6, poisoned=frozenset({"u"})))
        async with post(
            FakeSpool([record(0, "u")]),
            sink=sink,
            retry=WAITS,
            patience=Patience(**PATIENCE),
            max_age_seconds=24 * HOUR,
        ) as running:
            await running.until_empty()
        assert [("e0", "expired", sink.attempts["e0"])] == running.journal.fates
        assert sink.attempts["e0"] > 1000

    simulate(scenario)


@pytest.mark.parametrize("mood", ["half_fails", "most_fail"])
def test_nobody_gives_way_to_others_while_the_collector_fails_at_much_of_everything(mood):
    """A window full of records in retry is no proof against them: what the collector fails at by chance is tried again."""

    async def scenario():
        sink = WeatherSink(Weather(9, [Spell(0.0, 2 * HOUR, mood)]))
        spool = FakeSpool()
        async with post(spool, sink=sink, concurrency=16, window=64, retry=WAITS) as running:
            for minute in range(1, 121):
                spool.add(*(record(1000 * minute + i, f"u{i}") for i in range(250)))
                await asyncio.sleep(60.0)
            assert [] == running.dead_letters.kept

    simulate(scenario)
