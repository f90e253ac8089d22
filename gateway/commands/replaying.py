"""Sends archived events again: the gateway's own forwarder over the archive instead of a spool, no faster than it was told.

What always holds:

- One user's events go in their order, each after the one before it was answered; the same bytes as at first, with the same `request_id`.
- Who is erased is asked in the moment in which an event leaves, and nothing leaves while that can't be asked.
- At most a window of events is in memory. `stopped_at` is the moment of delivery of the first one whose fate is open: whoever begins there
  again leaves none out, and sends a few twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.archive.lines import moment
from gateway.archive.reading import Reading, Span
from gateway.commands.replay_parts import ArchiveSource, Fates, PacedSink
from gateway.delivery.client import CollectorClient
from gateway.delivery.forwarder import Forwarder
from gateway.delivery.regions import RegionalSink, Regions
from gateway.delivery.retry import RetryPolicy
from gateway.ledger.contract import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.archive.erased import ErasedUids
    from gateway.archive.folder import Folder
    from gateway.archive.lines import Delivery
    from gateway.archive.reading import Damage
    from gateway.commands.progress import Bar
    from gateway.settings import Collector

_WINDOW = 1_024
_MOST_AT_ONCE = 16
_LOOK_SECONDS = 0.1
_DRAIN_SECONDS = 5.0


class Selection(NamedTuple):
    """Which of the archived events are meant; empty texts mean all."""

    span: Span
    prop_id: str = ""
    portal_id: str = ""
    uid: str = ""

    def deliveries(self, reading: Reading) -> Iterator[Delivery]:
        """Give the deliveries that are meant, in their order."""
        _, prop_id, portal_id, uid = self
        for delivery in reading:
            record = delivery.record
            if (
                prop_id in {"", record.prop_id}
                and portal_id in {"", record.portal_id}
                and uid in {"", record.uid}
            ):
                yield delivery


def _without_cookies(deliveries: Iterator[Delivery]) -> Iterator[Delivery]:
    """Give the deliveries as another collector may have them: a collector's cookies are nobody else's."""
    for each in deliveries:
        yield each._replace(record=msgspec.structs.replace(each.record, cookie=""))


class Counted(NamedTuple):
    """How many events are meant, and how many of these belong to erased UIDs."""

    events: int
    erased: int
    damage: list[Damage]


def count(folder: Folder, selection: Selection, erased: ErasedUids, bar: Bar) -> Counted:
    """Count what is meant. Raises `OSError`, `LedgerUnavailable`."""
    reading = Reading(folder, selection.span)
    events = gone = 0
    for delivery in selection.deliveries(reading):
        events += 1
        gone += bool(erased.among([(delivery.record.portal_id, delivery.record.uid)]))
        bar.at_of(reading.read_bytes, reading.total_bytes)
    return Counted(events, gone, reading.damage)


class Outcome(NamedTuple):
    """What a replay did: `stopped_at_ms` says where it ended before its end, and `cause` why (`interrupted`, or a sentence)."""

    fates: Fates
    damage: list[Damage]
    stopped_at_ms: int | None = None
    cause: str = ""

    @property
    def stopped_at(self) -> str | None:
        """The same as text."""
        return None if self.stopped_at_ms is None else moment(self.stopped_at_ms)


async def replay(
    folder: Folder,
    selection: Selection,
    erased: ErasedUids,
    collector: Collector,
    *,
    url: str,
    per_second: float,
    patience_seconds: float,
    on_progress: Callable[[Fates], None],
) -> Outcome:
    """Send again what is meant, until all of it has met its fate, somebody interrupts, or nothing has for `patience_seconds`.

    `collector` says how often and how patiently. Raises `OSError`, and `BadCollectorUrl` for the url.
    """
    loop = asyncio.get_running_loop()
    reading = Reading(folder, selection.span)
    deliveries = selection.deliveries(reading)
    source = ArchiveSource(deliveries if url == collector.url else _without_cookies(deliveries))
    fates = Fates()
    at_once = max(1, min(_MOST_AT_ONCE, collector.connections, int(per_second)))
    regions = Regions(url, collector.regions if url == collector.url else {})
    clients = [
        CollectorClient(
            each,
            timeout_seconds=collector.timeout_seconds,
            connect_timeout_seconds=min(5.0, collector.timeout_seconds),
            max_connections=at_once,
        )
        for each in regions.urls
    ]
    sink = PacedSink(
        RegionalSink(regions, clients),
        per_second,
        lambda record: bool(erased.among([(record.portal_id, record.uid)])),
    )
    forwarder = Forwarder(
        [source],
        sink,
        fates,
        fates,
        is_erased=lambda *key: bool(erased.among([key])),
        concurrency=at_once,
        window=_WINDOW,
        retry=RetryPolicy(base_seconds=collector.retry_base_seconds, cap_seconds=collector.retry_cap_seconds),
        max_age_seconds=math.inf,
    )
    faults: list[str] = []

    def on_fault(_: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # The sink hears of that as well, and sends nothing.
        if not isinstance(error, LedgerUnavailable):
            faults.append(f"a fault: {type(error).__name__}: {context.get('message')}")

    loop.set_exception_handler(on_fault)
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    forwarder.start()
    cause = ""
    try:
        last, since = (-1, -1), loop.time()
        while not source.is_done and not cause:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(interrupted.wait(), _LOOK_SECONDS)
            on_progress(fates)
            now = (fates.settled, reading.read_bytes)
            if now != last:
                last, since = now, loop.time()
            if interrupted.is_set():
                cause = "interrupted"
            elif sink.failure is not None:
                cause = f"it can't be asked who was erased: {sink.failure}"
            elif source.failure is not None:
                cause = f"the archive can't be read: {source.failure}"
            elif faults:
                cause = faults[0]
            elif loop.time() - since > patience_seconds:
                cause = f"the collector took nothing for {patience_seconds:g} seconds: {fates.away or 'no answer'}"
        is_patient = interrupted.is_set() and not fates.away
        await forwarder.stop(min(_DRAIN_SECONDS, collector.timeout_seconds) if is_patient else 0)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        await source.close()
        await sink.close()
    stopped_at_ms = source.stopped_at_ms
    return Outcome(fates, reading.damage, stopped_at_ms, cause if stopped_at_ms is not None else "")
