"""Makes the recordings of this folder anew: `python -m tests.recordings.record FOLDER`, in the gateway's environment, with `.venv-qa` and Chromium.

A small shop whose page calls the vendor's collector by hand: a page view, a product, an address in the clear, a form, a sendBeacon of text and one of a Blob,
gzip, a redirect, an answer that fails. Chromium goes through mitmdump, so that one visit is in a HAR of Playwright's, one of mitmproxy's and a flow dump.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from aiohttp import web
from playwright.async_api import async_playwright

from tests.builders import QUERY
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import running_collector

PAGE = """<!doctype html><title>Tea</title><h1>Tea</h1><script>
const at = 'http://a.cdp.asia/event?@QUERY@';
const event = (ec, ea, more) => JSON.stringify({uid: '123456789', aid: '123456789', sid: '1', ec, ea, ...more});
const send = (n, body, more) => fetch(at + '&request_id=r' + n, {method: 'POST', body, ...more}).catch(() => 0);
(async () => {
  await send(1, event('pageview', 'view', {extra: {page_type: 'home', page_category: 'home'}}));
  await send(2, event('product', 'view', {items: [{type: 'product', id: 't1', name: 'Trà xanh 🍵'}]}));
  await send(3, event('user', 'sign_up', {dims: {customers: {email: 'Lan.Nguyen@Example.com'}}}));
  await fetch(at + '&request_id=r4&uid=123456789&ec=pageview&ea=view&extra=' + encodeURIComponent('{"page_type":"home","page_category":"home"}'), {mode: 'cors'}).catch(() => 0);
  navigator.sendBeacon(at + '&request_id=r5', event('product', 'click', {items: [{type: 'product', id: 't1', name: 'Tea'}]}));
  navigator.sendBeacon(at + '&request_id=r6', new Blob([event('product', 'click', {items: [{type: 'product', id: 't2', name: 'Tea'}]})], {type: 'text/plain'}));
  const packed = await new Response(new Blob([event('product', 'view', {items: [{type: 'product', id: 't3', name: 'Tea'}]})]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer();
  await send(7, packed, {headers: {'content-type': 'application/json', 'content-encoding': 'gzip'}});
  await fetch('http://www.shop.example/old');
  await fetch('http://gone.example/event').catch(() => 0);
  document.title = 'done';
})();
</script>""".replace("@QUERY@", QUERY)


def shop() -> web.Application:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers={"set-cookie": "shop=1"})

    async def old(_: web.Request) -> web.Response:
        raise web.HTTPFound("/new")

    async def new(_: web.Request) -> web.Response:
        return web.Response(body=b"\x00\xff\x01", content_type="application/octet-stream")

    app = web.Application()
    app.add_routes([web.get("/tea", page), web.get("/old", old), web.get("/new", new)])
    return app


async def record(folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        collector = await stack.enter_async_context(running_collector())
        runner = web.AppRunner(shop())
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        names = {
            "a.cdp.asia": collector.url.removeprefix("http://"),
            "www.shop.example": f"127.0.0.1:{runner.addresses[0][1]}",
            "gone.example": "127.0.0.1:9",
        }
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mitmdump = Mitmdump(
            place, "--set", f"hardump={folder / 'mitmproxy.har'}", "-w", str(folder / "mitmproxy.flows"),
            "--set", "save_stream_filter=~d shop.example | ~d cdp.asia | ~d gone.example", names=names,
        )  # fmt: skip
        await stack.enter_async_context(running_mitmdump(mitmdump))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            proxy={"server": mitmdump.proxy},
            args=["--no-sandbox", "--disable-component-update"],
        )
        context = await browser.new_context(
            record_har_path=folder / "playwright.har", record_har_content="embed"
        )
        page = await context.new_page()
        await page.goto("http://www.shop.example/tea")
        await page.wait_for_function("document.title === 'done'")
        await page.wait_for_load_state("networkidle")
        await context.close()
        await browser.close()
        await mitmdump.stop()


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
