"""`tracking-gateway ledger …`: who is bound to whom, for people and programs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, store
from gateway.terminal import explained, print_json, print_rows

ledger_app = typer.Typer(
    no_args_is_help=True, help="Look at who is bound to whom. Safe while the gateway runs."
)


@ledger_app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="UID|CID", help="An anonymous id or a customer id.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    portal_id: Annotated[str, typer.Option(help="Look in this portal only.")] = "",
    json: JsonOption = False,
) -> None:
    """Show whom a UID belongs to, or which UIDs a CID has. Exit code 1 when the ledger knows neither."""
    from gateway.ledger.sqlite import open_sqlite_ledger  # noqa: PLC0415 -- `--help` need not wait for it

    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        ledger = open_sqlite_ledger(path, read_only=True)
        as_uid = ledger.find(id_, portal_id or None)
        as_cid = ledger.uids_of(id_, portal_id or None)
    rows = [
        {"portal_id": each.portal_id, "uid": each.uid, "cid": each.cid, "bound_at": moment(each.bound_ms)}
        for each in (*as_uid, *(each for each in as_cid if each not in as_uid))
    ]
    if json:
        print_json({"id": id_, "is_uid": bool(as_uid), "is_cid": bool(as_cid), "bindings": rows})
    elif rows:
        print_rows(f"{len(rows)} binding{'s' if len(rows) != 1 else ''}", rows)
    if not rows:
        if not json:
            Console(stderr=True).print(f"{escape(id_)} is neither a bound UID nor a CID in {path}")
        raise typer.Exit(1)
