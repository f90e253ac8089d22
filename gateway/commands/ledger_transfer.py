"""`tracking-gateway ledger export | import`: the ledger's rows, out to a file and in from one, of any size."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PortalOption,
    counted,
    load,
    opened,
    store,
)
from gateway.telemetry.redaction import redact
from gateway.terminal import asked, explained, fail, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from gateway.commands.import_job import Done
    from gateway.ledger.contract import BoundUid
    from gateway.ledger.transfer import Format

FormatOption = Annotated[
    str, typer.Option("--format", metavar="csv|jsonl", help="Without it the file's name or beginning tells.")
]
_SHOWN_UIDS = 10
_BEYOND = (
    "Events of erased UIDs that wait in the quarantine stay there: `tracking-gateway ledger erase` with the same UID or CID removes "
    "them, and says what else can't be erased from here."
)
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def export(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    format_: FormatOption = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file, instead of standard output.")
    ] = None,
    portal_id: PortalOption = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on behind the last whole row of the file.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write every binding and tombstone as CSV or JSONL: portal_id, uid, cid, bound_at, erased_at, reason.

    Straight into the file, in bounded memory; an export that was interrupted goes on with --resume. What `ledger import` reads gives the same rows.

    Example: `tracking-gateway ledger export --output bindings.csv`
    """
    from gateway.commands.exporting import last_row, write_rows  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.commands.files import open_private  # noqa: PLC0415
    from gateway.commands.progress import Bar  # noqa: PLC0415

    chosen = _format(format_, output, as_json=json) or "csv"
    if output is None and (json or resume):
        fail(
            f"{'--json' if json else '--resume'} needs --output FILE: standard output is for the rows",
            code=2,
            as_json=json,
        )
    if output is not None and not resume and output.exists() and output.stat().st_size:
        fail(f"{output} exists: write --resume to go on with it, or name another file", code=2, as_json=json)
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        ledger = opened(path)
        stats = ledger.stats()
        total = stats.portals.get(portal_id, 0) if portal_id else stats.rows + stats.erased
        after = last_row(output, chosen, portal_id, ledger) if output is not None and resume else None
        with Bar("exporting", total, as_json=json) as bar:
            if output is None:
                try:
                    write_rows(ledger, sys.stdout.buffer, chosen, portal_id, None, bar.at)
                except BrokenPipeError:
                    # Who reads has enough. What is left in the buffer must not fail again at the end.
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return
            with open_private(output, append=after is not None) as file:
                count = write_rows(ledger, file, chosen, portal_id, after, bar.at)
                os.fsync(file.fileno())
    if json:
        print_json(
            {"ok": True, "output": str(output), "format": chosen, "rows": count, "resumed": after is not None}
        )
    else:
        sys.stdout.write(f"{counted(count, 'row')} written to {output}\n")


def import_(  # noqa: PLR0913 -- each is an option
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="CSV with a header, or JSONL; - is standard input.")
    ],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    format_: FormatOption = "",
    report: Annotated[
        Path | None,
        typer.Option(
            help="Where the rows go that were not taken.",
            show_default="FILE.report.csv, or FILE.dry-run.report.csv",
        ),
    ] = None,
    portal_id: Annotated[str, typer.Option(help="Take the rows of this portal only.")] = "",
    any_portal: Annotated[
        bool, typer.Option("--any-portal", help="Take rows of portals that the settings don't know, too.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an import of this file was interrupted.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing, ask nothing.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Let tombstones take living bindings away; else a terminal is asked."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bind the rows of a file; never overwrites, and may be done again. Exit code 1 when some rows were not taken.

    A tombstone in the file forgets its UID here too. Where that takes a living binding away it needs a yes, as `ledger erase` does, and
    is as final: with the last UID of a customer in a portal go its address keys there.

    CSV needs a header with portal_id, uid and cid (for tombstones alone: erased_at), in any order; the rest may be missing. JSONL has the same keys.
    What is not taken is in the report, with its line and why. After each batch the place is kept in FILE.progress.

    Example: `tracking-gateway ledger import bindings.csv --dry-run`, then `tracking-gateway ledger import bindings.csv`
    """
    from gateway.commands.import_job import Plan, progress_file, run_import  # noqa: PLC0415 -- see `export`
    from gateway.ledger.contract import LedgerUnavailable  # noqa: PLC0415
    from gateway.ledger.transfer import WrongHeader  # noqa: PLC0415

    path = None if source == "-" else Path(source)
    is_kept = path is not None and path.is_file() and not dry_run
    if resume and not is_kept:
        fail(
            "--resume needs a file, and no --dry-run: nothing else can be gone on with", code=2, as_json=json
        )
    if path is not None and not path.exists():
        # It may be an address that somebody took for another argument.
        fail(f"{redact(str(path))} does not exist: name the file with the rows", code=2, as_json=json)
    chosen = _format(format_, path, as_json=json)
    # A rehearsal leaves the report of the import itself alone.
    ending = "dry-run.report.csv" if dry_run else "report.csv"
    report = report or (path.with_name(f"{path.name}.{ending}") if path else Path(f"stdin.{ending}"))
    if path is not None and report.resolve() in {path.resolve(), progress_file(path).resolve()}:
        fail("--report: name another file than the one that is read", code=2, as_json=json)
    settings = load(config, as_json=json)
    hint = "; what was taken stays: go on with --resume" if is_kept else ""
    plan = Plan(
        path if is_kept else None,
        chosen,
        report,
        portal_id,
        any_portal=any_portal,
        resume=resume,
        dry_run=dry_run,
        may_bury=yes or (_ask if sys.stdin.isatty() and path is not None and not dry_run else False),
        as_json=json,
    )
    with explained(as_json=json), _source(path) as file:
        try:
            done = run_import(settings, file, plan)
        except WrongHeader as error:
            fail(f"{source}: {error}", code=2, as_json=json)
        except LedgerUnavailable as error:
            fail(f"{error}{hint}", as_json=json)
        except (KeyboardInterrupt, typer.Abort):
            fail(f"interrupted{hint}", as_json=json)
    _tell(done, report, dry_run=dry_run, as_json=json)


def _ask(stones: Sequence[BoundUid]) -> bool:
    """Ask whether tombstones, of which these are the first, may take living bindings away. Raises `typer.Abort`."""
    names = ", ".join(f"{each.uid} (portal {each.portal_id})" for each in stones[:_SHOWN_UIDS])
    more = f" and {len(stones) - _SHOWN_UIDS:,} more" if len(stones) > _SHOWN_UIDS else ""
    sys.stderr.write(
        f"The file says of bound UIDs that they were erased: {names}{more}.\n"
        "Erased here too, they and all others of which it says so are forgotten for good. --dry-run --yes counts them.\n"
    )
    # The loop that this is called from keeps Ctrl-C for itself, and would hear of it only after the answer.
    of_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return asked("Erase them?")
    finally:
        signal.signal(signal.SIGINT, of_loop)


def _source(path: Path | None) -> contextlib.AbstractContextManager[BufferedReader]:
    if path is not None:
        return path.open("rb")
    return contextlib.nullcontext(cast("BufferedReader", sys.stdin.buffer))


def _format(given: str, path: Path | None, *, as_json: bool) -> Format | None:
    if given not in {"", "csv", "jsonl"}:
        fail("--format: write csv or jsonl", code=2, as_json=as_json)
    suffix = path.suffix.lower() if path is not None else ""
    return cast("Format", given) if given else _SUFFIXES.get(suffix)


def _tell(done: Done, report: Path, *, dry_run: bool, as_json: bool) -> NoReturn:
    from gateway.commands.importing import WOULD_BURY  # noqa: PLC0415 -- see `export`

    counts = done.counts
    refused = sum(counts.refused.values())
    document = {
        "ok": not counts.not_taken,
        "dry_run": dry_run,
        "rows": counts.read,
        "taken": counts.taken,
        "tombstones": counts.tombstones,
        "buried": counts.buried,
        "known": counts.known,
        "conflicts": counts.conflicts,
        "refused": refused,
        "reasons": counts.refused,
        "unknown_portals": counts.unknown_portals,
        "report": str(report) if counts.not_taken else None,
        "rows_per_second": round(done.rows_per_second),
        "beyond": _BEYOND if counts.tombstones or counts.buried else None,
    }
    if as_json:
        print_json(document)
    else:
        lines = [
            f"{counted(counts.read, 'row')} read, {done.rows_per_second:,.0f} a second"
            + (": a rehearsal, nothing was changed" if dry_run else ""),
            f"  {counts.taken:,} taken",
            *(
                [f"  {counts.tombstones:,} tombstones of UIDs that were not bound"]
                if counts.tombstones
                else []
            ),
            *([f"  {counts.buried:,} tombstones that took a living binding away"] if counts.buried else []),
            f"  {counts.known:,} known already",
            f"  {counts.conflicts:,} in conflict: the UID has another CID, which stays",
            f"  {refused:,} refused"
            + "".join(f"; {name}: {n:,}" for name, n in sorted(counts.refused.items())),
        ]
        if counts.unknown_portals:
            lines.append(f"  {counts.unknown_portals:,} of these in portals that the settings don't know")
        if WOULD_BURY in counts.refused:
            lines.append(
                f"{WOULD_BURY}: a tombstone would take a living binding away. "
                "If that is meant, import the file again with --yes"
            )
        if counts.tombstones or counts.buried:
            lines.append(_BEYOND)
        if counts.not_taken:
            lines.append(f"What was not taken is in {report}")
        sys.stdout.write("\n".join(lines) + "\n")
    raise typer.Exit(1 if counts.not_taken else 0)
