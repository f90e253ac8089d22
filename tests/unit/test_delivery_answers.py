"""What each answer of a collector means for the record."""

from __future__ import annotations

import pytest

from gateway.delivery.answers import judge, retry_after_seconds
from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.events.model import Answer


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status):
    """Every success status is a delivery."""
    assert judge(Answer(status), 12.5, 0.0) == Delivered(status, 12.5)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 504, 599])
def test_not_now_is_retried_without_a_time(status):
    """Statuses that mean "not now" are retried; a Retry-After counts for 429 and 503 alone."""
    assert judge(Answer(status, "30"), 1.0, 0.0) == Retry(f"status {status}", None)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_passed_on(status):
    """429 and 503 say when to come back."""
    assert judge(Answer(status, "30"), 1.0, 0.0) == Retry(f"status {status}", 30.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 451])
def test_any_other_4xx_is_undeliverable(status):
    """The collector refuses this very event."""
    assert judge(Answer(status), 1.0, 0.0) == Undeliverable(status, f"status {status}")


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
def test_a_redirect_waits_for_the_repair_of_the_url(status):
    """A redirect is a fault of the configuration, so no event is given up for it."""
    verdict = judge(Answer(status), 1.0, 0.0)
    assert isinstance(verdict, Retry)
    assert "set the collector's url" in verdict.cause


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 1e9),
        ("Tue, 15 Nov 1994 08:12:31 GMT", 60.0),
        ("Tuesday, 15-Nov-94 08:12:31 GMT", 60.0),
        ("Tue, 15 Nov 1994 08:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Tue, 99 Nov 1994 08:12:31 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value, seconds):
    """Seconds and HTTP dates are read; what is neither says nothing."""
    now = 784_887_151.0 - 60.0  # one minute before Tue, 15 Nov 1994 08:12:31 GMT
    assert retry_after_seconds(value, now) == seconds
