"""The page script's sender: in order, one at a time, and nothing is lost when the gateway or the page goes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.sdk_page import STORED_EVENTS, all_answered, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite

SILENT = "var _cdp365Analytics = {default_event: 0};"


async def _track_all(page: Page, count: int) -> None:
    """Send the events n/1, n/2, … in one go."""
    await page.evaluate(
        "(count) => { for (let n = 1; n <= count; n++) web_event.track('n', String(n)); }", count
    )


async def test_events_are_sent_one_after_the_other(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Of twenty events tracked at once, none is sent before the one before it was answered."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await _track_all(visitor, 20)
    received = await gateway.until_count(20)
    assert [f"n/{n}" for n in range(1, 21)] == gateway.names
    assert gateway.most_at_once == 1
    assert len({one.request_id for one in received}) == 20


async def test_a_request_across_origins_has_credentials_and_no_preflight(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Page and gateway are two origins: cookies go along, and the browser asks no permission first."""
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": "123456789", "url": site.url()}])
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    assert f"http://localhost:{site.port}" == event.headers["Origin"]
    assert "_asm_uid=123456789" in event.headers["Cookie"]
    assert event.headers["Content-Type"] == "text/plain;charset=UTF-8"
    assert gateway.preflights == 0


async def test_an_event_is_stored_until_its_answer_is_seen(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """While the gateway thinks, the event is in localStorage; after its answer, it is not."""
    gateway.hold()
    await visitor.goto(site.put())
    await gateway.until_count(1)
    assert await visitor.evaluate(f"{STORED_EVENTS}.length") == 1
    gateway.release()
    await all_answered(visitor)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refused_events_come_again_on_the_next_page_in_order(
    visitor: Page, gateway: FakeGateway, site: FakeSite, status: int
):
    """What a gateway in trouble did not take is sent first on the next page, with the same request ids and UIDs."""
    gateway.answer(status)
    await visitor.goto(site.put("/one", after="web_event.track('a', '1'); web_event.track('a', '2');"))
    (refused,) = await gateway.until_count(1)
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 3")
    stored_ids = await visitor.evaluate(f"{STORED_EVENTS}.sort().map((key) => key.split('_').pop())")
    gateway.forget()
    gateway.answer(200)
    await visitor.goto(site.put("/two"))
    received = await gateway.until_count(4)
    assert gateway.names == ["pageview/view", "a/1", "a/2", "pageview/view"]
    assert stored_ids == [one.request_id for one in received[:3]]
    assert refused.request_id == received[0].request_id
    assert refused.body == received[0].body
    await all_answered(visitor)


async def test_a_timed_out_request_is_sent_again(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """After a 408 the event stays: the browser may repeat the request by itself, the next page does in any case."""
    gateway.answer(408)
    async with visitor.expect_response("**/t/event?*"):
        await visitor.goto(site.put("/one"))
    await ready(visitor)
    stored = await visitor.evaluate(f"{STORED_EVENTS}[0].split('_').pop()")
    gateway.answer(200)
    await visitor.goto(site.put("/two", after="web_event.track('the', 'end');"))
    await gateway.until_named("the/end")
    again, second_page, _ = gateway.received[-3:]
    assert stored == again.request_id
    assert second_page.body["context"]["navigation"]["url"].endswith("/two")


async def test_events_of_an_unreachable_gateway_come_again_on_the_next_page(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A request that fails on the network is as good as not sent."""
    await visitor.goto(site.put("/one", before=SILENT))
    await ready(visitor)
    await visitor.route("**/t/event?*", lambda route: route.abort("connectionrefused"))
    async with visitor.expect_event("requestfailed"):
        await track(visitor, "a", "unreachable")
    await visitor.unroute_all()
    await visitor.goto(site.put("/two", after="web_event.track('the', 'end');"))
    await gateway.until_named("the/end")
    assert gateway.names == ["a/unreachable", "pageview/view", "the/end"]


async def test_coming_online_sends_what_waits_at_once(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The same page sends again when the browser says that the network is back."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await visitor.context.set_offline(True)
    async with visitor.expect_event("requestfailed"):
        await track(visitor, "a", "offline")
    assert gateway.names == []
    await visitor.context.set_offline(False)
    await gateway.until_named("a/offline")
    await all_answered(visitor)


async def test_retry_after_is_honoured_on_the_next_page_too(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A gateway that asks for a pause gets it, whatever page the visitor goes to; then the events come by themselves."""
    gateway.answer(503, Retry_After="2")
    await visitor.goto(site.put("/one"))
    (refused,) = await gateway.until_count(1)
    await visitor.wait_for_function("localStorage._asm_retry_at")
    gateway.answer(200)
    await visitor.goto(site.put("/two"))
    first, again, second_page = await gateway.until_count(3)
    assert first.request_id == again.request_id
    assert again.at - refused.at >= 1.9
    assert second_page.body["context"]["navigation"]["url"].endswith("/two")


@pytest.mark.parametrize("status", [400, 403, 413])
async def test_an_event_that_the_gateway_calls_bad_is_not_sent_again(
    visitor: Page, gateway: FakeGateway, site: FakeSite, status: int
):
    """A refusal that no retry would mend is a warning in the console, and the next event has its turn."""
    gateway.answer(status)
    async with visitor.expect_console_message(
        lambda message: f"dropped an event: refused with {status}" in message.text
    ):
        await visitor.goto(site.put(after="web_event.track('a', '1');"))
    await gateway.until_named("a/1")
    await all_answered(visitor)
    assert gateway.names == ["pageview/view", "a/1"]


async def test_the_store_keeps_the_newest_fifty_events(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The store is bounded: the oldest events make room. The page that tracked them still sends them all."""
    gateway.hold()
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await _track_all(visitor, 60)
    stored = await visitor.evaluate(
        f"{STORED_EVENTS}.sort().map((key) => JSON.parse(JSON.parse(localStorage[key])[2]).ea)"
    )
    assert [str(n) for n in range(11, 61)] == stored
    gateway.release()
    await gateway.until_count(60)
    assert [f"n/{n}" for n in range(1, 61)] == gateway.names
    await all_answered(visitor)


async def test_the_store_keeps_at_most_64_kb(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Large events push older ones out; one that could never fit leaves the others alone."""
    gateway.hold()
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          for (let n = 1; n <= 4; n++) web_event.track("n", String(n), {extra: {text: "x".repeat(20000)}});
          web_event.track("n", "huge", {extra: {text: "x".repeat(70000)}});
        }"""
    )
    stored = await visitor.evaluate(
        f"{STORED_EVENTS}.sort().map((key) => JSON.parse(JSON.parse(localStorage[key])[2]).ea)"
    )
    assert stored == ["2", "3", "4"]


async def test_an_event_too_large_for_keepalive_is_sent_all_the_same(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Browsers refuse large bodies that would outlive the page: those go out as ordinary requests, in order."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          web_event.track("a", "large", {extra: {text: "ế".repeat(50000)}});
          web_event.track("a", "small");
        }"""
    )
    large, _ = await gateway.until_count(2)
    assert gateway.names == ["a/large", "a/small"]
    assert large.body["extra"]["text"] == "ế" * 50000


@pytest.mark.parametrize("has_keepalive", [True, False], ids=["keepalive", "beacon"])
async def test_leaving_the_page_sends_everything_that_waits(
    visitor: Page, gateway: FakeGateway, site: FakeSite, has_keepalive: bool
):
    """A page that goes away while its first event is unanswered hands the others over at once, to outlive it."""
    if not has_keepalive:
        await visitor.add_init_script("delete Request.prototype.keepalive")
    await visitor.goto(site.put("/one", before=SILENT))
    await ready(visitor)
    gateway.hold()
    await _track_all(visitor, 4)
    await gateway.until_count(1)
    await visitor.goto("about:blank")
    received = await gateway.until_count(4)
    assert {"n/1", "n/2", "n/3", "n/4"} == set(gateway.names)
    modes = [one.headers["Sec-Fetch-Mode"] for one in received[1:]]
    assert ["cors" if has_keepalive else "no-cors"] * 3 == modes
    sent_ids = {one.name: one.request_id for one in received}
    gateway.release()
    await gateway.until_heard(4)
    gateway.forget()
    await visitor.goto(site.put("/two"))
    again = await gateway.until_count(5)
    assert gateway.names == ["n/1", "n/2", "n/3", "n/4", "pageview/view"]
    assert sent_ids == {one.name: one.request_id for one in again[:4]}


async def test_a_page_that_is_only_hidden_sends_each_event_once(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A tab in the background hands over what waits at once; coming back, it does not send that again."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    gateway.hold()
    await _track_all(visitor, 3)
    await gateway.until_count(1)
    await visitor.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await gateway.until_count(3)
    assert gateway.most_at_once == 3
    gateway.release()
    await all_answered(visitor)
    await visitor.evaluate(
        "delete document.visibilityState, document.dispatchEvent(new Event('visibilitychange'))"
    )
    await track(visitor, "the", "end")
    await gateway.until_named("the/end")
    assert len(gateway.received) == 4


async def test_an_event_that_another_tab_delivered_is_not_sent_again(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Two tabs share the store: the second sends what waits in the first, and the first hears of it."""
    gateway.answer(503)
    await visitor.add_init_script(
        "window.heard = [];"
        "addEventListener('storage', (change) => change.newValue === null && heard.push(change.key.split('_').pop()));"
    )
    await visitor.goto(site.put("/one"))
    (refused,) = await gateway.until_count(1)
    gateway.answer(200)
    other = await visitor.context.new_page()
    await other.goto(site.put("/two"))
    again = (await gateway.until_count(3))[1]
    await all_answered(other)
    await visitor.wait_for_function(f"heard.includes('{again.request_id}')")
    await visitor.evaluate("dispatchEvent(new Event('online'))")
    await track(visitor, "the", "end")
    await gateway.until_named("the/end")
    assert refused.request_id == again.request_id
    assert gateway.names == ["pageview/view", "pageview/view", "pageview/view", "the/end"]


async def test_a_page_that_clears_its_storage_loses_no_event(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Many sites call `localStorage.clear()` on logout: the page's own queue is not in there alone."""
    gateway.hold()
    await visitor.goto(site.put(after="web_event.track('a', '1');"))
    await gateway.until_count(1)
    await visitor.evaluate("localStorage.clear(), web_event.track('a', '2')")
    gateway.release()
    await gateway.until_named("a/2")
    assert gateway.names == ["pageview/view", "a/1", "a/2"]


async def test_a_damaged_store_does_not_stop_anything(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Entries that can't be read are removed; the page's events go out."""
    await visitor.add_init_script(
        "localStorage['_asm_event_1'] = '{broken', localStorage['_asm_event_2'] = '7'"
    )
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await all_answered(visitor)


async def test_a_page_that_breaks_fetch_loses_no_event(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A wrapper around fetch that throws counts as a network error: the next page sends the event."""
    site.put("/one", before="window.fetch = () => { throw new Error('broken wrapper'); };")
    await visitor.goto(site.url("/one"))
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 1")
    await visitor.goto(site.put("/two"))
    first, second = await gateway.until_count(2)
    assert first.body["context"]["navigation"]["url"].endswith("/one")
    assert second.body["context"]["navigation"]["url"].endswith("/two")
