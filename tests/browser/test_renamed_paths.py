"""A page whose gateway goes by other names than the usual ones, in a real browser: under a prefix, and when the names change."""

from __future__ import annotations

import pytest

from gateway.sdk import snippet
from tests.browser.sdk_page import STORED_EVENTS, all_answered, ready, track
from tests.builders import PORTAL_ID, PROP_ID
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until

OLD = {"prefix": "/x7", "script": ["/js/a.js"], "event": ["/e/v1"], "stream_event": ["/s"], "default_names": False}  # fmt: skip
COOKIES = {"secure": False}


async def printed_snippet(gateway):
    """Give what `tracking-gateway snippet --json` says."""
    base = f"http://track.shop.example:{gateway.port}"
    end = await run("snippet", "--config", gateway.config, "--url", base, "--json")
    return end.json


async def open_page(visitor, site, html):
    """Serve a page of the shop, and go there."""
    site.pages["/"] = f"<!doctype html><title>-</title>{html}"
    await visitor.goto(site.url("/", "www.shop.example"))
    await ready(visitor)


@pytest.mark.timeout(120)
async def test_a_page_loads_and_sends_under_the_names_that_the_snippet_prints(visitor, site, tmp_path):
    """No request of the page has a usual name in it, and every event arrives, by `fetch` and by a link's query."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, paths=OLD, cookies=COOKIES) as gateway,
    ):
        asked = []
        visitor.on("request", lambda request: asked.append(request.url))
        await open_page(visitor, site, (await printed_snippet(gateway))["html"])
        await visitor.evaluate("web_event.trackEventWithUri('ec=promo&ea=click')")
        await all_answered(visitor)
        at_gateway = [url.partition("?")[0].partition(str(gateway.port))[2] for url in asked]
        assert ["/x7/js/a.js", "/x7/e/v1", "/x7/s"] == [path for path in at_gateway if path]

        async def arrived():
            return len(await collector.request_ids()) == 2

        await until(arrived, "both events arrived")
        assert 404 == (await visitor.context.request.get(f"{gateway.url}/insight.js")).status


@pytest.mark.timeout(120)
async def test_events_of_an_open_page_wait_when_its_names_are_gone(visitor, site, tmp_path):
    """A page from before a rotation keeps what it can't send; the next page's script knows the new names and sends it."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, paths=OLD, cookies=COOKIES) as gateway,
    ):
        base = f"http://track.shop.example:{gateway.port}"
        html = snippet(base, PORTAL_ID, PROP_ID, script_path="/x7/js/a.js")
        await open_page(visitor, site, html)
        await all_answered(visitor)
        await gateway.stop()
        gateway.config.write_text(gateway.config.read_text().replace("/e/v1", "/e/v2"))
        await gateway.start()
        # The page may not read a 404 of another origin: for it the answer never came.
        async with visitor.expect_event("requestfailed", lambda request: "/e/v1" in request.url):
            await track(visitor, "product", "view")
        assert 1 == await visitor.evaluate(f"{STORED_EVENTS}.length")
        # The browser keeps the script for an hour, but not where its requests are looked at.
        await visitor.context.route("**/a.js", lambda route: route.continue_())
        await open_page(visitor, site, html)
        await all_answered(visitor)

        async def arrived():
            return 3 == len(await collector.request_ids())

        await until(arrived, "both page views and the event between them arrived")
