"""The parts of a replay: what is read from the archive, what goes out and how fast, and what became of it.

They are what the gateway's own forwarder is given instead of a spool, a collector and a journal.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from gateway.delivery.contract import Undeliverable
from gateway.events.packing import pack
from gateway.spool.contract import Entry

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Iterator, Sequence

    from gateway.archive.lines import Delivery
    from gateway.delivery.contract import BreakerState, Sink, Verdict
    from gateway.events.model import Answer, Record
    from gateway.events.outcome import Reason

_SHOWN_REFUSALS = 100


class Fates:
    """What became of the events that were sent again: a `DeliveryObserver`, and `DeadLetters` that keep nothing.

    `refusals` are the first of them: event id, UID and cause. `away` is why the collector is left alone, if it is.
    """

    def __init__(self) -> None:
        self.sent = self.refused = self.skipped = 0
        self.refusals: list[tuple[str, str, str]] = []
        self.away = ""

    @property
    def settled(self) -> int:
        """How many events need no more sending."""
        return self.sent + self.refused + self.skipped

    async def put(self, record: Record, reason: Reason, detail: str) -> None:
        """Let it go: it is in the archive."""

    def delivered(self, record: Record, attempts: int, duration_ms: float) -> None:
        """Count it."""
        del record, attempts, duration_ms
        self.sent += 1

    def retrying(self, record: Record, attempt: int, cause: str, delay_seconds: float) -> None:
        """Wait and see."""

    def undeliverable(self, record: Record, attempts: int, cause: str) -> None:
        """Count it, and note which it was."""
        del attempts
        self.refused += 1
        if len(self.refusals) < _SHOWN_REFUSALS:
            self.refusals.append((record.event_id, record.uid, cause))

    def expired(self, record: Record, attempts: int) -> None:
        """Never happens: no age is too great."""

    def erased(self, record: Record, attempts: int) -> None:
        """Count it: it is not sent."""
        del record, attempts
        self.skipped += 1

    def state(self, name: BreakerState, cause: str) -> None:
        """Note whether the collector is left alone."""
        if name != "half_open":
            self.away = "" if name == "closed" else cause


class ArchiveSource:
    """A `Spool` to read from: what is meant of the archive, from its beginning to its end.

    Where it can't be read on, nothing more comes, and `failure` says why.
    """

    def __init__(self, deliveries: Iterator[Delivery]) -> None:
        self.damaged = 0
        self.available = False
        self.failure: OSError | None = None
        self._deliveries = deliveries
        self._open: dict[int, int] = {}
        self._next_position = 1
        self._ahead = next(deliveries, None)
        self._reading: Future[list[Entry]] | None = None
        self._is_closing = False
        self._end = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many events were read whose fate is open."""
        return len(self._open)

    @property
    def is_done(self) -> bool:
        """Whether everything was read and has met its fate."""
        return self._ahead is None and not self._open

    @property
    def stopped_at_ms(self) -> int | None:
        """When the first event was delivered whose fate is open; `None` when none is left. To be asked after `close`."""
        moments = [*self._open.values(), *([self._ahead.delivered_ms] if self._ahead else [])]
        return min(moments, default=None)

    def append(self, payloads: Sequence[bytes]) -> Future[None]:
        """Nothing can be added."""
        raise NotImplementedError

    async def read(self, limit: int) -> list[Entry]:
        """Give the next events, at most `limit`; at the end waits for ever."""
        if self._ahead is None or self.failure is not None:
            await self._end.wait()
        # Beside the loop: there may be many files in which nothing is meant.
        self._reading = asyncio.get_running_loop().run_in_executor(None, self._take, limit)
        return await asyncio.shield(self._reading)

    def acknowledge(self, position: int) -> None:
        """Say that an event has met its fate."""
        del self._open[position]

    def is_dropped(self, position: int) -> bool:
        """Tell that it was not: an archive makes no room."""
        del position
        return False

    async def close(self) -> None:
        """Read no further."""
        self._is_closing = True
        if self._reading is not None:
            await asyncio.wait([self._reading])

    def _take(self, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        while self._ahead is not None and len(entries) < limit and not self._is_closing:
            entries.append(
                Entry(self._next_position, pack(self._ahead.record, self._ahead.delivered_ms * 1_000_000))
            )
            self._open[self._next_position] = self._ahead.delivered_ms
            self._next_position += 1
            try:
                self._ahead = next(self._deliveries, None)
            except OSError as error:
                self.failure = error
                break
        return entries


class PacedSink:
    """A `Sink` that lets so many records a second go on to another one, and none whose UID is erased by then.

    `is_erased` may raise: then nothing leaves any more, and `failure` is what it raised.
    """

    def __init__(self, sink: Sink, per_second: float, is_erased: Callable[[Record], bool]) -> None:
        self.failure: Exception | None = None
        self._sink = sink
        self._pause = 1 / per_second
        self._is_erased = is_erased
        self._loop = asyncio.get_running_loop()
        self._turn = -math.inf
        self._posts = 0
        self._waiting: dict[int, asyncio.TimerHandle] = {}

    def post(
        self,
        record: Record,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None = None,
    ) -> None:
        """Post a record when its turn has come; nobody waits for an answer to what is sent again."""
        assert heard is None
        now = self._loop.time()
        self._turn = max(self._turn + self._pause, now)
        self._posts += 1
        self._waiting[self._posts] = self._loop.call_at(self._turn, self._send, self._posts, record, done)

    def abandon(self) -> None:
        """Break off what waits and what is under way."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._sink.abandon()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._sink.close()

    def _send(self, number: int, record: Record, done: Callable[[Verdict], None]) -> None:
        del self._waiting[number]
        if self.failure is not None:
            return
        try:
            is_erased = self._is_erased(record)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody knows whether this may be sent
            self.failure = error
            return
        if is_erased:
            # The forwarder asks once more, and then lets it end as erased.
            done(Undeliverable(0, "its UID is erased"))
        else:
            self._sink.post(record, done)
