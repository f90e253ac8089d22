"""The demo: the gateway, a stand-in collector and a shop in one process, for a first look.

Nothing leaves the machine, no account is needed, and the data goes with the process unless a folder is named.
"""

from __future__ import annotations

import contextlib
import errno
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson
import uvloop
from aiohttp import web
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from gateway import settings, settings_web
from gateway.app import running_gateway
from gateway.sandbox import build_collector, build_shop
from gateway.server import only_user, stop_signal
from gateway.stores import make_data_dir
from gateway.telemetry.logging import open_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.settings_types import ConflictPolicy

PORTAL_ID = "33167"
PROP_ID = "556300706"
_HOST = "localhost"
_CONFLICT = {
    "quarantine": "is held, not merged",
    "new_uid": "goes on under a UID of its own",
    "strip": "goes on without any identity",
}


class Ports(NamedTuple):
    """Where the demo listens; 0 takes any free port."""

    gateway: int
    collector: int
    shop: int
    admin: int


class PortTaken(Exception):
    """A port of the demo is in use: which one, and the option that changes it."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__(f"port {port} is taken; choose another with {option}")
        self.port = port
        self.option = option


class Addresses(NamedTuple):
    """Where the demo can be looked at, as URLs."""

    shop: str
    gateway: str
    collector: str
    admin: str


def run(ports: Ports, data_dir: Path | None, on_conflict: ConflictPolicy, *, as_json: bool) -> None:
    """Run the demo until Ctrl-C or SIGTERM. Raises `PortTaken`."""
    uvloop.run(_run(ports, data_dir, on_conflict, as_json=as_json))


async def _run(ports: Ports, data_dir: Path | None, on_conflict: ConflictPolicy, *, as_json: bool) -> None:
    stop = stop_signal()
    with contextlib.ExitStack() as stack:
        folder = data_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tracking-gateway-demo-"))
        )
        async with running_demo(ports, folder, on_conflict) as addresses:
            _announce(addresses, folder, on_conflict, as_json=as_json)
            await stop.wait()
            if not as_json:
                Console().print("stopping …")
    if not as_json:
        Console().print(
            "stopped; nothing is left running" + ("" if data_dir else ", and the demo's data is gone")
        )


@contextlib.asynccontextmanager
async def running_demo(
    ports: Ports, data_dir: Path, on_conflict: ConflictPolicy = "quarantine"
) -> AsyncIterator[Addresses]:
    """Run collector, gateway and shop, in that order, and stop them in the reverse. Raises `PortTaken`."""
    async with contextlib.AsyncExitStack() as stack:
        collector = await _site(stack, build_collector, ports.collector, "--collector-port")
        loaded = demo_settings(ports, data_dir, collector, on_conflict)
        make_data_dir(data_dir)
        # Commands tell by it that a gateway runs here.
        stack.enter_context(only_user(data_dir))
        log = open_log(loaded.logging)
        stack.callback(log.close)
        try:
            running = await stack.enter_async_context(running_gateway(loaded, log))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # The event loop's message has the address in it, as ('127.0.0.1', 9090); port 0 is never taken.
            is_admin = re.search(rf", {ports.admin}[,)]", str(error)) is not None
            port, option = (ports.admin, "--admin-port") if is_admin else (ports.gateway, "--port")
            raise PortTaken(port, option) from error
        gateway, admin = (_named(url) for url in (running.public_url, running.admin_url))
        shop = await _site(
            stack,
            lambda: build_shop(gateway, collector, PORTAL_ID, PROP_ID, on_conflict=on_conflict),
            ports.shop,
            "--shop-port",
        )
        yield Addresses(shop, gateway, collector, admin)


def demo_settings(
    ports: Ports, data_dir: Path, collector: str, on_conflict: ConflictPolicy = "quarantine"
) -> settings.Settings:
    """Give the demo's settings: the defaults, for a shop on this machine. The environment is not asked."""
    return settings.Settings.model_construct(
        data_dir=data_dir,
        server=settings_web.Server(host=_HOST, port=ports.gateway, drain_seconds=2),
        admin=settings_web.Admin(host=_HOST, port=ports.admin),
        collector=settings.Collector(url=f"{collector}/event", timeout_seconds=5),
        identity=settings.Identity(on_conflict=on_conflict),
        # Browsers take a Secure cookie over plain HTTP from localhost, but not every one does.
        cookies=settings.Cookies(secure=False),
        logging=settings.Logging(format="json", file=str(data_dir / "gateway.log")),
        properties=(
            settings.Property(portal_id=PORTAL_ID, prop_id=PROP_ID, site=_HOST, redirect_hosts=(_HOST,)),
        ),
    )


async def _site(
    stack: contextlib.AsyncExitStack, build: Callable[[], web.Application], port: int, option: str
) -> str:
    runner = web.AppRunner(build(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, _HOST, port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(port, option) from error
    return f"http://{_HOST}:{runner.addresses[0][1]}"


def _named(url: str) -> str:
    return f"http://{_HOST}:{url.rpartition(':')[2]}"


def _announce(addresses: Addresses, data_dir: Path, on_conflict: ConflictPolicy, *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(addresses._asdict()).decode(), flush=True)  # noqa: T201 -- it is the command's output
        return
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "[bold]shop[/bold]",
        f"[link]{addresses.shop}[/link]",
        "sign in, buy, sign out; see what is sent beside what arrives",
    )
    table.add_row(
        "[bold]collector[/bold]",
        f"[link]{addresses.collector}[/link]",
        "the profiles that the CDP would build",
    )
    table.add_row(
        "[bold]gateway[/bold]",
        f"[link]{addresses.gateway}[/link]",
        f"its script: /insight.js; its health: {addresses.admin}/readyz and /metrics",
    )
    steps = (
        "[bold]Try[/bold]\n"
        " 1. Look at a product, then sign in as the first person: both visits become one customer.\n"
        " 2. Compare the raw address on the left with the hash on the right.\n"
        f" 3. Press [italic]a second person on the same device[/italic]: the conflict {_CONFLICT[on_conflict]}.\n"
        f" 4. Take the collector down: [italic]curl -d '{{\"down\":true}}' {addresses.collector}/behave[/italic], shop on, then\n"
        f"    [italic]curl -d '{{\"down\":false}}' {addresses.collector}/behave[/italic]: every event arrives.\n"
        f" 5. Read the log: [italic]tail -f {escape(str(data_dir))}/gateway.log[/italic]"
    )
    console = Console()
    console.print(Panel.fit(table, title="Tracking Gateway demo", border_style="green"))
    # Commands to copy: the terminal may wrap them, a line break of ours would break them.
    console.print(steps, soft_wrap=True)
    console.print("\n[dim]Ctrl-C stops all three.[/dim]")
