"""How rows of a file come into the ledger: in batches, each durable before its place is noted; nothing is ever overwritten.

For each batch in this order: the ledger takes it in one transaction, the report of what was not taken is synced, the checkpoint says how far
all this has come. Killed in between, the batch is done again, and the ledger answers for its rows that it knows them. Memory is
bounded by the batch. Within a batch the rows go in the order of their keys, which keeps them close together in the file.

A tombstone that would take a living binding away needs somebody's yes, which holds for all that follow. Without it such rows are reported.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from gateway.commands.report import Entry
from gateway.events.model import UNBOUND, Binding
from gateway.ledger.keys import encode_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.commands.admission import Admission
    from gateway.commands.checkpoint import Counts
    from gateway.commands.report import Report
    from gateway.ledger.contract import BoundUid, Ledger
    from gateway.ledger.transfer import Line, Rows

    MayBury = bool | Callable[[Sequence[BoundUid]], bool]

WOULD_BURY = "would_bury"
"""Why a tombstone was not taken that would take a living binding away."""

_BATCH_ROWS = 2_000
_BATCH_BYTES = 4 * 2**20


class Taker(Protocol):
    """Takes rows and says what holds for each: a ledger, or one that is only asked."""

    async def import_rows(
        self, rows: Sequence[BoundUid], now_ms: int, *, buries: bool = True
    ) -> list[Binding]:
        """As `gateway.ledger.contract.Ledger.import_rows`."""


class Rehearsal:
    """Says what a ledger (`None`: an empty one) would answer to an import, and changes nothing.

    It knows of earlier rows of the same batch alone.
    """

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger

    async def import_rows(
        self, rows: Sequence[BoundUid], now_ms: int, *, buries: bool = True
    ) -> list[Binding]:
        """Give what would hold for each row."""
        del now_ms
        held: dict[tuple[str, str], Binding] = {}
        answers = []
        for row in rows:
            key = (row.portal_id, row.uid)
            now = held.get(key) or (self._ledger.lookup(*key) if self._ledger else UNBOUND)
            if now.is_erased or (now.cid is not None and (row.erased_ms is None or not buries)):
                held[key] = Binding(now.cid, is_erased=now.is_erased)
                answers.append(held[key])
            elif row.erased_ms is None:
                held[key] = Binding(row.cid)
                answers.append(Binding(row.cid, is_new=True))
            else:
                held[key] = Binding(is_erased=True)
                answers.append(Binding(now.cid, is_new=True, is_erased=True))
        return answers


class Import:
    """One run over the rows of a source; `counts` and `report` go on from an earlier one when it is resumed.

    `portal_id` takes the rows of one portal and passes over the others. `may_bury` says whether tombstones may take living bindings
    away; if it has to be asked, then once, with the first that would: the answer holds for all others. `after_batch` is called when a batch is durable, and so is its
    part of the report; `is_shared` tells whether a gateway uses the ledger too: then it gets a fifth of the time for itself.
    """

    def __init__(  # noqa: PLR0913 -- each is a part of it
        self,
        rows: Rows,
        taker: Taker,
        admission: Admission,
        report: Report,
        counts: Counts,
        *,
        portal_id: str = "",
        may_bury: MayBury,
        after_batch: Callable[[], None],
        is_shared: Callable[[], bool],
    ) -> None:
        self._rows = rows
        self._taker = taker
        self._admission = admission
        self._report = report
        self._counts = counts
        self._portal_id = portal_id
        self._may_bury = may_bury
        self._after_batch = after_batch
        self._is_shared = is_shared

    async def run(self) -> None:
        """Take all rows that are left. Raises `LedgerUnavailable` and `OSError`; what was taken before stays."""
        lines = iter(self._rows)
        while True:
            started = time.monotonic()
            batch = self._batch(lines)
            if not batch:
                return
            await self._take(batch)
            self._after_batch()
            if self._is_shared():
                await asyncio.sleep((time.monotonic() - started) / 4)

    def _batch(self, lines: Iterator[Line]) -> list[Line]:
        batch: list[Line] = []
        end = self._rows.offset + _BATCH_BYTES
        while len(batch) < _BATCH_ROWS and self._rows.offset < end:
            line = next(lines, None)
            if line is None:
                break
            batch.append(line)
        return batch

    async def _take(self, batch: list[Line]) -> None:
        entries: list[Entry] = []
        rows: list[tuple[int, BoundUid]] = []
        for line in batch:
            if self._portal_id and line.portal_id != self._portal_id and line.row is not None:
                continue
            self._counts.read += 1
            problem = line.problem if line.row is None else self._admission.refusal(line.row)
            if line.row is not None and not problem:
                rows.append((line.number, line.row))
            else:
                self._refuse(entries, line, problem)
        rows.sort(key=lambda each: (each[1].portal_id, encode_key(each[1].uid)))
        answers = await self._answers([row for _, row in rows])
        for (number, row), holds in zip(rows, answers, strict=True):
            self._judge(entries, number, row, holds)
        entries.sort()
        self._report.add(entries)

    async def _answers(self, rows: list[BoundUid]) -> list[Binding]:
        if not rows:
            return []
        now_ms, may_bury = self._rows.clock(), self._may_bury
        answers = await self._taker.import_rows(rows, now_ms, buries=may_bury is True)
        if isinstance(may_bury, bool):
            return answers
        living = [
            place
            for place, (row, holds) in enumerate(zip(rows, answers, strict=True))
            if row.erased_ms is not None and not holds.is_erased
        ]
        if living:
            stones = [rows[place] for place in living]
            self._may_bury = may_bury(stones)
            if self._may_bury:
                buried = await self._taker.import_rows(stones, now_ms)
                for place, holds in zip(living, buried, strict=True):
                    answers[place] = holds
        return answers

    def _judge(self, entries: list[Entry], number: int, row: BoundUid, holds: Binding) -> None:
        counts = self._counts
        bound = self._admission.shown(holds.cid or "")
        if holds.is_new:
            if row.erased_ms is None:
                counts.taken += 1
            elif holds.cid is None:
                counts.tombstones += 1
            else:
                counts.buried += 1
            counts.unknown_portals += not self._admission.knows(row.portal_id)
        elif holds.is_erased and row.erased_ms is None:
            counts.refused["erased"] = counts.refused.get("erased", 0) + 1
            entries.append(Entry(number, row.portal_id, row.uid, "erased", "", row.cid))
        elif row.erased_ms is not None and not holds.is_erased:
            counts.refused[WOULD_BURY] = counts.refused.get(WOULD_BURY, 0) + 1
            entries.append(Entry(number, row.portal_id, row.uid, WOULD_BURY, bound))
        elif holds.cid == (row.cid or None):
            counts.known += 1
        else:
            counts.conflicts += 1
            entries.append(Entry(number, row.portal_id, row.uid, "conflict", bound, row.cid))

    def _refuse(self, entries: list[Entry], line: Line, reason: str) -> None:
        self._counts.refused[reason] = self._counts.refused.get(reason, 0) + 1
        shown = self._admission.shown
        cid = shown(line.row.cid) if line.row is not None else ""
        entries.append(Entry(line.number, shown(line.portal_id), shown(line.uid), reason, "", cid))
