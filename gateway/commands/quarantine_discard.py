"""`tracking-gateway quarantine discard`: events that nobody wants any more go, for good, and the audit log says why.

What is to go is said in the audit log before it goes. A command that was interrupted can be run again: it discards the rest, and overwrites the bytes of all.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PortalOption,
    counted,
    now_ms,
    opened,
    store,
)
from gateway.commands.quarantine_options import (
    AllOption,
    EventIds,
    Filters,
    PropOption,
    ReasonOption,
    SinceOption,
    UidOption,
    UntilOption,
    YesOption,
    chosen,
    missing,
    summed,
)
from gateway.terminal import asked, explained, fail, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.quarantine.contract import Which

_PAGE = 500
_MAX_WHY = 200


def discard(  # noqa: PLR0913 -- each is an option
    event_ids: EventIds = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    why: Annotated[str, typer.Option(help="Why, for the audit log: a ticket, never an address.")],
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    portal_id: PortalOption = "",
    prop_id: PropOption = "",
    uid: UidOption = "",
    everything: AllOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Discard events for good: nobody gets them any more, and their bytes are overwritten. Each is an entry of the audit log.

    To forget a person, use `ledger erase`: it reaches further. Before, `quarantine export` with the same filters keeps a copy.

    Example: `tracking-gateway quarantine discard --reason too_old --until 30d --why "ticket 118"`
    """
    why = _checked(why, as_json=json)
    filters = Filters(event_ids, reason, since, until, portal_id, prop_id, uid)
    which = chosen(filters, is_all=everything, what="discard", as_json=json)
    path = store(config, "quarantine", as_json=json)
    ledger = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415 -- `--help` need not wait for it

        held = open_quarantine(path, read_only=True)
        counts = held.count(which)
        unknown = missing(held, which)
        asyncio.run(held.close())
    if counts:
        _ask(counts, is_sure=yes, as_json=json)
    with explained(as_json=json):
        count = asyncio.run(_discard(path, ledger, which, why, sum(counts.values()), as_json=json))
    is_ok = count > 0 and not unknown
    if json:
        print_json({"ok": is_ok, "discarded": count, "by_reason": counts, "unknown": unknown})
    elif count:
        sys.stdout.write(
            f"Discarded: {counted(count, 'event')} ({summed(counts)}); the bytes are overwritten.\n"
        )
    else:
        sys.stderr.write("tracking-gateway: there was nothing to discard: the quarantine has no such event\n")
    if unknown and count and not json:
        sys.stdout.write(f"Not in the quarantine: {', '.join(unknown)}.\n")
    if not is_ok:
        raise typer.Exit(1)


def _checked(why: str, *, as_json: bool) -> str:
    from gateway.commands.admission import holds_address  # noqa: PLC0415 -- see `discard`

    why = why.strip()
    if not why or len(why) > _MAX_WHY or not why.isprintable():
        fail(f"--why: write one line of at most {_MAX_WHY} characters", code=2, as_json=as_json)
    if holds_address(why):
        fail(
            "--why holds an e-mail address or a phone number, which would stay for ever: name a ticket instead",
            code=2,
            as_json=as_json,
        )
    return why


def _ask(counts: dict[str, int], *, is_sure: bool, as_json: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: write --yes when you are sure", code=2, as_json=as_json)
    sys.stderr.write(
        f"To be discarded for good: {counted(sum(counts.values()), 'event')} ({summed(counts)}).\n"
    )
    if not asked("Discard?"):
        raise typer.Abort


async def _discard(
    path: Path, ledger_path: Path, which: Which, why: str, total: int, *, as_json: bool
) -> int:
    from gateway.commands.progress import Bar  # noqa: PLC0415 -- see `discard`
    from gateway.events.model import AuditNote  # noqa: PLC0415
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415

    ledger, held = opened(ledger_path, read_only=False), open_quarantine(path)
    count = 0
    try:
        with Bar("discarding", total, as_json=as_json) as bar:
            while page := held.page(limit=_PAGE, which=which):
                notes = [
                    AuditNote(
                        kind="release",
                        portal_id=each.portal_id,
                        uid=each.uid,
                        cid=each.bound_cid or "",
                        other=each.claimed_cid or "",
                        note=f"discard ({each.reason}): {why}",
                        event_id=each.event_id,
                    )
                    for each in page
                ]
                await ledger.record(notes, now_ms())
                count += await held.discard([each.event_id for each in page])
                bar.at(count)
        # Also when nothing was left to discard: what an interrupted command has left.
        await held.overwrite()
    finally:
        await held.close()
        await ledger.close()
    return count
