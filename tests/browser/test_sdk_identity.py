"""The page script's visitor: one UID in cookie and storage, a session that rolls, a reset that starts anew."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest

from tests.browser.refusals import REFUSALS
from tests.browser.sdk_page import all_answered, cookie_of, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite


async def test_a_new_visitor_gets_a_random_uid_in_cookie_and_storage(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The UID is a positive 63-bit integer as decimal text, in both places, for 400 days."""
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    uid = event.body["uid"]
    assert 0 < int(uid) < 2**63
    assert uid == await cookie_of(visitor, "_asm_uid")
    assert uid == await visitor.evaluate("localStorage._asm_uid")
    (cookie,) = [one for one in await visitor.context.cookies() if one["name"] == "_asm_uid"]
    assert cookie["sameSite"] == "Lax"
    assert cookie["expires"] - time.time() == pytest.approx(400 * 86400, abs=120)


async def test_uid_and_session_stay_the_same_on_the_next_page(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A visitor keeps the UID and the session from page to page, and the session counts the page views."""
    await visitor.goto(site.put("/one"))
    (first,) = await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.goto(site.put("/two"))
    second = (await gateway.until_count(2))[1]
    assert first.body["uid"] == second.body["uid"]
    assert first.body["sid"] == second.body["sid"]
    session = json.loads(unquote(await cookie_of(visitor, "_asm_ss_view")))
    assert {"time", "sid", "page_view_order", "utime", "duration"} == session.keys()
    assert second.body["sid"] == session["sid"]
    assert session["page_view_order"] == 2
    assert session["utime"] - session["time"] == session["duration"]


async def test_the_cookie_wins_over_the_storage(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The server renews and rotates the cookie, so what the storage says is corrected by it."""
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": "111111111", "url": site.url()}])
    await visitor.add_init_script("localStorage._asm_uid = localStorage._asm_uid || '222222222'")
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    assert "111111111" == event.body["uid"] == await visitor.evaluate("localStorage._asm_uid")


async def test_a_cookie_that_holds_is_not_written_again(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A script's cookie lives shorter than a server's in some browsers, so the server's is left as it is."""
    soon = int(time.time()) + 86400
    await visitor.context.add_cookies(
        [{"name": "_asm_uid", "value": "111111111", "url": site.url(), "expires": soon, "sameSite": "Lax"}]
    )
    await visitor.goto(site.put())
    await gateway.until_count(1)
    (cookie,) = [one for one in await visitor.context.cookies() if one["name"] == "_asm_uid"]
    assert soon == pytest.approx(cookie["expires"], abs=2)


async def test_a_lost_cookie_is_restored_from_the_storage(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A browser that cut the cookie short does not make a new visitor."""
    await visitor.goto(site.put())
    (first,) = await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.context.clear_cookies()
    await visitor.reload()
    second = (await gateway.until_count(2))[1]
    assert first.body["uid"] == second.body["uid"] == await cookie_of(visitor, "_asm_uid")


async def test_a_uid_that_the_server_rotates_holds_for_the_next_event(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The answer to one event may set another UID; the events after it carry that one."""
    gateway.cookies = ["_asm_uid=987654321; Path=/; Max-Age=1000; SameSite=Lax"]
    await visitor.goto(site.put())
    (first,) = await gateway.until_count(1)
    await all_answered(visitor)
    await track(visitor, "a", "later")
    later = await gateway.until_named("a/later")
    assert first.body["uid"] != "987654321"
    assert "987654321" == later.body["uid"] == await visitor.evaluate("localStorage._asm_uid")


@pytest.mark.parametrize("junk", ["undefined", "0", "-5", "12345678901234567890", "a%20b"])
async def test_a_cookie_that_is_no_uid_is_replaced(
    visitor: Page, gateway: FakeGateway, site: FakeSite, junk: str
):
    """A value that many visitors may share, or that is no id at all, never becomes a visitor's UID."""
    await visitor.context.add_cookies([{"name": "_asm_uid", "value": junk, "url": site.url()}])
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    assert junk != event.body["uid"]
    assert event.body["uid"] == await cookie_of(visitor, "_asm_uid")


@pytest.mark.parametrize("domain", ["shop.example", ".shop.example"])
async def test_the_first_party_domain_shares_the_visitor_between_hosts(
    visitor: Page, gateway: FakeGateway, site: FakeSite, domain: str
):
    """With `first_party_domain`, written with or without a dot, all hosts of the site see one UID."""
    site.put("/", cookie_domain=domain, tracking_host="track.shop.example")
    await visitor.goto(site.url(host="www.shop.example"))
    await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.goto(site.url(host="blog.shop.example"))
    first, second = await gateway.until_count(2)
    assert first.body["uid"] == second.body["uid"]
    assert first.body["sid"] == second.body["sid"]
    assert f"_asm_uid={first.body['uid']}" in first.headers.get("Cookie", "")
    (cookie,) = [one for one in await visitor.context.cookies() if one["name"] == "_asm_uid"]
    assert cookie["domain"] == ".shop.example"


async def test_a_first_party_domain_of_another_site_is_not_used(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A domain that the page's host is not part of would get no cookie at all: the host's own cookie is set."""
    site.put("/", cookie_domain="op.example", tracking_host="track.shop.example")
    await visitor.goto(site.url(host="shop.example"))
    (event,) = await gateway.until_count(1)
    (cookie,) = [one for one in await visitor.context.cookies() if one["name"] == "_asm_uid"]
    assert ("shop.example", event.body["uid"]) == (cookie["domain"], cookie["value"])


async def test_reset_starts_a_new_anonymous_visitor(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The reset event names both UIDs and goes out under the new one; UID, session and cookie are new from then on."""
    await visitor.goto(site.put())
    (before,) = await gateway.until_count(1)
    generated = await visitor.evaluate("web_event.resetAnonymousUId()")
    await track(visitor, "a", "later")
    _, reset, later = await gateway.until_count(3)
    old = before.body["uid"]
    assert reset.name == "user/reset_anonymous_id"
    assert {"reset_uid": old, "generate_uid": generated} == reset.body["extra"]
    assert generated == reset.body["uid"] == later.body["uid"]
    assert generated != old
    assert before.body["sid"] != reset.body["sid"] == later.body["sid"]
    assert (
        generated == await cookie_of(visitor, "_asm_uid") == await visitor.evaluate("localStorage._asm_uid")
    )


async def test_reset_is_a_command_for_the_stub_too(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Called before the script is there, the reset takes its turn in the queue."""
    await visitor.goto(site.put(after="web_event.track('a', 'b'); web_event('resetAnonymousUId');"))
    _, before, reset = await gateway.until_count(3)
    assert gateway.names == ["pageview/view", "a/b", "user/reset_anonymous_id"]
    assert before.body["uid"] == reset.body["extra"]["reset_uid"]


async def test_an_answer_from_before_a_reset_does_not_bring_the_old_uid_back(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The server renews the UID's cookie with each answer; one that arrives after the logout changes nothing."""
    await visitor.goto(site.put())
    (before,) = await gateway.until_count(1)
    await all_answered(visitor)
    gateway.cookies = [f"_asm_uid={before.body['uid']}; Path=/; Max-Age=1000; SameSite=Lax"]
    gateway.hold()
    await track(visitor, "a", "slow")
    await gateway.until_named("a/slow")
    generated = await visitor.evaluate("web_event.resetAnonymousUId()")
    gateway.release()
    await gateway.until_named("user/reset_anonymous_id")
    await all_answered(visitor)
    assert before.body["uid"] == await cookie_of(visitor, "_asm_uid")
    await visitor.goto(site.put("/next", after="web_event.track('a', 'next');"))
    next_page = await gateway.until_named("a/next")
    assert generated == next_page.body["uid"]


async def test_reset_overwrites_a_cookie_that_the_server_set_for_the_whole_site(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Without `first_party_domain` the host's cookie would stand behind the server's older one for the domain."""
    site.put("/", tracking_host="track.shop.example")
    await visitor.context.add_cookies(
        [
            {
                "name": "_asm_uid",
                "value": "111111111",
                "domain": ".shop.example",
                "path": "/",
                "sameSite": "Lax",
            }
        ]
    )
    await visitor.goto(site.url(host="www.shop.example"))
    await gateway.until_count(1)
    generated = await visitor.evaluate("web_event.resetAnonymousUId()")
    assert generated == await cookie_of(visitor, "_asm_uid")
    assert {generated} == {
        one["value"] for one in await visitor.context.cookies() if one["name"] == "_asm_uid"
    }


@pytest.mark.parametrize(("idle_minutes", "is_same"), [(29, True), (31, False)])
async def test_a_session_ends_after_30_minutes_without_an_event(
    visitor: Page, gateway: FakeGateway, site: FakeSite, idle_minutes: int, is_same: bool
):
    """An event within 30 minutes of the last one belongs to its session; a later one begins the next."""
    last = int(time.time() * 1000) - idle_minutes * 60_000
    session = {"time": last - 1000, "sid": "77", "page_view_order": 4, "utime": last, "duration": 1000}
    await visitor.context.add_cookies(
        [{"name": "_asm_ss_view", "value": quote(json.dumps(session)), "url": site.url()}]
    )
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    now = json.loads(unquote(await cookie_of(visitor, "_asm_ss_view")))
    assert is_same == (event.body["sid"] == "77")
    assert (5 if is_same else 1) == now["page_view_order"]


async def test_a_visitor_is_new_in_the_first_session_and_returning_after_it(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """`_asm_visitor_type` stays `n` through the first session and becomes `r` with the next one."""
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.reload()
    await gateway.until_count(2)
    assert await cookie_of(visitor, "_asm_visitor_type") == "n"
    await visitor.context.clear_cookies(name="_asm_ss_view")
    await all_answered(visitor)
    await visitor.reload()
    await gateway.until_count(3)
    assert await cookie_of(visitor, "_asm_visitor_type") == "r"


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_browser_that_refuses_to_remember_is_tracked_within_the_page(
    visitor: Page, gateway: FakeGateway, site: FakeSite, refusal: str
):
    """Without cookies, storage or both, a page's events still share a UID and a session, and a reset still works."""
    await visitor.add_init_script(refusal)
    await visitor.goto(site.put(after="web_event.track('a', '1');"))
    await gateway.until_named("a/1")
    generated = await visitor.evaluate("web_event.resetAnonymousUId()")
    await track(visitor, "a", "2")
    view, first, reset, second = [one.body for one in await gateway.until_count(4)]
    assert 0 < int(view["uid"]) < 2**63
    assert (view["uid"], view["sid"]) == (first["uid"], first["sid"])
    assert generated == reset["uid"] == second["uid"] != view["uid"]
    assert view["sid"] != reset["sid"] == second["sid"]
