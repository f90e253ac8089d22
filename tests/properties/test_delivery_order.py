"""Laws of the forwarder under random failures, in simulated time.

The sink itself fails the test when two records of one user are under way together, the spool when one is acknowledged twice.
"""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.delivery.retry import Breaker
from tests.unit.delivery_fakes import FakeSink, FakeSpool, post, record, simulate
from tests.unit.test_delivery_awaited import Desk


class Weather:
    """A collector with moods: outages of any length, and a share of failures and refusals between them."""

    def __init__(self, seed: int, outages: list[tuple[int, int]], failing: float, refusing: float) -> None:
        self._dice = random.Random(seed)
        self._outages = outages
        self._failing = failing
        self._refusing = refusing

    def __call__(self, _record, _attempt):
        now = asyncio.get_running_loop().time()
        takes = self._dice.uniform(0.0, 3.0)
        if any(start <= now < start + length for start, length in self._outages):
            return takes, Retry("down")
        chance = self._dice.random()
        if chance < self._failing:
            return takes, Retry("status 503", self._dice.choice([None, None, 1.0, 90.0]))
        if chance < self._failing + self._refusing:
            return takes, Undeliverable(422, "status 422")
        return takes, Delivered(200, takes * 1000)


@settings(max_examples=60, deadline=None)
@given(
    users=st.lists(st.integers(0, 7), min_size=1, max_size=120),
    ages=st.sampled_from([0.0, 80_000.0, 86_399.0]),
    outages=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), max_size=3),
    failing=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    refusing=st.sampled_from([0.0, 0.05]),
    window=st.sampled_from([1, 2, 9, 64, 1000]),
    concurrency=st.sampled_from([1, 2, 16]),
    spools=st.integers(1, 3),
    sick_dead_letters=st.integers(0, 5),
    awaited=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_record_has_one_fate_in_its_users_order(
    users, ages, outages, failing, refusing, window, concurrency, spools, sick_dead_letters, awaited, seed
):
    """Whatever the collector does, each record is settled exactly once, and each user's in the order of the spool.

    Whether or not somebody waits for the answers; and who does is told exactly once.
    """

    async def scenario():
        records = [record(i, f"u{user}", age_seconds=ages) for i, user in enumerate(users)]
        desk = Desk(*(item.event_id for item in records)) if awaited else None
        parts = [FakeSpool(records[part::spools]) for part in range(spools)]
        sink = FakeSink(Weather(seed, outages, failing, refusing))
        async with post(
            *parts,
            sink=sink,
            window=window,
            concurrency=concurrency,
            max_age_seconds=86_400,
            breaker=Breaker(threshold=4),
            rng=random.Random(seed),
            answers=desk,
        ) as running:
            running.dead_letters.faults = [OSError("disk full")] * sick_dead_letters
            await running.until_empty(within_seconds=4 * 86_400)
            assert running.forwarder.held == 0
            assert running.faults == []
        fates = [event_id for event_id, _, _ in running.journal.fates]
        if desk is not None:
            assert sorted(desk.told) == sorted(fates)
            heard = {event_id for event_id, answer in desk.answers.items() if answer is not None}
            assert heard <= {event_id for event_id, _, attempts in running.journal.fates if attempts == 1}
        assert sorted(item.event_id for item in records) == sorted(fates)
        for part in range(spools):
            for user in set(users):
                mine = [item.event_id for item in records[part::spools] if item.uid == f"u{user}"]
                assert mine == [event_id for event_id in fates if event_id in set(mine)]
        kept = [item.event_id for item, _, _ in running.dead_letters.kept]
        delivered = [event_id for event_id, fate, _ in running.journal.fates if fate == "delivered"]
        assert sorted(kept) == sorted(set(fates) - set(delivered))
        assert delivered == [item.event_id for item in sink.delivered]

    simulate(scenario)


@settings(max_examples=40, deadline=None)
@given(
    users=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    stop_at=st.floats(0.0, 60.0),
    drain_seconds=st.sampled_from([0.0, 0.5, 10.0]),
    failing=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_stopping_at_any_moment_loses_nothing(users, stop_at, drain_seconds, failing, seed):
    """At whatever moment it is stopped, what was reported settled is acknowledged, and nothing else is."""

    async def scenario():
        records = [record(i, f"u{user}") for i, user in enumerate(users)]
        spool = FakeSpool(records)
        sink = FakeSink(Weather(seed, [], failing, 0.1))
        async with post(spool, sink=sink, concurrency=4, rng=random.Random(seed)) as running:
            await asyncio.sleep(stop_at)
            begun = asyncio.get_running_loop().time()
            await running.forwarder.stop(drain_seconds)
            assert asyncio.get_running_loop().time() - begun <= drain_seconds + 1e-6
        settled = {event_id for event_id, _, _ in running.journal.fates}
        assert settled == {records[position - 1].event_id for position in spool.acknowledged}
        assert settled <= {item.event_id for item in sink.delivered} | {
            item.event_id for item, _, _ in running.dead_letters.kept
        }

    simulate(scenario)


@settings(max_examples=60, deadline=None)
@given(
    users=st.lists(st.integers(0, 7), min_size=1, max_size=80),
    erasures=st.dictionaries(st.integers(0, 7), st.floats(0.0, 4000.0), max_size=6),
    ages=st.sampled_from([0.0, 5.0, 80_000.0]),
    outages=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), max_size=3),
    failing=st.sampled_from([0.0, 0.3, 0.9]),
    refusing=st.sampled_from([0.0, 0.3]),
    window=st.sampled_from([1, 2, 9, 64]),
    concurrency=st.sampled_from([1, 2, 16]),
    sick_dead_letters=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_nobody_gets_what_is_an_erased_users(
    users, erasures, ages, outages, failing, refusing, window, concurrency, sick_dead_letters, seed
):
    """From an erasure on nothing of the user is sent or buried, but for records of the last second; every record has one fate."""

    async def scenario():
        loop = asyncio.get_running_loop()
        erased_at = {f"u{user}": moment for user, moment in erasures.items()}
        buried: list[tuple[float, str]] = []

        def is_erased(_portal_id, uid):
            return loop.time() >= erased_at.get(uid, float("inf"))

        records = [record(i, f"u{user}", age_seconds=ages) for i, user in enumerate(users)]
        sink = FakeSink(Weather(seed, outages, failing, refusing))
        async with post(
            FakeSpool(records),
            sink=sink,
            window=window,
            concurrency=concurrency,
            max_age_seconds=86_400,
            breaker=Breaker(threshold=4),
            rng=random.Random(seed),
            is_erased=is_erased,
        ) as running:
            running.dead_letters.faults = [OSError("disk full")] * sick_dead_letters
            put = running.dead_letters.put

            async def noted(item, reason, detail):
                await put(item, reason, detail)
                buried.append((loop.time(), item.uid))

            running.dead_letters.put = noted
            await running.until_empty(within_seconds=4 * 86_400)
            assert (0, []) == (running.forwarder.held, running.faults)
        fates = {event_id: fate for event_id, fate, _ in running.journal.fates}
        assert sorted(item.event_id for item in records) == sorted(i for i, _, _ in running.journal.fates)
        assert {i for i, fate in fates.items() if fate == "delivered"} == {i.event_id for i in sink.delivered}
        assert {i for i, fate in fates.items() if fate in {"undeliverable", "expired"}} == {
            item.event_id for item, _, _ in running.dead_letters.kept
        }
        assert {item.uid for item in records if fates[item.event_id] == "erased"} <= set(erased_at)
        never = float("inf")
        assert [] == [
            item.event_id
            for moment, item in sink.sent
            if moment >= erased_at.get(item.uid, never) and ages + moment > 1.0
        ]
        assert [] == [uid for moment, uid in buried if moment >= erased_at.get(uid, never)]

    simulate(scenario)
