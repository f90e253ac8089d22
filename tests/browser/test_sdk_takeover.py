"""The page script takes over the UID under which the gateway took an event: a second person on a device without a logout."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.browser.refusals import REFUSALS
from tests.browser.sdk_page import (
    STORED_EVENTS,
    all_answered,
    back_online,
    cookie_of,
    hide,
    ready,
    stored_uid,
    track,
)
from tests.browser.second_person import HERS, SILENT, new_uid_for_sign_ins

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received


def _uids(received: list[Received]) -> list[tuple[str, str]]:
    """Name each event and its UID."""
    return [(one.name, one.uid) for one in received]


async def _open(page: Page, gateway: FakeGateway, site: FakeSite, path: str = "/") -> str:
    """Open a page of a visitor whose sign-in will be another person's, until nothing waits; give the visitor's UID."""
    gateway.taken_under = new_uid_for_sign_ins
    await page.goto(site.put(path))
    await gateway.until_named("pageview/view")
    await all_answered(page)
    uid = await cookie_of(page, "_asm_uid")
    gateway.forget()
    return uid


@pytest.mark.parametrize("sets_cookie", [True, False])
async def test_the_uid_of_the_answer_holds_from_then_on(
    visitor: Page, gateway: FakeGateway, site: FakeSite, sets_cookie: bool
):
    """Cookie, localStorage, the next event and the next page have the new UID, whether the answer set a cookie or not."""
    his = await _open(visitor, gateway, site)
    gateway.sets_cookie = sets_cookie
    await track(visitor, "user", "sign_in")
    await gateway.until_named("user/sign_in")
    await all_answered(visitor)
    gateway.sets_cookie = False
    assert HERS == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)
    await track(visitor, "a", "later")
    sign_in, later = await gateway.until_count(2)
    await all_answered(visitor)
    await visitor.goto(site.put("/next"))
    view = await gateway.until_named("pageview/view")
    assert (his, his) == (sign_in.body["uid"], sign_in.body["aid"])
    assert (HERS, HERS) == (later.body["uid"], later.body["aid"])
    assert view.uid == HERS


@pytest.mark.parametrize(("sets_cookie", "seconds"), [(True, 1000), (False, 400 * 86400)])
async def test_the_servers_cookie_is_left_alone(
    visitor: Page, gateway: FakeGateway, site: FakeSite, sets_cookie: bool, seconds: int
):
    """The script writes the cookie only where the answer did not: its own would live shorter in some browsers."""
    await _open(visitor, gateway, site)
    gateway.sets_cookie = sets_cookie
    await track(visitor, "user", "sign_in")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    (cookie,) = [one for one in await visitor.context.cookies() if one["name"] == "_asm_uid"]
    assert cookie["value"] == HERS
    assert seconds == pytest.approx(cookie["expires"] - time.time(), abs=120)


async def test_what_was_tracked_behind_a_slow_sign_in_goes_out_under_the_new_uid(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Waiting events follow, as body and as query; those before keep their UID, and so does all that only looks like it."""
    his = await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate(
        """(his) => {
          web_event.track("a", "before");
          web_event.track("user", "sign_in");
          web_event.track("a", "behind", {items: [{type: "x", id: his}], extra: {reset_uid: his, real: 0.1}});
          web_event.trackEventWithUri("ec=a&ea=uri&x=" + his);
          web_event.trackEventWithUri("ec=a&ea=own&uid=3");
        }""",
        his,
    )
    await gateway.until_named("a/before")
    gateway.release()
    before, sign_in, behind, uri, own = await gateway.until_count(5)
    assert (his, his) == (before.uid, sign_in.uid)
    assert (HERS, HERS) == (behind.body["uid"], behind.body["aid"])
    assert behind.body["items"] == [{"type": "x", "id": his}]
    assert behind.body["extra"] == {"reset_uid": his, "real": 0.1}
    assert (HERS, his) == (uri.query["uid"], uri.query["x"])
    assert own.query["uid"] == "3"
    await all_answered(visitor)


async def test_the_store_has_the_new_uid_too(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """An event that is refused after the change comes again on the next page, with the new UID and its own request id."""
    await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate(
        "web_event.track('user', 'sign_in'), web_event.track('a', '1'), web_event.track('a', '2')"
    )
    await gateway.until_named("user/sign_in")
    gateway.answer(503)
    gateway.release()
    refused = await gateway.until_named("a/1")
    assert [HERS, HERS] == await visitor.evaluate(
        f"{STORED_EVENTS}.sort().map((key) => JSON.parse(JSON.parse(localStorage[key])[2]).uid)"
    )
    gateway.forget()
    gateway.answer(200)
    await visitor.goto(site.put("/next"))
    again, _, _ = await gateway.until_count(3)
    assert [("a/1", HERS), ("a/2", HERS), ("pageview/view", HERS)] == _uids(gateway.received)
    assert refused.request_id == again.request_id
    assert refused.body == again.body


async def test_events_in_flight_stay_as_they_are(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A tab that was hidden has handed over all it had: nothing of that changes or is sent twice, and the next is hers."""
    his = await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.track('a', '1')")
    await gateway.until_count(1)
    await hide(visitor)
    await gateway.until_count(2)
    gateway.release()
    await all_answered(visitor)
    await track(visitor, "a", "2")
    await gateway.until_count(3)
    assert [("user/sign_in", his), ("a/1", his), ("a/2", HERS)] == _uids(gateway.received)


async def test_an_event_in_flight_that_is_refused_comes_again_as_it_was(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The same request id never stands for two UIDs: what has left once under the old one keeps it."""
    his = await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.track('a', '1')")
    await gateway.until_count(1)
    gateway.answer(503, Retry_After="60")
    await hide(visitor)
    await gateway.until_count(2)
    gateway.answer(200)
    gateway.hold("a/1")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    gateway.release()
    await visitor.wait_for_function("localStorage._asm_retry_at")
    await back_online(visitor)
    _, refused, again = await gateway.until_count(3)
    assert (his, refused.request_id) == (again.uid, again.request_id)
    await all_answered(visitor)


async def test_a_cookie_that_is_seen_before_the_answers_body_is_the_same_change(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """An event tracked between head and body has the new UID already; the ones that wait still get it."""
    await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.track('a', 'waiting')")
    await gateway.until_named("user/sign_in")
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": HERS, "url": site.url()}])
    await track(visitor, "a", "between")
    gateway.release()
    _, waiting, between = await gateway.until_count(3)
    assert (HERS, HERS) == (waiting.uid, between.uid) == (waiting.body["aid"], between.body["aid"])


async def test_another_tab_follows(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """What waits in another tab since the sign-in, and what that tab tracks next, is hers; what was there before is not."""
    await visitor.context.add_init_script(
        "window.changed = 0;"
        f"addEventListener('storage', ({{newValue}}) => changed += Number((newValue || '').includes('{HERS}')));"
    )
    his = await _open(visitor, gateway, site)
    other = await visitor.context.new_page()
    await _open(other, gateway, site, "/other")
    gateway.answer(503, Retry_After="60")
    await track(other, "b", "before")
    await gateway.until_named("b/before")
    await other.wait_for_function("localStorage._asm_retry_at")
    gateway.answer(200)
    gateway.hold()
    await track(visitor, "user", "sign_in")
    await gateway.until_named("user/sign_in")
    await track(other, "b", "waiting")
    gateway.release()
    # The UID itself, and the event.
    await other.wait_for_function("changed >= 2")
    gateway.forget()
    await track(other, "b", "next")
    await back_online(other)
    await gateway.until_count(3)
    assert [("b/before", his), ("b/waiting", HERS), ("b/next", HERS)] == _uids(gateway.received)
    await all_answered(other)
    await other.close()


@pytest.mark.parametrize("sets_cookie", [True, False])
async def test_a_page_that_was_left_is_continued_by_the_next(
    visitor: Page, gateway: FakeGateway, site: FakeSite, sets_cookie: bool
):
    """The sign-in's answer came when its page was gone: the next page asks again, and what was behind it follows."""
    his = await _open(visitor, gateway, site)
    gateway.hold()
    gateway.sets_cookie = sets_cookie
    await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.track('a', '1')")
    await gateway.until_count(1)
    gateway.sets_cookie = False
    await visitor.goto("about:blank")
    left = _uids(await gateway.until_count(2))
    gateway.release()
    await gateway.until_heard(3)
    gateway.forget()
    await visitor.goto(site.put("/next"))
    await gateway.until_count(3)
    assert [("user/sign_in", his), ("a/1", his)] == left
    assert [("user/sign_in", his), ("a/1", HERS), ("pageview/view", HERS)] == _uids(gateway.received)
    assert HERS == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_browser_that_refuses_to_remember_takes_over_within_the_page(
    visitor: Page, gateway: FakeGateway, site: FakeSite, refusal: str
):
    """Without cookies, storage or both, the events behind the sign-in and after it have the new UID all the same."""
    gateway.taken_under = new_uid_for_sign_ins
    await visitor.add_init_script(refusal)
    await visitor.goto(
        site.put(before=SILENT, after="web_event.track('user', 'sign_in'), web_event.track('a', '1')")
    )
    sign_in, behind = await gateway.until_count(2)
    await gateway.until_heard(2)
    await track(visitor, "a", "2")
    later = await gateway.until_named("a/2")
    assert sign_in.uid != HERS
    assert (HERS, HERS) == (behind.uid, later.uid)


@pytest.mark.parametrize("host_cookie", [True, False])
async def test_the_change_holds_on_all_hosts_of_the_site(
    visitor: Page, gateway: FakeGateway, site: FakeSite, host_cookie: bool
):
    """The new UID replaces the cookie of the whole domain, also where a host has had one of its own before it."""
    site.put("/", tracking_host="track.shop.example", cookie_domain="shop.example")
    if host_cookie:
        where = site.url(host="www.shop.example")
        await visitor.context.add_cookies([{"name": "_asm_uid", "value": "111111111", "url": where}])
    gateway.taken_under = new_uid_for_sign_ins
    await visitor.goto(site.url(host="www.shop.example"))
    await ready(visitor)
    await track(visitor, "user", "sign_in")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    assert HERS == await cookie_of(visitor, "_asm_uid")
    await all_answered(visitor)
    await visitor.goto(site.url(host="blog.shop.example"))
    blog = (await gateway.until_count(3))[2]
    assert blog.uid == HERS
