"""The composition root: settings in, the running parts out, each with its lifetime.

Everything is wired here, in `gateway.outflow` (what delivers) and `gateway.stores` (what is opened), and nowhere else. The parts start in the order
of what they need, and stop in the reverse: first no new events, then the answers in flight, then the forwarder, then the stores, all within one
deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from aiohttp import web

from gateway import __version__
from gateway.assets.own import OwnScript
from gateway.chores import calm_collector, keep_gauges, report_fault
from gateway.cookie_key import with_cookie_key
from gateway.deadline import ANSWERS, Deadline
from gateway.descriptors import most_connections, most_handshakes, shortage
from gateway.events.pipeline import Pipeline
from gateway.far_desk import FarDesk, hear_from_afar
from gateway.names import Names
from gateway.outflow import cancelled, merge_partitions, start_delivery
from gateway.releases import ReleaseDesk, start_releases
from gateway.running import Running
from gateway.sdk import script_source, source_map
from gateway.spool.feed import Feed
from gateway.stores import (
    feed_path,
    keep_ledger,
    left_behind,
    make_data_dir,
    open_held,
    open_ledger,
    open_partition,
)
from gateway.surroundings import open_world
from gateway.telemetry.door import DoorBook
from gateway.telemetry.journal import Journal
from gateway.telemetry.metrics import Metrics
from gateway.tls.keeper import Keeper as TlsKeeper
from gateway.vendor_scripts import VendorScripts, start_vendor_scripts
from gateway.web.admin import build_admin
from gateway.web.directory import Directory
from gateway.web.endpoints import endpoints, traps
from gateway.web.ingest import Ingest
from gateway.web.porch import Terms
from gateway.web.public import PublicServer
from gateway.web.relay import Desk
from gateway.web.sites import start_public, url_of

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.settings import Settings
    from gateway.spool.contract import Outlet
    from gateway.spool.segments import SegmentSpool
    from gateway.telemetry.logging import Log

# The part of the time to stop in which a worker waits for the last word of the delivering process.
_LAST_WORD = 0.9


@contextlib.asynccontextmanager
async def running_gateway(
    settings: Settings,
    log: Log,
    *,
    worker: int = 0,
    listener: socket.socket | None = None,
    with_admin: bool = True,
) -> AsyncIterator[Running]:
    """Run one process that takes events: worker `worker` (from 0) of `settings.server.workers`; an only worker delivers too.

    `listener` is the socket to take events on, when the caller has bound one. Raises `DataDirUnusable`, `SpoolUnavailable`,
    `LedgerUnavailable`, `QuarantineUnavailable`, `TlsUnusable` and `OSError` (an address that can't be bound) before anything is taken.
    """
    metrics, journal = _prepared(log)
    make_data_dir(settings.data_dir)
    if worker == 0:
        _warn_of_open_folder(settings.data_dir, log)
    settings = with_cookie_key(settings)
    deadline = Deadline(settings.server.drain_seconds)
    async with contextlib.AsyncExitStack() as stack:
        world, others = await open_world(settings, journal, metrics, stack, is_first=worker == 0)
        pipeline = Pipeline(settings, world)
        tls = _start_tls(settings, journal, metrics, stack)
        ledger, quarantine = await _open_stores(settings, journal, stack)
        numbers = [worker, *(left_behind(settings) if settings.server.workers == 1 else ())]
        spools = await _open_spools(settings, journal, numbers, stack)
        desk = _desk(settings)
        if settings.server.workers == 1:
            outlet: Outlet = spools[0]
            if len(spools) > 1:
                outlet, _ = await merge_partitions(journal, spools, stack)
            await start_delivery(settings, journal, outlet, ledger, quarantine, deadline, stack, answers=desk)
        else:
            on_told = hear_from_afar(desk.hear) if desk is not None else _unheard
            feed = Feed(spools[0], worker, feed_path(settings), on_told=on_told)
            feed.start()
            stack.push_async_callback(lambda: feed.finish(deadline.left(_LAST_WORD)))
        ingest = Ingest(
            pipeline,
            ledger,
            spools[0],
            quarantine,
            journal,
            max_body_bytes=settings.server.max_body_bytes,
            desk=desk,
        )
        stack.push_async_callback(lambda: _drained(ingest, deadline))
        releases = ReleaseDesk(pipeline.releases, ledger, spools[0], quarantine, journal)
        if worker == 0:
            start_releases(releases, deadline, stack)
        directory, vendor = await _served(settings, ingest, journal, metrics, stack, is_first=worker == 0)
        public = PublicServer(
            ingest,
            directory.table,
            is_fast=settings.server.fast_path,
            limits=settings.limits,
            client_of=pipeline.limiter.client_of,
            most=most_connections(settings),
            door=DoorBook(log, metrics, journal.limited),
            always=settings.tls.headers,
        )
        public_url = await _start_public(settings, public, ingest, listener, tls, stack)
        stack.callback(vendor.hurry)
        # While clients still get their answers the batch under way has its time to end.
        stack.callback(releases.hurry)
        scarce = shortage(settings)
        running = Running(
            public_url,
            ledger,
            quarantine,
            spools,
            settings.data_dir,
            others={
                **others,
                "script": vendor.trouble,
                "descriptors": lambda: scarce,
                **({"tls": tls.trouble} if tls is not None else {}),
            },
            reload=tls.look_now if tls is not None else lambda: None,
        )
        if with_admin:
            running.admin_url = await _start_admin(settings, running, metrics, stack)
        for chore in (
            keep_gauges(metrics, spools),
            keep_ledger(ledger, journal, says_head=worker == 0),
        ):
            stack.push_async_callback(cancelled, asyncio.create_task(chore))
        journal.changed(
            "started",
            version=__version__,
            listen=running.public_url,
            admin=running.admin_url,
            collector=settings.collector.url.partition("?")[0],
            properties=len(settings.properties),
            pending=running.pending,
        )
        calm_collector()
        try:
            yield running
        finally:
            deadline.begin()
            running.is_stopping = True
            journal.changed("stopping", pending=running.pending)
    journal.changed("stopped", pending=running.pending)


@contextlib.asynccontextmanager
async def running_delivery(settings: Settings, log: Log) -> AsyncIterator[None]:
    """Run the process that delivers what the workers of a gateway with several take.

    Raises `SpoolUnavailable`, `LedgerUnavailable`, `QuarantineUnavailable` and `OSError`.
    """
    metrics, journal = _prepared(log)
    deadline = Deadline(settings.server.drain_seconds)
    async with contextlib.AsyncExitStack() as stack:
        ledger, quarantine = await _open_stores(settings, journal, stack)
        spools = await _open_spools(settings, journal, left_behind(settings), stack)
        merged, intake = await merge_partitions(journal, spools, stack, workers=settings.server.workers)
        await intake.open(feed_path(settings))
        stack.push_async_callback(intake.close)
        budget_ms = settings.collector.relay_budget_ms
        desk = FarDesk(intake.tell, budget_ms) if settings.collector.mode == "relay" else None
        await start_delivery(settings, journal, merged, ledger, quarantine, deadline, stack, answers=desk)
        for chore in (keep_gauges(metrics, spools), keep_ledger(ledger, journal, says_head=False)):
            stack.push_async_callback(cancelled, asyncio.create_task(chore))
        left = sum(spool.pending for spool in spools)
        journal.changed("delivering", collector=settings.collector.url.partition("?")[0], pending=left)
        calm_collector()
        try:
            yield
        finally:
            deadline.begin()
    journal.changed("delivery_stopped")


def _prepared(log: Log) -> tuple[Metrics, Journal]:
    metrics = Metrics()
    journal = Journal(log, metrics)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: report_fault(journal, context))
    return metrics, journal


def _warn_of_open_folder(path: Path, log: Log) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        hint = f"chmod 700 {path}; the files in it are their owner's alone"
        log.logger.warning("data_dir_open", path=str(path), mode=f"{mode:o}", hint=hint)


async def _open_stores(
    settings: Settings, journal: Journal, stack: contextlib.AsyncExitStack
) -> tuple[Ledger, QuarantineStore]:
    # Beside the loop: a signal is heard even when the file has to be brought up to date first, which may take minutes.
    ledger = await asyncio.to_thread(open_ledger, settings, journal)
    stack.push_async_callback(ledger.close)
    quarantine = open_held(settings, journal)
    stack.push_async_callback(quarantine.close)
    return ledger, quarantine


async def _open_spools(
    settings: Settings, journal: Journal, numbers: Sequence[int], stack: contextlib.AsyncExitStack
) -> list[SegmentSpool]:
    spools: list[SegmentSpool] = []
    for number in numbers:
        spool = await open_partition(settings, journal, number)
        stack.push_async_callback(spool.close)
        spools.append(spool)
    return spools


async def _served(
    settings: Settings,
    ingest: Ingest,
    journal: Journal,
    metrics: Metrics,
    stack: contextlib.AsyncExitStack,
    *,
    is_first: bool,
) -> tuple[Directory, VendorScripts]:
    """Give what stands at each public path, going with the time until `stack` is left, and the vendor's scripts among it."""
    names = Names(settings.paths, time.time_ns() // 1_000_000)
    script = OwnScript(script_source, names, settings.script.cache_seconds)
    vendor = await start_vendor_scripts(settings, journal, metrics, names, stack, is_first=is_first)
    parts = endpoints(ingest, script, vendor.shelves, source_map)
    directory = Directory(parts, names, metrics.path_counter, traps(ingest, settings.bots.honeypot_path))
    chore = directory.keep(settings.paths, script.make_for, vendor.make_for)
    stack.push_async_callback(cancelled, asyncio.create_task(chore))
    return directory, vendor


def _start_tls(
    settings: Settings, journal: Journal, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> TlsKeeper | None:
    """Give what holds the certificate, where the settings name one, and let it go with its files until `stack` is left."""
    if not settings.tls.is_on:
        return None
    tls = TlsKeeper(settings.tls, journal, metrics)
    stack.push_async_callback(cancelled, asyncio.create_task(tls.keep()))
    return tls


def _desk(settings: Settings) -> Desk | None:
    """Give the desk for replies that wait for the collector, where there are such."""
    return Desk(settings.collector.relay_budget_ms) if settings.collector.mode == "relay" else None


def _unheard(event_id: str, content: bytes) -> None:
    """Nobody waits for what is said of an event."""


async def _drained(ingest: Ingest, deadline: Deadline) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ingest.drain(), deadline.left(ANSWERS))


async def _start_public(
    settings: Settings,
    server: PublicServer,
    ingest: Ingest,
    listener: socket.socket | None,
    tls: TlsKeeper | None,
    stack: contextlib.AsyncExitStack,
) -> str:
    """Take events, on `listener` where there is one, until `stack` is left; gives where."""
    public = web.ServerRunner(
        server,
        shutdown_timeout=settings.server.drain_seconds * ANSWERS,
    )
    await public.setup()
    stack.push_async_callback(public.cleanup)
    stack.callback(ingest.hurry)
    terms = None
    if tls is not None:
        client_of, most = server.watch.client_of, most_handshakes(settings)
        terms = Terms(tls.context, most, client_of, tls.failures.too_many)
    return await start_public(public, settings.server, listener, terms)


async def _start_admin(
    settings: Settings, running: Running, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> str:
    runner = web.AppRunner(build_admin(running.problems, metrics.exposition), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
    return url_of(runner)
