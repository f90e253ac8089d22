"""`tracking-gateway qa`: a recording of a browser's or a proxy's, checked as the gateway would treat it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load
from gateway.terminal import explained, fail, plain, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from gateway.qa.findings import Order
    from gateway.qa.playing import Played
    from gateway.qa.recordings import Recording
    from gateway.qa.reports import SessionModel
    from gateway.settings import Settings

FailOn = Literal["error", "warning", "note", "never"]


def qa(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="HAR files, or one flow dump of mitmproxy's; `-` is standard input. Several are one visit, in the order of their calls.",
        ),
    ],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the report for people to this file.")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE.xml", help="Write JUnit XML to this file, a test for each rule."),
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE.sarif", help="Write SARIF 2.1.0 to this file.")
    ] = None,
    fail_on: Annotated[
        FailOn,
        typer.Option(help="End with exit code 1 when something as grave as this, or worse, was found."),
    ] = "error",
    json: JsonOption = False,
) -> None:
    """Check the tracking in a recording: what the gateway would make of each call, and what is wrong with it, by `[qa]` and the rest of the settings.

    Record: open the developer tools' network panel, tick *Preserve log*, walk through the site as a customer does (a page, a product, sign-in, sign-out), then
    *Export HAR* with sensitive data. Playwright (`record_har_path`), Charles, Safari, Firefox and mitmproxy (`hardump`) write HAR too. Each call
    is judged by the time of the recording, nothing is sent to a collector, and no report holds a raw address.

    Exit codes: 0 nothing is as grave as `--fail-on`; 1 something is; 2 it can't be checked: no recording, or a wrong setting.

    Examples: `tracking-gateway qa shop.har --config config/gateway.toml --report shop.html`

    `tracking-gateway qa shop.har --fail-on warning --junit qa.xml --sarif qa.sarif` in CI

    `gunzip -c night.har.gz | tracking-gateway qa - --json | jq .report.headline`
    """
    loaded = load(config, as_json=json)
    outputs = {"html": report, "junit": junit, "sarif": sarif}
    _seen_outputs(outputs, as_json=json)
    if files.count("-") > 1:
        fail("FILE: standard input can be read once: name `-` one time", code=2, as_json=json)
    with contextlib.ExitStack() as stack:
        sources = [(name, stack.enter_context(_source(name, as_json=json))) for name in files]
        from gateway.qa.recordings import NotARecording, kind_of, opened  # noqa: PLC0415 -- `--help` need not wait

        if any(kind_of(file) == "dump" for _, file in sources):
            _dump(sources, config, outputs, fail_on, as_json=json)
            return
        recordings = []
        for name, file in sources:
            try:
                recordings.append(stack.enter_context(opened(file, _said(name))))
            except NotARecording as error:
                fail(f"{error} ({error.hint})", code=2, as_json=json)
        _usable(recordings, as_json=json)
        with explained(as_json=json):
            played, model = asyncio.run(_checked(recordings, loaded, as_json=json))
            from gateway.qa.reports import write_reports  # noqa: PLC0415

            threshold: Order = fail_on if fail_on != "never" else "error"
            written = write_reports(model, **outputs, fail_on=threshold)
    is_ok = not _fails(model, fail_on)
    _tell(model, played, written, is_ok=is_ok, as_json=json)
    if not is_ok:
        raise typer.Exit(1)


async def _checked(
    recordings: Sequence[Recording], settings: Settings, *, as_json: bool
) -> tuple[Played, SessionModel]:
    from gateway.commands.progress import Bar  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.qa.playing import play  # noqa: PLC0415
    from gateway.qa.reports import gather  # noqa: PLC0415
    from gateway.qa.running import running_session  # noqa: PLC0415

    total = sum(len(each.places) for each in recordings)
    async with running_session(settings) as session:
        with Bar("checking", total, as_json=as_json) as bar:
            played = await play(session, recordings, bar.at)
        names = ", ".join(each.name for each in recordings)
        return played, gather(session, settings, source=names, mode="recording")


def _source(name: str, *, as_json: bool) -> Any:
    from gateway.qa.recordings import seekable  # noqa: PLC0415 -- `--help` need not wait for it

    path = None if name == "-" else Path(name)
    if path is not None and not path.exists():
        fail(f"FILE: there is nothing at {name}: name a HAR file", code=2, as_json=as_json)
    if path is not None and path.is_dir():
        fail(f"FILE: {name} is a folder: name the .har files in it", code=2, as_json=as_json)
    return seekable(path, sys.stdin.buffer)


def _said(name: str) -> str:
    return "standard input" if name == "-" else Path(name).name


def _seen_outputs(outputs: dict[str, Path | None], *, as_json: bool) -> None:
    """Say before the work, not after it, that a report has no place."""
    for name, path in outputs.items():
        if path is not None and path.is_dir():
            option = "report" if name == "html" else name
            fail(f"--{option}: {path} is a folder: name a file", code=2, as_json=as_json)


def _usable(recordings: Sequence[Recording], *, as_json: bool) -> None:
    for each in recordings:
        if each.unread and not each.places:
            first = each.unread[0]
            fail(
                f"{each.name}: no entry can be read, the first: {first.field}: {_safe(first.what)}",
                code=2,
                as_json=as_json,
            )


def _fails(model: SessionModel, fail_on: FailOn) -> bool:
    from gateway.qa.findings import ORDER  # noqa: PLC0415 -- `--help` need not wait for it

    if fail_on == "never":
        return False
    return any(model.counts.severities.get(each, 0) for each in ORDER[: ORDER.index(fail_on) + 1])


def _tell(
    model: SessionModel, played: Played, written: Sequence[Path], *, is_ok: bool, as_json: bool
) -> None:
    notices = [_safe(each) for each in played.notices()]
    if as_json:
        import msgspec  # noqa: PLC0415 -- `--help` need not wait for it

        print_json(
            {
                "ok": is_ok,
                "notices": notices,
                "written": [str(each) for each in written],
                "report": msgspec.to_builtins(model),
            }
        )
        return
    from rich.console import Console  # noqa: PLC0415 -- see above

    from gateway.qa.reports import summary  # noqa: PLC0415

    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(summary(model))
    for notice in notices:
        sys.stderr.write(f"notice: {plain(notice)}\n")
    for path in written:
        sys.stderr.write(f"written: {plain(str(path))}\n")


def _safe(text: str) -> str:
    from gateway.telemetry.redaction import redact  # noqa: PLC0415 -- `--help` need not wait for it

    return redact(text)


def _dump(
    sources: Sequence[tuple[str, BinaryIO]],
    config: Path,
    outputs: dict[str, Path | None],
    fail_on: FailOn,
    *,
    as_json: bool,
) -> None:
    """Have a flow dump looked at by the addon itself, which knows mitmproxy's own format."""
    from gateway.commands.qa_dump import command_for, found_mitmdump, ran  # noqa: PLC0415 -- see above

    if len(sources) > 1:
        fail("FILE: a flow dump of mitmproxy's is checked alone: name no other file", code=2, as_json=as_json)
    ((name, file),) = sources
    options = {
        "tracking_config": str(config),
        "tracking_fail_on": fail_on,
        **{
            f"tracking_{'report' if option == 'html' else option}": str(path)
            for option, path in outputs.items()
            if path is not None
        },
    }
    mitmdump = found_mitmdump()
    if mitmdump is None:
        command = command_for("mitmdump", name, options)
        fail(
            f"{_said(name)} is a flow dump of mitmproxy's, and there is no mitmdump: install it (`make qa`), then run: {command}",
            code=2,
            as_json=as_json,
        )
    with tempfile.TemporaryDirectory(prefix="tracking-gateway-qa-") as folder:
        model = Path(folder) / "report.json"
        code = ran(mitmdump, file, {**options, **({"tracking_json": str(model)} if as_json else {})})
        if not as_json:
            raise typer.Exit(code)
        if not model.exists():
            fail(f"mitmdump ended with {code} and no report", code=2, as_json=True)
        import orjson  # noqa: PLC0415 -- `--help` need not wait for it

        written = [str(path) for path in outputs.values() if path is not None]
        print_json(
            {"ok": code == 0, "notices": [], "written": written, "report": orjson.loads(model.read_bytes())}
        )
        raise typer.Exit(code)
