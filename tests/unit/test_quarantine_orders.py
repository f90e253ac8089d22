"""Release orders, over the quarantine in memory and the one on disk: what goes together, and what can't be lost."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.events.releases import Way
from gateway.quarantine.contract import Answer, Progress, QuarantineUnavailable, Refusal, Which
from gateway.quarantine.memory import MemoryQuarantine
from gateway.quarantine.sqlite import open_quarantine
from tests.unit.test_quarantine_store import entry, ids

NOW = 1_790_000_000_000


def opened(kind, folder, **options):
    return (
        MemoryQuarantine(**options)
        if kind == "memory"
        else open_quarantine(folder / "quarantine.db", **options)
    )


@pytest.fixture(params=["memory", "sqlite"])
async def quarantine(request, tmp_path):
    store = opened(request.param, tmp_path)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def small(request, tmp_path):
    store = opened(request.param, tmp_path, max_entries=3)
    yield store
    await store.close()


async def ordered(quarantine, *numbers, way=Way.POLICY) -> int:
    run = await quarantine.open_run(way, NOW)
    await quarantine.order(run, [f"0190-{number:04d}" for number in numbers])
    return run


async def test_orders_come_in_the_order_of_ordering_the_oldest_event_first(quarantine):
    """Each with its way, its run and its entry; at most as many as asked for."""
    assert [] == quarantine.orders(10)
    await quarantine.put([entry(number) for number in range(1, 6)])
    first = await ordered(quarantine, 4, 2, way=Way.NEW_UID)
    second = await ordered(quarantine, 1, way=Way.STRIP)

    found = quarantine.orders(10)

    assert [(first, Way.NEW_UID), (first, Way.NEW_UID), (second, Way.STRIP)] == [
        (each.run, each.way) for each in found
    ]
    assert [entry(2), entry(4), entry(1)] == [each.entry for each in found]
    assert [entry(2), entry(4)] == [each.entry for each in quarantine.orders(2)]
    assert quarantine.is_ordered("0190-0004")
    assert not quarantine.is_ordered("0190-0003")


async def test_of_an_event_there_is_one_order_at_most(quarantine):
    """Two commands at once: the second is told that there was nothing left to order, and changes nothing."""
    await quarantine.put([entry(1), entry(2)])
    first, second = await quarantine.open_run(Way.NEW_UID, NOW), await quarantine.open_run(Way.STRIP, NOW)

    counts = await asyncio.gather(
        quarantine.order(first, ["0190-0001"]), quarantine.order(second, ["0190-0001", "0190-0002"])
    )

    assert [1, 1] == counts
    assert [Way.NEW_UID, Way.STRIP] == [each.way for each in quarantine.orders(10)]
    assert 0 == await quarantine.order(second, ["0190-0001", "0190-0009"])
    assert Progress(1, 1, 0, {}) == quarantine.progress(first)


async def test_what_has_left_goes_with_its_order(quarantine):
    """And the run says how many went out."""
    await quarantine.put([entry(1), entry(2)])
    run = await ordered(quarantine, 1, 2)

    assert {"0190-0001"} == await quarantine.leave(["0190-0001", "0190-0009"])
    await quarantine.settle([Answer(run, "0190-0001")], NOW)

    assert ["0190-0002"] == ids(quarantine.list(limit=10))
    assert {"cid_conflict": 1} == quarantine.count()
    assert ["0190-0002"] == [each.entry.event_id for each in quarantine.orders(10)]
    assert Progress(2, 1, 1, {}) == quarantine.progress(run)


async def test_what_stays_says_why_and_can_be_ordered_again(quarantine):
    """The entry is as it was; the last answer stands beside it."""
    await quarantine.put([entry(1)])
    run = await ordered(quarantine, 1)

    await quarantine.settle([Answer(run, "0190-0001", "cid_conflict", "it is another customer's")], NOW)

    assert [entry(1)] == quarantine.list(limit=10)
    assert [] == quarantine.orders(10)
    assert Refusal("cid_conflict", "it is another customer's", NOW) == quarantine.refusal("0190-0001")
    assert Progress(1, 0, 0, {"cid_conflict": 1}) == quarantine.progress(run)
    again = await ordered(quarantine, 1)
    await quarantine.settle([Answer(again, "0190-0001", "uid_erased", "")], NOW + 1)
    assert Refusal("uid_erased", "", NOW + 1) == quarantine.refusal("0190-0001")
    assert None is quarantine.refusal("0190-0002")


async def test_an_event_that_comes_back_while_it_leaves_is_kept(quarantine):
    """The collector may refuse it before its entry was taken away: what is taken away then is what left, not what came back."""
    await quarantine.put([entry(1)])
    run = await ordered(quarantine, 1)
    await quarantine.leave(["0190-0001"])
    back = entry(1, reason="refused_by_collector", uid="901", held_ms=2_000, claimed=None)

    await quarantine.put([back])
    await quarantine.settle([Answer(run, "0190-0001")], NOW)

    assert [back] == quarantine.list(limit=10)
    assert {"refused_by_collector": 1} == quarantine.count()
    assert [] == quarantine.orders(10)
    await quarantine.put([entry(1, reason="too_old")])
    assert [back] == quarantine.list(limit=10)


async def test_what_stays_is_not_leaving_any_more(quarantine):
    """An order that a crash interrupted may be refused the second time; then putting the event again changes nothing, as ever."""
    await quarantine.put([entry(1)])
    run = await ordered(quarantine, 1)
    await quarantine.leave(["0190-0001"])
    await quarantine.settle([Answer(run, "0190-0001", "cid_conflict", "")], NOW)

    await quarantine.put([entry(1, reason="too_old")])

    assert [entry(1)] == quarantine.list(limit=10)


@pytest.mark.parametrize("how", ["discard", "erase"])
async def test_with_an_entry_go_its_order_and_its_last_answer(quarantine, how):
    """However it goes: nothing is left that could let the event out, or that says of it that it was there."""
    await quarantine.put([entry(1), entry(2, uid="901")])
    run = await ordered(quarantine, 1, 2)
    await quarantine.settle([Answer(run, "0190-0001", "cid_conflict", "why")], NOW)
    again = await ordered(quarantine, 1)

    if how == "discard":
        assert 1 == await quarantine.discard(["0190-0001", "0190-0009"])
    else:
        assert 1 == await quarantine.erase(None, [("33167", "900")])

    assert ["0190-0002"] == [each.entry.event_id for each in quarantine.orders(10)]
    assert set() == await quarantine.leave(["0190-0001"])
    assert None is quarantine.refusal("0190-0001")
    assert Progress(1, 0, 0, {}) == quarantine.progress(again)
    await quarantine.settle([Answer(again, "0190-0001", "cid_conflict", "too late")], NOW)
    assert None is quarantine.refusal("0190-0001")
    assert {"cid_conflict": 1} == quarantine.count()
    await quarantine.overwrite()


async def test_pages_of_the_oldest_go_on_behind_what_has_gone(quarantine):
    """A long walk over entries that are released and discarded meanwhile comes to its end, and misses none that stays."""
    await quarantine.put([entry(number, held_ms=1_000 + number // 3) for number in range(20)])
    seen, after = [], None
    while page := quarantine.page(limit=4, after=after):
        seen += ids(page)
        after = (page[-1].held_ms, page[-1].event_id)
        await quarantine.discard([page[-1].event_id])

    assert [f"0190-{number:04d}" for number in range(20)] == seen


async def test_a_full_quarantine_says_so_and_takes_what_it_has_already(small):
    """What one caller brings is kept as a whole or not at all; room that is made is used at once."""
    await small.put([entry(1), entry(2)])
    assert small.trouble is None
    with pytest.raises(QuarantineUnavailable, match="full: 3"):
        await small.put([entry(3), entry(4)])
    await small.put([entry(3)])
    assert "full: 3" in small.trouble.cause

    await small.put([entry(1), entry(3)])
    with pytest.raises(QuarantineUnavailable) as caught:
        await small.put([entry(1), entry(5)])
    assert "discard" in caught.value.hint
    await small.discard(["0190-0002"])
    await small.put([entry(5)])

    assert ["0190-0005", "0190-0003", "0190-0001"] == ids(small.list(limit=10))


async def test_callers_beyond_the_bound_are_refused_each_by_itself(small):
    """Of many that come together as many are kept as there is room for."""
    results = await asyncio.gather(
        *(small.put([entry(number)]) for number in range(10)), return_exceptions=True
    )

    assert 7 == sum(isinstance(each, QuarantineUnavailable) for each in results)
    assert {"cid_conflict": 3} == small.count()


async def test_a_selection_is_counted_by_reason(quarantine):
    """As the whole is."""
    await quarantine.put([entry(1), entry(2, reason="too_old"), entry(3, uid="901")])

    assert {"cid_conflict": 1, "too_old": 1} == quarantine.count(Which(uid="900"))
    assert {"cid_conflict": 2, "too_old": 1} == quarantine.count()


def test_a_selection_means_what_each_of_its_parts_says():
    """An entry is meant when it agrees with all that is given; the end of a time span does not belong to it."""
    held = entry(1, held_ms=1_000)
    assert Which(since_ms=1_000, until_ms=1_001).takes(held)
    assert not Which(until_ms=1_000).takes(held)
    assert not Which(prop_id="1").takes(msgspec.structs.replace(held))
