"""The page script keeps a logout: no answer to an event from before it makes the stranger who came after somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.refusals import REFUSALS
from tests.browser.sdk_page import (
    STORED_EVENTS,
    all_answered,
    cookie_of,
    hide,
    ready,
    stored_uid,
    track,
)
from tests.browser.second_person import HERS, SILENT, new_uid_for_sign_ins

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite


async def _open(page: Page, gateway: FakeGateway, site: FakeSite, path: str = "/") -> str:
    """Open a page of a visitor whose sign-in will be another person's, until nothing waits; give the visitor's UID."""
    gateway.taken_under = new_uid_for_sign_ins
    await page.goto(site.put(path))
    await gateway.until_named("pageview/view")
    await all_answered(page)
    uid = await cookie_of(page, "_asm_uid")
    gateway.forget()
    return uid


async def test_a_logout_that_is_answered_before_the_sign_in_holds(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A hidden tab's requests race: the sign-in's cookie and answer may come last, and still the stranger stays."""
    await _open(visitor, gateway, site)
    gateway.hold()
    gateway.sets_cookie = True
    stranger = await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.resetAnonymousUId()")
    await gateway.until_count(1)
    await hide(visitor)
    await gateway.until_count(2)
    gateway.sets_cookie = False
    gateway.hold("user/sign_in")
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 1")
    gateway.release()
    await all_answered(visitor)
    await track(visitor, "a", "later")
    assert stranger == (await gateway.until_named("a/later")).uid
    assert stranger == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)


async def test_a_logout_in_another_tab_is_seen_without_storage(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Where the cookie is all that two tabs share, the UID that it shows by now holds."""
    await visitor.context.add_init_script(REFUSALS["no storage"])
    gateway.taken_under = new_uid_for_sign_ins
    await visitor.goto(site.put(before=SILENT))
    other = await visitor.context.new_page()
    await other.goto(site.url())
    await ready(other)
    gateway.hold()
    await track(visitor, "user", "sign_in")
    await gateway.until_named("user/sign_in")
    stranger = await other.evaluate("web_event.resetAnonymousUId()")
    gateway.release()
    await gateway.until_heard(2)
    await track(visitor, "a", "later")
    assert stranger == (await gateway.until_named("a/later")).uid
    assert stranger == await cookie_of(visitor, "_asm_uid")
    await other.close()


@pytest.mark.parametrize("sets_cookie", [True, False])
async def test_a_logout_meanwhile_holds(
    visitor: Page, gateway: FakeGateway, site: FakeSite, sets_cookie: bool
):
    """The answer to a sign-in from before a reset changes what was hers, and nothing of the stranger's who came after."""
    await _open(visitor, gateway, site)
    gateway.hold()
    gateway.sets_cookie = sets_cookie
    stranger = await visitor.evaluate(
        """() => {
          web_event.track("user", "sign_in");
          web_event.track("a", "hers");
          const fresh = web_event.resetAnonymousUId();
          web_event.track("a", "strangers");
          return fresh;
        }"""
    )
    await gateway.until_named("user/sign_in")
    gateway.sets_cookie = False
    gateway.release()
    _, hers, reset, strangers = await gateway.until_count(4)
    await all_answered(visitor)
    await track(visitor, "a", "later")
    later = await gateway.until_named("a/later")
    assert hers.uid == HERS
    assert {"reset_uid": HERS, "generate_uid": stranger} == reset.body["extra"]
    assert [stranger] * 3 == [reset.uid, strangers.uid, later.uid]
    assert stranger == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)
    await all_answered(visitor)
    await visitor.goto(site.put("/next"))
    assert stranger == (await gateway.until_named("pageview/view")).uid


async def test_a_cookie_that_outruns_the_logout_is_not_believed(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Until the gateway has heard of the reset, no cookie makes the stranger somebody: on this page or on the next."""
    await _open(visitor, gateway, site)
    gateway.hold()
    stranger = await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.resetAnonymousUId()")
    await gateway.until_named("user/sign_in")
    # The head of the answer has arrived: the page goes away before it has seen the body.
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": HERS, "url": site.url()}])
    await track(visitor, "a", "same_page")
    await visitor.goto("about:blank")
    same_page = await gateway.until_named("a/same_page")
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": HERS, "url": site.url()}])
    gateway.release()
    await gateway.until_heard(3)
    gateway.forget()
    await visitor.goto(site.put("/next"))
    view = await gateway.until_named("pageview/view")
    reset = next(one for one in gateway.received if one.name == "user/reset_anonymous_id")
    assert [stranger] * 3 == [same_page.uid, reset.uid, view.uid]
    assert {"reset_uid": HERS, "generate_uid": stranger} == reset.body["extra"]
    await all_answered(visitor)
    assert stranger == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)


async def test_a_late_answer_does_not_bring_the_old_uid_back(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A cookie with the UID that was replaced is overwritten at the next event."""
    his = await _open(visitor, gateway, site)
    await track(visitor, "user", "sign_in")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": his, "url": site.url()}])
    await track(visitor, "a", "later")
    assert HERS == (await gateway.until_named("a/later")).uid
    assert HERS == await cookie_of(visitor, "_asm_uid") == await stored_uid(visitor)


async def test_a_uid_that_a_logout_has_ended_is_not_restored(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A page that clears the UID by itself makes a new one: a gateway that still names the old one is not followed."""
    his = await _open(visitor, gateway, site)
    await visitor.evaluate("web_event.resetAnonymousUId()")
    await all_answered(visitor)
    await visitor.context.clear_cookies()
    await visitor.evaluate("localStorage.removeItem('_asm_uid')")
    gateway.forget()
    gateway.sets_cookie = True
    gateway.taken_under = lambda one: his if "uid_new" in one.query else one.uid
    await visitor.goto(site.put("/next", after="web_event.track('a', '1')"))
    view, behind = await gateway.until_count(2)
    await all_answered(visitor)
    assert view.query["uid_new"] == "1"
    assert his != view.uid == behind.uid == await stored_uid(visitor)
