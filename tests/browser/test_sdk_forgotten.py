"""The page script marks the one event that a new UID was made for, so that a gateway which still knows the visitor can say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.refusals import REFUSALS
from tests.browser.sdk_page import all_answered, cookie_of, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite, Received

KNOWN = "222222222"
SILENT = "var _cdp365Analytics = {default_event: 0};"


def _still_knows(one: Received) -> str:
    """Answer as a gateway whose own cookie was not lost."""
    return KNOWN if "uid_new" in one.query else one.uid


def _marks(received: list[Received]) -> list[str | None]:
    return [one.query.get("uid_new") for one in received]


async def test_only_the_event_that_a_uid_was_made_for_is_marked(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The first event of a new visitor says `uid_new=1`; the second does not, and none after a reload."""
    await visitor.goto(site.put(after="web_event.track('a', '1')"))
    await gateway.until_count(2)
    await all_answered(visitor)
    await visitor.reload()
    await gateway.until_count(4)
    assert ["1", None, None, None] == _marks(gateway.received)


async def test_a_reset_marks_nothing(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A logout's new UID is meant to be a stranger's: neither the reset nor what follows is marked."""
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.evaluate("web_event.resetAnonymousUId()")
    await track(visitor, "a", "1")
    await gateway.until_count(3)
    await all_answered(visitor)
    await visitor.reload()
    await gateway.until_count(4)
    assert ["1", None, None, None] == _marks(gateway.received)


async def test_a_reset_as_the_first_call_marks_nothing(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Where nobody was known, the reset's own UID is no less meant to be a stranger's."""
    await visitor.goto(
        site.put(before=SILENT, after="web_event('resetAnonymousUId'), web_event.track('a', '1')")
    )
    reset, after = await gateway.until_count(2)
    assert reset.uid == after.uid == await cookie_of(visitor, "_asm_uid")
    assert [None, None] == _marks(gateway.received)


@pytest.mark.parametrize(
    ("loses_cookie", "loses_storage", "mark"),
    [(True, True, "1"), (True, False, None), (False, True, None)],
    ids=["both", "the cookie", "the storage"],
)
async def test_a_browser_that_has_lost_both_memories_marks_again(
    visitor: Page, gateway: FakeGateway, site: FakeSite, loses_cookie: bool, loses_storage: bool, mark: str
):
    """What one memory has lost, the other one has; only without both is a UID made anew."""
    await visitor.goto(site.put())
    (first,) = await gateway.until_count(1)
    await all_answered(visitor)
    if loses_cookie:
        await visitor.context.clear_cookies()
    if loses_storage:
        await visitor.evaluate("localStorage.clear()")
    await visitor.reload()
    again = (await gateway.until_count(2))[1]
    assert mark == again.query.get("uid_new")
    assert (mark is None) == (first.uid == again.uid)


async def test_a_page_that_wipes_both_memories_keeps_its_visitor(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Within a page the script remembers by itself, so no UID is made and nothing is marked."""
    await visitor.goto(site.put())
    (first,) = await gateway.until_count(1)
    await all_answered(visitor)
    await visitor.evaluate("localStorage.clear()")
    await visitor.context.clear_cookies()
    await track(visitor, "a", "1")
    second = await gateway.until_named("a/1")
    assert first.uid == second.uid
    assert ["1", None] == _marks(gateway.received)


async def test_the_gateways_memory_restores_the_visitor(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The marked event is answered with the visitor's old UID: what waits behind it, cookie and localStorage get that."""
    gateway.taken_under = _still_knows
    await visitor.goto(
        site.put(after="web_event.track('a', '1'), web_event('trackEventWithUri', 'ec=a&ea=2')")
    )
    made, *behind = await gateway.until_count(3)
    assert made.uid != KNOWN
    assert [KNOWN, KNOWN] == [one.uid for one in behind]
    assert KNOWN == await cookie_of(visitor, "_asm_uid") == await visitor.evaluate("localStorage._asm_uid")
    await all_answered(visitor)
    await visitor.goto(site.put("/next"))
    assert KNOWN == (await gateway.until_count(4))[3].uid
    assert ["1", None, None, None] == _marks(gateway.received)


@pytest.mark.parametrize(
    "refusal",
    [REFUSALS["neither"], REFUSALS["no storage"] + REFUSALS["ignored cookies"]],
    ids=["errors", "silence"],
)
async def test_each_page_of_a_browser_that_never_remembers_asks_the_gateway(
    visitor: Page, gateway: FakeGateway, site: FakeSite, refusal: str
):
    """Where scripts may keep nothing, the first event of each page is marked, and the page's others get the known UID."""
    gateway.taken_under = _still_knows
    await visitor.add_init_script(refusal)
    for path in ("/one", "/two"):
        gateway.forget()
        await visitor.goto(site.put(path, after="web_event.track('a', '1')"))
        view, behind = await gateway.until_count(2)
        assert ["1", None] == _marks(gateway.received)
        assert view.uid != KNOWN == behind.uid
        await gateway.until_heard(2)


async def test_a_logout_before_the_gateway_has_answered_ends_the_known_visitor(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The reset names the UID that the gateway knows, so that it can end that one; the stranger's UID is left alone."""
    gateway.taken_under = _still_knows
    gateway.sets_cookie = True
    gateway.hold()
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await ready(visitor)
    stranger = await visitor.evaluate("web_event.resetAnonymousUId()")
    gateway.release()
    _, reset = await gateway.until_count(2)
    await all_answered(visitor)
    assert (stranger, KNOWN) == (reset.uid, reset.body["extra"]["reset_uid"])
    await track(visitor, "a", "1")
    assert stranger == (await gateway.until_named("a/1")).uid
    assert stranger == await cookie_of(visitor, "_asm_uid")


async def test_a_marked_event_that_comes_again_is_marked_again(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The mark belongs to the event, not to the attempt; the next page's own event has none."""
    gateway.answer(503)
    await visitor.goto(site.put("/one"))
    (refused,) = await gateway.until_count(1)
    gateway.forget()
    gateway.answer(200)
    await visitor.goto(site.put("/two"))
    again, _ = await gateway.until_count(2)
    assert refused.request_id == again.request_id
    assert ["1", None] == _marks(gateway.received)


async def test_a_uri_with_a_uid_of_its_own_makes_none(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """An event of another UID must not be taken for this visitor's; the first that is the visitor's own is marked."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await visitor.evaluate(
        "web_event.trackEventWithUri('uid=3&ec=a&ea=1'), web_event.trackEventWithUri('ec=a&ea=2')"
    )
    foreign, own = await gateway.until_count(2)
    assert foreign.uid == "3"
    assert own.uid == await cookie_of(visitor, "_asm_uid")
    assert [None, "1"] == _marks(gateway.received)


async def test_an_event_that_could_not_be_built_leaves_the_mark_to_the_next(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The mark goes with the first event that really leaves."""
    await visitor.goto(site.put(before=SILENT))
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          web_event.track("a", "trap", {extra: {get trap() { throw new Error("no"); }}});
          web_event.track("a", "1");
          web_event.track("a", "2");
        }"""
    )
    await gateway.until_count(2)
    assert ["1", None] == _marks(gateway.received)
