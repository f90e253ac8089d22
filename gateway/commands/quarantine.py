"""`tracking-gateway quarantine …`: the events that wait for a person."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, store
from gateway.ledger.transfer import moment
from gateway.terminal import explained, print_cards, print_json

quarantine_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Look at the events that wait for a person."
)


@quarantine_app.callback()
def _common() -> None:
    # Without it, the only command of a group would take the group's place.
    pass


@quarantine_app.command("list")
def list_held(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    reason: Annotated[str, typer.Option(help="Only this reason, such as cid_conflict.")] = "",
    uid: Annotated[str, typer.Option(help="Only this UID.")] = "",
    portal_id: Annotated[str, typer.Option(help="Only this portal.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json: JsonOption = False,
) -> None:
    """List the events that wait for a person: what each is, and why it waits. Newest first.

    Example: `tracking-gateway quarantine list --reason cid_conflict --limit 10`
    """
    from gateway.quarantine.contract import Which  # noqa: PLC0415 -- see below
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415 -- `--help` need not wait for it

    path = store(config, "quarantine", as_json=json)
    with explained(as_json=json):
        held = open_quarantine(path, read_only=True)
        which = Which(reason=reason or None, portal_id=portal_id or None, uid=uid or None)
        entries = held.list(limit=limit, which=which)
        counts = held.count()
    rows = [
        {
            "held_at": moment(each.held_ms),
            "reason": each.reason,
            "portal_id": each.portal_id,
            "prop_id": each.prop_id,
            "uid": each.uid,
            "claimed_cid": each.claimed_cid,
            "bound_cid": each.bound_cid,
            "event_id": each.event_id,
            "detail": each.detail,
        }
        for each in entries
    ]
    if json:
        for row, entry in zip(rows, entries, strict=True):
            row["event"] = _event(entry.record.body)
        print_json({"total": sum(counts.values()), "by_reason": counts, "entries": rows})
    else:
        print_cards(f"{len(rows)} of {sum(counts.values())} held events", rows)


def _event(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
