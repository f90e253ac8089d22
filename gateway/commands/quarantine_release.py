"""`tracking-gateway quarantine release`: writes orders, which the gateway carries out, and waits for what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PortalOption,
    counted,
    now_ms,
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
from gateway.events.releases import Way
from gateway.events.remedies import remedy
from gateway.terminal import asked, explained, fail, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.quarantine.contract import Progress, QuarantineStore, Which

_PAGE = 500
_LOOK_SECONDS = 0.1
_STALLED_SECONDS = 30.0

_MEANS = {
    Way.POLICY: "as they are, decided anew under the settings of now",
    Way.NEW_UID: "those in conflict under a new UID of the customer that they name",
    Way.STRIP: "as nobody's: without UID, customer and session",
    Way.ACCEPT_ALIAS: "with their UIDs bound to the customers that they name, for ever, although the address is known as another's",
    Way.ACCEPT_VIOLATION: "as they are, although the tracking plan wants them otherwise",
}


class _Run(NamedTuple):
    """What was ordered: the run's number, how many, and how many of the chosen were ordered before."""

    number: int
    ordered: int
    before: int


def release(  # noqa: PLR0913 -- each is an option
    event_ids: EventIds = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    way: Annotated[
        Way,
        typer.Option(
            "--as",
            metavar="WAY",
            help="policy: as it is, under the settings of now. new_uid: under a UID of the customer's own, where the UID is another's. "
            "strip: as nobody's. accept_alias: although its address is known as another customer's. accept_violation: although it is not as the tracking plan wants it.",
        ),
    ] = Way.POLICY,
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    portal_id: PortalOption = "",
    prop_id: PropOption = "",
    uid: UidOption = "",
    everything: AllOption = False,
    yes: YesOption = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Order it, and don't wait until it is done.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Let events out: each goes through the rules, the ledger and the spool again. Exit code 1 when some stay.

    The running gateway does it within a second, else the next start. An event never goes out under a UID that is another customer's, and never when its
    UID was erased: such ones stay, and it is said why. Each release is an entry of the audit log.

    Example: `tracking-gateway quarantine release --reason cid_conflict --since 2h --as new_uid`
    """
    filters = Filters(event_ids, reason, since, until, portal_id, prop_id, uid)
    which = chosen(filters, is_all=everything, what="release", as_json=json)
    path = store(config, "quarantine", as_json=json)
    with explained(as_json=json):
        from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415 -- `--help` need not wait for it

        held = open_quarantine(path, read_only=True)
        counts = held.count(which)
        unknown = missing(held, which)
    if not counts:
        fail("there is nothing to release: the quarantine has no such event", as_json=json)
    _ask(counts, way, is_sure=yes, as_json=json)
    with _lasting_orders(as_json=json), explained(as_json=json):
        run = asyncio.run(_order(path, which, way, sum(counts.values()), as_json=json))
        waits = None if no_wait else _wait(path, held, run, as_json=json)
        done = held.progress(run.number)
    _tell(run, done, unknown, waits, as_json=json)


@contextlib.contextmanager
def _lasting_orders(*, as_json: bool) -> Iterator[None]:
    """Say to whoever interrupts that the orders stay; the rest is said where every interruption is."""
    try:
        yield
    except KeyboardInterrupt:
        if not as_json:
            sys.stderr.write(
                "tracking-gateway: what was ordered till now is carried out all the same; `quarantine discard` takes an order back with its event\n"
            )
        raise


def _ask(counts: dict[str, int], way: Way, *, is_sure: bool, as_json: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: write --yes when you are sure", code=2, as_json=as_json)
    total = sum(counts.values())
    sys.stderr.write(f"To be released: {counted(total, 'event')} ({summed(counts)}), {_MEANS[way]}.\n")
    if not asked("Release?"):
        raise typer.Abort


async def _order(path: Path, which: Which, way: Way, total: int, *, as_json: bool) -> _Run:
    from gateway.commands.progress import Bar  # noqa: PLC0415 -- see `release`
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415

    held = open_quarantine(path)
    try:
        number = await held.open_run(way, now_ms())
        seen, ordered, after = 0, 0, None
        with Bar("ordering", total, as_json=as_json) as bar:
            while page := held.page(limit=_PAGE, which=which, after=after):
                ordered += await held.order(number, [each.event_id for each in page])
                seen += len(page)
                bar.at(seen)
                after = (page[-1].held_ms, page[-1].event_id)
    finally:
        await held.close()
    return _Run(number, ordered, seen - ordered)


def _wait(path: Path, held: QuarantineStore, run: _Run, *, as_json: bool) -> str | None:
    """Wait until the orders are carried out; gives why that was given up, `None` when they are."""
    from gateway.commands.neighbour import Neighbour  # noqa: PLC0415 -- see `release`
    from gateway.commands.progress import Bar  # noqa: PLC0415

    neighbour = Neighbour(path.parent)
    with Bar("releasing", run.ordered, as_json=as_json) as bar:
        waiting, moved_at = run.ordered, time.monotonic()
        while waiting:
            now = held.progress(run.number).waiting
            if now != waiting:
                waiting, moved_at = now, time.monotonic()
                bar.at(run.ordered - waiting)
                continue
            if not neighbour.is_there():
                return "no gateway runs on this data folder: what waits will be carried out at its next start"
            if time.monotonic() - moved_at > _STALLED_SECONDS:
                return (
                    f"nothing has moved for {_STALLED_SECONDS:.0f} seconds: see `releases_wait` in the gateway's log; what waits will be "
                    "carried out when that is mended"
                )
            time.sleep(_LOOK_SECONDS)
    return None


def _tell(run: _Run, done: Progress, unknown: list[str], waits: str | None, *, as_json: bool) -> None:
    stayed = [
        {"reason": reason, "events": count, "why": remedy(reason).why, "release": remedy(reason).release}
        for reason, count in sorted(done.stayed.items(), key=lambda each: (-each[1], each[0]))
    ]
    gone = run.ordered - done.waiting - done.released - sum(done.stayed.values())
    document: dict[str, Any] = {
        "ok": not stayed and not unknown,
        "ordered": run.ordered,
        "ordered_before": run.before,
        "released": done.released,
        "stayed": stayed,
        "gone": gone,
        "waiting": done.waiting,
        "unknown": unknown,
        "note": waits or "",
    }
    if as_json:
        print_json(document)
    else:
        sys.stdout.write("\n".join(_lines(document)) + "\n")
    if not document["ok"]:
        raise typer.Exit(1)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"Released: {counted(document['released'], 'event')}."]
    if document["waiting"]:
        lines.append(f"Ordered, not done yet: {counted(document['waiting'], 'event')}.")
    if document["note"]:
        lines.append(f"  {document['note']}.")
    for each in document["stayed"]:
        lines += [
            f"Stayed: {counted(each['events'], 'event')}, {each['reason']}: {each['why']}.",
            f"  To release: {each['release']}.",
        ]
    if document["ordered_before"]:
        lines.append(f"Ordered before: {counted(document['ordered_before'], 'event')}: left to that order.")
    if document["gone"]:
        lines.append(f"Erased or discarded meanwhile: {counted(document['gone'], 'event')}.")
    if document["unknown"]:
        lines.append(f"Not in the quarantine: {', '.join(document['unknown'])}.")
    return lines
