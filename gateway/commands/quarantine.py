"""`tracking-gateway quarantine …`: the events that wait for a person, and dead letters. Here is what only looks; the rest is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, PortalOption, store
from gateway.commands.quarantine_discard import discard
from gateway.commands.quarantine_export import export
from gateway.commands.quarantine_options import (
    EventIds,
    Filters,
    PropOption,
    ReasonOption,
    SinceOption,
    UidOption,
    UntilOption,
    summed,
)
from gateway.commands.quarantine_release import release
from gateway.commands.quarantine_rows import row, shown
from gateway.events.remedies import remedy
from gateway.ledger.transfer import moment
from gateway.telemetry.redaction import redact
from gateway.terminal import explained, fail, plain, print_cards, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

quarantine_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at the events that wait for a person, let them out, or discard them. Safe while the gateway runs.",
    epilog="Begin with `tracking-gateway quarantine list`, then `tracking-gateway quarantine show <EVENT_ID>`.",
)


@quarantine_app.command("list")
def list_held(  # noqa: PLR0913 -- each is an option
    event_ids: EventIds = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    portal_id: PortalOption = "",
    prop_id: PropOption = "",
    uid: UidOption = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json: JsonOption = False,
) -> None:
    """List the events that wait for a person: what each is, why it waits, and what would release it. Newest first.

    Example: `tracking-gateway quarantine list --reason cid_conflict --since 2h --limit 10`
    """
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415 -- `--help` need not wait for it

    filters = Filters(event_ids, reason, since, until, portal_id, prop_id, uid)
    which = filters.which(as_json=json)
    path = store(config, "quarantine", as_json=json)
    with explained(as_json=json):
        held = open_quarantine(path, read_only=True)
        counts = held.count()
        found = counts if filters.is_all else held.count(which)
        entries = held.list(limit=limit, which=which)
    total, matching = sum(counts.values()), sum(found.values())
    if json:
        rows = [shown(each) for each in entries]
        print_json({"total": total, "by_reason": counts, "matching": matching, "entries": rows})
        return
    title = f"{len(entries):,} of {matching:,} held events"
    print_cards(
        title + (f" ({summed(found)})" if found else ""),
        [{name: value for name, value in row(each).items() if value is not None} for each in entries],
    )
    _explain(dict.fromkeys(each.reason for each in entries))


@quarantine_app.command("show")
def show(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As `list` and the log say it.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show everything about one event: why it waits, what would release it, and the event as it is held, hashed as the policy says.

    Exit code 1 when the quarantine does not have it. Example: `tracking-gateway quarantine show 01a2086f-62d6-71b9-bf33-087e58b652e8`
    """
    from gateway.quarantine.contract import Which  # noqa: PLC0415 -- see `list_held`
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415

    path = store(config, "quarantine", as_json=json)
    with explained(as_json=json):
        held = open_quarantine(path, read_only=True)
        entries = held.list(limit=1, which=Which(event_ids=(event_id,)))
        refusal = held.refusal(event_id)
        is_ordered = held.is_ordered(event_id)
    if not entries:
        fail(
            f"{redact(event_id)} is not in the quarantine: it was released, discarded or erased, or never held; the log says which",
            as_json=json,
        )
    [entry] = entries
    document: dict[str, Any] = {
        **shown(entry),
        "accepted_at": moment(entry.record.accepted_ms) if entry.record.accepted_ms else "",
        "query": entry.record.query,
        "client_ip": entry.record.client_ip,
        "user_agent": entry.record.user_agent,
        "is_ordered": is_ordered,
        "last_refusal": refusal
        and {
            "reason": refusal.reason,
            "detail": refusal.detail,
            "asked_at": moment(refusal.asked_ms),
            "release": remedy(refusal.reason).release,
        },
    }
    if json:
        print_json(document)
        return
    event = document.pop("event")
    last = document.pop("last_refusal")
    document["is_ordered"] = "its release is ordered" if is_ordered else ""
    if last:
        document["last release"] = f"stayed on {last['asked_at']}: {last['reason']}, {last['detail']}" + (
            "" if last["reason"] == entry.reason else f"; {last['release']}"
        )
    print_cards("1 held event", [document])
    text = (
        orjson.dumps(event, option=orjson.OPT_INDENT_2).decode() if event is not None else "(can't be read)"
    )
    Console().print(f"\n{escape(plain(text))}", highlight=False, soft_wrap=True)


quarantine_app.command("release")(release)
quarantine_app.command("discard")(discard)
quarantine_app.command("export")(export)


def _explain(reasons: Iterable[str]) -> None:
    """Say once what each reason means, and what would release such an event."""
    console = Console()
    for each in reasons:
        found = remedy(each)
        console.print(f"\n[bold]{escape(each)}[/bold]: {escape(found.why)}.", highlight=False)
        console.print(f"  To release: {escape(found.release)}.", highlight=False)
