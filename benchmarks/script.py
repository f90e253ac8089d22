"""What the page's script costs a page, measured in Chromium: ``python -m benchmarks.script``.

A page without images or fonts loads the snippet; the script comes when the page has come to rest, so that what is measured from there to the answer of
its first page view is the script's doing alone. Main-thread times are the browser's own account of it (Chrome DevTools Protocol,
`Performance.getMetrics`), in the thread's CPU time, so that a busy machine changes little, and without throttling. Medians of fresh profiles; the first run warms the browser and doesn't count.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from playwright.async_api import async_playwright

from gateway.assets.served import JAVASCRIPT, Served
from gateway.sdk import script_source

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession

_RUNS = 15
_SECONDS = 30
_PAGE = """<!doctype html><html><head><title>page</title></head><body><h1>Phin</h1><p>A page.</p><script>
var _portalId = "1", _propId = "1", _cdp365Analytics = {};
function web_event() { web_event.queue.push(arguments); }
Object.assign(web_event, {queue: [], track: web_event, propId: "1"});
function go() { const script = document.createElement("script"); script.src = "/t/insight.js"; document.head.append(script); }
</script></body></html>"""
# Once no event waits for its answer any more.
_AT_REST = """new Promise((done) => {
  const look = () => Object.keys(localStorage).some((key) => key.startsWith("_asm_event_")) ? setTimeout(look, 20) : done();
  setTimeout(look, 100);
})"""


@dataclass(frozen=True)
class Cost:
    """What happened between the page at rest and the answered page view.

    `script_ms` is the time in JavaScript, `task_ms` that of all the main thread's tasks; `layouts` and `styles` are how often the page was laid out
    and its styles worked out; `bytes_on_the_wire` is the script's answer, its head counted as browsers do.
    """

    script_ms: float
    task_ms: float
    layouts: int
    styles: int
    bytes_on_the_wire: int


class _Site:
    """A page, the script as the gateway serves it, and an answer to each event."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.answered = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/t/insight.js", self._script)
        app.router.add_post("/t/event", self._event)
        return app

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def _script(self, request: web.Request) -> web.Response:
        reply = self._served.answer(request.headers.get("Accept-Encoding", ""), "")
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    async def _event(self, request: web.Request) -> web.Response:
        await request.read()
        self.answered.set()
        return web.json_response({"status": "success", "au_id": "1"})


async def cost_of(browser: Browser, served: Served, *, has_script: bool = True) -> Cost:
    """Measure one visit in a profile of its own; without the script, only what the page itself does in that time."""
    site = _Site(served)
    runner = web.AppRunner(site.app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"http://localhost:{runner.addresses[0][1]}/", wait_until="networkidle")
        devtools = await context.new_cdp_session(page)
        await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = await _metrics(devtools)
        await _run(devtools, "go()" if has_script else "0")
        if has_script:
            async with asyncio.timeout(_SECONDS):
                await site.answered.wait()
        await _run(devtools, _AT_REST)
        after = await _metrics(devtools)
        sizes = await page.evaluate(
            "performance.getEntriesByType('resource').filter(({name}) => name.endsWith('insight.js')).map((one) => one.transferSize)"
        )
        await context.close()
    finally:
        await runner.cleanup()
    gone = {name: after[name] - before[name] for name in after}
    return Cost(
        script_ms=round(gone["ScriptDuration"] * 1_000, 2),
        task_ms=round(gone["TaskDuration"] * 1_000, 2),
        layouts=round(gone["LayoutCount"]),
        styles=round(gone["RecalcStyleCount"]),
        bytes_on_the_wire=sum(sizes),
    )


async def _run(devtools: CDPSession, expression: str) -> None:
    """Run JavaScript in the page without what Playwright would bring along for it."""
    await devtools.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True})


async def _metrics(devtools: CDPSession) -> dict[str, float]:
    told = await devtools.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in told["metrics"]}


async def _measure(executable: str) -> dict[str, Any]:
    served = Served(script_source(), JAVASCRIPT)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        costs = {
            name: [await cost_of(browser, served, has_script=has_script) for _ in range(_RUNS + 1)][1:]
            for name, has_script in (("with", True), ("without", False))
        }
        version = browser.version
        await browser.close()
    return {
        "chromium": version,
        "runs": _RUNS,
        **{name: _told(each) for name, each in costs.items()},
    }


def _told(costs: list[Cost]) -> dict[str, Any]:
    each = [asdict(cost) for cost in costs]
    return {
        key: {"median": statistics.median(one[key] for one in each), "least": min(one[key] for one in each)}
        for key in each[0]
    }


def main() -> int:
    """Print the medians as JSON; 2 where there is no Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        print("no chromium on the path", file=sys.stderr)
        return 2
    print(json.dumps(asyncio.run(_measure(executable)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
