"""`tracking-gateway ledger verify`: the proof that nobody has rewritten what happened, and that the bindings are what it tells."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, counted, opened, store
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from gateway.ledger.verify import Verification

_HEAD = re.compile(r"(?P<seq>[0-9]{1,18}):(?P<chain>[0-9a-fA-F]{64})\Z")


def verify(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    head: Annotated[
        str,
        typer.Option(
            metavar="SEQ:HASH",
            help="A head that was printed earlier and kept elsewhere: it must still be there.",
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Check the whole audit log, and all bindings against it; name the first broken entry. Exit code 1 when something is wrong.

    Prints the log's head. Keep it on another machine: with it, even somebody who may write the file can't rewrite the past unseen.

    Example: `tracking-gateway ledger verify`, and later `tracking-gateway ledger verify --head 1024:9f86d081…`
    """
    from gateway.commands.progress import Bar  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.ledger.verify import verify as check  # noqa: PLC0415

    found = _HEAD.match(head.strip())
    if head and not found:
        fail(
            "--head: write what verify printed: a number, a colon and 64 hexadecimal digits",
            code=2,
            as_json=json,
        )
    expected = (int(found["seq"]), found["chain"].lower()) if found else None
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        ledger = opened(path)
        stats = ledger.stats()
        with Bar("checking", stats.audit_entries + stats.rows + stats.erased, as_json=json) as bar:
            result = check(ledger, on_progress=lambda done, _: bar.at(done), expected_head=expected)
    _tell(result, as_json=json)
    if not result.is_whole:
        raise typer.Exit(1)


def _tell(result: Verification, *, as_json: bool) -> None:
    head = f"{result.head[0]}:{result.head[1]}" if result.entries else ""
    broken = result.first_broken
    if as_json:
        print_json(
            {
                "ok": result.is_whole,
                "entries": result.entries,
                "bindings": result.rows,
                "tombstones": result.erased,
                "head": head,
                "first_broken": {"seq": broken.seq, "what": broken.what} if broken else None,
                "problems": [{"seq": each.seq, "what": each.what} for each in result.problems],
            }
        )
        return
    looked_at = (
        f"{counted(result.entries, 'entry', 'entries')}, {counted(result.rows, 'binding')} "
        f"and {counted(result.erased, 'tombstone')} checked"
    )
    if result.is_whole:
        sys.stdout.write(f"{looked_at}: nothing is wrong\n{f'head {head}' if head else 'the log is empty'}\n")
        return
    sys.stdout.write(f"{looked_at}\n")
    first = "first broken: " if broken else ""
    for each in result.problems:
        sys.stderr.write(f"{first}{f'entry {each.seq} {each.what}' if each.seq else each.what}\n")
        first = ""
    sys.stderr.write(
        "tracking-gateway: this ledger is not what its log tells; keep the file for inspection, and take a backup that verifies\n"
    )
