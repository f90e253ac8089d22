"""Pages that change without being loaded: one page view for each path, where the page asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.browser.sdk_page import hide, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received

SPA = "var _cdp365Analytics = {spa: true, page: {page_type: 'home'}};"
# Firefox and Safari had no Navigation API for long.
_WITHOUT = "Object.defineProperty(window, 'navigation', {value: undefined});"


@pytest_asyncio.fixture(loop_scope="session", params=["navigation API", "history alone"])
async def app(request, visitor: Page, gateway: FakeGateway, site: FakeSite) -> Page:
    """A single-page application that has sent its first page view."""
    if request.param == "history alone":
        await visitor.add_init_script(_WITHOUT)
    await visitor.goto(site.put(before=SPA))
    await gateway.until_count(1)
    await ready(visitor)
    return visitor


def _view(one: Received) -> tuple[str, str, str]:
    context = one.body["context"]
    return one.name, context["navigation"]["url"], context["referrer"]


async def test_each_new_path_is_one_page_view(app: Page, gateway: FakeGateway, site: FakeSite):
    """With the title that the page sets a moment later, what the page says of itself by then, and the page before as referrer."""
    await app.evaluate(
        """() => {
          history.pushState({}, "", "/shoes?size=42");
          setTimeout(() => {
            document.title = "Shoes";
            _cdp365Analytics.page = {page_type: "category"};
          }, 20);
        }"""
    )
    await gateway.until_count(2)
    await app.evaluate("history.pushState({}, '', '/bags')")
    await gateway.until_count(3)
    await app.go_back()
    _, shoes, bags, back = await gateway.until_count(4)
    assert ("pageview/view", site.url("/shoes?size=42"), "") == (*_view(shoes)[:2], "")
    assert _view(shoes)[2] == site.url("/")
    assert ("Shoes", {"page_type": "category"}) == (
        shoes.body["context"]["navigation"]["title"],
        shoes.body["extra"],
    )
    assert _view(bags) == ("pageview/view", site.url("/bags"), site.url("/shoes?size=42"))
    assert _view(back) == ("pageview/view", site.url("/shoes?size=42"), site.url("/bags"))


async def test_what_is_no_new_page_is_no_page_view(app: Page, gateway: FakeGateway):
    """The same path with another query or hash, and a path that is left at once, as redirects do."""
    await app.evaluate(
        """() => {
          history.replaceState({}, "", "?filter=red");
          history.pushState({}, "", "#reviews");
          history.pushState({}, "", "/nowhere");
          history.replaceState({}, "", "/?filter=blue");
        }"""
    )
    await app.evaluate("new Promise((done) => setTimeout(() => done(web_event.track('the', 'end')), 400))")
    await gateway.until_named("the/end")
    assert gateway.names == ["pageview/view", "the/end"]


async def test_the_page_view_precedes_what_is_tracked_on_the_new_page(
    app: Page, gateway: FakeGateway, site: FakeSite
):
    """An event does not wait for the title, and neither does a page that is left."""
    await app.evaluate("history.pushState({}, '', '/shoes'), web_event.track('product', 'view')")
    await gateway.until_count(3)
    await app.evaluate("history.pushState({}, '', '/bags')")
    await hide(app)
    *_, view = await gateway.until_count(4)
    assert gateway.names == ["pageview/view", "pageview/view", "product/view", "pageview/view"]
    assert _view(view)[1:] == (site.url("/bags"), site.url("/shoes"))


async def test_a_logout_on_the_way_leaves_the_page_view_to_its_visitor(app: Page, gateway: FakeGateway):
    """The page view of the new path is hers who went there; the logout comes after it."""
    await app.evaluate("history.pushState({}, '', '/bye'), web_event.resetAnonymousUId()")
    first, view, logout = await gateway.until_count(3)
    assert (first.uid, "pageview/view") == (view.uid, view.name)
    assert (first.uid, "user/reset_anonymous_id") == (logout.body["extra"]["reset_uid"], logout.name)


async def test_the_pages_history_works_as_before(app: Page):
    """State, length, and the errors that browsers give for a foreign address."""
    assert await app.evaluate(
        """() => {
          const {length} = history;
          const given = history.pushState({n: 1}, "", "/a");
          let refused;
          try { history.pushState({}, "", "https://elsewhere.example/"); } catch (error) { refused = error.name; }
          return [given === undefined, history.state.n, history.length - length, refused];
        }"""
    ) == [True, 1, 1, "SecurityError"]


async def test_without_the_option_nothing_is_sent_or_changed(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A page that tracks its page views by hand has each one once, with the document's referrer."""
    await visitor.add_init_script(_WITHOUT)
    await visitor.goto(site.put())
    await ready(visitor)
    await visitor.evaluate("history.pushState({}, '', '/shoes'), web_event.track('pageview', 'view')")
    await track(visitor, "the", "end")
    *_, end = await gateway.until_count(3)
    assert gateway.names == ["pageview/view", "pageview/view", "the/end"]
    assert end.body["context"]["referrer"] == ""
    assert await visitor.evaluate("history.pushState.toString().includes('native code')")
