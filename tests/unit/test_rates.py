"""Buckets in a time of their own: who stays within the bound is never refused, and nobody else for longer than it takes to fill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.limiting import Limiter
from gateway.events.outcome import FATES, Reason
from gateway.events.pipeline import Pipeline
from gateway.events.rates import Buckets, Rates
from gateway.settings_web import Limits
from tests.builders import QUERY, STAMP, decide, event, get, make_settings, post

T0 = 1_790_000_000_000


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 3)), max_size=200),
)
def test_a_bucket_lets_through_what_a_bucket_of_water_would(rate, burst, steps):
    """It is full at first, each event takes one out, and it fills at its rate."""
    buckets, level, now, before = Buckets(rate, burst), {}, T0, {}
    for wait_ms, key in steps:
        now += wait_ms
        filled = min(burst, level.get(key, burst) + (now - before.get(key, now)) * rate / 1000)
        level[key], before[key] = filled, now
        wait = buckets.take(str(key), now)
        if abs(filled - 1) > 1e-6:
            assert (wait == 0) == (filled >= 1)
        if wait == 0:
            level[key] -= 1
        else:
            assert 0 < wait <= 1 / rate + 1e-6


def test_whoever_waits_as_long_as_told_is_let_in():
    """What `take` gives are seconds."""
    buckets = Buckets(2.0, 3)
    assert [0, 0, 0, 0.5] == [buckets.take("a", T0) for _ in range(4)]
    assert 0.5 == buckets.take("a", T0)
    assert 0 == buckets.take("a", T0 + 500)
    assert 0 == buckets.take("b", T0)


def test_a_debt_ends():
    """A batch may take more than there is; its key waits, but not for ever, and not longer when a clock is set back."""
    buckets = Buckets(10.0, 10)
    buckets.take("a", T0)
    buckets.charge("a", T0, 1_000_000)
    assert 0 < buckets.take("a", T0) <= 2.0
    assert 0 == buckets.take("a", T0 + 2_100)
    other = Buckets(10.0, 10)
    for _ in range(10):
        other.take("a", T0 + 3_600_000)
    assert 0 < other.take("a", T0) <= 2.0


def test_a_flood_of_keys_costs_bounded_memory_and_nobody_elses_events():
    """A million addresses: what is kept stays bounded, and who sends now and then is never refused."""
    buckets = Buckets(1.0, 5, most_keys=1_000)
    for number in range(100_000):
        assert 0 == buckets.take(f"flood-{number}", T0 + number)
        if number % 5_000 == 0:
            assert 0 == buckets.take("somebody", T0 + number)
        assert 2_001 >= len(buckets)


def test_without_a_rate_nothing_is_kept():
    """0 is no bound."""
    buckets = Buckets(0, 1)
    assert [0.0] * 3 == [buckets.take("a", T0) for _ in range(3)]
    assert 0 == len(buckets)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("2001:DB8:1:3::1", "2001:db8:1:3::/64"),
        ("10.1.2.3", ""),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:192.168.0.1", ""),
        ("198.51.100.4", ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_what_an_address_is_counted_as(address, client):
    """IPv6 by what one household has; ours, and those of trusted proxies, not at all."""
    assert client == Rates(Limits(), ["198.51.100.0/24"]).client_of(address)


def limiter(**limits):
    settings = make_settings(
        limits={"address_events_per_second": 1, "address_burst": 2, **limits},
        server={"trusted_proxies": ["10.0.0.0/8"]},
    )
    return Limiter(settings, Pipeline(settings).client_address)


def test_the_visitor_behind_a_trusted_proxy_is_bounded_not_the_proxy():
    """Each by the address that the proxy names; what a stranger writes into the header changes nothing."""
    mine = limiter()
    for number in range(5):
        request = post(event(), peer="10.0.0.1", forwarded_for=f"203.0.113.{number}")
        assert [None, None] == [mine.of_request(request, T0) for _ in range(2)]
        assert Reason.RATE_LIMITED == mine.of_request(request, T0).reason
    stranger = [post(event(), peer="198.51.100.1", forwarded_for=f"192.0.2.{number}") for number in range(3)]
    assert [True, True, False] == [mine.of_request(each, T0) is None for each in stranger]


def test_an_event_of_a_uid_that_sends_in_a_loop_has_its_own_outcome():
    """429 when it stands alone; in an array the others are kept."""
    pipeline = Pipeline(make_settings(limits={"uid_events_per_second": 1, "uid_burst": 2}))
    for expected in (Reason.OK, Reason.OK, Reason.RATE_LIMITED):
        _, decision = decide(post(event(uid="111111111")), pipeline=pipeline)
        assert [expected] == [each.reason for each in decision.verdicts]
    assert 429 == decision.reply.status == FATES[Reason.RATE_LIMITED].status
    assert ("Retry-After", "5") in decision.reply.headers
    _, decision = decide(post([event(uid="111111111"), event(uid="222222222")]), pipeline=pipeline)
    assert [Reason.RATE_LIMITED, Reason.OK] == [each.reason for each in decision.verdicts]
    assert 200 == decision.reply.status
    _, decision = decide(
        get(QUERY + "&uid=111111111&ec=a&ea=b&resp_type=pixel".replace("&resp_type=json", "")),
        pipeline=pipeline,
    )
    assert 429 == decision.reply.status
    assert STAMP.now_ms


def test_an_array_of_one_uid_is_taken_whole_or_not_at_all():
    """An app's offline queue of an hour: many a client looks at the status alone, and would forget what was left out of a 200."""
    pipeline = Pipeline(make_settings(limits={"uid_events_per_second": 1, "uid_burst": 2}))
    queue = [event(uid="111111111") for _ in range(5)]
    _, decision = decide(post(queue), pipeline=pipeline)
    assert [Reason.OK] * 5 == [each.reason for each in decision.verdicts]
    _, decision = decide(post(queue), pipeline=pipeline)
    assert [Reason.RATE_LIMITED] * 5 == [each.reason for each in decision.verdicts]
    assert 429 == decision.reply.status


def test_an_array_of_which_something_may_come_again_says_so_in_its_status():
    """Also when an event before it is one that never can be taken."""
    pipeline = Pipeline(make_settings(limits={"uid_events_per_second": 1, "uid_burst": 1}))
    decide(post(event(uid="111111111")), pipeline=pipeline)
    _, decision = decide(post([{"ec": "a"}, event(uid="111111111")]), pipeline=pipeline)
    assert [Reason.BAD_FIELD, Reason.RATE_LIMITED] == [each.reason for each in decision.verdicts]
    assert 429 == decision.reply.status
    assert ("Retry-After", "5") in decision.reply.headers
