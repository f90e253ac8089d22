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
from gateway.delivery.retry import RetryPolicy
from gateway.events.packing import appended_ns
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.spool.intake import Intake, LocalPipe
from gateway.spool.merge import MergedSpool
from gateway.stores import erasure_look_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.deadline import Deadline
    from gateway.delivery.contract import AnswerDesk
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
) -> Forwarder:
    """Deliver what comes out of `outlet` until `stack` is left; `answers` is where clients wait for what the collector says."""
    collector = settings.collector
    client = CollectorClient(
        collector.url,
        timeout_seconds=collector.timeout_seconds,
        connect_timeout_seconds=min(5.0, collector.timeout_seconds),
        max_connections=collector.connections,
    )
    stack.push_async_callback(client.close)
    observer = await stack.enter_async_context(archiving(settings, journal, deadline.left))
    forwarder = Forwarder(
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
    forwarder.start()
    stack.push_async_callback(lambda: forwarder.stop(deadline.left(DELIVERIES)))
    return forwarder


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
