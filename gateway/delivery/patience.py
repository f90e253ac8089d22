"""When a record that the collector keeps refusing is given up, so that its user's later records can go on.

One event may be such that the collector answers 500 to it, for ever: a *poisoned* one. It must not hold up its user for
`max_age_seconds`; nor may a collector in trouble be taken for a poisoned event. What always holds:

- whether the collector was well is told by a fair sample: the first attempts of records in whose lanes nothing was refused. It was well when
  more than two of three were taken. A record that fails comes again and again, and would be counted as often;
- a refusal counts against a record only when the collector was well since its lane's refusal before. A record is given up at `max_refusals`
  that count, and not before `max_refused_seconds` have passed since the first of them. What follows a poisoned one begins at nothing;
- a record may be asked to give way (`forwarder`) only when the collector was well since the first refusal in its lane.

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
    """Keeps, for one forwarder, what counts against its records and lanes."""

    def __init__(self, *, max_refusals: int = 100, max_refused_seconds: float = 7_200.0) -> None:
        self._max_refusals = max_refusals
        self._max_refused_seconds = max_refused_seconds
        self._taken = 0
        self._failed = 0

    def taken(self, parcel: Parcel) -> None:
        """Take note that a record was delivered."""
        lane = parcel.lane
        self._taken += parcel.attempts == 1 and not lane.refusals
        lane.first_refusal = None

    def is_over(self, parcel: Parcel, now: float) -> bool:
        """Take note of a refusal at `now`, in seconds, before the lane counts it; tells whether the record is to be given up."""
        lane = parcel.lane
        if lane.last_refusal is not None and self._was_well_since(lane.last_refusal):
            if not parcel.held_against:
                parcel.refused_since = now
            parcel.held_against += 1
        self._failed += parcel.attempts == 1 and not lane.refusals
        lane.last_refusal = self._taken, self._failed
        if lane.first_refusal is None:
            lane.first_refusal = lane.last_refusal
        return (
            parcel.held_against >= self._max_refusals
            and now - parcel.refused_since >= self._max_refused_seconds
        )

    def is_in_the_way(self, parcel: Parcel) -> bool:
        """Tell whether others wait for a refused record's place, and were served well while its lane was refused."""
        since = parcel.lane.first_refusal
        return since is not None and parcel.source.is_stuck and self._was_well_since(since)

    def _was_well_since(self, then: tuple[int, int]) -> bool:
        taken, failed = then
        return self._taken - taken > 2 * (self._failed - failed)
