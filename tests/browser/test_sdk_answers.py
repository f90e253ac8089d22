"""The page script reads the gateway's answers: one that says nothing of a UID, or can't be read, changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.sdk_page import all_answered, cookie_of, track

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received

OTHER = "222222222"

SPOILT: dict[str, Callable[[dict[str, str]], Any]] = {
    "a number": lambda told: told | {"au_id": 222222222},
    "a list": lambda told: told | {"au_id": [OTHER]},
    "a word": lambda told: told | {"au_id": "undefined"},
    "zero": lambda told: told | {"au_id": "0"},
    "too long": lambda told: told | {"au_id": "1" * 20},
    "script": lambda told: told | {"au_id": "2; Domain=example"},
    "no new uid": lambda told: {"uid_replaced": told["uid_replaced"]},
    "no old uid": lambda told: {"au_id": told["au_id"]},
    "somebody else's": lambda told: told | {"uid_replaced": "333333333"},
    "an old uid that is true": lambda told: told | {"uid_replaced": True},
    "null": lambda _told: None,
    "no object": lambda _told: 7,
    "an empty list": lambda _told: [],
    "odd results": lambda _told: {"results": [None, 7, [], {}]},
    "results that are none": lambda _told: {"results": "all"},
}


def _other_uid(one: Received) -> str:
    return OTHER if one.name == "a/1" else one.uid


async def _send_both(page: Page, gateway: FakeGateway, site: FakeSite, *, before: str = "") -> list[str]:
    """Open a page, send a/1, whose answer says something, and a/2 behind it; then a/3. Give the UIDs of all four."""
    gateway.taken_under = _other_uid
    await page.goto(site.put(before=before, after="web_event.track('a', '1'), web_event.track('a', '2')"))
    await gateway.until_named("a/2")
    await all_answered(page)
    await track(page, "a", "3")
    await gateway.until_named("a/3")
    await all_answered(page)
    assert gateway.names == ["pageview/view", "a/1", "a/2", "a/3"]
    return [one.uid for one in gateway.received]


async def _unchanged(page: Page, uids: list[str]) -> None:
    """Check that all events and both memories have the one UID."""
    assert [uids[0]] * 4 == uids
    assert uids[0] == await cookie_of(page, "_asm_uid") == await page.evaluate("localStorage._asm_uid")


@pytest.mark.parametrize("results", [False, True])
async def test_one_answer_and_a_list_of_results_are_both_read(
    visitor: Page, gateway: FakeGateway, site: FakeSite, results: bool
):
    """The new UID is found in the answer itself, or in whichever of its results names it."""
    if results:
        gateway.written = lambda told: json.dumps({"results": [None, {"au_id": "5"}, told]})
    first, second, *later = await _send_both(visitor, gateway, site)
    assert first == second != OTHER
    assert [OTHER, OTHER] == later


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
async def test_an_answer_that_names_no_pair_of_uids_changes_nothing(
    visitor: Page, gateway: FakeGateway, site: FakeSite, spoil: Callable[[dict[str, str]], Any]
):
    """Only a UID as text, in the place of the visitor's own, is taken over."""
    gateway.written = lambda told: json.dumps(spoil(told) if "uid_replaced" in told else told)
    await _unchanged(visitor, await _send_both(visitor, gateway, site))


@pytest.mark.parametrize("body", ["", "{", "<html>", "{'au_id': '222222222'}", "\ufeff\x00"])
async def test_a_body_that_is_no_json_changes_nothing(
    visitor: Page, gateway: FakeGateway, site: FakeSite, body: str
):
    """The event counts as answered, and the next one has its turn."""
    gateway.written = lambda _told: body
    await _unchanged(visitor, await _send_both(visitor, gateway, site))


async def test_a_body_that_breaks_off_changes_nothing(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The head of the answer has said that the event is kept: it is not sent again."""
    gateway.is_cut_short = True
    await _unchanged(visitor, await _send_both(visitor, gateway, site))


async def test_an_answer_of_another_type_is_not_read(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """What does not call itself JSON is not looked into, whatever it says."""
    gateway.content_type = "text/html"
    await _unchanged(visitor, await _send_both(visitor, gateway, site))


async def test_a_refusal_is_not_read(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """An event that was not kept was taken under no UID."""
    gateway.answer(400)
    await _unchanged(visitor, await _send_both(visitor, gateway, site))


async def test_an_answer_about_the_uid_of_a_uri_changes_nothing(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A ready-made URI may name another UID than the visitor's: what becomes of that one is no matter of this page."""
    gateway.taken_under = lambda one: OTHER if one.query.get("ea") == "1" else one.uid
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await visitor.evaluate(
        """() => {
          web_event.trackEventWithUri("uid=3&ec=a&ea=1");
          web_event.trackEventWithUri("uid=3&ec=a&ea=2");
          web_event.track("a", "3");
        }"""
    )
    view, first, second, own = await gateway.until_count(4)
    assert ("3", "3") == (first.uid, second.uid)
    assert view.uid == own.uid == await cookie_of(visitor, "_asm_uid")


@pytest.mark.parametrize(
    "wrapper",
    [
        "const answer = await own(...args); await answer.text(); return answer;",
        "await own(...args); return {ok: true, status: 200};",
        "await own(...args); return {ok: true, status: 200, headers: new Headers({'Content-Type': 'json'})};",
    ],
    ids=["body is read already", "no headers", "no body"],
)
async def test_a_page_that_wraps_fetch_breaks_nothing(
    visitor: Page, gateway: FakeGateway, site: FakeSite, wrapper: str
):
    """What a wrapper gives back may be no proper answer: then it says nothing of a UID."""
    before = f"const own = window.fetch; window.fetch = async (...args) => {{ {wrapper} }};"
    await _unchanged(visitor, await _send_both(visitor, gateway, site, before=before))


async def test_a_cookie_of_another_name_is_read_and_written(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """With `cookie_name`, cookie and localStorage have that name, and the usual name stays free for others."""
    gateway.taken_under = _other_uid
    where = site.url()
    await visitor.context.add_cookies(
        [
            {"name": "shopXvisitor", "value": "444444444", "url": where},
            {"name": "shop.visitor", "value": "111111111", "url": where},
        ]
    )
    await visitor.goto(site.put(cookie_name="shop.visitor", after="web_event.track('a', '1')"))
    view, _ = await gateway.until_count(2)
    await visitor.wait_for_function(f"localStorage['shop.visitor'] === '{OTHER}'")
    assert view.uid == "111111111"
    assert OTHER == await cookie_of(visitor, "shop.visitor")
    assert ("", None) == (
        await cookie_of(visitor, "_asm_uid"),
        await visitor.evaluate("localStorage.getItem('_asm_uid')"),
    )


@pytest.mark.parametrize("name", ["'a b'", "'a=1; Domain=example'", "''", "{}", "Symbol()"])
async def test_a_cookie_name_that_is_none_is_not_used(
    visitor: Page, gateway: FakeGateway, site: FakeSite, name: str
):
    """The usual name holds, and the page hears of nothing."""
    await visitor.goto(site.put(before=f"var _cdp365Analytics = {{cookie_name: {name}}};"))
    (event,) = await gateway.until_count(1)
    assert event.uid == await cookie_of(visitor, "_asm_uid")
