"""Opening what a gateway's processes share or own: the data folder, the ledger, the partitions of the spool."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from typing import TYPE_CHECKING

from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.sqlite import open_quarantine
from gateway.spool.segments import open_segment_spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ledger.contract import Ledger
    from gateway.ledger.sqlite import SqliteLedger
    from gateway.quarantine.sqlite import SqliteQuarantine
    from gateway.settings import Settings
    from gateway.spool.segments import SegmentSpool
    from gateway.telemetry.journal import Journal

_PARTITION = re.compile(r"\d{3}\Z")
_LEAST_FREE_BYTES = 128 * 1024
_REFRESH_SECONDS = 1.0
_HEAD_SECONDS = 3_600
_UPGRADE_SAID_SECONDS = 10.0


class DataDirUnusable(Exception):
    """The folder for ledger, quarantine and spool can't be used: which one, why, and the setting to change."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"data_dir {path} can't be used: {cause}; name a writable folder on a local disk")
        self.path = path
        self.cause = cause


def make_data_dir(path: Path) -> None:
    """Make the data folder, readable by its owner alone, where there is none. Raises `DataDirUnusable`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "spool").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataDirUnusable(path, error.strerror or str(error)) from None


def disk_trouble(path: Path) -> str:
    """Say what the disk of the data folder lacks, when it is full; empty when it is not, or can't be asked.

    The spool goes on for a while in the room that it has made ahead, but a customer can't be bound without any.
    """
    try:
        disk = os.statvfs(path)
    except OSError:
        return ""
    free = disk.f_bavail * disk.f_frsize
    if free < _LEAST_FREE_BYTES:
        return f"{free} bytes are free on the disk of {path}; free space on it: customers can't be bound meanwhile"
    if disk.f_files and not disk.f_favail:
        return f"the disk of {path} takes no more files; delete some: customers can't be bound meanwhile"
    return ""


def feed_path(settings: Settings) -> Path:
    """Give where the delivering process listens for the workers."""
    return settings.data_dir / "spool" / "feed.sock"


def open_ledger(settings: Settings, journal: Journal) -> SqliteLedger:
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
        # The lock on the data folder keeps a second gateway off.
        is_only_writer=settings.server.workers == 1,
        on_upgrade=on_upgrade,
    )
    if said:
        journal.changed("ledger_upgraded", seconds=round(time.monotonic() - began, 1))
    return ledger


def open_held(settings: Settings, journal: Journal) -> SqliteQuarantine:
    """Open the quarantine; one of an older version is brought up to date, and the log says so. Raises `QuarantineUnavailable`."""
    steps: list[int] = []
    quarantine = open_quarantine(
        settings.data_dir / "quarantine.db",
        max_entries=settings.quarantine.max_entries,
        on_upgrade=lambda done, _: steps.append(done),
    )
    if steps:
        journal.changed("quarantine_upgraded", entries=sum(quarantine.count().values()))
    return quarantine


async def open_partition(settings: Settings, journal: Journal, number: int) -> SegmentSpool:
    """Open one partition of the spool. Raises `SpoolUnavailable`."""
    return await open_segment_spool(
        settings.data_dir / "spool" / f"{number:03d}",
        segment_bytes=settings.spool.segment_bytes,
        max_bytes=settings.spool.max_bytes,
        is_synced=settings.spool.durability == "fsync",
        on_drop=journal.dropped_oldest if settings.spool.when_full == "drop_oldest" else None,
        on_damage=lambda path, offset, what: journal.trouble(
            "spool_damaged", path=str(path), offset=offset, detail=str(what)
        ),
    )


def left_behind(settings: Settings) -> list[int]:
    """Give the partitions of workers that a larger `workers` once had: the delivering process empties them."""
    return sorted(
        int(each.name)
        for each in (settings.data_dir / "spool").iterdir()
        if _PARTITION.match(each.name) and int(each.name) >= settings.server.workers
    )


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


async def keep_ledger(ledger: Ledger, journal: Journal, *, says_head: bool) -> None:
    """Hear of erasures and imports within a second, and, in one process, say the audit log's head now and then.

    A head that stands in a log elsewhere proves later that nobody has written the ledger's history anew: `ledger verify --head`.
    """
    said = ""
    for second in itertools.count():
        try:
            ledger.refresh()
            if says_head and second % _HEAD_SECONDS == 0:
                stats = ledger.stats()
                if stats.audit_head != said:
                    said = stats.audit_head
                    journal.changed("audit_head", head=f"{stats.audit_entries}:{said}", bindings=stats.rows)
        except LedgerUnavailable as error:
            journal.trouble("ledger_unavailable", detail=str(error))
        await asyncio.sleep(_REFRESH_SECONDS)
