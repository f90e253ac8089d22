"""What the page script promises, in Chromium and in Firefox: each a short life of one visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.refusals import REFUSALS
from tests.browser.sdk_page import STORED_EVENTS
from tests.browser.tabs import until
from tests.browser.test_sdk_bridge import BRIDGED, SHOP, SISTER
from tests.browser.test_sdk_policy import strict_page

if TYPE_CHECKING:
    from tests.browser.sdk_page import FakeGateway, FakeSite
    from tests.browser.tabs import Tab

_READY = "window.web_event && web_event.trackEventWithUri"


async def test_a_visit_with_a_sign_in_and_a_logout(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """One visitor from the page view to the sign-in, on two pages; a stranger after the logout."""
    await tab.goto(
        site.put(after="web_event.track('product', 'view', {items: [{type: 'product', id: '42'}]});")
    )
    await gateway.until_count(2)
    await until(tab, f"{STORED_EVENTS}.length === 0")
    await tab.goto(site.url())
    await until(tab, _READY)
    await tab.evaluate(
        "void web_event.track('user', 'sign_in', {dims: {customers: {email: 'lan@shop.example'}}})"
    )
    fresh = await tab.evaluate("web_event.resetAnonymousUId()")
    await tab.evaluate("void web_event.track('after', 'logout')")
    received = await gateway.until_count(7)
    assert gateway.names == [
        *("pageview/view", "product/view") * 2,
        "user/sign_in",
        "user/reset_anonymous_id",
        "after/logout",
    ]
    assert ({received[0].uid}, {fresh}) == (
        {one.uid for one in received[:5]},
        {one.uid for one in received[5:]},
    )
    assert fresh != received[0].uid
    assert gateway.preflights == 0
    assert gateway.most_at_once == 1


async def test_offline_events_leave_when_the_network_is_back(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """In order, without a reload."""
    await tab.goto(site.put())
    await gateway.until_count(1)
    await until(tab, f"{STORED_EVENTS}.length === 0")
    await tab.set_offline(True)
    await tab.evaluate("[1, 2, 3].forEach((number) => web_event.track('offline', String(number)))")
    await until(tab, f"{STORED_EVENTS}.length === 3")
    await tab.set_offline(False)
    await gateway.until_count(4)
    assert gateway.names[1:] == ["offline/1", "offline/2", "offline/3"]


async def test_refused_events_wait_for_the_next_page(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """They come first, under their own request ids."""
    gateway.answer(503)
    await tab.goto(site.put(after="web_event.track('a', '1');"))
    await gateway.until_count(1)
    await until(tab, f"{STORED_EVENTS}.length === 2")
    gateway.answer(200)
    await tab.goto(site.url())
    first, again, *_ = await gateway.until_count(5)
    assert gateway.names == ["pageview/view", *("pageview/view", "a/1") * 2]
    assert first.request_id == again.request_id


@pytest.mark.parametrize("refusal", ["no cookies", "no storage", "neither"])
async def test_a_browser_that_refuses_to_remember(
    tab: Tab, gateway: FakeGateway, site: FakeSite, refusal: str
):
    """The page's events go out under one UID; the script throws nothing."""
    await tab.prepare(REFUSALS[refusal])
    await tab.goto(site.put(after="web_event.track('a', '1'), web_event.track('a', '2');"))
    received = await gateway.until_count(3)
    assert len({one.uid for one in received}) == 1


async def test_a_strict_policy(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """Nonces, one host to talk to and, where the browser has them, Trusted Types: nothing is reported."""
    own = (
        "window.violations = [];"
        "addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));"
        "web_event.track('a', '1');"
    )
    await tab.goto(strict_page(site, gateway, own=own))
    await gateway.until_count(2)
    assert await tab.evaluate("violations") == []


async def test_consent_before_anything(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """Nothing is kept or sent before the visitor agrees, and nothing stays when she changes her mind."""
    await tab.goto(site.put(before="var _cdp365Analytics = {consent: 'pending'};"))
    await until(tab, _READY)
    assert await tab.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    await tab.evaluate("web_event.consent('granted')")
    await gateway.until_count(1)
    assert await tab.evaluate("document.cookie.includes('_asm_uid') && Boolean(localStorage._asm_uid)")
    await tab.evaluate("web_event.consent('denied')")
    assert await tab.evaluate("[document.cookie, localStorage.length]") == ["", 0]


async def test_a_single_page_application(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """A new path is a page view."""
    await tab.goto(site.put(before="var _cdp365Analytics = {spa: true};"))
    await gateway.until_count(1)
    await until(tab, _READY)
    await tab.evaluate("void history.pushState({}, '', '/shoes')")
    _, view = await gateway.until_count(2)
    assert site.url("/shoes") == view.body["context"]["navigation"]["url"]


async def test_a_link_to_a_sister_shop(tab: Tab, gateway: FakeGateway, site: FakeSite):
    """The visitor is the same on both."""
    for path, host in (("/", SHOP), ("/landing", SISTER)):
        domain = host.removeprefix("www.")
        site.put(path, before=BRIDGED, tracking_host=f"track.{domain}", site=domain)
    landing = site.url("/landing", SISTER)
    site.pages["/"] = site.pages["/"].replace("<body>", f"<body><a href='{landing}'>go</a>")
    await tab.goto(site.url("/", SHOP))
    await gateway.until_count(1)
    await until(tab, _READY)
    await tab.evaluate("document.querySelector('a').click()")
    there, here = await gateway.until_count(2)
    assert (there.uid, landing) == (here.uid, here.body["context"]["navigation"]["url"])
