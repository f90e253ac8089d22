"""The forwarder: takes accepted events out of the spools and sees each to its final fate.

What always holds:

- **Order.** Of one `(portal_id, uid)` at most one record is under way, and the next one starts when that one's fate is
  final. Order is that of the spool; between two spools nothing is known of it, but one user's records never overlap.
- **One fate.** Each record that was read is delivered, undeliverable, expired or erased, exactly once, and is acknowledged
  only then; undeliverable and expired ones after the dead letters have taken them. What is not acknowledged comes again at the
  next start. A record that its full spool dropped to make room had its fate there: it is not sent any more, and nothing is
  reported of it; only an attempt that was under way may still arrive.
- **Forgotten is forgotten.** Who was erased is asked before every attempt (the first one too, if the record waited at all) and
  before the dead letters get a record: one of an erased UID ends there. Only an attempt that is under way may still arrive.
- **The same event.** A record goes out with the same bytes each time. Its `request_id` lets the CDP recognise a repetition.
- **Bounded.** At most `concurrency` sends, at most `window` records in memory, shared out evenly between the spools, and beside them
  `lot_bytes` of what waits behind its own user's records (`parking`).
- **Out of the way.** While the breaker is open nothing is sent but one probe after another. Where clients wait for the collector's
  own answer, they wait at a desk of theirs, which is told what comes and, at once, when nothing will: nobody waits for a delivery.

Who blocks whom
    A record that waits for its next attempt blocks its own user's later records and takes its place in the window; other
    users' records pass it. A spool can't be read past the window and come back, so when records that wait take all places,
    reading stops for everybody. That is right while the collector is down. It would be wrong when the collector is up and
    fails only at *these* records (a "poisoned" user, or a thousand of them). To tell one from the other, a lane counts those
    refusals between which another record was delivered: proof that the collector is up. From the third on the lane is
    *suspect*: its failures no longer speak against the collector (the breaker does not count them), and it is not chosen
    for a probe. From `give_way_after` on, a refused record gives way, but only when it is in the way: the window is full,
    more waits in the spool, the breaker is closed, and the collector took most of what was new to it (`patience`). It goes to
    the dead letters as undeliverable, and its followers inherit the count, so that a poisoned user's backlog gives way at one
    attempt each. When the breaker opens and every record in memory was refused before, a *scout* is read from the spool's next
    record, for the probe: so the proof can be had although the window is full. A poisoned record that is in nobody's way but its
    own user's is given up as well, after many refusals over hours in which others' records were taken. In all other cases a
    refused record is tried until `max_age_seconds`. One user's healthy but long backlog is never given up; it takes the time of
    one send after the other. Most of it is parked, outside of the window, so that others pass it too, as long as the lot has room.

Costs
    No task, no future and no timer for a record that goes well: a verdict is a call, and the call that frees a place takes the
    next record and posts it. Timers exist for records in retry alone, tasks for those on their way to the dead letters.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.awaited import Awaited
from gateway.delivery.contract import Delivered, Retry, Verdict
from gateway.delivery.dispatch import Dispatch
from gateway.delivery.erasures import Erasures
from gateway.delivery.lanes import Lane, Lanes, Parcel, Source
from gateway.delivery.patience import Patience
from gateway.delivery.retry import Breaker, RetryPolicy
from gateway.delivery.telling import FORGOTTEN, Telling
from gateway.events.model import Record
from gateway.events.outcome import Reason
from gateway.events.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.delivery.contract import AnswerDesk, BreakerState, DeadLetters, DeliveryObserver, Sink
    from gateway.spool.contract import Entry, Outlet

# Of one user, beside the record that is being sent: few, so that many long lanes have room side by side.
_AT_HAND = 16


class Forwarder:
    """Forwards spools to a sink. It is started once; `stop` leaves the spools, the sink and the dead letters open."""

    def __init__(  # noqa: PLR0913 - its parts and its limits, all passed in
        self,
        spools: Sequence[Outlet],
        sink: Sink,
        dead_letters: DeadLetters,
        observer: DeliveryObserver,
        *,
        is_erased: Callable[[str, str], bool],
        concurrency: int = 64,
        window: int = 8192,
        lot_bytes: int = 32 << 20,
        retry: RetryPolicy | None = None,
        breaker: Breaker | None = None,
        patience: Patience | None = None,
        max_age_seconds: float = 7 * 86_400,
        give_way_after: int = 16,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        answers: AnswerDesk | None = None,
    ) -> None:
        """Take the parts, in the loop that will run them; nothing runs before `start`.

        `is_erased(portal_id, uid)` tells, at once, how it is at this moment; when it raises, the record is treated as anybody's.
        `clock` gives Unix time in seconds and is compared with `accepted_ms`; waits are measured in the loop's time. `answers` is
        where clients wait for what the collector says.
        """
        self._loop = asyncio.get_running_loop()
        self._sources = [Source(spool, max(1, window // len(spools)), 4 * concurrency) for spool in spools]
        self._sink = sink
        self._dead_letters = dead_letters
        self._observer = observer
        self._telling = Telling(observer, self._report)
        self._concurrency = concurrency
        self._retry = retry or RetryPolicy()
        self._breaker = breaker or Breaker()
        self._patience = patience or Patience()
        self._give_way_after = give_way_after
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._lanes = Lanes(max(1, min(_AT_HAND, window // 8)), lot_bytes)
        self._awaited = Awaited(answers, self._report) if answers is not None else None
        self._erasures = Erasures(is_erased, self._report, self._loop.time)
        self._dispatch = Dispatch(
            self._loop,
            self._breaker,
            observer,
            self._erasures,
            max_age_seconds=max_age_seconds,
            clock=clock,
            rng=self._rng,
            wake=self._wake,
            scout=self._scout,
            report=self._report,
        )
        self._deliveries = 0
        self._is_stopping = False
        self._readers: list[asyncio.Task[None]] = []
        self._free = concurrency
        self._pumping: asyncio.Handle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()

    @property
    def held(self) -> int:
        """How many records take a place of the window: in memory, not yet settled, and not parked."""
        return sum(source.held for source in self._sources)

    @property
    def state(self) -> BreakerState:
        """Whether the collector is sent to."""
        return self._breaker.state

    def start(self) -> None:
        """Begin to read and to send."""
        self._readers = [self._loop.create_task(self._read(source)) for source in self._sources]

    async def stop(self, drain_seconds: float) -> None:
        """Begin nothing new, give the sends that are under way so many seconds, then break them off.

        A record that was broken off is not acknowledged, whether or not it reached the collector: it comes again at the next start.
        """
        self._is_stopping = True
        for reader in self._readers:
            reader.cancel()
        self._dispatch.close()
        if self._free < self._concurrency:
            self._drained = self._loop.create_future()
            await asyncio.wait([self._drained], timeout=drain_seconds)
        burials = list(self._burials)
        for burial in burials:
            burial.cancel()
        if self._free + len(burials) < self._concurrency:
            self._sink.abandon()
            self._free = self._concurrency - len(burials)
        await asyncio.gather(*self._readers, *burials, return_exceptions=True)

    async def _read(self, source: Source) -> None:
        failures = 0
        while True:
            room = await self._room(source)
            try:
                entries = await source.spool.read(room)
            except Exception as error:  # noqa: BLE001 - whatever the disk or broker does, reading goes on later
                failures += 1
                self._report("a spool can't be read; trying again", error)
                await asyncio.sleep(self._retry.delay(failures, None, self._rng))
                continue
            failures = 0
            for entry in entries:
                self._take(source, entry)
            # A spool in memory never suspends: let the others of this loop live.
            await asyncio.sleep(0)

    async def _room(self, source: Source) -> int:
        while not source.wants_more(self._dispatch.sendable):
            source.vacancy = self._loop.create_future()
            await source.vacancy
        return min(source.room, source.batch)

    def _take(self, source: Source, entry: Entry) -> None:
        try:
            record = unpack(entry.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            source.held += 1
            unreadable = Record("", "", "", "", 0, "", entry.payload)
            parcel = Parcel(unreadable, source, entry.position, Lane(None))
            detail = f"the spool's payload is not a record: {type(error).__name__}"
            self._dispatch.doom(parcel, Reason.UNREADABLE, detail)
            return
        head = self._lanes.join(record, source, entry)
        if head is not None:
            self._dispatch.offer(head)
        if self._awaited is not None and (self._dispatch.is_gated or self._lanes.is_held_up(record)):
            self._awaited.give_up_one(record, entry.position)

    def _wake(self) -> None:
        if self._free and self._pumping is None:
            self._pumping = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = None
        while self._free and not self._is_stopping:
            parcel = self._dispatch.next()
            if parcel is None:
                for source in self._sources:
                    source.call_reader()
                return
            if parcel.fate is None:
                self._free -= 1
                self._send(parcel)
            elif parcel.fate[0] in FORGOTTEN:
                self._forget(parcel)
            else:
                self._free -= 1
                self._bury(parcel, *parcel.fate)

    def _freed(self) -> None:
        self._free += 1
        if self._is_stopping:
            if self._free == self._concurrency and self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
        else:
            self._pump()

    def _send(self, parcel: Parcel) -> None:
        parcel.attempts += 1
        if parcel.attempts == 1:
            parcel.deliveries_seen = self._deliveries
        try:
            if self._awaited is None:
                self._sink.post(parcel.record, partial(self._sent, parcel))
            else:
                self._awaited.post(self._sink, parcel, partial(self._sent, parcel))
        except Exception as error:  # noqa: BLE001 - a sink's fault is a failed attempt
            self._report("a sink raised instead of reporting", error)
            self._loop.call_soon(self._sent, parcel, Retry(f"the sink raised {type(error).__name__}"))

    def _sent(self, parcel: Parcel, verdict: Verdict) -> None:
        try:
            if isinstance(verdict, Delivered):
                self._dispatch.answered(parcel)
                self._deliveries += 1
                self._patience.taken(parcel)
                parcel.lane.refusals = 0
                self._settle(parcel)
                self._telling.delivered(parcel, verdict.duration_ms)
            elif isinstance(verdict, Retry):
                self._refused(parcel, verdict)
            else:
                self._dispatch.answered(parcel)
                parcel.fate = (Reason.REFUSED_BY_COLLECTOR, verdict.cause)
                self._bury(parcel, *parcel.fate)
                return
        except Exception as error:  # noqa: BLE001 - an observer's fault must not hold up what comes next
            self._report("a delivery met a fault", error)
        self._freed()

    def _refused(self, parcel: Parcel, verdict: Retry) -> None:
        was_gated = self._dispatch.is_gated
        is_given_up = self._patience.is_over(parcel, self._loop.time())
        self._dispatch.refused(parcel, verdict, self._deliveries)
        parcel.lane.is_held_up = True
        if self._awaited is not None:
            if parcel.attempts == 1:
                self._awaited.give_up((parcel, *(parcel.lane.waiting or ())))
            if self._dispatch.is_gated and not was_gated:
                self._awaited.give_up(self._dispatch.ready)
        gives_way = parcel.lane.refusals >= self._give_way_after and self._patience.is_in_the_way(parcel)
        if (gives_way or is_given_up) and self._breaker.state == "closed":
            what = "gave way to other users' events" if gives_way else "given up, others were taken,"
            detail = f"{what} after {parcel.attempts} attempts: {verdict.cause}"
            self._dispatch.doom(parcel, Reason.REFUSED_BY_COLLECTOR, detail)
            return
        delay = self._retry.delay(parcel.attempts, verdict.after_seconds, self._rng)
        parcel.is_held_back = verdict.after_seconds is not None
        self._dispatch.delay(parcel, delay)
        self._observer.retrying(parcel.record, parcel.attempts, verdict.cause, delay)

    def _forget(self, parcel: Parcel) -> None:
        if self._awaited is not None:
            self._awaited.give_up((parcel,))
        if not parcel.was_dropped():
            parcel.lane.is_erased = True
        self._settle(parcel)
        self._telling.forgotten(parcel)

    def _bury(self, parcel: Parcel, reason: Reason, detail: str) -> None:
        if self._awaited is not None:
            self._awaited.give_up((parcel,))
        task = self._loop.create_task(self._put(parcel, reason, detail))
        self._burials.add(task)
        task.add_done_callback(self._buried)

    async def _put(self, parcel: Parcel, reason: Reason, detail: str) -> None:
        if parcel.was_dropped() or parcel.lane.is_erased or self._erasures.cover(parcel.record):
            self._forget(parcel)
            return
        try:
            await self._dead_letters.put(parcel.record, reason, detail)
        except Exception as error:  # noqa: BLE001 - whatever the store of dead letters does, the record waits for it
            parcel.burials += 1
            delay = self._retry.delay(parcel.burials, None, self._rng)
            self._dispatch.delay(parcel, delay)
            cause = f"the dead letters are not available: {type(error).__name__}"
            self._observer.retrying(parcel.record, parcel.attempts, cause, delay)
            return
        self._settle(parcel)
        self._telling.buried(parcel, reason, detail)

    def _buried(self, task: asyncio.Task[None]) -> None:
        self._burials.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._report("a delivery met a fault", error)
        self._freed()

    def _settle(self, parcel: Parcel) -> None:
        source = parcel.source
        try:
            source.spool.acknowledge(parcel.position)
        except Exception as error:  # noqa: BLE001 - it comes again at the next start: at least once is kept
            self._report("a spool did not take an acknowledgement", error)
        source.release()
        follower = self._lanes.leave(parcel)
        if follower is not None:
            self._dispatch.offer(follower)
        if source.vacancy is not None and source.wants_more(self._dispatch.sendable):
            source.call_reader()

    def _scout(self) -> None:
        for source in self._sources:
            source.send_scout()

    def _report(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})
