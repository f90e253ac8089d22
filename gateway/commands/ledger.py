"""`tracking-gateway ledger …`: who is bound to whom, for people and programs. Here is what only looks at rows; the rest is registered."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.ledger_audit import audit
from gateway.commands.ledger_erase import erase
from gateway.commands.ledger_transfer import export, import_
from gateway.commands.ledger_verify import verify
from gateway.commands.ledger_whom import whom
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
from gateway.ledger.transfer import moment
from gateway.terminal import explained, fail, plain, print_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ledger.contract import BoundUid

ledger_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at who is bound to whom, carry it elsewhere, and forget who asks for it. Safe while the gateway runs.",
    epilog="Begin with `tracking-gateway ledger stats`, then `tracking-gateway ledger show <UID or CID>`.",
)


@ledger_app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="UID|CID", help="An anonymous id or a customer id.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    portal_id: Annotated[str, typer.Option(help="Look in this portal only.")] = "",
    json: JsonOption = False,
) -> None:
    """Show whom a UID belongs to, or which UIDs a CID has. Exit code 1 when the ledger knows neither.

    A UID that was erased is shown with the day and the reason. By an e-mail address or phone number everybody is found who is known by
    it: under each of its hashes, and by the CIDs that it first came with.

    Example: `tracking-gateway ledger show 1234567890123`
    """
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        ledger = opened(path)
        meant = whom(id_, load(config, as_json=json), ledger, portal_id or None)
        id_ = meant.shown
        as_uid, as_cid = meant.rows(ledger, portal_id or None)
    rows = [_shown(each) for each in (*as_uid, *as_cid)]
    if json:
        print_json({"id": id_, "is_uid": bool(as_uid), "is_cid": bool(as_cid), "bindings": rows})
    elif rows:
        print_rows(_title([*as_uid, *as_cid]), rows)
    if not rows:
        if not json:
            Console(stderr=True).print(f"{escape(plain(id_))} is neither a bound UID nor a CID in {path}")
        raise typer.Exit(1)


@ledger_app.command("list")
def list_rows(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    portal_id: PortalOption = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    after: Annotated[
        str,
        typer.Option(metavar="PORTAL:UID", help="Go on behind this row: what the page before named as next."),
    ] = "",
    json: JsonOption = False,
) -> None:
    """List bindings and tombstones, a page at a time, in the ledger's own order.

    Example: `tracking-gateway ledger list --limit 20`, then `… list --limit 20 --after 33167:1234567890123`
    """
    after_portal, colon, after_uid = after.partition(":")
    if after and not (after_portal and colon and after_uid):
        fail(
            "--after: write a row's portal and UID, such as 33167:1234567890123, or leave it out",
            code=2,
            as_json=json,
        )
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        ledger = opened(path)
        try:
            rows = ledger.export(portal_id or None, after=(after_portal, after_uid) if after else None)
            page = list(itertools.islice(rows, limit + 1))
        except ValueError:
            fail("--after: the ledger knows no such portal", code=2, as_json=json)
    shown, is_last = page[:limit], len(page) <= limit
    next_ = None if is_last else f"{shown[-1].portal_id}:{shown[-1].uid}"
    if json:
        print_json({"bindings": [_shown(each) for each in shown], "next": next_})
        return
    print_rows(_title(shown), [_shown(each) for each in shown])
    if next_:
        Console(stderr=True).print(f"more: --after {escape(next_)}")


@ledger_app.command("stats")
def stats(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Say how large the ledger is: bindings by portal, tombstones, address keys, the audit log and its head.

    Takes the same moment for ten rows and for ten million. Example: `tracking-gateway ledger stats --json`
    """
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        found = opened(path).stats()
    document = {
        "file": str(path),
        "file_bytes": found.file_bytes,
        "bindings": found.rows,
        "tombstones": found.erased,
        "address_keys": found.aliases,
        "audit_entries": found.audit_entries,
        "audit_head": f"{found.audit_entries}:{found.audit_head}" if found.audit_head else "",
        "portals": found.portals,
    }
    if json:
        print_json(document)
        return
    values = {**document, "portals": ", ".join(f"{name}: {count:,}" for name, count in found.portals.items())}
    print_rows(
        "The ledger",
        [
            {"what": name.replace("_", " "), "value": f"{each:,}" if isinstance(each, int) else each}
            for name, each in values.items()
        ],
    )


ledger_app.command("export")(export)
ledger_app.command("import")(import_)
ledger_app.command("verify")(verify)
ledger_app.command("erase")(erase)
ledger_app.command("audit")(audit)


def _shown(row: BoundUid) -> dict[str, Any]:
    is_erased = row.erased_ms is not None
    return {
        "portal_id": row.portal_id,
        "uid": row.uid,
        "cid": row.cid,
        "bound_at": "" if is_erased else moment(row.bound_ms),
        "erased_at": moment(row.erased_ms) if row.erased_ms is not None else "",
        "reason": row.reason,
    }


def _title(rows: Sequence[BoundUid]) -> str:
    erased = sum(each.erased_ms is not None for each in rows)
    title = counted(len(rows) - erased, "binding")
    return f"{title}, {counted(erased, 'tombstone')}" if erased else title
