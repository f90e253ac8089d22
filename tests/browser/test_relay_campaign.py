"""The collector's campaign reaches a page through the gateway, in a real browser: by a script tag and with our script."""

from __future__ import annotations

import pytest

from gateway.sdk import snippet
from tests.browser.sdk_page import all_answered, ready
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until

SETTINGS = {
    "collector": {
        "mode": "relay",
        "relay_budget_ms": 10_000,
        "timeout_seconds": 20,
        "relay_cookies": ["seg"],
    },
    # The pages are on plain HTTP.
    "cookies": {"secure": False},
}
SHOWS = """
window._event_callback_data = (answer) => {
  for (const {html} of answer.campaigns || []) document.body.insertAdjacentHTML("beforeend", html);
  document.title = answer.au_id;
};
"""


async def put(visitor, site, html):
    """Serve a page of the shop, and go there."""
    site.pages["/"] = f"<!doctype html><title>-</title><body>{html}</body>"
    await visitor.goto(site.url("/", "www.shop.example"))


@pytest.mark.timeout(120)
async def test_a_page_shows_the_collectors_campaign(visitor, site, tmp_path):
    """`<script src=…>` without `resp_type` runs the collector's callback under the visitor's UID; its cookie is the site's."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **SETTINGS) as gateway,
    ):
        await collector.behave(
            campaign="five-percent", set_cookies=["seg=vip; Domain=evil.example; Max-Age=600"]
        )
        base = f"http://track.shop.example:{gateway.port}"
        event = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&ec=pageview&ea=view"
        await put(visitor, site, f'<script>{SHOWS}</script><script src="{base}/event?{event}"></script>')
        assert await visitor.locator("b").inner_text() == "five-percent"
        cookies = {each["name"]: each for each in await visitor.context.cookies()}
        assert await visitor.title() == cookies["_asm_uid"]["value"]
        assert (cookies["seg"]["value"], cookies["seg"]["domain"]) == ("vip", ".shop.example")
        assert cookies["_asm_uid_s"]["httpOnly"]
        [first] = await collector.get("/events")
        assert first["query"]["resp_type"] == "javascript"

        # Our script asks for json, gets the collector's own, and goes on as ever.
        await put(visitor, site, snippet(base, PORTAL_ID, PROP_ID))
        await ready(visitor)
        await all_answered(visitor)

        async def arrived():
            return len(await collector.get("/events")) == 2

        await until(arrived, "the page view of our script arrived")
        second = (await collector.get("/events"))[-1]
        assert second["body"]["uid"] == cookies["_asm_uid"]["value"]
        await gateway.stop()
        assert [line["relayed"] for line in gateway.log_lines("event")] == ["relayed", "relayed"]
