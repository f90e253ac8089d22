"""When a record that the collector keeps refusing is given up, so that its user's later records can go on.

One event may be such that the collector answers 500 to it, for ever: a *poisoned* one. It must not hold up its user for
`max_age_seconds`; nor may a collector in trouble be taken for a poisoned event. What always holds:

- a refusal counts against a record only when, since its refusal before, of the records that were tried for the first time more were taken
  than failed. First attempts are a fair sample of how the collector is: a record that fails comes again and again, and would be counted as often;
- a record is given up at `max_refusals` that count, and not before `max_refused_seconds` have passed since the first of them. Each record has
  a count of its own: what follows a poisoned one begins at nothing.

So nothing is given up in an outage, nor while a collector flaps or fails at most of what it gets; where it fails at a share of its
requests, by chance, a record would have to be unlucky so many times in a row. Where nobody else sends, nothing counts, and nothing is given up.
What can be mistaken for poison is a collector that fails for some users alone, all the time, for hours: their oldest events are among the dead
letters then, and can be released from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.delivery.lanes import Parcel


class Patience:
    """Counts, for one forwarder, what is held against its records. `taken` is how many were taken at their first attempt."""

    def __init__(self, *, max_refusals: int = 100, max_refused_seconds: float = 7_200.0) -> None:
        self._max_refusals = max_refusals
        self._max_refused_seconds = max_refused_seconds
        self._failed = 0
        self.taken = 0

    def is_over(self, parcel: Parcel, now: float) -> bool:
        """Take note of a refusal at `now`, in seconds, and tell whether it was one too many."""
        if parcel.attempts == 1:
            self._failed += 1
        elif self.taken - parcel.taken_seen > self._failed - parcel.failed_seen:
            if not parcel.held_against:
                parcel.refused_since = now
            parcel.held_against += 1
        parcel.taken_seen, parcel.failed_seen = self.taken, self._failed
        return (
            parcel.held_against >= self._max_refusals
            and now - parcel.refused_since >= self._max_refused_seconds
        )
