"""One import from beginning to end: its parts, put together, and gone on with where an earlier one was interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.commands.admission import Admission
from gateway.commands.checkpoint import (
    Checkpoint,
    Counts,
    WrongCheckpoint,
    fingerprint,
    head_of,
    insist_on_ledger,
    read,
    save,
)
from gateway.commands.importing import Import, Rehearsal
from gateway.commands.neighbour import Neighbour
from gateway.commands.options import now_ms, opened
from gateway.commands.progress import Bar
from gateway.commands.report import Report
from gateway.ledger.transfer import Rows, guessed_format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader
    from pathlib import Path

    from gateway.commands.importing import MayBury
    from gateway.ledger.contract import BoundUid, Ledger
    from gateway.ledger.transfer import Format
    from gateway.settings import Settings


class Plan(NamedTuple):
    """What was asked for; `source` is the file beside which the place is kept, `None` where it is not.

    `may_bury` says whether tombstones may take living bindings away, or asks, given the first of them.
    """

    source: Path | None
    format_: Format | None
    report: Path
    portal_id: str
    any_portal: bool
    resume: bool
    dry_run: bool
    may_bury: MayBury
    as_json: bool


class Done(NamedTuple):
    """What has become of all rows, those of the runs before included, and how fast this run was."""

    counts: Counts
    rows_per_second: float


def progress_file(source: Path) -> Path:
    """Give the file that keeps the place of an import."""
    return source.with_name(f"{source.name}.progress")


def run_import(settings: Settings, file: BufferedReader, plan: Plan) -> Done:
    """Import what the file holds.

    Raises `WrongHeader`, `WrongCheckpoint`, `NotAReport`, `LedgerUnavailable` and `OSError`; what was taken before stays.
    """
    return asyncio.run(_run(settings, file, plan))


async def _run(settings: Settings, file: BufferedReader, plan: Plan) -> Done:
    ledger_file = settings.data_dir / "ledger.db"
    source = fingerprint(plan.source) if plan.source is not None else None
    place = progress_file(plan.source) if plan.source is not None else None
    earlier = None
    if plan.resume and place is not None and source is not None:
        earlier = read(place, source, str(ledger_file.absolute()))
        if earlier is not None:
            _refuse_others(place, earlier, plan)
            await _insist_on_ledger(place, earlier, ledger_file)
    format_ = earlier.format if earlier else plan.format_ or guessed_format(file.peek())
    rows = Rows(file, format_, now_ms)
    report = Report(plan.report, earlier.report_bytes if earlier else 0)
    counts = earlier.counts if earlier else Counts()
    if earlier:
        rows.go_to(earlier.offset, earlier.line)
    elif place is not None:
        place.unlink(missing_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(report.close)
        ledger = _ledger(ledger_file, stack, dry_run=plan.dry_run)
        bar = stack.enter_context(Bar("importing", source.size if source else 0, as_json=plan.as_json))

        def after_batch() -> None:
            if place is not None and source is not None and ledger is not None:
                save(
                    place,
                    Checkpoint(
                        source=source,
                        ledger=str(ledger_file.absolute()),
                        head=head_of(ledger),
                        format=format_,
                        portal_id=plan.portal_id,
                        offset=rows.offset,
                        line=rows.line,
                        report=str(plan.report.absolute()),
                        report_bytes=report.length,
                        counts=counts,
                    ),
                )
            bar.at(rows.offset, f"{counts.read:,} rows")

        def ask(stones: Sequence[BoundUid]) -> bool:
            with bar.hidden():
                return plan.may_bury if isinstance(plan.may_bury, bool) else plan.may_bury(stones)

        read_before, started = counts.read, time.monotonic()
        await Import(
            rows,
            ledger if ledger is not None and not plan.dry_run else Rehearsal(ledger),
            Admission(settings, any_portal=plan.any_portal),
            report,
            counts,
            portal_id=plan.portal_id,
            may_bury=plan.may_bury if isinstance(plan.may_bury, bool) else ask,
            after_batch=after_batch,
            is_shared=Neighbour(settings.data_dir).is_there,
        ).run()
        seconds = time.monotonic() - started
    if place is not None:
        place.unlink(missing_ok=True)
    return Done(counts, (counts.read - read_before) / max(seconds, 0.001))


def _ledger(ledger_file: Path, stack: contextlib.AsyncExitStack, *, dry_run: bool) -> Ledger | None:
    """Open the ledger until the stack is left; `None` where a rehearsal has none."""
    if dry_run and not ledger_file.exists():
        return None
    if not dry_run:
        # Rows may be brought in before the first gateway has run.
        ledger_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = opened(ledger_file, read_only=dry_run)
    stack.push_async_callback(ledger.close)
    return ledger


async def _insist_on_ledger(place: Path, earlier: Checkpoint, ledger_file: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # Only looked at: one that is missing is not made.
        insist_on_ledger(place, earlier, _ledger(ledger_file, stack, dry_run=True))


def _refuse_others(place: Path, earlier: Checkpoint, plan: Plan) -> None:
    if plan.format_ not in {None, earlier.format}:
        raise WrongCheckpoint(place, f"it was read as {earlier.format}")
    if plan.portal_id != earlier.portal_id:
        raise WrongCheckpoint(place, f"it took the rows of {earlier.portal_id or 'all portals'}")
    if str(plan.report.absolute()) != earlier.report:
        raise WrongCheckpoint(place, f"its report is {earlier.report}, which --report must name")
