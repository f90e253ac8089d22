"""What may be done next: the queues between reading and sending, and the gate that the breaker keeps.

What always holds: a parcel is in exactly one place: its lane (waiting behind the head), `ready` (may be sent), `doomed` (its
fate needs no collector), `delayed` (a timer runs), or in the forwarder's hands. Nothing is sent without a look at whether it
became too old, was dropped by its full spool, or its UID was erased, while it waited; what was accepted within the last second has not waited. While the gate is closed
nothing leaves `ready`; it opens for a single parcel when a probe is due, and for all when the probe was answered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gateway.events.outcome import Reason

if TYPE_CHECKING:
    import asyncio
    import random
    from collections.abc import Callable, Iterable

    from gateway.delivery.contract import BreakerState, DeliveryObserver, Retry
    from gateway.delivery.erasures import Erasures
    from gateway.delivery.lanes import Parcel
    from gateway.delivery.retry import Breaker

_SUSPECT_AFTER = 3
# More of them in a row, without any answer between, and it is the collector that is down, not its opinion of these records.
_SUSPECTS_IN_VAIN = 64
# The ledger was asked when the event came in, and hears of erasures once a second: asking again would cost each event and tell nothing.
_FRESH_MS = 1_000.0


class Dispatch:
    """The queues of one forwarder.

    `clock` gives Unix time in seconds, `wake` says that `next` may have something, `scout` asks for a fresh record, `report`
    takes faults of others' code.
    """

    def __init__(  # noqa: PLR0913 - its parts and its limits, all passed in
        self,
        loop: asyncio.AbstractEventLoop,
        breaker: Breaker,
        observer: DeliveryObserver,
        erasures: Erasures,
        *,
        max_age_seconds: float,
        clock: Callable[[], float],
        rng: random.Random,
        wake: Callable[[], None],
        scout: Callable[[], None],
        report: Callable[[str, Exception], None],
    ) -> None:
        self._loop = loop
        self._breaker = breaker
        self._observer = observer
        self._erasures = erasures
        self._max_age_ms = max_age_seconds * 1000
        self._fresh_ms = min(_FRESH_MS, self._max_age_ms)
        self._clock = clock
        self._rng = rng
        self._wake = wake
        self._scout = scout
        self._report = report
        self._ready: deque[Parcel] = deque()
        self._doomed: deque[Parcel] = deque()
        self._delayed: dict[Parcel, asyncio.TimerHandle] = {}
        self._probe_timer: asyncio.TimerHandle | None = None
        self._in_vain = 0
        self._is_gated = False
        self._is_closed = False

    @property
    def sendable(self) -> int:
        """How many records wait for nothing but their turn: none while the gate is closed."""
        return 0 if self._is_gated else len(self._ready)

    @property
    def is_gated(self) -> bool:
        """Whether the collector is not sent to at this moment."""
        return self._is_gated

    @property
    def ready(self) -> Iterable[Parcel]:
        """What may be sent as soon as the gate lets it."""
        return self._ready

    def close(self) -> None:
        """Stop every timer; what is queued stays where it is."""
        self._is_closed = True
        for timer in self._delayed.values():
            timer.cancel()
        if self._probe_timer is not None:
            self._probe_timer.cancel()

    # Coming and going.

    def offer(self, parcel: Parcel) -> None:
        """Queue a head for sending, or for the dead letters when it has become too old."""
        if self._is_old(parcel):
            self._expire(parcel)
            return
        self._ready.append(parcel)
        if not self._is_gated:
            self._wake()

    def doom(self, parcel: Parcel, reason: Reason, detail: str) -> None:
        """Queue a parcel for the end that it comes to without the collector."""
        parcel.fate = (reason, detail)
        self._doomed.append(parcel)
        self._wake()

    def delay(self, parcel: Parcel, seconds: float) -> None:
        """Queue a parcel again after so many seconds."""
        if not self._is_closed:
            self._delayed[parcel] = self._loop.call_later(seconds, self._due, parcel)

    def next(self) -> Parcel | None:
        """Give the parcel to handle now, if there is one; for sending unless it has a fate."""
        while True:
            if self._doomed:
                return self._doomed.popleft()
            if self._is_gated:
                return None
            is_probe = self._breaker.state != "closed"
            if not self._ready:
                if is_probe and self._hasten_one():
                    continue
                return None
            parcel = self._probe() if is_probe else self._ready.popleft()
            # Before the breaker is asked: a ticket for a probe that is not made would never be given back.
            if self._has_ended(parcel):
                continue
            ticket = self._breaker.permit(self._loop.time())
            if ticket is None:
                self._ready.appendleft(parcel)
                return None
            if is_probe:
                self._is_gated = True
                self._announce("half_open", "probing the collector")
            parcel.ticket = ticket
            return parcel

    # What the collector did.

    def answered(self, parcel: Parcel) -> None:
        """Tell the breaker that the collector answered, and open the gate if that closed the breaker."""
        self._in_vain = 0
        if not self._breaker.succeeded(parcel.ticket):
            return
        self._is_gated = False
        for waiting in list(filter(self._waits_for_collector, self._delayed)):
            self._hasten(waiting)
        self._wake()
        self._announce("closed", "the collector answers again")

    def refused(self, parcel: Parcel, verdict: Retry, deliveries: int) -> None:
        """Count a refusal for the lane and tell the breaker; `deliveries` is how many there were so far.

        A refusal counts against the lane only when others were delivered meanwhile, or when it is suspect already; a
        suspect's refusal does not count against the collector, unless there were many in a row and nothing else.
        """
        was_suspect = self._is_suspect(parcel)
        self._in_vain += was_suspect
        if was_suspect or deliveries > parcel.deliveries_seen:
            parcel.lane.refusals += 1
        parcel.deliveries_seen = deliveries
        now = self._loop.time()
        if was_suspect and self._in_vain <= _SUSPECTS_IN_VAIN:
            has_opened = self._breaker.inconclusive(parcel.ticket, now, self._rng)
        else:
            has_opened = self._breaker.failed(parcel.ticket, now, self._rng, verdict.after_seconds)
        if has_opened:
            self._is_gated = True
            if not self._is_closed:
                self._probe_timer = self._loop.call_at(self._breaker.probe_at, self._probe_due)
                if not any(map(self._is_fresh, self._ready)):
                    # Now, so that it is there when the pause is over.
                    self._scout()
            self._announce("open", verdict.cause)

    # Within.

    def _probe(self) -> Parcel:
        # A record that was never refused tells the most about the collector, one of a suspect lane the least. Which of several is left to
        # chance: in their order, a hundred poisoned ones at the front would cost a hundred pauses before another was asked.
        ready = self._ready
        ranks = [2 if self._is_suspect(parcel) else 0 if self._is_fresh(parcel) else 1 for parcel in ready]
        best = min(ranks)
        index = self._rng.choice([index for index, rank in enumerate(ranks) if rank == best])
        parcel = ready[index]
        del ready[index]
        return parcel

    def _probe_due(self) -> None:
        if self._loop.time() < self._breaker.probe_at:
            # uvloop counts in milliseconds, so its timers may fire a little early: then no send is permitted yet, and
            # without another timer nothing would ever be sent again.
            self._probe_timer = self._loop.call_later(0.001, self._probe_due)
            return
        # Nothing else ages the records that wait behind an open breaker.
        waiting, self._ready = self._ready, deque()
        for parcel in waiting:
            if self._is_old(parcel):
                self._expire(parcel)
            else:
                self._ready.append(parcel)
        self._is_gated = False
        self._wake()

    def _hasten_one(self) -> bool:
        """Fetch somebody for the probe that is due; else the end of an outage would be noticed only when somebody's own wait is over."""
        for parcel in filter(self._waits_for_collector, self._delayed):
            self._hasten(parcel)
            return True
        return False

    def _waits_for_collector(self, parcel: Parcel) -> bool:
        # Not so where the collector named a time, or refuses just this user's.
        return parcel.fate is None and not parcel.is_held_back and not self._is_suspect(parcel)

    def _hasten(self, parcel: Parcel) -> None:
        self._delayed[parcel].cancel()
        self._due(parcel)

    def _due(self, parcel: Parcel) -> None:
        del self._delayed[parcel]
        if parcel.fate is None:
            self.offer(parcel)
        else:
            self._doomed.append(parcel)
            self._wake()

    def _is_fresh(self, parcel: Parcel) -> bool:
        return parcel.attempts == 0 and parcel.lane.refusals == 0

    def _is_suspect(self, parcel: Parcel) -> bool:
        return parcel.lane.refusals >= _SUSPECT_AFTER

    def _has_ended(self, parcel: Parcel) -> bool:
        """Tell whether a parcel is not to be sent any more, and doom it if so."""
        if parcel.was_dropped():
            self.doom(parcel, Reason.MADE_ROOM, "")
            return True
        age_ms = self._clock() * 1000 - parcel.record.accepted_ms
        # Below 0 the clock was set back, and nobody knows how long it waited.
        if 0.0 <= age_ms <= self._fresh_ms and not parcel.attempts and not parcel.lane.is_erased:
            return False
        if age_ms > self._max_age_ms:
            self._expire(parcel)
        elif parcel.lane.is_erased or self._erasures.cover(parcel.record):
            self.doom(parcel, Reason.ERASED_WHILE_WAITING, "")
        else:
            return False
        return True

    def _is_old(self, parcel: Parcel) -> bool:
        return self._clock() * 1000 - parcel.record.accepted_ms > self._max_age_ms

    def _expire(self, parcel: Parcel) -> None:
        self.doom(parcel, Reason.TOO_OLD, f"not delivered in time; attempts: {parcel.attempts}")

    def _announce(self, name: BreakerState, cause: str) -> None:
        try:
            self._observer.state(name, cause)
        except Exception as error:  # noqa: BLE001 - a parcel is between two places here: nothing may come between
            self._report("a delivery observer raised", error)
