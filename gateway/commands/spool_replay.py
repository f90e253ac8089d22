"""`tracking-gateway spool replay`: what a collector took once and has lost, sent to it again, or to another one."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    counted,
    load,
    now_ms,
    seconds_ago,
    store,
)
from gateway.settings_types import http_url
from gateway.terminal import asked, explained, fail, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.archive.reading import Damage
    from gateway.commands.replay_parts import Fates
    from gateway.commands.replaying import Counted, Outcome, Selection
    from gateway.settings import Settings

_INTERRUPTED = 130
_SHOWN_REFUSALS = 10
_PATIENCE_SECONDS = 600.0


class _Order(NamedTuple):
    """What was asked for: which events, where they go, how fast, and how it is written on a command line up to the moment of its beginning."""

    selection: Selection
    url: str
    rate: float
    patience: float
    rest: str
    is_dry_run: bool
    as_json: bool


def replay(  # noqa: PLR0913 -- each is an option
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Delivered at this time or later, such as 2026-11-30T14:00Z (UTC, unless it says another zone), or so long ago: 30m, 2h, 3d.",
        ),
    ],
    until: Annotated[
        str,
        typer.Option(metavar="TIME", help="Delivered before this time; written alike.", show_default="now"),
    ] = "",
    prop_id: Annotated[str, typer.Option("--property", "--prop-id", help="Only this property.")] = "",
    portal_id: Annotated[str, typer.Option(help="Only this portal.")] = "",
    uid: Annotated[str, typer.Option(help="Only this UID.")] = "",
    to: Annotated[
        str, typer.Option("--to", help="Another collector's URL, instead of `collector.url`.")
    ] = "",
    rate: Annotated[
        float, typer.Option(min=0.1, max=100_000, help="At most so many events a second.")
    ] = 100.0,
    patience: Annotated[
        float, typer.Option(min=1, help="Stop when the collector has taken nothing for so many seconds.")
    ] = _PATIENCE_SECONDS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; send nothing, ask nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask. Needed where there is no terminal.")] = False,
    json: JsonOption = False,
) -> None:
    """Send events again that the collector took once, from the archive (`archive.days`). In order for each UID.

    --since and --until speak of the moment of *delivery*, in UTC. Each event goes out with the same bytes and the same `request_id` as at first, so that the CDP can tell a
    repetition: without that it would count twice. Events of erased UIDs are never sent. The archive stays as it is, so a replay can be done again.
    Events that come in meanwhile are not held up, and may overtake.

    Ctrl-C stops it and gives the command to go on with. Exit code 1 when the collector refused some, or it stopped before its end; 130 when interrupted.

    Example: `tracking-gateway spool replay --since 2026-11-30T14:00Z --until 2026-11-30T15:30Z --dry-run`
    """
    from gateway.archive.erased import ErasedUids  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.archive.folder import Folder  # noqa: PLC0415

    loaded = load(config, as_json=json)
    order = _order(
        loaded,
        config,
        (since, until),
        (prop_id, portal_id, uid),
        to,
        (rate, patience),
        dry_run=dry_run,
        as_json=json,
    )
    ledger_file = store(config, "ledger", as_json=json)
    folder = Folder(loaded.data_dir / "archive")
    if not folder.exists:
        hint = (
            ""
            if loaded.archive.days
            else "; delivered events are kept when archive.days says for how many days"
        )
        fail(f"nothing was archived in {folder.path} yet{hint}", as_json=json)
    erased = ErasedUids(ledger_file)
    try:
        with explained(as_json=json):
            _run(folder, erased, loaded, order, is_sure=yes)
    finally:
        erased.close()


def _order(
    loaded: Settings,
    config: Path,
    moments: tuple[str, str],
    only: tuple[str, str, str],
    to: str,
    pace: tuple[float, float],
    *,
    dry_run: bool,
    as_json: bool,
) -> _Order:
    from gateway.archive.lines import moment  # noqa: PLC0415 -- see `replay`
    from gateway.archive.reading import Span  # noqa: PLC0415
    from gateway.commands.replaying import Selection  # noqa: PLC0415

    span = Span(
        _moment("--since", moments[0], as_json=as_json),
        _moment("--until", moments[1], as_json=as_json) if moments[1] else now_ms(),
    )
    if span.until_ms <= span.since_ms:
        fail("--until: write a moment after --since", code=2, as_json=as_json)
    if to:
        try:
            http_url(to)
        except ValueError as error:
            fail(f"--to: {error}", code=2, as_json=as_json)
    given = {"--property": only[0], "--portal-id": only[1], "--uid": only[2], "--to": to}
    words = ["--until", moment(span.until_ms)]
    words += [word for name, value in given.items() if value for word in (name, value)]
    words += ["--rate", f"{pace[0]:g}"]
    if config != DEFAULT_CONFIG:
        words += ["--config", str(config)]
    return _Order(
        Selection(span, *only),
        to or loaded.collector.url,
        *pace,
        shlex.join(words),
        dry_run,
        as_json,
    )


def _moment(option: str, text: str, *, as_json: bool) -> int:
    from gateway.archive.lines import milliseconds  # noqa: PLC0415 -- see `replay`

    if (seconds := seconds_ago(text)) is not None:
        return now_ms() - seconds * 1000
    try:
        return milliseconds(text.strip())
    except (ValueError, OverflowError):
        fail(
            f"{option}: write a moment such as 2026-11-30T14:00Z, 2026-11-30T21:00+07:00 or 2026-11-30, or how long ago, such as 2h or 3d",
            code=2,
            as_json=as_json,
        )


def _run(folder: Any, erased: Any, loaded: Settings, order: _Order, *, is_sure: bool) -> None:
    from gateway.commands import replaying  # noqa: PLC0415 -- see `replay`
    from gateway.commands.progress import Bar  # noqa: PLC0415

    as_json = order.as_json
    with Bar("counting", 0, as_json=as_json) as bar:
        counted_ = replaying.count(folder, order.selection, erased, bar)
    sendable = counted_.events - counted_.erased
    if not as_json:
        sys.stderr.write(_announcement(order, counted_, loaded))
    if order.is_dry_run or not sendable:
        _tell(order, counted_, None)
    if not is_sure:
        if not sys.stdin.isatty():
            fail("there is no terminal to ask on: write --yes when you are sure", code=2, as_json=as_json)
        if not asked("Send them again?"):
            raise typer.Abort
    with Bar("sending", counted_.events, as_json=as_json) as bar:

        def on_progress(fates: Fates) -> None:
            away = f"; the collector is away: {fates.away}" if fates.away else ""
            refused = f", {fates.refused:,} refused" if fates.refused else ""
            bar.at(fates.settled, f"{fates.sent:,} sent{refused}{away}")

        outcome = asyncio.run(
            replaying.replay(
                folder,
                order.selection,
                erased,
                loaded.collector,
                url=order.url,
                per_second=order.rate,
                patience_seconds=max(order.patience, 10 / order.rate),
                on_progress=on_progress,
            )
        )
    _tell(order, counted_, outcome)


def _announcement(order: _Order, counted_: Counted, loaded: Settings) -> str:
    sendable = counted_.events - counted_.erased
    text = f"{counted(counted_.events, 'event')} delivered in that time" + (
        f", {counted_.erased:,} of them of erased UIDs, which are not sent" if counted_.erased else ""
    )
    if not counted_.events:
        return f"{text}; kept are those of the last {counted(loaded.archive.days, 'day')}\n"
    return f"{text}.\nTo {_shown(order.url)}, at most {order.rate:g} a second: about {_lasting(sendable / order.rate)}.\n"


def _tell(order: _Order, counted_: Counted, outcome: Outcome | None) -> NoReturn:
    fates = outcome.fates if outcome is not None else None
    sent, refused, skipped = (fates.sent, fates.refused, fates.skipped) if fates else (0, 0, 0)
    cause = outcome.cause if outcome is not None else ""
    stopped_at = outcome.stopped_at if outcome is not None else None
    damage = (outcome or counted_).damage
    go_on = f"tracking-gateway spool replay --since {stopped_at} {order.rest}" if stopped_at else None
    if order.as_json:
        from gateway.archive.lines import moment  # noqa: PLC0415 -- see `replay`

        document: dict[str, Any] = {
            "ok": not (refused or cause),
            "dry_run": order.is_dry_run,
            "since": moment(order.selection.span.since_ms),
            "until": moment(order.selection.span.until_ms),
            "to": _shown(order.url),
            "events": counted_.events,
            "sent": sent,
            "refused": refused,
            "erased": skipped if outcome is not None else counted_.erased,
            "refusals": [
                {"event_id": event_id, "uid": uid, "cause": why}
                for event_id, uid, why in (fates.refusals if fates else [])
            ],
            "unreadable": [
                {"file": str(each.path), "offset": each.offset, "bytes": each.length, "cause": each.cause}
                for each in damage
            ],
            "stopped_at": stopped_at,
            "go_on": go_on,
        }
        if cause:
            document["error"] = cause
        print_json(document)
    else:
        sys.stdout.write("\n".join(_lines(order, outcome, damage, go_on)) + "\n")
    if cause == "interrupted":
        # Said above, in the form that was asked for.
        sys.exit(_INTERRUPTED)
    raise typer.Exit(1 if refused or cause else 0)


def _lines(order: _Order, outcome: Outcome | None, damage: Sequence[Damage], go_on: str | None) -> list[str]:
    lines = []
    if outcome is None:
        lines.append("A rehearsal: nothing was sent." if order.is_dry_run else "There is nothing to send.")
    else:
        fates = outcome.fates
        lines.append(
            f"{counted(fates.sent, 'event')} sent, {fates.refused:,} refused, {fates.skipped:,} skipped because their UID is erased."
        )
        lines += [
            f"  refused: event {event_id} of UID {uid or '-'}: {why}"
            for event_id, uid, why in fates.refusals[:_SHOWN_REFUSALS]
        ]
        if fates.refused > _SHOWN_REFUSALS:
            lines.append("  … --json names a hundred of them")
        if outcome.cause:
            lines += [
                f"Stopped ({outcome.cause}) before the event that was delivered at {outcome.stopped_at}. Go on with:",
                f"  {go_on}",
            ]
    if damage:
        places = {each.path.name for each in damage}
        lines.append(
            f"{counted(len(damage), 'place')} of the archive can't be read, in {', '.join(sorted(places))}: the end of a file is what a crash left"
        )
    return lines


def _shown(url: str) -> str:
    """Give a URL without its query, which may hold a secret."""
    return url.partition("?")[0]


def _lasting(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{max(rest, 1)} s"
