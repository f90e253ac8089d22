"""The waits between attempts, and the circuit breaker, with time and chance as arguments."""

from __future__ import annotations

import random

import pytest

from gateway.delivery.retry import Breaker, RetryPolicy


class Chance(random.Random):
    """Chance that always gives the same part of the range."""

    def __init__(self, part: float) -> None:
        super().__init__(0)
        self._part = part

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._part


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (8, 60.0), (100_000, 60.0)])
def test_the_ceiling_doubles_until_its_cap(attempt, ceiling):
    """The longest wait doubles with each attempt and never passes the cap."""
    policy = RetryPolicy(base_seconds=0.5, cap_seconds=60.0)
    assert policy.delay(attempt, None, Chance(1.0)) == ceiling
    assert policy.delay(attempt, None, Chance(0.0)) == 0.0


@pytest.mark.parametrize(("asked", "granted"), [(None, 0.0), (-5.0, 0.0), (30.0, 30.0), (1e9, 600.0)])
def test_the_collectors_wish_is_granted_up_to_a_bound(asked, granted):
    """A wait asked for by the collector comes on top of the jitter, bounded."""
    assert RetryPolicy(longest_retry_after_seconds=600.0).delay(1, asked, Chance(0.0)) == granted


def opened(threshold: int = 3) -> Breaker:
    breaker = Breaker(threshold=threshold, pause=RetryPolicy(base_seconds=2.0, cap_seconds=8.0))
    for _ in range(threshold):
        breaker.failed(breaker.permit(0.0), 0.0, Chance(1.0))
    return breaker


def test_the_breaker_opens_at_its_threshold_of_failures_in_a_row():
    """Only failures in a row count: a success between them starts the count again."""
    breaker = Breaker(threshold=3)
    ticket = breaker.permit(0.0)
    opened_by = [breaker.failed(ticket, 0.0, Chance(1.0)) for _ in range(2)]
    breaker.succeeded(ticket)
    opened_by += [breaker.failed(ticket, 0.0, Chance(1.0)) for _ in range(3)]
    assert opened_by == [False, False, False, False, True]
    assert breaker.state == "open"


def test_an_open_breaker_gives_no_ticket_before_its_pause_is_over():
    """While the pause lasts nobody may send; after it one probe may."""
    breaker = opened()
    assert breaker.permit(1.99) is None
    assert breaker.permit(2.0) is not None
    assert breaker.state == "half_open"


def test_half_open_gives_one_ticket_alone():
    """A second asker gets nothing while the probe is under way."""
    breaker = opened()
    breaker.permit(2.0)
    assert [breaker.permit(2.0), breaker.permit(1e9)] == [None, None]


def test_a_good_probe_closes_the_breaker():
    """After the probe's success everybody may send."""
    breaker = opened()
    assert breaker.succeeded(breaker.permit(2.0))
    assert breaker.state == "closed"
    assert breaker.permit(2.0) is not None


def test_bad_probes_lengthen_the_pause_up_to_its_cap():
    """Each failed probe doubles the pause, up to the cap."""
    breaker = opened()
    pauses = []
    now = 0.0
    for _ in range(4):
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.failed(breaker.permit(now), now, Chance(1.0))
    assert pauses == [2.0, 4.0, 8.0, 8.0]


def test_the_pause_is_never_less_than_half_its_ceiling():
    """Chance spreads the probes of many gateways but cannot make the pause vanish."""
    breaker = Breaker(threshold=1, pause=RetryPolicy(base_seconds=2.0))
    breaker.failed(breaker.permit(0.0), 0.0, Chance(0.0))
    assert breaker.probe_at == 1.0


def test_a_pause_lasts_at_least_as_long_as_the_collector_asked():
    """Retry-After of the failure that opened the breaker lengthens the pause."""
    breaker = Breaker(threshold=1)
    breaker.failed(breaker.permit(0.0), 0.0, Chance(1.0), 45.0)
    assert breaker.probe_at == 45.0


def test_answers_that_were_under_way_when_the_breaker_opened_prove_nothing():
    """A report with a ticket of an earlier phase changes nothing, good or bad."""
    breaker = Breaker(threshold=1, pause=RetryPolicy(base_seconds=2.0))
    early = breaker.permit(0.0)
    breaker.failed(early, 0.0, Chance(1.0))
    assert not breaker.succeeded(early)
    assert not breaker.failed(early, 1.0, Chance(1.0))
    assert (breaker.state, breaker.probe_at) == ("open", 2.0)
    breaker.permit(2.0)
    assert not breaker.succeeded(early)
    assert breaker.state == "half_open"


def test_an_inconclusive_probe_is_repeated_without_a_longer_pause():
    """A probe that says nothing about the collector leaves the pause as it was."""
    breaker = opened()
    assert breaker.inconclusive(breaker.permit(2.0), 2.0, Chance(1.0))
    assert (breaker.state, breaker.probe_at) == ("open", 4.0)


def test_an_inconclusive_attempt_does_not_count_while_closed():
    """Attempts that say nothing about the collector never open the breaker."""
    breaker = Breaker(threshold=1)
    assert not breaker.inconclusive(breaker.permit(0.0), 0.0, Chance(1.0))
    assert breaker.state == "closed"
