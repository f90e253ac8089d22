"""The vendor's own script in a real browser, loaded from the gateway by an unmodified page: everything it does stays on the site's own names."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest_asyncio
from aiohttp import web

from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import Gateway, running_collector, until
from tests.vendor_host import FakeVendor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# What the vendor's documentation tells sites to paste; only the host of the script is another.
PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>Trang thử</title><script>
var _portalId="{portal}",_propId="{prop}";
(function(){{var w=window;if(w.web_event)return;var a=w.web_event=function(){{a.queue.push(arguments)}};a.propId=_propId;a.track=a;a.queue=[];
var s=document.createElement("script");s.type="text/javascript";s.async=!0;s.src="{base}/insight.js";
var f=document.getElementsByTagName("script")[0];f.parentNode.insertBefore(s,f)}})();
web_event.track("product","view",{{items:[{{type:"product",id:"42",name:"Phin cà phê"}}]}});
</script></head><body>Shop</body></html>"""
SITE_WORKER = 'importScripts("{base}/antsomiSDKsw.js");'


@contextlib.asynccontextmanager
async def _serving(routes):
    async def serve(request: web.Request) -> web.Response:
        text, content_type = routes.get(request.path, ("", "text/plain"))
        return web.Response(text=text, content_type=content_type)

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class World:
    """A vendor, a gateway that serves the vendor's script, a collector, and a shop whose pages hold the vendor's snippet."""

    def __init__(self, gateway, collector, vendor, shop):
        self.gateway, self.collector, self.vendor, self.shop = gateway, collector, vendor, shop

    async def events(self):
        """Give what the collector has: category/action and UID of each event."""
        return [
            (f"{each['body']['ec']}/{each['body']['ea']}", each["body"]["uid"])
            for each in await self.collector.get("/events")
        ]

    async def arrived(self, *names):
        async def they_have():
            found = await self.events()
            return found if set(names) <= {name for name, _ in found} else None

        return await until(they_have, f"{names} are at the collector")


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path) -> AsyncIterator[World]:
    """All of it, on `localhost`, where browsers allow service workers without https."""
    async with FakeVendor.running() as vendor, running_collector() as collector:
        gateway = Gateway(
            tmp_path,
            collector.url,
            server={"public_url": "http://localhost:PORT", "workers": 1},
            cookies={"secure": False},
            script={"source": "upstream", "upstream_url": vendor.url},
        )
        text = gateway.config.read_text(encoding="utf-8")
        text = text.replace("localhost:PORT", f"localhost:{gateway.port}").replace(
            'site = "shop.example"', 'site = "localhost"'
        )
        gateway.config.write_text(text, encoding="utf-8")
        base = f"http://localhost:{gateway.port}"
        routes = {
            "/": (PAGE.format(portal=PORTAL_ID, prop=PROP_ID, base=base), "text/html"),
            "/sw.js": (SITE_WORKER.format(base=base), "text/javascript"),
        }
        async with _serving(routes) as port:
            try:
                await gateway.start()
                yield World(gateway, collector, vendor, f"http://localhost:{port}")
            finally:
                if gateway.process is not None and gateway.process.returncode is None:
                    await gateway.kill()


async def test_an_unmodified_page_runs_the_vendors_script_from_the_gateway(visitor, world):
    """The script, the file that it loads and the service worker come through the gateway; events reach it; nobody asks the vendor's hosts."""
    asked: list[str] = []
    visitor.context.on("request", lambda request: asked.append(request.url))
    await visitor.goto(world.shop)
    found = dict(await world.arrived("pageview/view", "product/view"))
    uid = await visitor.evaluate("document.cookie.match(/_asm_uid=([0-9]+)/)[1]")
    assert {uid} == set(found.values())
    assert await visitor.evaluate("web_event.found"), "the script finds its own tag by the gateway's name"
    assert f"http://localhost:{world.gateway.port}" == await visitor.evaluate("web_event.loadedFrom")

    await visitor.wait_for_function("window._registered || window._refused")
    assert f"{world.shop}/" == await visitor.evaluate("window._registered")
    await visitor.evaluate(
        "([portal, prop, uid]) => navigator.serviceWorker.ready.then((ready) => ready.active.postMessage({portal, prop, uid}))",
        [PORTAL_ID, PROP_ID, uid],
    )
    await world.arrived("webpush/view")

    hosts = {urlsplit(url).hostname for url in asked}
    assert {"localhost"} == hosts
    paths = {urlsplit(url).path for url in asked if urlsplit(url).port == world.gateway.port}
    assert {"/insight.js", "/webpush.js", "/event"} <= paths
    assert {"/insight.js", "/webpush.js", "/antsomiSDKsw.js"} == set(world.vendor.paths())


async def test_the_page_works_when_the_script_can_not_be_had(visitor, world):
    """No copy, no vendor: the page shows, nothing is thrown, and the script runs once there is one."""
    await world.gateway.kill()
    # There may be none yet: the gateway begins to fetch when it has started.
    shutil.rmtree(world.gateway.data_dir / "assets", ignore_errors=True)
    await world.vendor.stop()
    text = world.gateway.config.read_text(encoding="utf-8")
    world.gateway.config.write_text(
        text.replace("[script]\n", "[script]\nfirst_wait_seconds = 0.1\nrefresh_seconds = 0.2\n"),
        encoding="utf-8",
    )
    await world.gateway.start()
    async with visitor.expect_event(
        "response", lambda response: response.url.endswith("/insight.js")
    ) as info:
        await visitor.goto(world.shop)
    assert 503 == (await info.value).status
    assert "Shop" == await visitor.inner_text("body")
    assert 1 == await visitor.evaluate("web_event.queue.length"), "calls wait for the script"
    await world.vendor.start()

    async def served():
        response = await visitor.context.request.get(f"{world.gateway.url}/insight.js")
        return response.status == 200

    await until(served, "there is a script again")
    await visitor.reload()
    await world.arrived("pageview/view", "product/view")
