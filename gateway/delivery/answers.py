"""What a collector's answer means for the record that was sent: pure, and the one place that decides it.

==============================  =============  =========================================================================
answer                          verdict        why
==============================  =============  =========================================================================
2xx                             Delivered
408, 425, 429, 5xx              Retry          RFC 9110, RFC 8470 and RFC 6585: not now, later perhaps
3xx                             Retry          the collector's address is wrong, not the event: it waits for the repair
any other 4xx                   Undeliverable  this very event is refused
no or a broken answer, timeout  Retry          it may have arrived; the `request_id` in its query lets the CDP tell
==============================  =============  =========================================================================

A redirect is never followed: it would carry a visitor's event to a host that nobody configured.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.contract import Delivered, Retry, Undeliverable, Verdict
from gateway.events.relay import NOT_NOW

if TYPE_CHECKING:
    from gateway.events.model import Answer

_SAYS_WHEN = frozenset({429, 503})
_MOST_SECONDS = 10**9


class Fault(msgspec.Struct, frozen=True):
    """No usable answer came, and why.

    `is_stale`: the server had closed a kept connection before a byte of an answer: it most likely never saw the request.
    """

    cause: str
    is_stale: bool = False


def judge(answer: Answer, duration_ms: float, now: float) -> Verdict:
    """Give the verdict on an answer; `now` is Unix time in seconds, for a `Retry-After` that is a date."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered(status, duration_ms)
    if status in NOT_NOW or status >= 500:
        wait = retry_after_seconds(answer.retry_after, now) if status in _SAYS_WHEN else None
        return Retry(f"status {status}", wait)
    if status < 400:
        return Retry(
            f"status {status}: a redirect, which is not followed; set the collector's url to its target"
        )
    return Undeliverable(status, f"status {status}")


def retry_after_seconds(value: str, now: float) -> float | None:
    """Give the seconds that a `Retry-After` header asks to wait, or `None` when it says nothing readable.

    Reads seconds and HTTP dates (RFC 9110, section 10.2.3); a date that has passed is no wait.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), _MOST_SECONDS))
    try:
        moment = parsedate_to_datetime(text)
        return min(max(moment.timestamp() - now, 0.0), float(_MOST_SECONDS))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
