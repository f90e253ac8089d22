"""Client clocks: what is said of them, and what is not."""

from __future__ import annotations

import functools

import pytest

from gateway.events.clock import Clock, sent_ms
from gateway.settings_visits import Clock as Policy
from gateway.time_zones import time_zones

# 2026-11-30 12:00:00 UTC.
NOW_MS = 1_796_040_000_000
HOUR_MS = 3_600_000
HANOI = "Asia/Ho_Chi_Minh"


class Event:
    """As much of a pending event as a clock looks at."""

    def __init__(self, et, sent):
        self.fields = {"et": et}
        self.sent_ms = sent
        self.remarks = {}
        self.tallies = []


@functools.cache
def clock():
    return Clock(Policy(), time_zones())


def told(et, zone=None, sent=0, now_ms=NOW_MS):
    """Give what is said of an event: the clock's block, the corrected time, and the tallies."""
    pending, extra, context = Event(et, sent), {}, {}
    if zone is not None:
        context["timezone"] = zone
    clock().add(pending, extra, context, now_ms)
    return context.get("clock", {}), extra.get("corrected_time"), pending.tallies


@pytest.mark.parametrize(
    ("et", "zone"),
    [
        ("2026-11-30 19:00:00", HANOI),
        ("2026-11-30 19:00:00", "asia/ho_chi_minh"),
        ("2026-11-30 19:00:00", "+07:00"),
        ("2026-11-30 19:00:00", "GMT+7"),
        ("2026-11-30 07:00:00", "America/New_York"),
        ("2026-11-30T12:00:00Z", None),
        ("2026-11-30T19:00:00.123+07:00", "America/New_York"),
        ("2026-11-30 19:04:59", HANOI),
        ("2026-11-23 19:00:00", HANOI),
        ("", HANOI),
        ("yesterday", HANOI),
        ("0001-01-01", HANOI[:-1]),
    ],
)
def test_of_an_ordinary_event_nothing_is_said(et, zone):
    """Its clock is right, or it waited for a week, or it can't be read: nothing follows."""
    if et.startswith("0001"):
        # So old that no zone explains it.
        assert ({"mark": "too_old"}, None, [("clock", "too_old")]) == told(et, zone)
    else:
        assert ({}, None, []) == told(et, zone)


def test_a_time_from_the_future_proves_the_clock_wrong():
    """It is marked, and the moment of arrival stands beside it."""
    said = ({"mark": "future"}, "2026-11-30T12:00:00.000Z", [("clock", "future")])
    assert said == told("2026-11-30 19:06:00", HANOI)


def test_an_old_time_alone_may_be_a_late_event():
    """So nothing is corrected; what is older than may be is marked."""
    assert ({"mark": "too_old"}, None, [("clock", "too_old")]) == told("2026-10-30 19:00:00", HANOI)


def test_a_clock_that_says_when_it_sent_is_corrected():
    """Two hours ahead: an event of ten minutes before the sending happened ten minutes before its arrival."""
    sent = NOW_MS + 2 * HOUR_MS
    said = ({"skew_seconds": -7200}, "2026-11-30T11:50:00.000Z", [("clock", "skewed")])
    assert said == told("2026-11-30 20:50:00", HANOI, sent)


def test_an_event_that_waited_offline_is_late_and_not_skewed():
    """It was tracked a day ago and sent now, by a clock that is right."""
    assert ({}, None, []) == told("2026-11-29 19:00:00", HANOI, NOW_MS - 900)


def test_a_clock_years_behind_makes_no_event_too_old():
    """A phone that has lost its battery: the event happened five seconds before it was sent."""
    sent = NOW_MS - 6 * 365 * 86_400_000
    block, corrected, _ = told("2020-12-01 18:59:55", HANOI, sent)
    assert ({"skew_seconds": 189_216_000}, "2026-11-30T11:59:55.000Z") == (block, corrected)


@pytest.mark.parametrize(
    ("et", "mark"),
    [
        ("2026-12-01 02:00:00", None),
        ("2026-12-01 02:06:00", "future"),
        ("2026-10-31 00:00:00", None),
        ("2026-10-30 23:00:00", "too_old"),
        ("2026-11-30 03:00:00", None),
    ],
)
def test_without_a_zone_only_what_no_zone_explains_is_said(et, mark):
    """Fourteen hours ahead of UTC there are people, and twelve behind it ships."""
    assert mark == told(et)[0].get("mark")


def test_without_a_zone_the_skew_is_known_but_not_the_time():
    """Both ends of the skew are in UTC; the event's time is not."""
    assert ({"skew_seconds": -7200}, None) == told("2026-11-30 20:50:00", None, NOW_MS + 2 * HOUR_MS)[:2]


def test_the_hour_that_comes_twice_is_read_as_the_later_that_can_be():
    """On 25 October 2026 Berlin's clocks showed 02:30 twice: at 00:30 and at 01:30 UTC."""
    first = 1_792_888_200_000
    assert ({}, None, []) == told("2026-10-25 02:30:00", "Europe/Berlin", now_ms=first)
    assert ({}, None, []) == told("2026-10-25 02:30:00", "Europe/Berlin", now_ms=first + HOUR_MS)
    block, corrected, _ = told(
        "2026-10-25 02:30:00", "Europe/Berlin", first + 3 * HOUR_MS, first + 2 * HOUR_MS
    )
    assert ({"skew_seconds": -3600}, "2026-10-25T00:30:00.000Z") == (block, corrected)


@pytest.mark.parametrize("value", [None, "", "now", True, 1.5e12, -1, 0, 10**14, [], {}, "1796040000"])
def test_what_is_no_time_of_sending_is_none(value):
    """Nothing is concluded from it."""
    assert 0 == sent_ms(value)


def test_a_time_of_sending_may_be_text():
    """In a form everything is."""
    assert NOW_MS == sent_ms(str(NOW_MS)) == sent_ms(NOW_MS)


def test_what_the_client_says_is_kept():
    """Its own `clock` and `corrected_time` stay as they are."""
    pending, extra, context = Event("2027-01-01 00:00:00", 0), {"corrected_time": "own"}, {"clock": "own"}
    clock().add(pending, extra, context, NOW_MS)
    assert ("own", "own") == (extra["corrected_time"], context["clock"])
