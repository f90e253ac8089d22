"""`tracking-gateway plan infer`: a plan from what has come, to begin one's own with."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 -- typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import (  # fmt: skip
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PortalOption,
    counted,
    load,
    now_ms,
    seconds_ago,
)
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from gateway.archive.reading import Span

_TIMES = "RFC 3339, such as 2026-11-30T07:00:00Z, or so long ago: 2h, 3d."


def infer(  # noqa: PLR0913 -- each is an option
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="An archive's folder, or a file with an event as JSON in each line; else the gateway's own archive.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the plan to this new file; else to standard output.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help=f"Delivered at this time or later: {_TIMES}")
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="TIME", help="Delivered before this time; written alike.")
    ] = "",
    portal_id: PortalOption = "",
    prop_id: Annotated[str, typer.Option(help="Only this property.")] = "",
    required: Annotated[
        float,
        typer.Option(min=50, max=100, help="A field that so many per cent of the events have is required."),
    ] = 99,
    min_events: Annotated[
        int, typer.Option(min=1, help="Kinds of event that came less often are left out.")
    ] = 20,
    max_values: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="A field with no more different words than these gets them as its allowed values.",
        ),
    ] = 12,
    json: JsonOption = False,
) -> None:
    """Write the plan that nearly all archived events keep, to read, change and use as `tracking_plan.file`.

    Needs `archive.days`, or events in a file. No value is written that may be somebody's: only plain words that came from several visitors, as allowed
    values; of all else types and rounded bounds. Memory stays the same however large the archive is.

    Example: `tracking-gateway plan infer --since 7d --output config/tracking_plan.toml`
    """
    path = source if source is not None else load(config, as_json=json).data_dir / "archive"
    if not path.exists():
        hint = "set archive.days and let events come, or name an archive or a file with --from"
        fail(f"there is nothing at {path}: {hint}", as_json=json)
    if output is not None and output.exists():
        fail(f"--output: {output} is there already: name a new file", code=2, as_json=json)
    with explained(as_json=json):
        from gateway.archive.reading import Span  # noqa: PLC0415 -- `--help` need not wait for it
        from gateway.commands.progress import Bar  # noqa: PLC0415
        from gateway.plans.counting import Events  # noqa: PLC0415
        from gateway.plans.inferring import Inference, Thresholds  # noqa: PLC0415
        from gateway.plans.writing import plan_text  # noqa: PLC0415

        span = Span(
            _moment("--since", since, 0, as_json=json), _moment("--until", until, 1 << 62, as_json=json)
        )
        events = Events(path, span)
        inference = Inference(Thresholds(required / 100, min_events, max_values))
        with Bar("reading", 0, as_json=json) as bar:
            for portal, prop, fields in events:
                if portal_id in {"", portal} and prop_id in {"", prop}:
                    inference.add(fields)
                bar.at_of(events.read, events.total)
        rules = inference.rules()
        text = plan_text(rules, _heading(path, span, inference.events))
        if output is not None:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
    document: dict[str, Any] = {
        "ok": bool(rules),
        "events": inference.events,
        "kinds": len(rules),
        "rare_kinds": inference.rare,
        "odd_names": inference.odd,
        "unreadable": events.unreadable,
        "output": None if output is None else str(output),
        "plan": text,
    }
    _tell(document, as_json=json)


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    elif document["output"] is None:
        sys.stdout.write(document["plan"])
    if not as_json:
        lines = [
            f"{counted(document['kinds'], 'kind')} of event, from {counted(document['events'], 'event')}."
        ]
        if document["rare_kinds"]:
            lines.append(f"Left out, too rare (--min-events): {counted(document['rare_kinds'], 'kind')}.")
        if document["odd_names"]:
            lines.append(
                f"Left out, category or action no plain name, or too many: {counted(document['odd_names'], 'event')}."
            )
        if document["unreadable"]:
            lines.append(f"Could not be read: {counted(document['unreadable'], 'line')}.")
        if document["output"] is not None:
            lines.append(f'Read it, then: tracking_plan.file = "{document["output"]}"')
        sys.stderr.write("\n".join(lines) + "\n")
    if not document["ok"]:
        raise typer.Exit(1)


def _heading(path: Path, span: Span, events: int) -> list[str]:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return [
        f"A tracking plan, inferred on {when} from {events:,} events of {path.name}.",
        "It says what has come, not what is right: read it line by line, then name it as tracking_plan.file.",
        *(["Only a part of the time was looked at."] if span.since_ms or span.until_ms < 1 << 62 else []),
    ]


def _moment(option: str, text: str, default: int, *, as_json: bool) -> int:
    from gateway.archive.lines import milliseconds  # noqa: PLC0415 -- see `infer`

    if not text:
        return default
    if (seconds := seconds_ago(text)) is not None:
        return now_ms() - seconds * 1_000
    try:
        return milliseconds(text.strip())
    except ValueError:
        return fail(
            f"{option}: write a time such as 2026-11-30T07:00:00Z, or how long ago, such as 2h or 3d",
            code=2,
            as_json=as_json,
        )
