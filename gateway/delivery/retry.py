"""When to try again: the wait after a failed attempt, and the circuit breaker.

Both are pure: time is an argument and chance is passed in, so an hour of outage is a few calls in a test.

A record waits by *exponential backoff with full jitter*: a random time up to a ceiling that doubles with each attempt, so
that a thousand records that failed together do not come back together (AWS Architecture Blog, "Exponential Backoff And
Jitter"). What the collector asks for in `Retry-After` comes on top, up to a bound: a broken clock there must not stop us.

The breaker is about the collector, not about one record::

    closed --threshold failures in a row--> open --pause is over--> half_open --the probe succeeds--> closed
                                             ^                          |
                                             +------ the probe fails ---+   (a longer pause)

Who wants to send asks for a ticket. While closed everybody gets one; half open, one ticket alone is given: the probe. A
report with a ticket of an earlier phase is ignored: an answer that was under way when the breaker opened proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from random import Random

    from gateway.delivery.contract import BreakerState

_MOST_DOUBLINGS = 60


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a record waits between its attempts, in seconds."""

    base_seconds: float = 0.5
    cap_seconds: float = 60.0
    longest_retry_after_seconds: float = 600.0

    def ceiling(self, attempt: int) -> float:
        """Give the longest wait, in seconds, after the `attempt`-th failure in a row (from 1)."""
        return min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))

    def delay(self, attempt: int, after_seconds: float | None, rng: Random) -> float:
        """Give the wait in seconds after the `attempt`-th failure (from 1); `after_seconds` is what the collector asked."""
        jitter = rng.uniform(0.0, self.ceiling(attempt))
        return jitter + self.bounded(after_seconds)

    def bounded(self, after_seconds: float | None) -> float:
        """Give the part of the collector's wish that is granted, in seconds."""
        return min(max(after_seconds or 0.0, 0.0), self.longest_retry_after_seconds)


class Breaker:
    """The circuit breaker: keeps a collector that is down from being hammered.

    `threshold` is how many failures in a row open it, `pause` gives the pauses before each probe (half of it is fixed, half
    is chance, so that many gateways do not probe together).
    """

    def __init__(self, *, threshold: int = 16, pause: RetryPolicy | None = None) -> None:
        self._threshold = threshold
        self._pause = pause or RetryPolicy(base_seconds=1.0, cap_seconds=30.0)
        self._phase = 1
        self._failures = 0
        self._pauses = 0
        self.state: BreakerState = "closed"
        self.probe_at = 0.0

    def permit(self, now: float) -> int | None:
        """Give a ticket for one send, or `None` while the collector is to be left alone; `now` in seconds."""
        if self.state == "closed":
            return self._phase
        if self.state == "half_open" or now < self.probe_at:
            return None
        self._phase += 1
        self.state = "half_open"
        return self._phase

    def succeeded(self, ticket: int) -> bool:
        """Report that the collector answered; gives whether this closed the breaker."""
        if ticket != self._phase:
            return False
        self._failures = 0
        if self.state == "closed":
            return False
        self._phase += 1
        self._pauses = 0
        self.state = "closed"
        return True

    def failed(self, ticket: int, now: float, rng: Random, after_seconds: float | None = None) -> bool:
        """Report that the collector failed; gives whether this opened the breaker (again).

        `after_seconds` is what the collector asked for: the pause is at least that, up to the policy's bound.
        """
        if ticket != self._phase:
            return False
        self._failures += 1
        if self.state == "closed" and self._failures < self._threshold:
            return False
        self._pauses += 1
        self._open(now, rng, after_seconds)
        return True

    def inconclusive(self, ticket: int, now: float, rng: Random) -> bool:
        """Report an attempt that says nothing about the collector; a probe is due again after a pause that did not grow.

        Gives whether the breaker went from half open to open.
        """
        if ticket != self._phase or self.state == "closed":
            return False
        self._open(now, rng, None)
        return True

    def _open(self, now: float, rng: Random, after_seconds: float | None) -> None:
        ceiling = self._pause.ceiling(max(self._pauses, 1))
        pause = ceiling / 2 + rng.uniform(0.0, ceiling / 2)
        self._phase += 1
        self.state = "open"
        self.probe_at = now + max(pause, self._pause.bounded(after_seconds))
