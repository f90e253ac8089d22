"""The table of a running gateway: opened with the settings, and what there is to say of it, said once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.duplicates.file import FOLDER, NAME, Opened, open_table

if TYPE_CHECKING:
    import contextlib

    from gateway.events.seen import Seen
    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics

# What each worker's spool needs to begin: the file that it writes, and the next.
_SEGMENTS = 2


class _Room:
    """Counts what was forgotten before its time, and says so once, when it is more than a full bucket here and there."""

    def __init__(self, settings: Settings, journal: Journal, metrics: Metrics) -> None:
        self._settings = settings.duplicates
        self._journal = journal
        self._metrics = metrics
        self._has_said = False

    def forgotten(self, age_s: int) -> None:
        self._metrics.remarked("duplicates", "forgotten_early")
        if self._has_said or age_s >= self._settings.dedup_window_seconds / 2:
            return
        self._has_said = True
        self._journal.warned(
            "duplicates_forgotten_early",
            age_seconds=age_s,
            hint=f"more events come within duplicates.dedup_window_seconds than duplicates.max_entries ({self._settings.max_entries}) "
            "can hold: the oldest are forgotten, and come twice when they are sent again; raise it (16 bytes each)",
        )


async def open_seen(
    settings: Settings, journal: Journal, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> tuple[Seen | None, str]:
    """Open the memory of events that came before until `stack` is left; `None` where nothing is looked for.

    Gives beside it why it ends with this process, empty where it does not.
    """
    asked = settings.duplicates
    if not asked.is_on:
        return None, ""
    room = _Room(settings, journal, metrics)
    one_boot = settings.spool.durability == "os"

    def opened() -> Opened:
        return open_table(
            settings.data_dir,
            asked.max_entries,
            room.forgotten,
            one_boot=one_boot,
            spare_bytes=settings.server.workers * _SEGMENTS * settings.spool.segment_bytes,
        )

    # Beside the loop: a new table is written whole.
    table, wrong, is_kept = await asyncio.to_thread(opened)
    stack.callback(table.close)
    if not is_kept:
        hint = "duplicates are recognised by each process for itself, until it ends: make room or mend the folder, and start again"
        journal.trouble("duplicates_not_kept", cause=wrong, hint=hint)
        return table, f"{wrong}; {hint}"
    if wrong:
        path = str(settings.data_dir / FOLDER / NAME)
        journal.warned("duplicates_made_anew", path=path, cause=wrong)
    return table, ""
