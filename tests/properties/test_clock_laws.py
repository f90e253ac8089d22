"""What holds for every clock, every zone and every moment."""

from __future__ import annotations

import functools
import importlib.resources
import zoneinfo
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.events.clock import Clock
from gateway.settings_visits import Clock as Policy
from gateway.time_zones import time_zones

BOUND_S = 300
AGE_DAYS = 30
NAMES = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
moments = st.datetimes(datetime(2005, 1, 1), datetime(2037, 12, 31)).map(  # noqa: DTZ001 -- UTC is put in below
    lambda naive: naive.replace(tzinfo=UTC, microsecond=0)
)
skews = st.timedeltas(timedelta(days=-400), timedelta(days=400)).map(
    lambda each: timedelta(seconds=int(each.total_seconds()))
)


class Event:
    """As much of a pending event as a clock looks at."""

    def __init__(self, et, sent_ms=0):
        self.fields = {"et": et}
        self.sent_ms = sent_ms
        self.remarks = {}
        self.tallies = []


@functools.cache
def clock():
    return Clock(Policy(), time_zones())


def said(et, zone, now, sent_ms=0):
    """Give the clock's block and the corrected time, as a moment."""
    extra, context = {}, {"timezone": zone} if zone else {}
    clock().add(Event(et, sent_ms), extra, context, milliseconds(now))
    corrected = extra.get("corrected_time")
    return context.get("clock", {}), datetime.fromisoformat(corrected) if corrected else None


def milliseconds(moment):
    return int(moment.timestamp()) * 1_000


def local(moment, zone):
    return moment.astimezone(zoneinfo.ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


@given(st.sampled_from(NAMES), moments, st.integers(0, AGE_DAYS * 86_400))
def test_a_clock_that_is_right_is_never_corrected(zone, now, age_s):
    """In every zone, through every change of its clocks, however late an event comes within the bound."""
    happened = now - timedelta(seconds=age_s)
    assert ({}, None) == said(local(happened, zone), zone, now)
    assert ({}, None) == said(local(happened, zone), zone, now, milliseconds(now))


@given(st.sampled_from(NAMES), moments, skews, st.integers(0, 86_400))
def test_a_clock_that_is_wrong_is_corrected_to_the_moment_when_it_happened(zone, now, skew, age_s):
    """By what it says of its sending; but for the hour that comes twice, exactly."""
    if abs(skew.total_seconds()) <= BOUND_S:
        return
    by_client = now + skew
    block, corrected = said(
        local(by_client - timedelta(seconds=age_s), zone), zone, now, milliseconds(by_client)
    )
    assert -int(skew.total_seconds()) == block["skew_seconds"]
    assert "mark" not in block
    off = abs(corrected - (now - timedelta(seconds=age_s)))
    # Where local time goes over the same hours again, it can't be told which of them was meant.
    twice = {timedelta(0)} | {
        abs(
            (by_client - timedelta(seconds=age_s) + timedelta(hours=hours))
            .astimezone(zoneinfo.ZoneInfo(zone))
            .utcoffset()
            - (by_client - timedelta(seconds=age_s)).astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
        )
        for hours in (-25, -3, -1, 1, 3, 25)
    }
    assert off in twice


@given(st.sampled_from(NAMES), moments, st.integers(0, AGE_DAYS * 86_400))
def test_without_a_zone_no_true_clock_is_ever_accused(zone, now, age_s):
    """Wherever its visitor is: only what no zone explains is said."""
    assert ({}, None) == said(local(now - timedelta(seconds=age_s), zone), "", now)


@given(st.text(max_size=60), st.text(max_size=80) | st.sampled_from(NAMES), st.integers())
def test_no_text_of_a_client_breaks_it(et, zone, sent_ms):
    """Whatever stands in `et` and in the time zone."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    _, corrected = said(et, zone, now, sent_ms if 10**12 <= sent_ms < 10**13 else 0)
    assert corrected is None or corrected <= now
