"""Who is erased at this moment, asked of the ledger's file by whoever is about to keep or send an event again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.ledger.sqlite import open_sqlite_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.ledger.sqlite import SqliteLedger

_CACHE_ENTRIES = 20_000
_PATIENCE_SECONDS = 1.0


class ErasedUids:
    """Asks through a connection of its own, which belongs to the thread that asks first. The answer is never older than the question."""

    def __init__(self, ledger_file: Path) -> None:
        self._file = ledger_file
        self._ledger: SqliteLedger | None = None

    def among(self, uids: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Give those of these (portal_id, uid) that are erased. Raises `LedgerUnavailable`."""
        if self._ledger is None:
            self._ledger = open_sqlite_ledger(
                self._file, cache_entries=_CACHE_ENTRIES, read_only=True, patience_seconds=_PATIENCE_SECONDS
            )
        self._ledger.refresh()
        look_up = self._ledger.lookup
        return {key for key in uids if key[1] and look_up(*key).is_erased}

    def close(self) -> None:
        """Let go of the file; in the thread that asked, outside of any loop."""
        if self._ledger is not None:
            asyncio.run(self._ledger.close())
            self._ledger = None
