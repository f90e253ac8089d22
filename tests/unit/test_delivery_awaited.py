"""Whoever waits for the collector's answer hears it, or hears at once that it will not come; in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.delivery.retry import Breaker
from gateway.events.model import Answer
from tests.unit.delivery_fakes import FakeSink, FakeSpool, post, record, simulate


class Desk:
    """A desk at which everybody waits for these records' answers; notes what it is told and when."""

    def __init__(self, *awaited: str) -> None:
        self._awaited = set(awaited)
        self.told: dict[str, tuple[float, int, Answer | None]] = {}

    def wants(self, record):
        return record.event_id in self._awaited

    def answered(self, record, position, answer):
        self._awaited.discard(record.event_id)
        assert record.event_id not in self.told
        self.told[record.event_id] = (asyncio.get_running_loop().time(), position, answer)

    @property
    def answers(self):
        """What it was told, without when and where."""
        return {event_id: answer for event_id, (_, _, answer) in self.told.items()}


def test_the_answer_goes_to_the_desk_with_the_place_of_its_record():
    """Only where it is awaited; and the record is acknowledged as ever."""

    async def scenario():
        spool, desk = FakeSpool([record(1, "a"), record(2, "b")], first=7), Desk("e2")
        async with post(spool, answers=desk) as office:
            await office.until_empty()
        assert desk.answers == {"e2": Answer(200, body=b"e2")}
        assert desk.told["e2"][1] == 8

    simulate(scenario)


def test_a_refusal_is_an_answer_too():
    """What it means for the page is not the forwarder's business."""

    async def scenario():
        desk = Desk("e1")
        sink = FakeSink(lambda *_: (0.01, Undeliverable(403, "status 403")))
        async with post(FakeSpool([record(1)]), sink=sink, answers=desk) as office:
            await office.until_empty()
        assert desk.answers == {"e1": Answer(403, body=b"e1")}

    simulate(scenario)


def test_a_failed_attempt_is_told_at_once_and_the_record_is_delivered_later():
    """Also to those who wait behind it in the same user's lane, before and after it failed."""

    async def scenario():
        desk = Desk("e1", "e2", "e3")
        spool = FakeSpool([record(1), record(2)])
        sink = FakeSink(lambda _, attempt: (0.1, Retry("down") if attempt == 1 else Delivered(200, 1.0)))
        async with post(spool, sink=sink, answers=desk, breaker=Breaker(threshold=100)) as office:
            await office.until(lambda: len(desk.told) == 2)
            assert desk.told["e1"][0] == desk.told["e2"][0] == pytest.approx(0.1)
            spool.add(record(3))
            before = asyncio.get_running_loop().time()
            await office.until(lambda: "e3" in desk.told)
            assert desk.told["e3"][0] == pytest.approx(before)
            await office.until_empty()
        assert desk.answers == {"e1": None, "e2": None, "e3": None}
        assert [each.event_id for each in sink.delivered] == ["e1", "e2", "e3"]

    simulate(scenario)


def test_nobody_waits_while_the_breaker_is_open():
    """Those who were ready to go when it opened hear of it then, later ones as their record is read."""

    async def scenario():
        desk = Desk("e1", "e2", "e3")
        spool = FakeSpool([record(1, "a"), record(2, "b")])
        sink = FakeSink(lambda *_: (0.1, Retry("down")))
        options = {"concurrency": 1, "breaker": Breaker(threshold=1)}
        async with post(spool, sink=sink, answers=desk, **options) as office:
            await office.until(lambda: office.journal.phases == ["open"])
            assert desk.told["e2"][0] == pytest.approx(0.1)
            spool.add(record(3, "c"))
            before = asyncio.get_running_loop().time()
            await office.until(lambda: "e3" in desk.told)
            assert desk.told["e3"][0] == pytest.approx(before)
        assert desk.answers == {"e1": None, "e2": None, "e3": None}

    simulate(scenario)


def test_what_is_not_sent_is_not_waited_for():
    """A record that is too old, and one of an erased UID."""

    async def scenario():
        desk = Desk("e1", "e2")
        spool = FakeSpool([record(1, "a", age_seconds=100), record(2, "b", age_seconds=5)])
        async with post(spool, answers=desk, max_age_seconds=50) as office:
            office.forgotten.add(("1", "b"))
            await office.until_empty()
        assert desk.answers == {"e1": None, "e2": None}
        assert sorted(fate for _, fate, _ in office.journal.fates) == ["erased", "expired"]

    simulate(scenario)


@pytest.mark.parametrize("broken", ["wants", "answered"])
def test_a_desk_that_raises_holds_nothing_up(broken):
    """The record is delivered and acknowledged, and the fault is reported."""

    async def scenario():
        desk = Desk("e1")

        def fail(*_):
            raise RuntimeError

        setattr(desk, broken, fail)
        async with post(FakeSpool([record(1)]), answers=desk) as office:
            await office.until_empty()
            assert office.faults == ["an answer desk raised"]
        assert office.journal.fates == [("e1", "delivered", 1)]

    simulate(scenario)


def test_who_waits_behind_many_of_her_own_events_hears_at_once_that_no_answer_comes():
    """What is parked behind a long line of the same user would be too late in any case; it is delivered all the same."""

    async def scenario():
        names = [f"e{number}" for number in range(40)]
        desk = Desk(*names)
        spool = FakeSpool([record(number) for number in range(40)])
        async with post(spool, answers=desk) as office:
            await office.until_empty()
        unanswered = [event_id for event_id in names if desk.answers[event_id] is None]
        assert names[-len(unanswered) :] == unanswered
        assert 10 < len(unanswered) < 30
        assert {0.0} == {desk.told[event_id][0] for event_id in unanswered}

    simulate(scenario)
