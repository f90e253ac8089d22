"""Events that are tracked without a network survive the tab, and leave in order as soon as there is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.sdk_page import STORED_EVENTS, all_answered, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite

_DAY_MS = 86_400_000


async def _opened(page: Page, gateway: FakeGateway, site: FakeSite) -> None:
    """Open a page and let its page view be answered; what is recorded from here on comes after it."""
    await page.goto(site.put())
    await gateway.until_count(1)
    await all_answered(page)
    gateway.forget()


async def test_what_was_tracked_offline_leaves_in_order_when_the_network_is_back(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """At once, on the same page; and while there is no network the browser is asked at most once."""
    await _opened(visitor, gateway, site)
    tried: list[str] = []
    visitor.on("requestfailed", lambda request: tried.append(request.url))
    await visitor.context.set_offline(True)
    for number in range(5):
        await track(visitor, "offline", str(number))
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 5")
    await visitor.context.set_offline(False)
    await gateway.until_count(5)
    assert gateway.names == [f"offline/{number}" for number in range(5)]
    assert len(tried) == 1
    await all_answered(visitor)


async def test_what_a_tab_has_left_offline_leaves_with_the_next_page(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The tab is closed while there is no network: the next page sends what it had, first and in order."""
    await _opened(visitor, gateway, site)
    await visitor.context.set_offline(True)
    await track(visitor, "offline", "1")
    await track(visitor, "offline", "2")
    other = await visitor.context.new_page()
    await visitor.close()
    await other.context.set_offline(False)
    await other.goto(site.url())
    await gateway.until_named("pageview/view")
    # A tab's last words may have left after all, when its pretended lack of a network ended with it.
    once = {one.request_id: one.name for one in gateway.received}
    assert list(once.values()) == ["offline/1", "offline/2", "pageview/view"]
    await other.close()


async def test_an_open_tab_sends_what_a_closed_one_has_left(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Nobody needs to load a page: within a minute after the network is back the tab that is open has sent it, in order."""
    await visitor.clock.install()
    await _opened(visitor, gateway, site)
    # As the other tab has left them in the store.
    await visitor.evaluate(
        """() => {
          for (const number of [1, 2]) {
            const body = JSON.stringify({uid: localStorage._asm_uid, ec: "left", ea: String(number)});
            const item = JSON.stringify(["event", "request_id=left" + number, body]);
            localStorage.setItem(`_asm_event_${Date.now()}_100000${number}_left`, item);
          }
          dispatchEvent(new Event("online"));
          web_event.track("open", "tab");
        }"""
    )
    await gateway.until_named("open/tab")
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 2")
    await visitor.clock.fast_forward(60_000)
    await gateway.until_count(3)
    assert gateway.names == ["open/tab", "left/1", "left/2"]
    await all_answered(visitor)


async def test_a_pause_that_the_gateway_asked_for_holds_when_the_network_is_back(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """`Retry-After`, here as a date, is the gateway's word, not the network's."""
    await visitor.clock.install()
    await _opened(visitor, gateway, site)
    in_two_minutes = await visitor.evaluate("new Date(Date.now() + 120000).toUTCString()")
    gateway.answer(429, Retry_After=in_two_minutes)
    await track(visitor, "a", "1")
    await gateway.until_count(1)
    await visitor.wait_for_function("localStorage._asm_retry_at")
    gateway.answer(200)
    await visitor.evaluate("dispatchEvent(new Event('online')), web_event.track('a', '2')")
    assert await visitor.evaluate(f"{STORED_EVENTS}.length") == 2
    assert gateway.names == ["a/1"]
    await visitor.clock.fast_forward(121_000)
    await gateway.until_count(3)
    assert gateway.names == ["a/1", "a/1", "a/2"]


@pytest.mark.parametrize(("days", "comes"), [(6.9, True), (7.1, False)])
async def test_an_event_that_waited_for_a_week_is_dropped_with_a_line(
    visitor: Page, gateway: FakeGateway, site: FakeSite, days: float, comes: bool
):
    """Older ones would only confuse; the console says that one was dropped, and the store is free of it."""
    lines: list[str] = []
    visitor.on("console", lambda message: lines.append(message.text))
    await _opened(visitor, gateway, site)
    gateway.answer(503)
    await track(visitor, "a", "old")
    await gateway.until_count(1)
    key = await visitor.evaluate(f"{STORED_EVENTS}[0]")
    await visitor.evaluate(
        "([old, aged]) => { localStorage.setItem(aged, localStorage.getItem(old)); localStorage.removeItem(old); }",
        [key, re.sub(r"\d{13}", lambda found: str(int(found[0]) - int(days * _DAY_MS)), key, count=1)],
    )
    gateway.answer(200)
    gateway.forget()
    await visitor.goto(site.url())
    await gateway.until_named("pageview/view")
    assert gateway.names == (["a/old"] if comes else []) + ["pageview/view"]
    await all_answered(visitor)
    assert comes is not any("older than a week" in line for line in lines)


async def test_with_a_full_store_events_wait_in_the_page(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A site that has used up its storage loses nothing as long as the page is open."""
    await _opened(visitor, gateway, site)
    await visitor.evaluate(
        """() => {
          for (let size = 1 << 22; size; size >>= 1) {
            try { for (let n = 0; ; n++) localStorage.setItem("site" + size + n, "x".repeat(size)); } catch (_) {}
          }
        }"""
    )
    await visitor.context.set_offline(True)
    await track(visitor, "offline", "1")
    await track(visitor, "offline", "2")
    assert await visitor.evaluate(f"{STORED_EVENTS}.length") == 0
    await visitor.context.set_offline(False)
    await gateway.until_count(2)
    assert gateway.names == ["offline/1", "offline/2"]
    await ready(visitor)
