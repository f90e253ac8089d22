"""Between the forwarder and the archive: what was delivered is kept, whoever else wants to know of it hears it first."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.archive.erased import ErasedUids
from gateway.archive.folder import Folder
from gateway.archive.keeper import Keeper
from gateway.archive.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.archive.keeper import Trouble
    from gateway.delivery.contract import BreakerState, DeliveryObserver
    from gateway.events.model import Record
    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal

_LOOK_SECONDS = 0.5


class ArchivingObserver:
    """A `DeliveryObserver` that archives what was delivered and passes everything on."""

    def __init__(self, keeper: Keeper, observer: DeliveryObserver) -> None:
        self._add = keeper.add
        self._delivered = observer.delivered
        self._observer = observer

    def delivered(self, record: Record, attempts: int, duration_ms: float) -> None:
        """Pass it on, and archive the record."""
        self._delivered(record, attempts, duration_ms)
        self._add(record, attempts)

    def retrying(self, record: Record, attempt: int, cause: str, delay_seconds: float) -> None:
        """Pass it on."""
        self._observer.retrying(record, attempt, cause, delay_seconds)

    def undeliverable(self, record: Record, attempts: int, cause: str) -> None:
        """Pass it on."""
        self._observer.undeliverable(record, attempts, cause)

    def expired(self, record: Record, attempts: int) -> None:
        """Pass it on."""
        self._observer.expired(record, attempts)

    def erased(self, record: Record, attempts: int) -> None:
        """Pass it on."""
        self._observer.erased(record, attempts)

    def state(self, name: BreakerState, cause: str) -> None:
        """Pass it on."""
        self._observer.state(name, cause)


@contextlib.asynccontextmanager
async def archiving(
    settings: Settings, journal: Journal, seconds_left: Callable[[], float]
) -> AsyncIterator[DeliveryObserver]:
    """Give the forwarder's observer: the journal, and the archive with it where the settings have one.

    To be left when the forwarder has stopped; takes `seconds_left` at most for what is not written yet. Never raises: an archive that can't be written is said in the log.
    """
    folder = Folder(settings.data_dir / "archive")
    if not settings.archive.days:
        with contextlib.suppress(OSError):
            if folder.parts():
                hint = "nothing is deleted while archive.days is 0: remove the folder when it is not needed any more"
                journal.changed("archive_left_over", path=str(folder.path), hint=hint)
        yield journal
        return
    erased = ErasedUids(settings.data_dir / "ledger.db")
    writer = Writer(
        folder, days=settings.archive.days, max_bytes=settings.archive.max_bytes, erased=erased.among
    )
    keeper = Keeper(writer, finish=erased.close)
    watch = _Watch(keeper, journal)
    looking = asyncio.get_running_loop().create_task(watch.look_on())
    try:
        yield ArchivingObserver(keeper, journal)
    finally:
        looking.cancel()
        await keeper.close(seconds_left())
        watch.look()


class _Watch:
    """Says what the thread does: counts, and a line when the archive stops or goes on."""

    def __init__(self, keeper: Keeper, journal: Journal) -> None:
        self._keeper = keeper
        self._journal = journal
        self._said: Trouble | None = None
        self._counts = {"kept": 0, "erased": 0, "lost": 0}
        self._lost_before = 0

    async def look_on(self) -> None:
        """Look twice a second."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Look once."""
        keeper = self._keeper
        now = {"kept": keeper.kept, "erased": keeper.erased, "lost": keeper.lost}
        news = {name: count - self._counts[name] for name, count in now.items()}
        self._counts = now
        trouble = keeper.trouble
        self._journal.archived(news, keeper.total_bytes, is_stopped=trouble is not None)
        if trouble is None and self._said is None and keeper.lost > self._lost_before:
            hint = "it is written more slowly than events are delivered: look at the disk"
            self._journal.trouble("archive_lost", events=keeper.lost - self._lost_before, hint=hint)
            self._lost_before = keeper.lost
        if trouble == self._said:
            return
        if trouble is not None:
            self._journal.trouble("archive_stopped", cause=trouble.cause, hint=trouble.hint)
        else:
            lost = keeper.lost - self._lost_before
            self._lost_before = keeper.lost
            self._journal.changed("archive_goes_on", lost=lost)
        self._said = trouble
