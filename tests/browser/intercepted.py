"""A site, the vendor and a stranger behind real TLS, and a Chromium that trusts mitmproxy's certificate: what a tester's machine looks like.

Two authorities are in this world: the servers' own, which mitmdump is told to trust, and mitmproxy's, which it has made itself. Chromium's store of
certificates holds both, as a tester puts them there, so it goes to the servers through a proxy and without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl

import orjson
import pytest
import trustme
from aiohttp import ClientSession, web
from playwright.async_api import async_playwright

from gateway.sandbox import build_collector
from gateway.sdk import script_source
from tests.builders import PORTAL_ID, PROP_ID
from tests.mitmdump import Mitmdump, qa_venv, running_mitmdump
from tests.processes import Collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, BrowserContext, Page

SHOP, STRANGER = "www.shop.example", "cdn.stranger.example"
VENDOR, VENDORS_SCRIPT, OWN = "a.cdp.asia", "st-a.cdp.asia", "track.shop.example"
_MAKE_AUTHORITY = (
    "import pathlib, sys; from mitmproxy.certs import CertStore; "
    "CertStore.from_store(pathlib.Path(sys.argv[1]), 'mitmproxy', 2048)"
)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Arrived(NamedTuple):
    """A request as its server got it: the very bytes, the fields in their order and their spelling."""

    host: str
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its query string."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def fields(self) -> Any:
        """The event in its body."""
        return orjson.loads(self.body)


@dataclass
class World:
    """The servers: `pages` are the shop's by path, `script` is what the vendor serves, `arrived` what each of them was asked, in order.

    The vendor is the stand-in collector under its two names, and under the site's own tracking name, as an alias in DNS leads there; `collector` asks it what it has.
    """

    authority: trustme.CA
    collector: Collector
    pages: dict[str, str] = field(default_factory=dict)
    script: bytes = field(default_factory=script_source)
    arrived: list[Arrived] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Serve until the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(ClientSession())
            self = cls(trustme.CA(), Collector("", session))
            for app, hosts in (
                (self._site(), (SHOP, STRANGER)),
                (self._vendor(), (VENDOR, VENDORS_SCRIPT, OWN)),
            ):
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                self.authority.issue_cert(*hosts).configure_cert(tls)
                await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                secure, plain = (address[1] for address in runner.addresses)
                self.ports |= dict.fromkeys(hosts, secure)
                self.collector.url = f"http://127.0.0.1:{plain}"
            yield self

    @property
    def names(self) -> dict[str, str]:
        """Where each host is."""
        return {host: f"127.0.0.1:{port}" for host, port in self.ports.items()}

    def events(self, *hosts: str) -> list[Arrived]:
        """Give the events that arrived at these hosts, at all when none is named."""
        return [
            each
            for each in self.arrived
            if each.method in {"GET", "POST"}
            and each.target.partition("?")[0] in {"/event", "/stream_event"}
            and (not hosts or each.host in hosts)
        ]

    async def forget(self) -> None:
        """Begin anew: what has arrived is dropped, the collector is healthy, the script is ours."""
        self.arrived.clear()
        self.pages.clear()
        self.script = script_source()
        async with ClientSession() as session, session.post(f"{self.collector.url}/reset") as response:
            assert 200 == response.status

    def _site(self) -> web.Application:
        async def answer(request: web.Request) -> web.Response:
            await self._note(request)
            if request.host == STRANGER:
                return web.Response(text="1", headers={"Access-Control-Allow-Origin": "*"})
            html = self.pages.get(request.path)
            if html is None:
                return web.Response(status=204)
            return web.Response(text=html, content_type="text/html", charset="utf-8")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return app

    def _vendor(self) -> web.Application:
        @web.middleware
        async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path in {"/event", "/stream_event", "/insight.js"}:
                await self._note(request)
            answer = web.Response(status=204) if request.method == "OPTIONS" else await handler(request)
            if "Origin" in request.headers:
                answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                answer.headers["Access-Control-Allow-Credentials"] = "true"
                answer.headers["Access-Control-Allow-Headers"] = "content-type"
            return answer

        async def script(_request: web.Request) -> web.Response:
            return web.Response(
                body=self.script,
                content_type="text/javascript",
                charset="utf-8",
                headers={"Cache-Control": "no-store"},
            )

        app = build_collector()
        app.middlewares.append(noting)
        app.router.add_get("/insight.js", script)
        return app

    async def _note(self, request: web.Request) -> None:
        body = await request.read()
        self.arrived.append(
            Arrived(request.host, request.method, request.raw_path, request.raw_headers, body)
        )


@dataclass
class Machine:
    """A tester's machine: Chromium, mitmproxy's authority in a folder, and settings of the gateway in a file."""

    world: World
    browser: Browser
    authority: Path
    folder: Path

    def settings(self, name: str = "gateway", **sections: dict[str, Any]) -> Path:
        """Write the settings of the shop's gateway; `sections` are added to the usual ones."""
        values: dict[str, dict[str, Any]] = {
            "server": {"public_url": f"https://{OWN}"},
            "collector": {"url": f"{self.world.collector.url}/event"},
            **sections,
        }
        lines = [f"data_dir = {_literal(str(self.folder / name))}"]
        for section, keys in values.items():
            lines += [f"[{section}]", *(f"{key} = {_literal(value)}" for key, value in keys.items())]
        lines += [
            "[[properties]]",
            f'portal_id = "{PORTAL_ID}"',
            f'prop_id = "{PROP_ID}"',
            'site = "shop.example"',
        ]
        lines += [f'origins = ["https://{SHOP}"]']
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @contextlib.asynccontextmanager
    async def mitmdump(
        self,
        config: Path,
        *arguments: str,
        unknown: tuple[str, ...] = (),
        program: str = "mitmdump",
        **options: str,
    ) -> AsyncIterator[Mitmdump]:
        """Run mitmdump with the addon: it knows where the hosts are, but for the `unknown`, and trusts their authority. `program` may be mitmweb."""
        folder = self.folder / f"mitmdump-{len(list(self.folder.iterdir()))}"
        shutil.copytree(self.authority, folder)
        trusted = folder / "servers.pem"
        self.world.authority.cert_pem.write_to_path(trusted)
        process = Mitmdump.with_addon(
            folder,
            config,
            *("--set", f"ssl_verify_upstream_trusted_ca={trusted}"),
            *arguments,
            names={host: place for host, place in self.world.names.items() if host not in unknown},
            program=program,
            **options,
        )
        async with running_mitmdump(process):
            try:
                yield process
            except Exception as error:
                error.add_note(process.output()[-4_000:])
                raise

    @contextlib.asynccontextmanager
    async def page(self, proxy: str = "") -> AsyncIterator[Page]:
        """Open a page in a profile that nobody used before, behind a proxy or without one; it must stay free of uncaught errors."""
        context = await self.context(proxy)
        errors: list[str] = []
        context.on("weberror", lambda found: errors.append(str(found.error)))
        yield await context.new_page()
        await context.close()
        assert errors == []

    async def context(self, proxy: str = "") -> BrowserContext:
        """Give a profile that nobody used before."""
        context = await self.browser.new_context(
            locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", proxy={"server": proxy} if proxy else None
        )
        context.set_default_timeout(20_000)
        return context


@contextlib.asynccontextmanager
async def running_machine(folder: Path, executable: str) -> AsyncIterator[Machine]:
    """Make a machine, with the world that its Chromium sees."""
    authority, home = folder / "authority", folder / "home"
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(World.running())
        await _done(qa_venv() / "bin/python", "-c", _MAKE_AUTHORITY, authority)
        world.authority.cert_pem.write_to_path(folder / "servers.pem")
        await _trust(home, authority / "mitmproxy-ca-cert.pem", folder / "servers.pem")
        playwright = await stack.enter_async_context(async_playwright())
        rules = ", ".join(f"MAP {host} {place}" for host, place in world.names.items())
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[*_FLAGS, f"--host-resolver-rules={rules}"],
            env={**os.environ, "HOME": str(home)},
        )
        stack.push_async_callback(browser.close)
        yield Machine(world, browser, authority, folder)


async def _trust(home: Path, *certificates: Path) -> None:
    """Put authorities into the store that Chromium reads (NSS): trusted for servers."""
    certutil = shutil.which("certutil")
    if certutil is None:
        missing = (
            "no certutil on the path: install Debian's package `libnss3-tools` to have Chromium trust a proxy"
        )
        if os.environ.get("TRACKING_GATEWAY_REQUIRE_QA") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    store = home / ".pki/nssdb"
    store.mkdir(parents=True)
    await _done(certutil, "-N", "-d", f"sql:{store}", "--empty-password")
    for number, certificate in enumerate(certificates):
        await _done(
            certutil, "-A", "-d", f"sql:{store}", "-t", "C,,", "-n", f"tests {number}", "-i", certificate
        )


async def _done(*words: object) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert 0 == process.returncode, said.decode()


def _literal(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{orjson.dumps(key).decode()} = {_literal(each)}" for key, each in value.items())
            + "}"
        )
    return orjson.dumps(value).decode()
