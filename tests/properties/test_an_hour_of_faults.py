"""The forwarder and a collector that is unwell, an hour and longer, in simulated time.

Stated bounds, for `c` sends at once, pauses of the breaker of 15 to 30 s and waits of up to 30 s between attempts:

- *attempts*: an outage of an hour costs at most `5 c + 300` sends, however many records wait and whatever they have been through;
- *recovery*: when the collector is well again, sends begin within 60 s (or within the longest `Retry-After` that is granted, 600 s, where it
  named one), and go on at its full pace;
- *memory*: never more records are held than the window has places.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.patience import Patience
from gateway.delivery.retry import RetryPolicy
from tests.unit.delivery_fakes import FakeSpool, post, record, simulate
from tests.unit.delivery_weather import FITS, OUTAGES, Spell, Weather, WeatherSink

if TYPE_CHECKING:
    from gateway.events.model import Record

HOUR = 3600.0
CONCURRENCY = 16
WAITS = RetryPolicy(base_seconds=0.5, cap_seconds=30.0)
OUTAGE_TRIES = 5 * CONCURRENCY + 300
RESUMES_WITHIN = 60.0
LONGEST_RETRY_AFTER = 600.0
EVENTS = 200


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def until_moment(moment: float) -> None:
    """Let simulated time pass until a second of the simulation."""
    await asyncio.sleep(moment - loop_time())


@pytest.mark.parametrize(
    ("mood", "users"), [*((mood, 600) for mood in OUTAGES), ("errors", 3), ("hanging", 3)]
)
def test_a_full_outage_costs_few_attempts_and_ends_soon(mood, users):
    """For an hour nothing goes through: the collector is asked now and then, and gets everything soon after it is well again."""

    async def scenario():
        sink = WeatherSink(Weather(1, [Spell(0.0, HOUR, mood)]))
        spool = FakeSpool([record(i, f"u{i % users}") for i in range(600)])
        async with post(spool, sink=sink, concurrency=CONCURRENCY, retry=WAITS) as running:
            await until_moment(HOUR)
            assert sink.tries(0.0, HOUR) <= OUTAGE_TRIES
            assert spool.acknowledged == set()
            patience = LONGEST_RETRY_AFTER if mood == "storm_until" else 0.0
            await running.until(lambda: len(spool.acknowledged) > 0, within_seconds=patience + RESUMES_WITHIN)
            drain = 600 / min(users, CONCURRENCY) * 0.1
            await running.until_empty(within_seconds=patience + RESUMES_WITHIN + drain)
        assert {"delivered"} == {fate for _, fate, _ in running.journal.fates}

    simulate(scenario)


@pytest.mark.parametrize("before", ["most_fail", "flapping", "half_fails"])
def test_an_outage_after_a_bad_hour_costs_few_attempts_too(before):
    """Records that were refused again and again while others got through are no licence to hammer a collector that is down."""

    async def scenario():
        sink = WeatherSink(Weather(2, [Spell(0.0, HOUR, before), Spell(HOUR, 2 * HOUR, "errors")]))
        spool = FakeSpool([record(i, f"u{i % 700}") for i in range(1000)])
        async with post(spool, sink=sink, concurrency=CONCURRENCY, retry=WAITS) as running:
            for minute in range(60):
                spool.add(*(record(5000 + minute * 100 + i, f"v{minute}-{i}") for i in range(60)))
                await until_moment((minute + 1) * 60.0)
            spool.add(*(record(50_000 + i, f"w{i}") for i in range(3)))
            await until_moment(2 * HOUR)
            assert sink.tries(HOUR + 1.0, 2 * HOUR) <= OUTAGE_TRIES
            await running.until(lambda: spool.pending == 0, within_seconds=RESUMES_WITHIN + 60.0)

    simulate(scenario)


def test_a_hundred_poisoned_users_at_the_front_cost_a_few_probes():
    """They open the breaker, and the probes that follow ask others too: who comes behind them is served within minutes, not after them all."""

    async def scenario():
        poisoned = frozenset(f"bad{i}" for i in range(100))
        sink = WeatherSink(Weather(4, poisoned=poisoned))
        spool = FakeSpool(
            [*(record(i, f"bad{i}") for i in range(100)), *(record(1000 + i, f"u{i}") for i in range(100))]
        )
        async with post(spool, sink=sink, concurrency=CONCURRENCY, retry=WAITS) as running:
            await running.until(lambda: len(sink.delivered) == 100, within_seconds=300.0)

    simulate(scenario)


@pytest.mark.parametrize("mood", ["errors", "hanging"])
def test_poisoned_users_are_no_licence_to_hammer_a_collector_that_is_down(mood):
    """A hundred users whose records only ever fail, known as such, and then an outage: it is left alone like any other."""

    async def scenario():
        poisoned = frozenset(f"bad{i}" for i in range(100))
        sink = WeatherSink(Weather(3, [Spell(600.0, 600.0 + HOUR, mood)], poisoned))
        spool = FakeSpool([record(i, f"bad{i}") for i in range(100)])
        async with post(spool, sink=sink, concurrency=CONCURRENCY, retry=WAITS) as running:
            for number in range(120):
                spool.add(record(1000 + number, f"u{number}"))
                await until_moment(number * 5.0)
            await until_moment(600.0 + HOUR)
            assert sink.tries(610.0, 600.0 + HOUR) <= OUTAGE_TRIES
            spool.add(record(9000, "late"))
            await running.until(lambda: "e9000" in sink.first_arrivals, within_seconds=RESUMES_WITHIN)

    simulate(scenario)


def spells(dice: random.Random, moods: list[str]) -> list[Spell]:
    """Give an hour of moods, one after another, most with some quiet between."""
    cuts = sorted(dice.uniform(0.0, HOUR) for _ in range(2 * len(moods)))
    return [
        Spell(cuts[2 * i], cuts[2 * i + 1 + (dice.random() < 0.3 and i + 1 < len(moods))], mood)
        for i, mood in enumerate(moods)
    ]


@settings(max_examples=25, deadline=None)
@given(
    moods=st.lists(st.sampled_from(FITS), min_size=1, max_size=6),
    users=st.sampled_from([1, 5, 60]),
    poisoned=st.sampled_from([0, 0, 1, 3]),
    refused=st.sampled_from([0, 7]),
    window=st.sampled_from([1, 8, 64, 8192]),
    spools=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
def test_an_hour_of_any_faults_keeps_every_law(moods, users, poisoned, refused, window, spools, seed):
    """Whatever faults an hour brings: one fate each, order for each user, sums that add up at any moment, bounded memory, and an end."""

    async def scenario():
        dice = random.Random(seed)
        sick = frozenset(f"u{i}" for i in dice.sample(range(users), min(poisoned, users - 1)))
        bad = frozenset(f"e{dice.randrange(EVENTS)}" for _ in range(refused))
        sink = WeatherSink(Weather(seed, spells(dice, moods), sick, bad))
        parts = [FakeSpool() for _ in range(spools)]
        added: list[Record] = []
        async with post(
            *parts,
            sink=sink,
            concurrency=CONCURRENCY,
            window=window,
            retry=WAITS,
            patience=Patience(max_refusals=20, max_refused_seconds=900.0),
            max_age_seconds=24 * HOUR,
            rng=dice,
        ) as running:
            journal, forwarder = running.journal, running.forwarder

            def check_sums():
                fates = [fate for _, fate, _ in journal.fates]
                assert len(added) == len(fates) + sum(part.pending for part in parts)
                assert fates.count("delivered") + len(running.dead_letters.kept) <= len(added)
                assert len(fates) == sum(len(part.acknowledged) for part in parts)
                assert forwarder.held <= max(window, spools) + spools

            for number in range(EVENTS):
                user = dice.randrange(users)
                added.append(record(number, f"u{user}"))
                parts[user % spools].add(added[-1])
                await asyncio.sleep(dice.expovariate(EVENTS / HOUR))
                check_sums()
            await until_moment(HOUR)
            # The healthy ones: soon, unless poisoned ones fill a small window. Those: when others' first attempts show that the collector is
            # well, or at their age.
            healthy = {item.event_id for item in added if item.uid not in sick}
            rest = LONGEST_RETRY_AFTER + RESUMES_WITHIN + EVENTS * 0.1
            if window >= EVENTS:
                lacking = healthy - bad
                await running.until(
                    lambda: lacking <= {item.event_id for item in sink.delivered}, within_seconds=rest
                )
            await running.until_empty()
            check_sums()
            assert (0, []) == (forwarder.held, running.faults)
        fates = {event_id: fate for event_id, fate, _ in journal.fates}
        assert len(fates) == len(journal.fates) == len(added)
        if not sick or window >= EVENTS:
            assert healthy - bad <= {event_id for event_id, fate in fates.items() if fate == "delivered"}
        assert {each for each, fate in fates.items() if fate == "delivered"} <= set(sink.first_arrivals)
        assert {each for each, fate in fates.items() if fate != "delivered"} == {
            item.event_id for item, _, _ in running.dead_letters.kept
        }
        in_order: dict[str, list[str]] = defaultdict(list)
        for item in added:
            in_order[item.uid].append(item.event_id)
        settled, arrived = list(fates), sink.first_arrivals
        for mine in in_order.values():
            members = set(mine)
            assert mine == [each for each in settled if each in members]
            assert [each for each in mine if each in set(arrived)] == [
                each for each in arrived if each in members
            ]

    simulate(scenario)
