"""The delivering part of a gateway: the collector's client, the forwarder, and what they are told by.

It runs in the one process of a gateway with one worker, and in a process of its own beside several: one process alone delivers, so
that the order of a user's events holds, whichever worker took them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from gateway.archive.observing import archiving
from gateway.deadline import DELIVERIES
from gateway.delivery.client import CollectorClient
from gateway.delivery.forwarder import Forwarder
from gateway.delivery.patience import Patience
from gateway.delivery.regions import Regions
from gateway.delivery.retry import RetryPolicy
from gateway.delivery.split import Split
from gateway.events.packing import appended_ns
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.spool.intake import Intake, LocalPipe
from gateway.spool.merge import MergedSpool
from gateway.stores import erasure_look_up

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from gateway.deadline import Deadline
    from gateway.delivery.contract import AnswerDesk, BreakerState, DeliveryObserver
    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.settings import Settings
    from gateway.spool.contract import Outlet
    from gateway.spool.segments import SegmentSpool
    from gateway.telemetry.journal import Journal


async def start_delivery(
    settings: Settings,
    journal: Journal,
    outlet: Outlet,
    ledger: Ledger,
    quarantine: QuarantineStore,
    deadline: Deadline,
    stack: contextlib.AsyncExitStack,
    *,
    answers: AnswerDesk | None = None,
) -> None:
    """Deliver what comes out of `outlet` until `stack` is left; `answers` is where clients wait for what the collector says.

    Each collector has a forwarder of its own, with its own connections, breaker and patience.
    """
    collector = settings.collector
    regions = Regions(collector.url, collector.regions)
    observer = await stack.enter_async_context(archiving(settings, journal, deadline.left))
    outlets: list[Outlet] = [outlet]
    observers: list[DeliveryObserver] = [observer]
    if len(regions.urls) > 1:
        split = Split(outlet, regions, settings.data_dir / "spool", _report)
        stack.push_async_callback(split.close)
        outlets = list(split.branches)
        away: set[str] = set()
        observers = [Destination(url, observer, journal, away) for url in regions.urls]
        split.start()
    forwarders: list[Forwarder] = []
    for url, each, told in zip(regions.urls, outlets, observers, strict=True):
        client = CollectorClient(
            url,
            timeout_seconds=collector.timeout_seconds,
            connect_timeout_seconds=min(5.0, collector.timeout_seconds),
            max_connections=collector.connections,
        )
        stack.push_async_callback(client.close)
        forwarders.append(_forwarder(settings, each, client, quarantine, ledger, told, answers))
    # All at once: each of them may take what is left of the time.
    stack.push_async_callback(
        lambda: _gathered([each.stop(deadline.left(DELIVERIES)) for each in forwarders])
    )
    for forwarder in forwarders:
        forwarder.start()


def _forwarder(
    settings: Settings,
    outlet: Outlet,
    client: CollectorClient,
    quarantine: QuarantineStore,
    ledger: Ledger,
    observer: DeliveryObserver,
    answers: AnswerDesk | None,
) -> Forwarder:
    collector = settings.collector
    return Forwarder(
        [outlet],
        client,
        QuarantineDeadLetters(quarantine, time.time),
        observer,
        is_erased=erasure_look_up(ledger),
        concurrency=collector.connections,
        retry=RetryPolicy(base_seconds=collector.retry_base_seconds, cap_seconds=collector.retry_cap_seconds),
        patience=Patience(
            max_refusals=collector.max_refusals, max_refused_seconds=collector.max_refused_hours * 3_600
        ),
        max_age_seconds=collector.max_age_hours * 3_600,
        answers=answers,
    )


async def _gathered(stops: Sequence[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*stops)


def _report(message: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})


class Destination:
    """One of several collectors' `DeliveryObserver`: says which one is away. `away` are those that are, for all of them."""

    def __init__(self, url: str, observer: DeliveryObserver, journal: Journal, away: set[str]) -> None:
        self._url = url.partition("?")[0]
        self._state = observer.state
        self._journal = journal
        self._away = away
        self.delivered = observer.delivered
        self.retrying = observer.retrying
        self.undeliverable = observer.undeliverable
        self.expired = observer.expired
        self.erased = observer.erased

    def state(self, name: BreakerState, cause: str) -> None:
        """Say it with its address; `tracking_gateway_collector_up` is 0 while any is away."""
        if name == "open":
            self._away.add(self._url)
        elif name == "closed":
            self._away.discard(self._url)
        self._state(name, f"{self._url}: {cause}")
        if self._away:
            self._journal.collector_away()


async def merge_partitions(
    journal: Journal,
    spools: Sequence[SegmentSpool],
    stack: contextlib.AsyncExitStack,
    *,
    workers: int = 0,
) -> tuple[MergedSpool, Intake]:
    """Give one outlet over the partitions of `workers` other processes, who are to call, and over spools that are open here."""

    def on_gone(index: int) -> None:
        journal.trouble(
            "partition_overtaken",
            partition=index,
            hint="its worker was away, or did not answer, for too long: of events that it still holds, later ones of the same users may go out first",
        )

    merged = MergedSpool(workers + len(spools), appended_ns, on_gone=on_gone)
    intake = Intake(merged, workers)
    for branch, spool in zip(merged.branches[workers:], spools, strict=True):
        pipe = LocalPipe(spool, branch)
        pipe.open()
        stack.push_async_callback(pipe.close)
    stack.callback(merged.close)
    return merged, intake


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a chore and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
