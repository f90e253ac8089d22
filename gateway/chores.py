"""What every process of the gateway does beside its work: keep its gauges, its memory and its faults in order."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from gateway.telemetry.logging import describe
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.spool.segments import SegmentSpool
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics

_GAUGE_SECONDS = 0.5


async def keep_gauges(metrics: Metrics, spools: Sequence[SegmentSpool]) -> None:
    """Note, again and again, how much waits."""
    while True:
        metrics.spool_pending.set(sum(spool.pending for spool in spools))
        metrics.spool_damaged.set(sum(spool.damaged for spool in spools))
        await asyncio.sleep(_GAUGE_SECONDS)


def calm_collector() -> None:
    """Let the cyclic garbage collector look at what events leave behind, not at all that was loaded to take them.

    An event leaves no cycles; the collector's walks over modules, rules and caches were a twentieth of the gateway's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def report_fault(journal: Journal, context: dict[str, Any]) -> None:
    """Log what went wrong in a task or callback: the exception's type and place, never its message."""
    error = context.get("exception")
    fields = describe(error) if isinstance(error, BaseException) else {}
    journal.trouble("fault", message=redact(str(context.get("message", ""))), **fields)
