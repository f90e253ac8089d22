"""`tracking-gateway quarantine export`: the held events as they are, to a file or a pipe, of any number."""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 -- typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, PortalOption, counted, store
from gateway.commands.quarantine_options import (
    EventIds,
    Filters,
    PropOption,
    ReasonOption,
    SinceOption,
    UidOption,
    UntilOption,
)
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.quarantine.contract import QuarantineStore, Which

_PAGE = 500
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def export(  # noqa: PLR0913 -- each is an option
    event_ids: EventIds = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    portal_id: PortalOption = "",
    prop_id: PropOption = "",
    uid: UidOption = "",
    format_: Annotated[
        str,
        typer.Option("--format", metavar="jsonl|csv", help="Without it the file's name tells; else jsonl."),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file, instead of standard output.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the events as they are held, oldest first, as JSONL or CSV: hashed as the policy says, with why they are held. Changes nothing.

    In bounded memory. The file can be read by its owner alone, and an erasure does not reach it.

    Example: `tracking-gateway quarantine export --reason refused_by_collector --since 1d --output refused.jsonl`
    """
    from gateway.commands.files import open_private  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.commands.progress import Bar  # noqa: PLC0415
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415

    suffix = output.suffix.lower() if output is not None else ""
    chosen = format_.lower() or _SUFFIXES.get(suffix, "jsonl")
    if chosen not in {"jsonl", "csv"}:
        fail("--format: write jsonl or csv", code=2, as_json=json)
    if output is None and json:
        fail("--json needs --output FILE: standard output is for the events", code=2, as_json=json)
    if output is not None and output.exists() and output.stat().st_size:
        fail(f"{output} exists: name another file", code=2, as_json=json)
    which = Filters(event_ids, reason, since, until, portal_id, prop_id, uid).which(as_json=json, frozen=True)
    path = store(config, "quarantine", as_json=json)
    with explained(as_json=json):
        held = open_quarantine(path, read_only=True)
        with Bar("exporting", sum(held.count(which).values()), as_json=json) as bar:
            if output is None:
                try:
                    _write(held, which, sys.stdout.buffer, chosen, bar.at)
                except BrokenPipeError:
                    # Who reads has enough. What is left in the buffer must not fail again at the end.
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return
            with open_private(output) as file:
                try:
                    count = _write(held, which, file, chosen, bar.at)
                    os.fsync(file.fileno())
                except BaseException:
                    # Half an export would be taken for a whole one.
                    output.unlink(missing_ok=True)
                    raise
    if json:
        print_json({"ok": True, "output": str(output), "format": chosen, "events": count})
    else:
        sys.stdout.write(f"{counted(count, 'event')} written to {output}\n")


def _write(
    held: QuarantineStore, which: Which, out: BinaryIO, format_: str, on_row: Callable[[int], None]
) -> int:
    """Write the entries, a page at a time, and give how many."""
    from gateway.commands.quarantine_rows import header, line  # noqa: PLC0415 -- see `export`

    out.write(header(format_))
    count, after = 0, None
    while page := held.page(limit=_PAGE, which=which, after=after):
        for entry in page:
            out.write(line(entry, format_))
            count += 1
            on_row(count)
        after = (page[-1].held_ms, page[-1].event_id)
    out.flush()
    return count
