"""Links to other domains of the same owner take the visitor along, and nobody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.sdk_page import cookie_of, ready

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received

BRIDGED = "var _cdpEnableDomainBridge = true, _cdp365Analytics = {bridge_domains: ['shop.example', '.sister.example']};"
SHOP, SISTER = "www.shop.example", "www.sister.example"


def _put(site: FakeSite, path: str, host: str, *, links: str = "", before: str = BRIDGED) -> str:
    """Make a page of one of the two shops, with links in it; give its address."""
    domain = host.removeprefix("www.")
    site.put(path, before=before, tracking_host=f"track.{domain}", site=domain)
    site.pages[path] = site.pages[path].replace("<body>", f"<body>{links}")
    return site.url(path, host)


async def _both(site: FakeSite, *, query: str = "", before: str = BRIDGED) -> tuple[str, str]:
    """Make a page of the shop with a link to one of its sister; give both addresses."""
    landing = _put(site, "/landing", SISTER)
    return _put(site, "/", SHOP, links=f"<a id=go href='{landing}{query}'>go</a>", before=before), landing


async def test_a_click_takes_the_visitor_along(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The sister's events, cookie and storage have the shop's UID; its address is clean; the gateway is asked whether it knows better."""
    shop, landing = await _both(site, query="?colour=a%20b&x=1#top")
    await visitor.goto(shop)
    (there,) = await gateway.until_count(1)
    await ready(visitor)
    await visitor.click("#go")
    await visitor.wait_for_url("**/landing**")
    _, here = await gateway.until_count(2)
    assert there.uid == here.uid == await cookie_of(visitor, "_asm_uid")
    assert f"{landing}?colour=a%20b&x=1#top" == await visitor.evaluate("location.href") == _url(here)
    assert here.query["uid_new"] == "1"
    assert there.body["sid"] != here.body["sid"]
    await visitor.reload()
    *_, again = await gateway.until_count(3)
    assert (there.uid, False) == (again.uid, "uid_new" in again.query)


@pytest.mark.parametrize("how", ["enter", "decorate", "uri", "shadow"])
async def test_other_ways_to_follow_a_link_take_the_visitor_along(
    visitor: Page, gateway: FakeGateway, site: FakeSite, how: str
):
    """The keyboard, a link that the page's script makes, a tracked link, and one inside a component."""
    shop, landing = await _both(site)
    await visitor.goto(shop)
    await gateway.until_count(1)
    await ready(visitor)
    if how == "enter":
        await visitor.press("#go", "Enter")
    elif how == "decorate":
        await visitor.evaluate("(url) => location.assign(web_event.decorate(url))", landing)
    elif how == "uri":
        await visitor.evaluate("(url) => web_event.trackEventWithUri('ec=a&ea=b', url)", landing)
    else:
        await visitor.evaluate(
            """(url) => {
              const root = document.body.appendChild(document.createElement("div")).attachShadow({mode: "open"});
              root.innerHTML = `<a href="${url}"><b>go</b></a>`;
              root.querySelector("b").click();
            }""",
            landing,
        )
    received = await gateway.until(lambda all_: any("landing" in _url(one) for one in all_))
    landed = next(one for one in received if "landing" in _url(one))
    assert (received[0].uid, landing) == (landed.uid, _url(landed))


async def test_a_link_in_a_new_tab_takes_the_visitor_along(
    chromium: Browser, gateway: FakeGateway, site: FakeSite
):
    """By the middle button. In a browser as it is: what a test pretends of language and time zone comes late to new tabs."""
    context = await chromium.new_context()
    page = await context.new_page()
    shop, landing = await _both(site)
    await page.goto(shop)
    await gateway.until_count(1)
    await ready(page)
    await page.click("#go", button="middle")
    there, here = await gateway.until_count(2)
    assert (there.uid, landing) == (here.uid, _url(here))
    await context.close()


async def test_the_link_in_the_page_stays_as_it_was(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """After the click it is the page's again; a right click, from which links are copied, never touches it."""
    shop, landing = await _both(site)
    await visitor.goto(shop)
    await gateway.until_count(1)
    await ready(visitor)
    await visitor.evaluate(
        "addEventListener('click', (event) => { window.seen = event.target.href; event.preventDefault(); });"
        "addEventListener('auxclick', (event) => { window.right = event.target.href; });"
    )
    await visitor.click("#go", button="right")
    await visitor.click("#go")
    assert landing == await visitor.evaluate("right")
    assert re.fullmatch(rf"{landing}\?_asm_bridge=\d+\.\w+\.[0-9a-f]{{12}}", await visitor.evaluate("seen"))
    await visitor.wait_for_function("(href) => document.querySelector('#go').href === href", arg=landing)


async def test_links_to_anywhere_else_are_left_alone(visitor: Page, site: FakeSite):
    """Strangers' domains, the site's own, and what is no address: `decorate` gives them back as they came."""
    links = [
        "http://elsewhere.example/",
        "http://notshop.example/",
        "http://blog.shop.example/",
        "mailto:a@sister.example",
        "javascript:void 0",
        "//[",
        "",
    ]
    shop, _ = await _both(site)
    await visitor.goto(shop)
    await ready(visitor)
    assert links == await visitor.evaluate("(links) => links.map(web_event.decorate)", links)


@pytest.mark.parametrize(
    "before",
    [
        "var _cdp365Analytics = {bridge_domains: ['shop.example', 'sister.example']};",
        f"{BRIDGED} _cdpEnableDomainBridge = false;",
        f"{BRIDGED} _cdp365Analytics.consent = 'pending';",
        f"{BRIDGED} _cdp365Analytics.consent = 'denied';",
    ],
)
async def test_without_permission_nobody_is_taken_along(
    visitor: Page, gateway: FakeGateway, site: FakeSite, before: str
):
    """The bridge is off unless it is switched on, and for whoever has not agreed."""
    shop, landing = await _both(site, before=before)
    await visitor.goto(shop)
    await ready(visitor)
    assert landing == await visitor.evaluate("(link) => web_event.decorate(link)", landing)


_PASSED_ON = {
    "nobody's link": "",
    "two minutes later": "Date.now = ((own) => () => own() + 121e3)(Date.now);",
    "before its time": "Date.now = ((own) => () => own() - 5e3)(Date.now);",
    "another browser": "Object.defineProperty(Navigator.prototype, 'userAgent', {value: 'Another'});",
    "another language": "Object.defineProperty(Navigator.prototype, 'language', {value: 'fr'});",
    "another page": "Object.defineProperty(Document.prototype, 'referrer', {value: 'http://mail.example/'});",
    "no referrer": "Object.defineProperty(Document.prototype, 'referrer', {value: ''});",
}


@pytest.mark.parametrize("how", _PASSED_ON)
async def test_a_link_that_was_passed_on_makes_no_two_people_one(
    visitor: Page, gateway: FakeGateway, site: FakeSite, how: str
):
    """Too late, in another browser, or not from one of the domains: the visitor gets a UID of her own, and a clean address."""
    shop, landing = await _both(site)
    await visitor.goto(shop)
    (there,) = await gateway.until_count(1)
    await ready(visitor)
    link = await visitor.evaluate("(link) => web_event.decorate(link)", landing)
    if how == "nobody's link":
        link = re.sub(r"=\d+\.", "=123456.", link)
    await visitor.add_init_script(f"if (location.pathname === '/landing') {{ {_PASSED_ON[how]} }}")
    await visitor.evaluate("(link) => location.assign(link)", link)
    _, here = await gateway.until_count(2)
    assert landing == await visitor.evaluate("location.href")
    assert here.uid not in {there.uid, "123456"}


async def test_a_visitor_who_is_known_there_stays_who_she_is(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Her UID may be a customer's: it is never replaced by a link."""
    shop, landing = await _both(site)
    await visitor.goto(landing)
    (known,) = await gateway.until_count(1)
    await visitor.goto(shop)
    await gateway.until_count(2)
    await ready(visitor)
    await visitor.click("#go")
    *_, here = await gateway.until_count(3)
    assert (known.uid, landing) == (here.uid, await visitor.evaluate("location.href"))
    assert known.uid == await cookie_of(visitor, "_asm_uid")


async def test_what_the_gateway_remembers_of_her_holds(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Where the sister's gateway knows the browser by its hidden cookie, the UID that came along gives way to that."""
    shop, _ = await _both(site)
    await visitor.goto(shop)
    await gateway.until_count(1)
    await ready(visitor)
    gateway.taken_under = lambda one: "987654321" if "uid_new" in one.query else one.uid
    await visitor.click("#go")
    await visitor.wait_for_url("**/landing")
    await visitor.wait_for_function("localStorage._asm_uid === '987654321'")


async def test_consent_is_asked_for_before_the_uid_is_taken_over(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The address is clean at once; the UID waits in memory for the answer."""
    shop, landing = await _both(site)
    _put(site, "/landing", SISTER, before=f"{BRIDGED} _cdp365Analytics.consent = 'pending';")
    await visitor.goto(shop)
    (there,) = await gateway.until_count(1)
    await ready(visitor)
    await visitor.click("#go")
    await visitor.wait_for_url(landing)
    await ready(visitor)
    assert not await visitor.evaluate("document.cookie || localStorage.length")
    await visitor.evaluate("web_event.consent('granted')")
    _, here = await gateway.until_count(2)
    assert there.uid == here.uid


def _url(one: Received) -> str:
    return one.body["context"]["navigation"]["url"] if one.body else ""
