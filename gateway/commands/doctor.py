"""`tracking-gateway doctor`: whether Safari will cap the cookie that the gateway sets, why, and what to do."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path  # noqa: TC003 -- typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load
from gateway.commands.paths import names_of_now
from gateway.settings_paths import SCRIPT
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.doctor.model import Report, Resolution, Seen
    from gateway.doctor.names import Place, Suffixes
    from gateway.settings import Settings

_Value = TypeVar("_Value")
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "magenta"}


def doctor(
    *,
    site: Annotated[
        str, typer.Option(metavar="URL", help="A page of the shop, such as https://www.shop.example.")
    ],
    tracking: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where browsers reach the gateway. Else `server.public_url`, else `https://track.` and the property's site.",
        ),
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    resolver: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS[:PORT]",
            help="Ask this DNS resolver instead of the system's: 9.9.9.9, 127.0.0.1:5353.",
        ),
    ] = "",
    http: Annotated[
        bool, typer.Option("--http/--no-http", help="Ask the gateway for its script over HTTPS, too.")
    ] = True,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", metavar="PEM", help="Trust these certificate authorities beside the system's."
        ),
    ] = None,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0.1, max=60, help="Seconds to wait for each answer.")
    ] = 5.0,
    json: JsonOption = False,
) -> None:
    """Tell whether Safari will cap the cookie that the gateway sets, why, and what to do.

    Safari keeps a cookie for 7 days only, not 400, when the gateway's name is a CNAME to another company's host, or when the
    first half of its address (/16; in IPv6 /64) differs from that of the page's own host. So returning visitors are counted
    as new ones. Cookies that scripts set are always cut to 7 days, which is why the gateway sets its cookie itself.

    Looks up both names in DNS, checks the cookie's domain against the public suffix list, and asks the gateway for its script over
    HTTPS. Sends no event and sets nothing. Run it once for each host that pages are served from, best with a public resolver.

    Exit codes: 0 all is fine (warnings may stand), 1 a cap or a failure was found or something stayed unknown, 2 a wrong argument.

    - `tracking-gateway doctor --site https://www.shop.example`
    - `tracking-gateway doctor --site https://www.shop.example --tracking https://track.shop.example --resolver 9.9.9.9 --json`
    """
    from gateway.doctor.judge import judge  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.doctor.lookup import read_resolver  # noqa: PLC0415
    from gateway.doctor.names import Suffixes, read_place  # noqa: PLC0415
    from gateway.doctor.plan import default_tracking  # noqa: PLC0415

    # A person may look at a site before there is a gateway; a file that was named must be there.
    has_settings = config != DEFAULT_CONFIG or config.exists()
    loaded = load(config, as_json=json) if has_settings else None
    suffixes = Suffixes()
    page = _argument("--site", read_place, site, as_json=json)
    if tracking:
        gateway = _argument("--tracking", read_place, tracking, as_json=json)
    else:
        default = default_tracking(loaded, page, suffixes)
        gateway = _argument("server.public_url", read_place, default, as_json=json)
    asked = _argument("--resolver", read_resolver, resolver, as_json=json) if resolver else None
    context = _trust(ca_file, as_json=json) if http else None
    with explained(as_json=json), _spinner(f"looking at {page.host} and {gateway.host}"):
        seen = _look(page, gateway, loaded, suffixes, asked, context, timeout_seconds)
        report = judge(seen, suffixes)
    if json:
        print_json(_document(seen, report))
    else:
        _print(seen, report)
    if not report.is_well:
        raise typer.Exit(1)


def _look(
    page: Place,
    gateway: Place,
    loaded: Settings | None,
    suffixes: Suffixes,
    resolver: tuple[str, int] | None,
    context: ssl.SSLContext | None,
    timeout_seconds: float,
) -> Seen:
    """Look at DNS and, with a context, at HTTPS. Takes a few time-outs at most."""
    from gateway.doctor.fetch import fetch_script  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.doctor.lookup import look_up  # noqa: PLC0415
    from gateway.doctor.model import Seen  # noqa: PLC0415
    from gateway.doctor.plan import cookie_plan  # noqa: PLC0415

    names = list(dict.fromkeys((page.host, gateway.host)))
    found = {each.name: each for each in look_up(names, resolver, timeout_seconds)}
    # As the snippet has it; a gateway without settings at hand is asked for the usual one.
    script = names_of_now(loaded).told(SCRIPT) if loaded is not None else SCRIPT
    addresses = found[gateway.host].addresses
    answer = fetch_script(gateway, addresses, context, timeout_seconds, script) if context else None
    return Seen(
        page,
        gateway,
        found[page.host],
        found[gateway.host],
        cookie_plan(loaded, page, suffixes),
        answer,
    )


def _argument(name: str, read: Callable[[str], _Value], text: str, *, as_json: bool) -> _Value:
    try:
        return read(text)
    except ValueError as error:
        fail(f"{name}: {error}", code=2, as_json=as_json)


def _trust(ca_file: Path | None, *, as_json: bool) -> ssl.SSLContext:
    from gateway.doctor.fetch import trust  # noqa: PLC0415 -- `--help` need not wait for it

    try:
        return trust(str(ca_file) if ca_file else "")
    except OSError as error:
        why = error.strerror or str(error)
        fail(f"--ca-file: name a file with certificates in PEM form ({why})", code=2, as_json=as_json)


def _spinner(text: str) -> contextlib.AbstractContextManager[Any]:
    console = Console(stderr=True)
    return console.status(escape(text)) if sys.stderr.isatty() else contextlib.nullcontext()


def _document(seen: Seen, report: Report) -> dict[str, Any]:
    return {
        "ok": report.is_well,
        "site": seen.site.url,
        "tracking": seen.tracking.url,
        "cap": report.cap,
        "summary": report.summary,
        "dns": {"site": _resolution(seen.site_names), "tracking": _resolution(seen.tracking_names)},
        "checks": [each._asdict() for each in report.findings],
        "advice": _advice(report),
    }


def _resolution(names: Resolution) -> dict[str, Any]:
    return {
        "name": names.name,
        "cname_chain": list(names.chain),
        "addresses": [str(each) for each in names.addresses],
        "changes": names.changes,
        "fault": names.fault,
        "unanswered": list(names.unanswered),
    }


def _advice(report: Report) -> list[str]:
    """Give what to do, what failed first, each thing once."""
    order = {"fail": 0, "unknown": 1, "warn": 2}
    ill = sorted(
        (each for each in report.findings if each.status in order), key=lambda each: order[each.status]
    )
    return list(dict.fromkeys(each.advice for each in ill if each.advice))


def _print(seen: Seen, report: Report) -> None:
    # In a pipe there is no width to fit into.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    colour = "green" if report.is_well else "red"
    console.print(f"[bold {colour}]{escape(report.summary)}[/bold {colour}]\n", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("status", "check", "seen"):
        table.add_column(name, overflow="fold")
    for each in report.findings:
        shown = _COLOURS[each.status]
        table.add_row(f"[{shown}]{each.status}[/{shown}]", each.check, escape(each.seen))
    console.print(table)
    if seen.answer is None:
        console.print("[dim]HTTPS was not tried (--no-http).[/dim]")
    whys = dict.fromkeys(each.why for each in report.findings if each.status != "ok")
    if whys:
        console.print("\n[bold]Why it matters[/bold]")
        for why in whys:
            console.print(f"- {escape(why)}", soft_wrap=True)
    advice = _advice(report)
    if advice:
        console.print("\n[bold]What to do[/bold]")
        for number, step in enumerate(advice, 1):
            console.print(f"{number}. {escape(step)}", soft_wrap=True)
