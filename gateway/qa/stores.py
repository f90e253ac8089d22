"""Where a session's events go: nowhere, or on to the collector.

Who only looks on keeps nothing. Where calls are answered in the collector's place, an answer means what it means at the gateway: the event is durable, and
the gateway's own forwarder has it until the collector does. The ledger is a session's own each time, so that the same steps give the same again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.deadline import Deadline
from gateway.ledger.memory import MemoryLedger
from gateway.outflow import start_delivery
from gateway.stores import make_data_dir, open_held, open_partition

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    from gateway.events.model import QuarantineEntry
    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.settings import Settings
    from gateway.spool.contract import Spool
    from gateway.telemetry.journal import Journal


class Stores(NamedTuple):
    """What an ingest needs. `deadline` bounds how long stopping may take, from when it begins."""

    ledger: Ledger
    spool: Spool
    quarantine: QuarantineStore
    deadline: Deadline


async def open_stores(
    settings: Settings, journal: Journal, stack: contextlib.AsyncExitStack, *, sends: bool
) -> Stores:
    """Open the stores until `stack` is left; with `sends` those in the data folder, and what is in the spool goes to the collector.

    Raises `DataDirUnusable`, `SpoolUnavailable` and `QuarantineUnavailable`.
    """
    ledger, deadline = MemoryLedger(), Deadline(settings.server.drain_seconds)
    if not sends:
        nowhere: Any = _NoSpool()
        nobody: Any = _NoQuarantine()
        return Stores(ledger, nowhere, nobody, deadline)
    make_data_dir(settings.data_dir)
    quarantine = open_held(settings, journal)
    stack.push_async_callback(quarantine.close)
    spool = await open_partition(settings, journal, 0)
    stack.push_async_callback(spool.close)
    await start_delivery(settings, journal, spool, ledger, quarantine, deadline, stack)
    return Stores(ledger, spool, quarantine, deadline)


class _NoSpool:
    """Takes what nobody will deliver: a session's events go out with the page's own calls, or nowhere."""

    pending = 0
    damaged = 0
    available = True

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        del payloads
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class _NoQuarantine:
    """Takes what nobody will release."""

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        del entries
