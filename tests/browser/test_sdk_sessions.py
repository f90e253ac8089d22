"""The page script's session never leads from one UID to the next: not at a logout, and not where the gateway gave another UID."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

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

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received


async def _open(page: Page, gateway: FakeGateway, site: FakeSite) -> Received:
    """Open a page of a returning visitor whose sign-in will be another person's; give the page view."""
    gateway.taken_under = new_uid_for_sign_ins
    await page.context.add_cookies([{"name": "_asm_visitor_type", "value": "r", "url": site.url()}])
    await page.goto(site.put())
    view = await gateway.until_named("pageview/view")
    await all_answered(page)
    assert "r" == await cookie_of(page, "_asm_visitor_type")
    gateway.forget()
    return view


def _sid(one: Received) -> str:
    return one.body["sid"]


async def _session_of(page: Page) -> str:
    return json.loads(unquote(await cookie_of(page, "_asm_ss_view")))["sid"]


@pytest.mark.parametrize("sets_cookie", [True, False])
async def test_a_uid_that_the_gateway_gave_has_a_session_of_its_own(
    visitor: Page, gateway: FakeGateway, site: FakeSite, sets_cookie: bool
):
    """What waited behind the sign-in, what comes later, and the next page are one session, and not the one before."""
    view = await _open(visitor, gateway, site)
    gateway.hold()
    gateway.sets_cookie = sets_cookie
    await visitor.evaluate("web_event.track('user', 'sign_in'), web_event.track('a', 'waiting')")
    await gateway.until_named("user/sign_in")
    gateway.sets_cookie = False
    gateway.release()
    await gateway.until_named("a/waiting")
    await all_answered(visitor)
    await track(visitor, "a", "later")
    await gateway.until_named("a/later")
    await all_answered(visitor)
    assert "n" == await cookie_of(visitor, "_asm_visitor_type")
    await visitor.goto(site.put("/next"))
    _, *hers = await gateway.until_count(4)
    assert {HERS} == {one.uid for one in hers}
    assert [_sid(view)] != [*{_sid(one) for one in hers}] == [await _session_of(visitor)]


async def test_a_cookie_that_is_seen_before_the_answers_body_begins_no_link(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """An event tracked between head and body has the new UID already, and leaves in the new session."""
    view = await _open(visitor, gateway, site)
    gateway.hold()
    await track(visitor, "user", "sign_in")
    await gateway.until_named("user/sign_in")
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": HERS, "url": site.url()}])
    await track(visitor, "a", "between")
    gateway.release()
    _, between = await gateway.until_count(2)
    assert HERS == between.uid
    assert _sid(view) != _sid(between) == await _session_of(visitor)


async def test_an_erased_uids_other_answers_do_not_cut_the_new_session(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Each event that was under way when the UID was erased is answered with the same change: the first is the change."""
    his = (await _open(visitor, gateway, site)).uid
    gateway.taken_under = lambda one: HERS if one.uid == his else one.uid
    gateway.hold()
    await visitor.evaluate("web_event.track('a', '1'), web_event.track('a', '2')")
    await gateway.until_count(1)
    await hide(visitor)
    await gateway.until_count(2)
    gateway.hold("a/2")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    session = await _session_of(visitor)
    gateway.release()
    await all_answered(visitor)
    await track(visitor, "a", "3")
    assert (HERS, session) == ((third := await gateway.until_named("a/3")).uid, _sid(third))


async def test_what_was_hers_between_sign_in_and_logout_is_a_session_of_its_own(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Three people, three sessions: his before, hers until the logout, the stranger's after it."""
    view = await _open(visitor, gateway, site)
    gateway.hold()
    await visitor.evaluate(
        """() => {
          web_event.track("user", "sign_in");
          web_event.track("a", "hers");
          web_event.track("a", "hers_too");
          web_event.resetAnonymousUId();
          web_event.track("a", "strangers");
        }"""
    )
    await gateway.until_named("user/sign_in")
    gateway.release()
    _, hers, hers_too, reset, strangers = await gateway.until_count(5)
    assert (HERS, HERS) == (hers.uid, hers_too.uid)
    assert _sid(hers) == _sid(hers_too)
    assert _sid(reset) == _sid(strangers) == await _session_of(visitor)
    assert 3 == len({_sid(view), _sid(hers), _sid(strangers)})


async def test_a_visitor_whom_the_gateway_still_knew_goes_on_with_the_session(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A UID that was made because the browser had forgotten has no past: its first event belongs to the same visit."""
    gateway.taken_under = lambda one: HERS if "uid_new" in one.query else one.uid
    await visitor.goto(site.put(after="web_event.track('a', 'waiting')"))
    await gateway.until_count(2)
    await all_answered(visitor)
    await track(visitor, "a", "later")
    view, waiting, later = await gateway.until_count(3)
    assert (HERS, HERS) == (waiting.uid, later.uid)
    assert _sid(view) == _sid(waiting) == _sid(later)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_browser_that_refuses_to_remember_begins_a_session_all_the_same(
    visitor: Page, gateway: FakeGateway, site: FakeSite, refusal: str
):
    """Without cookies, storage or both, nothing within the page links the two UIDs."""
    gateway.taken_under = new_uid_for_sign_ins
    await visitor.add_init_script(refusal)
    await visitor.goto(site.put(after="web_event.track('user', 'sign_in'), web_event.track('a', '1')"))
    await gateway.until_heard(3)
    await track(visitor, "a", "2")
    view, sign_in, first, second = await gateway.until_count(4)
    assert (HERS, HERS) == (first.uid, second.uid)
    assert _sid(view) == _sid(sign_in) != _sid(first) == _sid(second)


async def test_an_ended_uid_leaves_the_browser_after_a_day(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A UID that a logout or the gateway has ended is known for as long as late answers come, and not for ever."""
    his = (await _open(visitor, gateway, site)).uid
    await track(visitor, "user", "sign_in")
    await visitor.wait_for_function(f"localStorage._asm_uid === '{HERS}'")
    await visitor.evaluate("web_event.resetAnonymousUId()")
    await all_answered(visitor)
    for hours, expected in ((23, [True, True]), (25, [False, False])):
        await visitor.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=hours))
        await visitor.goto(site.put("/later", before=SILENT))
        await ready(visitor)
        stored = await visitor.evaluate("JSON.stringify(localStorage)")
        assert expected == [uid in stored for uid in (his, HERS)], hours


async def test_an_ended_uid_is_known_as_long_as_an_event_waits_that_names_it(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Days later the sign-in's answer still finds that there was a logout: what was hers goes out as hers."""
    his = (await _open(visitor, gateway, site)).uid
    gateway.answer(503)
    stranger = await visitor.evaluate(
        """() => {
          web_event.track("user", "sign_in");
          web_event.track("a", "hers");
          return web_event.resetAnonymousUId();
        }"""
    )
    await gateway.until_count(1)
    await visitor.wait_for_function(f"{STORED_EVENTS}.length === 3")
    await visitor.goto("about:blank")
    gateway.forget()
    gateway.answer(200)
    await visitor.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=3))
    await visitor.goto(site.put("/next"))
    sign_in, hers, reset, view = await gateway.until_count(4)
    await all_answered(visitor)
    assert [his, HERS, stranger, stranger] == [one.uid for one in (sign_in, hers, reset, view)]
    assert {"reset_uid": HERS, "generate_uid": stranger} == reset.body["extra"]
    assert stranger == await stored_uid(visitor)
    await visitor.goto(site.put("/silent", before=SILENT))
    await ready(visitor)
    assert his not in await visitor.evaluate("JSON.stringify(localStorage)")


async def test_ended_uids_without_a_time_are_dropped(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A list from before times were kept, or one that was damaged, names nobody any more."""
    site.pages["/before"] = "<script>localStorage._asm_reset_uid = '111111111 333333333:x  :';</script>"
    await visitor.goto(site.url("/before"))
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await all_answered(visitor)
    assert "" == await visitor.evaluate("localStorage._asm_reset_uid")
