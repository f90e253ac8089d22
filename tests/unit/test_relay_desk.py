"""A reply waits for the collector's answer, and never longer than its budget; in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.events.model import Answer
from gateway.events.relay import Relayed
from gateway.web.relay import Desk
from tests.unit.delivery_fakes import record, simulate

BUDGET_MS = 300
ANSWER = Answer(200, body=b"{}")


class Waiting:
    """A desk in simulated time, and what its replies left with and when."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self.desk = Desk(BUDGET_MS, clock=loop.time)
        self.left: dict[str, tuple[float, object]] = {}

    def expect(self, name: str, started: float | None = None) -> None:
        self.desk.expect(name, self.now() if started is None else started)

    def wait(self, name: str, owner: object = None) -> None:
        self.desk.wait(name, lambda heard: self._leave(name, heard), owner)

    def hold(self, name: str, owner: object = None) -> None:
        self.expect(name)
        self.wait(name, owner)

    def _leave(self, name: str, heard: object) -> None:
        assert name not in self.left
        self.left[name] = (self.now(), heard)

    async def waste(self, count: int) -> None:
        """Let so many replies wait in vain, all together."""
        for number in range(count):
            self.hold(f"vain{number}")
        await asyncio.sleep(1)
        assert {self.left[f"vain{number}"][1] for number in range(count)} == {Relayed.BUDGET}


def desk_test(scenario):
    """Run a test's scenario, in which nobody waits in the end."""

    def test():
        async def whole():
            waiting = Waiting()
            await scenario(waiting)
            assert len(waiting.desk) == 0

        simulate(whole)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@desk_test
async def test_a_reply_leaves_with_the_answer(waiting):
    """As soon as it is there; and nobody wants it any more."""
    assert not waiting.desk.wants(record(1))
    waiting.hold("e1")
    assert waiting.desk.wants(record(1))
    await asyncio.sleep(0.1)
    waiting.desk.answered(record(1), 7, ANSWER)
    assert waiting.left == {"e1": (pytest.approx(0.1), ANSWER)}
    assert not waiting.desk.wants(record(1))
    waiting.desk.answered(record(1), 7, ANSWER)
    await asyncio.sleep(1)


@desk_test
async def test_a_reply_leaves_at_once_when_no_answer_will_come(waiting):
    """The forwarder said so."""
    waiting.hold("e1")
    waiting.desk.answered(record(1), 7, None)
    assert waiting.left["e1"] == (0.0, Relayed.FAILED)


@desk_test
async def test_the_budget_counts_from_the_arrival_of_the_request(waiting):
    """What it took to make the event durable comes out of it; where that took longer, nothing is waited for."""
    waiting.expect("quick")
    waiting.expect("slow")
    await asyncio.sleep(0.2)
    waiting.wait("quick")
    await asyncio.sleep(0.2)
    waiting.wait("slow")
    assert waiting.left["quick"] == (pytest.approx(0.3), Relayed.BUDGET)
    assert waiting.left["slow"] == (pytest.approx(0.4), Relayed.BUDGET)


@desk_test
async def test_an_answer_may_come_before_anybody_waits(waiting):
    """The forwarder reads what is durable before its append has been told so; the first word counts."""
    waiting.expect("e1")
    waiting.desk.answered(record(1), 7, ANSWER)
    waiting.desk.answered(record(1), 7, None)
    waiting.wait("e1")
    assert waiting.left["e1"] == (0.0, ANSWER)


@desk_test
async def test_what_was_not_kept_is_not_waited_for(waiting):
    """Its answer is wanted no more."""
    waiting.expect("e1")
    waiting.desk.withdraw("e1")
    waiting.desk.withdraw("e2")
    assert not waiting.desk.wants(record(1))


@desk_test
async def test_a_client_that_hangs_up_is_forgotten(waiting):
    """And only that one."""
    waiting.hold("e1", "client 1")
    waiting.hold("e2", "client 2")
    waiting.expect("e3")
    waiting.desk.hung_up("client 1")
    assert waiting.left == {"e1": (0.0, Relayed.GONE)}
    assert not waiting.desk.wants(record(1))
    waiting.desk.withdraw("e3")
    waiting.desk.hear("e2", ANSWER)


@desk_test
async def test_closing_lets_everybody_leave(waiting):
    """Also those whose event is not durable yet, as soon as it is, and all who come later."""
    waiting.hold("e1")
    waiting.expect("e2")
    waiting.desk.close()
    waiting.wait("e2")
    waiting.hold("e3")
    assert waiting.left == dict.fromkeys(("e1", "e2", "e3"), (0.0, Relayed.STOPPED))


@desk_test
async def test_after_many_budgets_in_vain_only_one_reply_waits_at_a_time(waiting):
    """So a collector that is too slow does not slow the site; one answer in time, and all wait again."""
    await waiting.waste(8)
    waiting.hold("probe")
    waiting.hold("other")
    assert waiting.left["other"] == (1.0, Relayed.SKIPPED)
    await asyncio.sleep(0.2)
    assert "probe" not in waiting.left
    await asyncio.sleep(0.2)
    waiting.hold("second probe")
    waiting.desk.hear("second probe", ANSWER)
    waiting.hold("a")
    waiting.hold("b")
    assert len(waiting.desk) == 2
    for name in ("a", "b"):
        waiting.desk.hear(name, ANSWER)


@desk_test
async def test_a_few_budgets_in_vain_change_nothing(waiting):
    """An answer in between starts the count anew."""
    await waiting.waste(7)
    waiting.hold("e1")
    waiting.desk.hear("e1", ANSWER)
    waiting.left.clear()
    await waiting.waste(7)
    waiting.hold("a")
    waiting.hold("b")
    assert len(waiting.desk) == 2
    waiting.desk.close()


@desk_test
async def test_two_of_one_id_are_both_answered(waiting):
    """Ids are unique; if ever they are not, nobody is left waiting."""
    waiting.hold("e1")
    said = []
    waiting.expect("e1")
    waiting.desk.wait("e1", said.append)
    assert said == [Relayed.SKIPPED]
    waiting.desk.hear("e1", ANSWER)
    assert waiting.left["e1"][1] == ANSWER
