"""The command line: `tracking-gateway serve | demo | check | snippet | doctor | ledger | quarantine | spool | script | plan | qa`.

Exit codes: 0 done, 1 the world is in the way (a port, a disk, a ledger) or somebody said no, 2 a setting or an argument is wrong, 130
interrupted. With `--json`, standard output is one JSON document, whatever becomes of the command.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path  # noqa: TC003 -- typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway import __version__, settings
from gateway.commands.advice import advice
from gateway.commands.delegation import delegation
from gateway.commands.doctor import doctor
from gateway.commands.geo import described, seen_database
from gateway.commands.ledger import ledger_app
from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load
from gateway.commands.paths import names_of_now, script_path, served_names, told_names
from gateway.commands.plan import plan_app
from gateway.commands.plan_words import seen_plan, seen_plugins
from gateway.commands.qa import qa
from gateway.commands.quarantine import quarantine_app
from gateway.commands.script import script_app
from gateway.commands.spool import spool_app
from gateway.commands.tls import seen_certificate
from gateway.settings_types import ConflictPolicy  # noqa: TC001 -- see above
from gateway.telemetry.redaction import redact
from gateway.terminal import explained, fail, flat, print_cut_short, print_json, print_wrong_argument

if TYPE_CHECKING:
    from gateway.settings import Property, Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A first-party gateway for customer-data-platform tracking: trustworthy identity, no lost events, no raw addresses.",
    epilog="Begin with `tracking-gateway demo`, then `tracking-gateway check --config config/gateway.toml`.",
)
app.add_typer(ledger_app, name="ledger")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(spool_app, name="spool")
app.add_typer(script_app, name="script")
app.add_typer(plan_app, name="plan")


_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    code: str | int | None = None
    try:
        try:
            code = _run(as_json="--json" in sys.argv)
        except SystemExit as ended:
            code = ended.code
        # Here, where a full disk can still be told; a reader that has enough is no error of ours.
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer can't be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"tracking-gateway: standard output: {error.strerror or error}\n")
        code = 1
    sys.exit(code)


def _run(*, as_json: bool) -> int:
    """Run the command that was asked for and give its exit code; how it was cut short is said in the form that was asked for."""
    try:
        code = int(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        # A wrong argument may be an address, and what a command says may be kept in a log.
        message = redact(error.format_message().replace("Value error, ", ""))
        if as_json:
            print_json({"ok": False, "error": message})
        else:
            print_wrong_argument(error, message)
        return 2
    except typer.Abort:
        print_cut_short("aborted", as_json=as_json)
        return 1
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        print_cut_short("interrupted", as_json=as_json)
    return code


def _version(*, value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _version(value=value),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    json: Annotated[bool, typer.Option("--json", help="Log as JSON, also on a terminal.")] = False,
    worker: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Take events until SIGTERM or Ctrl-C, then finish what is under way and end with 0.

    Listens on `[server]` for the site and on `[admin]` for you: `/healthz`, `/readyz`, `/metrics`. Logs to standard error.
    """
    # Until there is a loop to hear it: nothing has begun that would have to end. The first process of a container would not even die of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from gateway import server  # noqa: PLC0415 -- the parts take half a second to import; `--help` need not wait

    # For all that the gateway writes, its log and its processes' metrics too: nobody else writes them, and at most the group reads.
    os.umask(os.umask(0o027) | 0o027)
    if worker:
        part, *descriptors = worker.split(":")
        given = settings.Settings(**orjson.loads(sys.stdin.buffer.read()))
        with explained():
            if part == "delivery":
                server.deliver(given, int(descriptors[0]))
            else:
                server.work(given, int(part), *map(int, descriptors))
        return
    loaded = load(config)
    if json:
        loaded = loaded.model_copy(update={"logging": loaded.logging.model_copy(update={"format": "json"})})
    with explained():
        server.serve(loaded)


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="The gateway's port.")] = 8080,
    collector_port: Annotated[int, typer.Option(help="The stand-in collector's port.")] = 9000,
    shop_port: Annotated[int, typer.Option(help="The demo shop's port.")] = 8000,
    admin_port: Annotated[int, typer.Option(help="The port of /healthz, /readyz and /metrics.")] = 9090,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the demo's data here instead of in a folder that is thrown away."),
    ] = None,
    on_conflict: Annotated[
        ConflictPolicy, typer.Option(help="What becomes of a second person on the same device.")
    ] = "quarantine",
    json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Start the gateway, a stand-in collector and a demo shop, and say what to try. Ctrl-C stops all three.

    Nothing leaves this machine. Port 0 takes any free port.
    """
    from gateway import demo as demonstration  # noqa: PLC0415 -- see `serve`

    ports = demonstration.Ports(gateway=port, collector=collector_port, shop=shop_port, admin=admin_port)
    with explained(as_json=json):
        demonstration.run(ports, data_dir, on_conflict, as_json=json)


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Say whether the settings can be used, and what they mean. Exit code 2 when something is wrong.

    Each problem names the key, what stands there and what to write instead.
    """
    loaded = load(config, as_json=json)
    served = served_names(names_of_now(loaded), loaded)
    certificate, tls_notes = seen_certificate(loaded)
    plan, plan_sentence = seen_plan(loaded, as_json=json)
    seen_plugins(loaded, as_json=json)
    database, geo_notes = seen_database(loaded)
    if json:
        seen = {"certificate": certificate, "geo": database}
        found = {name: what for name, what in seen.items() if what is not None}
        print_json(
            {
                "ok": True,
                "settings": loaded.model_dump(mode="json"),
                "paths": served,
                "tracking_plan": plan,
                **found,
            }
        )
        return
    console = Console()
    table = Table("setting", "value", title=f"{escape(str(config))} can be used", title_justify="left")
    for key, value in flat(loaded.model_dump(mode="json")):
        table.add_row(key, escape(str(value)))
    console.print(table)
    for usual, paths in served.items():
        if paths != [usual]:
            more = f", and {len(paths) - 6} more" if len(paths) > 6 else ""
            console.print(f"{usual} is served at {', '.join(paths[:6]) or 'no path'}{more}")
    console.print(escape(plan_sentence))
    if certificate and "expires" in certificate:
        console.print(f"certificate for {', '.join(certificate['names'])} until {certificate['expires']}")
    if database is not None:
        console.print(escape(described(database)))
    for note in [*tls_notes, *geo_notes, *advice(loaded)]:
        console.print(f"[yellow]note[/yellow] {escape(note)}")


@app.command()
def snippet(
    config: ConfigOption = DEFAULT_CONFIG,
    prop_id: Annotated[str, typer.Option(help="Which property, when there are several.")] = "",
    portal_id: Annotated[str, typer.Option(help="Which portal, when two have a property of that id.")] = "",
    url: Annotated[
        str, typer.Option(help="Where browsers reach the gateway, instead of `server.public_url`.")
    ] = "",
    nonce: Annotated[
        str,
        typer.Option(
            help="For pages with a strict Content-Security-Policy: what your templates write for the nonce."
        ),
    ] = "",
    types: Annotated[
        bool,
        typer.Option("--types", help="Print the TypeScript types of what the tag brings, instead of it."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print the tag to paste into the `<head>` of every page.

    With `--json` also the URLs of this moment (`script`, `event`, `stream_event`, `ppid`), for pages that a server writes: ask again
    each day where `[paths]` rotates names.
    The gateway's address comes from `--url`, else from `server.public_url`, else `https://track.` and the property's site.
    For an editor that knows the calls: `tracking-gateway snippet --types > web_event.d.ts`, which needs no settings.
    """
    from gateway.sdk import script_types  # noqa: PLC0415 -- see `serve`
    from gateway.sdk import snippet as make_snippet  # noqa: PLC0415 -- see `serve`

    if types:
        print_json({"types": script_types()}) if json else print(script_types(), end="")
        return
    loaded = load(config, as_json=json)
    property_ = _chosen(loaded, prop_id, portal_id, as_json=json)
    base = (url or loaded.server.public_url or f"https://track.{property_.site}").rstrip("/")
    names = names_of_now(loaded)
    try:
        text = make_snippet(
            base,
            property_.portal_id,
            property_.prop_id,
            script_path=script_path(names),
            site=property_.site,
            cookie_name=loaded.cookies.name,
            cookie_domain=loaded.cookies.domain,
            lifetime_days=loaded.cookies.lifetime_days,
            same_site=loaded.cookies.same_site,
            nonce=nonce,
        )
    except ValueError as error:
        source = "--nonce" if str(error).startswith("nonce: ") else "--url" if url else "server.public_url"
        what = str(error).removeprefix("base_url: ").removeprefix("nonce: ")
        fail(f"{source}: {what}", code=2, as_json=json)
    text = delegation(loaded, base) + text
    if json:
        told = told_names(names, base)
        print_json({"portal_id": property_.portal_id, "prop_id": property_.prop_id, **told, "html": text})
    else:
        print(text)


app.command()(doctor)
app.command()(qa)


def _chosen(loaded: Settings, prop_id: str, portal_id: str, *, as_json: bool) -> Property:
    """Give the one property that the options mean, or say which there are."""
    chosen = [
        each
        for each in loaded.properties
        if prop_id in {"", each.prop_id} and portal_id in {"", each.portal_id}
    ]
    if len(chosen) == 1:
        return chosen[0]
    known = ", ".join(
        f"--prop-id {each.prop_id} --portal-id {each.portal_id}" for each in chosen or loaded.properties
    )
    what = "several properties are meant" if chosen else "there is no such property"
    return fail(f"{what}: write one of {known}", code=2, as_json=as_json)
