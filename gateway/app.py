"""The composition root: settings in, the running parts out, each with its lifetime.

Everything is wired here and nowhere else. The parts start in the order of what they need, and stop in the reverse: first no
new events, then the answers in flight, then the forwarder, then the stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway import __version__
from gateway.cookie_key import with_cookie_key
from gateway.delivery.client import CollectorClient
from gateway.delivery.forwarder import Forwarder
from gateway.delivery.retry import RetryPolicy
from gateway.events.pipeline import Pipeline
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.quarantine.sqlite import open_quarantine
from gateway.sdk import script_source
from gateway.spool.segments import open_segment_spool
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import describe
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.redaction import redact
from gateway.web.admin import build_admin
from gateway.web.ingest import Ingest
from gateway.web.public import PublicServer
from gateway.web.script import Script

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.ledger.contract import Ledger
    from gateway.ledger.sqlite import SqliteLedger
    from gateway.settings import Settings
    from gateway.spool.segments import SegmentSpool
    from gateway.telemetry.logging import Log

_PARTITION = re.compile(r"\d{3}\Z")
_GAUGE_SECONDS = 0.5
_REFRESH_SECONDS = 1.0
_HEAD_SECONDS = 3_600
_UPGRADE_SAID_SECONDS = 10.0


class DataDirUnusable(Exception):
    """The folder for ledger, quarantine and spool can't be used: which one, why, and the setting to change."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"data_dir {path} can't be used: {cause}; name a writable folder on a local disk")
        self.path = path
        self.cause = cause


class Running:
    """A gateway that takes events: where it listens, and whether anything is in its way."""

    def __init__(self, public_url: str, admin_url: str, ledger: Ledger, spools: list[SegmentSpool]) -> None:
        self.public_url = public_url
        self.admin_url = admin_url
        self.is_stopping = False
        self._ledger = ledger
        self._spools = spools

    def problems(self) -> dict[str, str]:
        """Say what is in the way of taking events, by part; empty when nothing is."""
        found: dict[str, str] = {}
        if self.is_stopping:
            found["server"] = "stopping"
        trouble = self._spools[0].trouble
        if trouble is not None:
            found["spool"] = f"{trouble.cause}; {trouble.hint}"
        try:
            self._ledger.lookup("", "")
        except LedgerUnavailable as error:
            found["ledger"] = error.cause
        return found

    @property
    def pending(self) -> int:
        """How many accepted events are not delivered yet."""
        return sum(spool.pending for spool in self._spools)


@contextlib.asynccontextmanager
async def running_gateway(
    settings: Settings,
    log: Log,
    *,
    worker: int = 0,
    listener: socket.socket | None = None,
    with_admin: bool = True,
) -> AsyncIterator[Running]:
    """Run one gateway process: worker `worker` (from 0) of `settings.server.workers`.

    `listener` is the socket to take events on, when the caller has bound one. Raises `DataDirUnusable`, `SpoolUnavailable`,
    `LedgerUnavailable`, `QuarantineUnavailable` and `OSError` (an address that can't be bound) before anything is taken.
    """
    metrics = Metrics()
    journal = Journal(log, metrics)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: _report_fault(journal, context))
    make_data_dir(settings.data_dir)
    mode = settings.data_dir.stat().st_mode & 0o777
    if mode & 0o077 and worker == 0:
        hint = f"chmod 700 {settings.data_dir}; the files in it are their owner's alone"
        log.logger.warning("data_dir_open", path=str(settings.data_dir), mode=f"{mode:o}", hint=hint)
    settings = with_cookie_key(settings)
    pipeline = Pipeline(settings)
    async with contextlib.AsyncExitStack() as stack:
        # Beside the loop: a signal is heard even when the file has to be brought up to date first, which may take minutes.
        ledger = await asyncio.to_thread(_open_ledger, settings, journal)
        stack.push_async_callback(ledger.close)
        quarantine = open_quarantine(settings.data_dir / "quarantine.db")
        stack.push_async_callback(quarantine.close)
        spools = await _open_spools(settings, journal, worker, stack)
        client = CollectorClient(
            settings.collector.url,
            timeout_seconds=settings.collector.timeout_seconds,
            connect_timeout_seconds=min(5.0, settings.collector.timeout_seconds),
            max_connections=settings.collector.connections,
        )
        stack.push_async_callback(client.close)
        forwarder = Forwarder(
            spools,
            client,
            QuarantineDeadLetters(quarantine, time.time),
            journal,
            is_erased=erasure_look_up(ledger),
            concurrency=settings.collector.connections,
            retry=RetryPolicy(
                base_seconds=settings.collector.retry_base_seconds,
                cap_seconds=settings.collector.retry_cap_seconds,
            ),
            max_age_seconds=settings.collector.max_age_hours * 3_600,
        )
        forwarder.start()
        stack.push_async_callback(forwarder.stop, settings.server.drain_seconds)
        ingest = Ingest(
            pipeline, ledger, spools[0], quarantine, journal, max_body_bytes=settings.server.max_body_bytes
        )
        stack.push_async_callback(ingest.drain)
        public = web.ServerRunner(
            PublicServer(ingest, Script(script_source()), is_fast=settings.server.fast_path),
            shutdown_timeout=settings.server.drain_seconds,
        )
        await public.setup()
        stack.push_async_callback(public.cleanup)
        site: web.BaseSite
        if listener is not None:
            site = web.SockSite(public, listener, backlog=1_024)
        else:
            site = web.TCPSite(public, settings.server.host, settings.server.port, backlog=1_024)
        await site.start()
        running = Running(_url(public), "", ledger, spools)
        if with_admin:
            running.admin_url = await _start_admin(settings, running, metrics, stack)
        for chore in (_keep_gauges(metrics, running, spools), _keep_ledger(ledger, journal, worker)):
            stack.callback(asyncio.get_running_loop().create_task(chore).cancel)
        journal.changed(
            "started",
            version=__version__,
            listen=running.public_url,
            admin=running.admin_url,
            collector=settings.collector.url.partition("?")[0],
            properties=len(settings.properties),
            pending=running.pending,
        )
        _calm_collector()
        try:
            yield running
        finally:
            running.is_stopping = True
            journal.changed("stopping", pending=running.pending)
    journal.changed("stopped", pending=running.pending)


def make_data_dir(path: Path) -> None:
    """Make the data folder, readable by its owner alone, where there is none. Raises `DataDirUnusable`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "spool").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataDirUnusable(path, error.strerror or str(error)) from None


def _open_ledger(settings: Settings, journal: Journal) -> SqliteLedger:
    """Open the ledger; one of an older version is brought up to date, and the log says so and how far that is."""
    began = time.monotonic()
    said: list[float] = []

    def on_upgrade(done: int, of: int) -> None:
        now = time.monotonic()
        if not said or now - said[-1] >= _UPGRADE_SAID_SECONDS:
            said.append(now)
            journal.changed("ledger_upgrading", rows=done, of=of)

    ledger = open_sqlite_ledger(
        settings.data_dir / "ledger.db",
        cache_entries=settings.ledger.cache_entries,
        # The lock on the spool's first partition keeps a second gateway off this folder.
        is_only_writer=settings.server.workers == 1,
        on_upgrade=on_upgrade,
    )
    if said:
        journal.changed("ledger_upgraded", seconds=round(time.monotonic() - began, 1))
    return ledger


async def _open_spools(
    settings: Settings, journal: Journal, worker: int, stack: contextlib.AsyncExitStack
) -> list[SegmentSpool]:
    """Open this worker's partition, and with it those of workers that a larger `workers` once had."""
    root, workers = settings.data_dir / "spool", settings.server.workers
    left_behind = sorted(
        int(each.name)
        for each in root.iterdir()
        if _PARTITION.match(each.name) and int(each.name) >= workers and int(each.name) % workers == worker
    )
    spools: list[SegmentSpool] = []
    for number in (worker, *left_behind):
        directory = root / f"{number:03d}"
        spool = await open_segment_spool(
            directory,
            segment_bytes=settings.spool.segment_bytes,
            max_bytes=settings.spool.max_bytes,
            on_damage=lambda path, offset, what: journal.trouble(
                "spool_damaged", path=str(path), offset=offset, detail=str(what)
            ),
        )
        stack.push_async_callback(spool.close)
        spools.append(spool)
    return spools


async def _start_admin(
    settings: Settings, running: Running, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> str:
    runner = web.AppRunner(build_admin(running.problems, metrics.exposition), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
    return _url(runner)


async def _keep_gauges(metrics: Metrics, running: Running, spools: list[SegmentSpool]) -> None:
    while True:
        metrics.spool_pending.set(running.pending)
        metrics.spool_damaged.set(sum(spool.damaged for spool in spools))
        await asyncio.sleep(_GAUGE_SECONDS)


def erasure_look_up(ledger: Ledger) -> Callable[[str, str], bool]:
    """Give what tells whether a UID is erased now, not a second ago: a dead letter that comes after an erasure would stay.

    What it gives raises `LedgerUnavailable`. It looks for other processes' erasures once in each turn of the loop, whose clock stands still
    within a turn.
    """
    loop = asyncio.get_running_loop()
    looked_at = -1.0

    def is_erased(portal_id: str, uid: str) -> bool:
        nonlocal looked_at
        if loop.time() != looked_at:
            ledger.refresh()
            looked_at = loop.time()
        return ledger.lookup(portal_id, uid).is_erased

    return is_erased


async def _keep_ledger(ledger: Ledger, journal: Journal, worker: int) -> None:
    """Hear of erasures and imports within a second, and say the audit log's head now and then.

    A head that stands in a log elsewhere proves later that nobody has written the ledger's history anew: `ledger verify --head`.
    """
    said = ""
    for second in itertools.count():
        try:
            ledger.refresh()
            if worker == 0 and second % _HEAD_SECONDS == 0:
                stats = ledger.stats()
                if stats.audit_head != said:
                    said = stats.audit_head
                    journal.changed("audit_head", head=f"{stats.audit_entries}:{said}", bindings=stats.rows)
        except LedgerUnavailable as error:
            journal.trouble("ledger_unavailable", detail=str(error))
        await asyncio.sleep(_REFRESH_SECONDS)


def _calm_collector() -> None:
    """Let the cyclic garbage collector look at what events leave behind, not at all that was loaded to take them.

    An event leaves no cycles; the collector's walks over modules, rules and caches were a twentieth of the gateway's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _report_fault(journal: Journal, context: dict[str, Any]) -> None:
    """Log what went wrong in a task or callback: the exception's type and place, never its message."""
    error = context.get("exception")
    fields = describe(error) if isinstance(error, BaseException) else {}
    journal.trouble("fault", message=redact(str(context.get("message", ""))), **fields)


def _url(runner: web.BaseRunner) -> str:
    address = runner.addresses[0]
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"
