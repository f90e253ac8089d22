"""The page script keeps the visitor no longer, and for no more hosts, than the gateway's cookie settings say."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.sdk_page import FakeSite, all_answered, cookie_of, ready, stored_uid, track
from tests.integration.doctor_world import make_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.browser.sdk_page import FakeGateway

DAY = 86400
SILENT = "var _cdp365Analytics = {default_event: 0};"
WWW = "www.shop.example"
TRACKING = "track.shop.example"
NOTHING_WAITS = "!Object.keys(sessionStorage).some((key) => key.startsWith('_asm_event_'))"
# What the snippet can't say, a page may: then the usual holds.
NO_DAYS = ["'x'", "-1", "401", "NaN", "Infinity", "Symbol()", "{}", "null"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> SSLContext:
    """What a site on this machine shows to a browser that does not ask who has signed it."""
    made = make_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    return context


@contextlib.asynccontextmanager
async def closed_and_opened(
    page: Page, *, later: timedelta = timedelta(), loses_cookies: bool = False
) -> AsyncIterator[Page]:
    """Give a page of the same browser, closed and opened again later: what lives for the session alone is gone by then."""
    now = datetime.now(UTC) + later
    state: Any = await page.context.storage_state()
    state["cookies"] = [
        one for one in state["cookies"] if one["expires"] > now.timestamp() and not loses_cookies
    ]
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context(storage_state=state)
    context.set_default_timeout(10_000)
    opened = await context.new_page()
    await opened.clock.set_fixed_time(now)
    yield opened
    await context.close()


async def cookies(page: Page) -> dict[str, dict[str, Any]]:
    """Give the browser's cookies by name, each of which there must be once."""
    found = await page.context.cookies()
    by_name = {one["name"]: dict(one) for one in found}
    assert len(by_name) == len(found), found
    return by_name


async def days_left(page: Page) -> dict[str, int]:
    """Give for how many days, rounded, each cookie lives; -1: until the browser is closed."""
    lasting = {name: one["expires"] for name, one in (await cookies(page)).items()}
    return {name: -1 if at == -1 else round((at - time.time()) / DAY) for name, at in lasting.items()}


async def test_with_lifetime_0_nothing_is_kept_beyond_the_session(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """All cookies end with the browser, and localStorage stays empty, whatever happens on the page."""
    gateway.taken_under = lambda one: "222222222" if one.name == "user/sign_in" else one.uid
    await visitor.goto(site.put(lifetime_days=0, after="web_event.track('user', 'sign_in')"))
    await gateway.until_heard(2)
    await visitor.wait_for_function("sessionStorage._asm_uid === '222222222'")
    gateway.answer(503, Retry_After="60")
    await visitor.evaluate("web_event.resetAnonymousUId()")
    await gateway.until_count(3)
    await visitor.wait_for_function("sessionStorage._asm_retry_at")
    assert {"_asm_uid": -1, "_asm_visitor_type": -1, "_asm_ss_view": -1} == await days_left(visitor)
    assert 0 == await visitor.evaluate("localStorage.length")


async def test_with_lifetime_0_a_closed_browser_comes_back_as_somebody_else(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The first event of the next session says that its UID was made; nothing of the one before is left."""
    await visitor.goto(site.put(lifetime_days=0))
    (before,) = await gateway.until_count(1)
    await visitor.wait_for_function(NOTHING_WAITS)
    async with closed_and_opened(visitor) as opened:
        await opened.goto(site.url())
        _, after = await gateway.until_count(2)
        await ready(opened)
        assert before.uid != after.uid == await cookie_of(opened, "_asm_uid")
        assert before.body["sid"] != after.body["sid"]
        assert ("1", "n") == (after.query.get("uid_new"), await cookie_of(opened, "_asm_visitor_type"))


async def test_with_lifetime_0_pages_and_tabs_of_a_session_are_one_visitor(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Until the browser is closed, the session cookie tells each page and each tab who the visitor is."""
    await visitor.goto(site.put(lifetime_days=0))
    await gateway.until_count(1)
    await visitor.wait_for_function(NOTHING_WAITS)
    await visitor.reload()
    other = await visitor.context.new_page()
    await other.goto(site.url())
    received = await gateway.until_count(3)
    assert 1 == len({(one.uid, one.body["sid"]) for one in received})
    await other.close()


async def test_with_lifetime_0_a_logout_in_another_tab_holds(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Tabs share the cookie alone: the UID that it shows by now holds against the answer to a sign-in from before."""
    gateway.taken_under = lambda one: "222222222" if one.name == "user/sign_in" else one.uid
    await visitor.goto(site.put(lifetime_days=0))
    await gateway.until_count(1)
    await visitor.wait_for_function(NOTHING_WAITS)
    gateway.forget()
    other = await visitor.context.new_page()
    await other.goto(site.put("/other", before=SILENT, lifetime_days=0))
    await ready(other)
    gateway.hold()
    await track(visitor, "user", "sign_in")
    await gateway.until_named("user/sign_in")
    stranger = await other.evaluate("web_event.resetAnonymousUId()")
    gateway.release()
    await gateway.until_count(2)
    await visitor.wait_for_function(NOTHING_WAITS)
    await visitor.wait_for_function("sessionStorage._asm_reset_uid")
    await track(visitor, "a", "later")
    reset, later = gateway.received[1], await gateway.until_named("a/later")
    assert (stranger, reset.body["sid"]) == (later.uid, later.body["sid"])
    await other.close()


async def test_with_lifetime_0_an_unanswered_event_waits_for_the_next_page_of_its_tab(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The tab's sessionStorage serves instead of localStorage: the event comes again, under the same request id."""
    gateway.answer(503)
    await visitor.goto(site.put(lifetime_days=0))
    (refused,) = await gateway.until_count(1)
    await gateway.until_heard(1)
    gateway.answer(200)
    await visitor.reload()
    _, again, view = await gateway.until_count(3)
    assert refused.request_id == again.request_id != view.request_id
    await visitor.wait_for_function(NOTHING_WAITS)


async def test_lifetime_0_ends_what_a_longer_lifetime_has_left(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The store forgets the visitor, the cookie becomes the session's; what waited there for delivery is still sent."""
    gateway.answer(503)
    await visitor.goto(site.put())
    (refused,) = await gateway.until_count(1)
    await gateway.until_heard(1)
    gateway.answer(200)
    await visitor.evaluate("localStorage.shop_basket = '3', localStorage._asm_reset_uid = '111111111:1'")
    site.put(lifetime_days=0)
    await visitor.reload()
    _, again, view = await gateway.until_count(3)
    await gateway.until_heard(3)
    assert (refused.request_id, refused.uid) == (again.request_id, view.uid)
    assert ["shop_basket"] == await visitor.evaluate("Object.keys(localStorage)")
    assert -1 == (await days_left(visitor))["_asm_uid"]


@pytest.mark.parametrize("days", [1, 30])
async def test_the_cookies_live_for_the_lifetime_that_is_set(
    visitor: Page, gateway: FakeGateway, site: FakeSite, days: int
):
    """The UID's cookie and the visitor type's have it; the session's stays at 30 minutes."""
    await visitor.goto(site.put(lifetime_days=days))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert {"_asm_uid": days, "_asm_visitor_type": days, "_asm_ss_view": 0} == await days_left(visitor)


@pytest.mark.parametrize(
    ("lifetime", "away", "is_same"), [(30, 29, True), (30, 31, False), (400, 401, False)]
)
@pytest.mark.parametrize("loses_cookies", [False, True])
async def test_a_stored_uid_is_used_as_long_as_its_cookie_would_live(
    visitor: Page,
    gateway: FakeGateway,
    site: FakeSite,
    lifetime: int,
    away: int,
    is_same: bool,
    loses_cookies: bool,
):
    """A store knows no end, so the time of the last visit stands beside the UID: after the lifetime it is nobody's."""
    await visitor.goto(site.put(lifetime_days=lifetime))
    (before,) = await gateway.until_count(1)
    await all_answered(visitor)
    async with closed_and_opened(visitor, later=timedelta(days=away), loses_cookies=loses_cookies) as opened:
        await opened.goto(site.url())
        _, after = await gateway.until_count(2)
        await all_answered(opened)
        assert is_same == (before.uid == after.uid)
        assert (None if is_same else "1") == after.query.get("uid_new")
        assert ("r" if is_same else "n") == await cookie_of(opened, "_asm_visitor_type")
        assert after.uid == await stored_uid(opened)


async def test_each_visit_begins_the_lifetime_anew(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Twenty days and twenty days more, with a visit between them, are not thirty days away."""
    await visitor.goto(site.put(lifetime_days=30))
    await gateway.until_count(1)
    await all_answered(visitor)
    async with closed_and_opened(visitor, later=timedelta(days=20), loses_cookies=True) as second:
        await second.goto(site.url())
        await gateway.until_count(2)
        await all_answered(second)
        async with closed_and_opened(second, later=timedelta(days=40), loses_cookies=True) as third:
            await third.goto(site.url())
            uids = {one.uid for one in await gateway.until_count(3)}
    assert 1 == len(uids)


@pytest.mark.parametrize(("seen", "is_same"), [("", True), ("soon", True), ("99999999999999", False)])
async def test_a_stored_uid_without_a_good_time_gets_one(
    visitor: Page, gateway: FakeGateway, site: FakeSite, seen: str, is_same: bool
):
    """One from before times were kept is the visitor's; a time far ahead, as of a clock that was set back, proves nothing."""
    site.pages["/before"] = (
        f"<script>localStorage._asm_uid = '222222222', localStorage._asm_uid_seen = '{seen}'</script>"
    )
    await visitor.goto(site.url("/before"))
    await visitor.goto(site.put(lifetime_days=30))
    (event,) = await gateway.until_count(1)
    await ready(visitor)
    age_ms = await visitor.evaluate("Date.now() - localStorage._asm_uid_seen")
    assert is_same == (event.uid == "222222222")
    assert 0 <= age_ms < 60_000


@pytest.mark.parametrize("days", NO_DAYS)
async def test_a_number_of_days_that_is_none_is_not_used(
    visitor: Page, gateway: FakeGateway, site: FakeSite, days: str
):
    """The usual 400 days hold, and the page hears of nothing."""
    await visitor.goto(site.put(before=f"var _cdp365Analytics = {{cookie_days: {days}}};"))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert 400 == (await days_left(visitor))["_asm_uid"]


async def test_with_domain_host_each_host_has_a_visitor_of_its_own(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """No cookie of the script has a domain, although the site is known; another host of the site sees none of them."""
    site.put(site="shop.example", cookie_domain="host", tracking_host=TRACKING)
    await visitor.goto(site.url(host=WWW))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert {WWW} == {one["domain"] for one in (await cookies(visitor)).values()}
    await visitor.goto(site.url(host="blog.shop.example"))
    first, second = await gateway.until_count(2)
    assert first.uid != second.uid


async def test_with_domain_host_a_reset_ends_a_cookie_that_the_domain_still_has(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """An older cookie of the whole domain would hide the host's: it is taken away, not written again."""
    site.put(site="shop.example", cookie_domain="host", tracking_host=TRACKING)
    await visitor.context.add_cookies(
        [{"name": "_asm_uid", "value": "111111111", "domain": ".shop.example", "path": "/"}]
    )
    await visitor.goto(site.url(host=WWW))
    (event,) = await gateway.until_count(1)
    await ready(visitor)
    stranger = await visitor.evaluate("web_event.resetAnonymousUId()")
    left = (await cookies(visitor))["_asm_uid"]
    assert event.uid == "111111111"
    assert (WWW, stranger) == (left["domain"], left["value"])


async def test_a_domain_that_is_set_is_the_cookies_domain(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """`cookies.domain` goes before the property's site."""
    site.put(site="www.shop.example", cookie_domain="shop.example", tracking_host=TRACKING)
    await visitor.goto(site.url(host=WWW))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert {".shop.example"} == {one["domain"] for one in (await cookies(visitor)).values()}


def _same_sites(found: dict[str, dict[str, Any]]) -> set[tuple[str, bool]]:
    """Check that all of the script's cookies are there, and give what they say of other sites and of `Secure`."""
    assert {"_asm_uid", "_asm_visitor_type", "_asm_ss_view"} == found.keys()
    return {(one["sameSite"], one["secure"]) for one in found.values()}


@pytest.mark.parametrize(("same_site", "expected"), [("strict", "Strict"), ("none", "Lax")])
async def test_all_cookies_have_the_same_site_that_is_set(
    visitor: Page, gateway: FakeGateway, site: FakeSite, same_site: str, expected: str
):
    """Without https `none` is `Lax`: browsers refuse `None` where there is no `Secure`."""
    await visitor.goto(site.put(same_site=same_site))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert {(expected, False)} == _same_sites(await cookies(visitor))


@pytest.mark.parametrize(
    ("same_site", "expected"),
    [("strict", "Strict"), ("none", "None"), ("lax", "Lax"), ("none; Domain=example", "Lax")],
)
async def test_over_https_all_cookies_are_secure_and_have_the_same_site_that_is_set(
    chromium: Browser, gateway: FakeGateway, certificate: SSLContext, same_site: str, expected: str
):
    """A site over https gets what is set, and what is no such word is the usual."""
    context = await chromium.new_context(ignore_https_errors=True)
    async with FakeSite.running(gateway, certificate) as site:
        page = await context.new_page()
        await page.goto(site.put(same_site=same_site))
        await gateway.until_count(1)
        await all_answered(page)
        assert {(expected, True)} == _same_sites(await cookies(page))
        await context.close()


async def test_the_time_stands_under_the_cookies_other_name(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """With `cookies.name` set, the stored time is found beside the UID of that name."""
    await visitor.goto(site.put(cookie_name="shop.visitor", lifetime_days=30))
    await gateway.until_count(1)
    await all_answered(visitor)
    assert ["shop.visitor", "shop.visitor_seen"] == await visitor.evaluate("Object.keys(localStorage).sort()")
