"""The page script asks for nothing, keeps nothing and sends nothing before the visitor has agreed, where the page says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.sdk_page import all_answered, cookie_of, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite

PENDING = "var _cdp365Analytics = {consent: 'pending'};"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true});"
# Whatever a script does to the browser's memory is counted.
_COUNTED = """
window.touched = [];
for (const name of ["getItem", "setItem", "removeItem", "key"]) {
  const own = Storage.prototype[name];
  Storage.prototype[name] = function (...args) { touched.push(name); return own.apply(this, args); };
}
const own = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
Object.defineProperty(Document.prototype, "cookie", {
  get() { touched.push("cookie"); return own.get.call(this); },
  set(text) { touched.push("cookie"); own.set.call(this, text); },
  configurable: true,
});
"""


async def _memory(page: Page) -> list[object]:
    """Give what the browser remembers of the site: cookies, localStorage, sessionStorage."""
    stores = await page.evaluate("[Object.keys(localStorage), Object.keys(sessionStorage)]")
    return [[cookie["name"] for cookie in await page.context.cookies()], *stores]


async def test_while_consent_is_pending_nothing_is_read_stored_or_sent(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Events wait in memory as they were tracked; with consent they flow in order, each with the time and title it had."""
    await visitor.add_init_script(_COUNTED)
    await visitor.goto(site.put(before=PENDING, after="web_event.track('a', '1');"))
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          const extra = {n: 1};
          web_event.track("a", "2", {extra});
          extra.n = 2;
          document.title = "another";
          web_event.trackEventWithUri("ec=a&ea=3");
        }"""
    )
    assert (await visitor.evaluate("touched"), await _memory(visitor), []) == (
        [],
        [[], [], []],
        gateway.received,
    )
    await visitor.evaluate("web_event.consent('granted')")
    received = await gateway.until_count(4)
    assert [one.query.get("ea") or one.body["ea"] for one in received] == ["view", "1", "2", "3"]
    assert {"Trang thử"} == {one.body["context"]["navigation"]["title"] for one in received[:3]}
    assert received[2].body["extra"] == {"n": 1}
    assert {"granted"} == {one.body["context"]["consent"] for one in received[:3]}
    assert {await cookie_of(visitor, "_asm_uid")} == {one.uid for one in received}
    assert await cookie_of(visitor, "_asm_ss_view")


async def test_a_refusal_takes_away_what_was_kept(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Cookies, the UID and the waiting events go; what is tracked from then on is dropped, on this page and the next."""
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await all_answered(visitor)
    gateway.answer(503)
    await track(visitor, "a", "refused")
    await gateway.until_named("a/refused")
    assert all((await _memory(visitor))[:2])
    await visitor.evaluate("web_event.consent('denied'), web_event.track('a', 'denied')")
    assert [[], [], []] == await _memory(visitor)
    await gateway.until(lambda _: bool(gateway.withdrawals))
    gateway.answer(200)
    gateway.forget()
    await visitor.evaluate("dispatchEvent(new Event('online')), web_event.resetAnonymousUId()")
    await visitor.goto(site.put("/next", before="var _cdp365Analytics = {consent: 'denied'};"))
    await ready(visitor)
    await track(visitor, "a", "denied")
    assert [[], [], []] == await _memory(visitor)
    await visitor.evaluate("web_event.consent('granted'), web_event.track('a', 'granted')")
    await gateway.until_named("a/granted")
    assert gateway.names == ["a/granted"]
    # Once, when there was something to end, and never for a stranger.
    assert [{"portal_id": "33167", "prop_id": "564990801", "consent": "denied"}] == gateway.withdrawals


async def test_an_answer_that_arrives_after_the_refusal_brings_nothing_back(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The event was on its way: the cookie of its answer is removed again."""
    gateway.sets_cookie = True
    gateway.cookies = ["marker=1; Path=/"]
    gateway.hold()
    await visitor.goto(site.put())
    await gateway.until_count(1)
    await visitor.evaluate("web_event.consent('denied')")
    assert not await visitor.evaluate("document.cookie")
    gateway.release()
    await visitor.wait_for_function("document.cookie === 'marker=1'")
    assert [["marker"], [], []] == await _memory(visitor)


async def test_what_waits_is_dropped_by_a_refusal(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Nothing that was tracked before the visitor said no is ever sent."""
    await visitor.goto(site.put(before=PENDING, after="web_event.track('a', '1');"))
    await ready(visitor)
    await visitor.evaluate(
        "web_event.consent('denied'), web_event.consent('granted'), web_event.track('the', 'end')"
    )
    await gateway.until_named("the/end")
    assert gateway.names == ["the/end"]


async def test_a_hook_tells_the_answer_when_it_comes(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A function is called once; until it tells, consent is pending. The example for TCF in the docs works."""
    tcf = """
    var listeners = [];
    function __tcfapi(command, version, listener) { listeners.push(listener); }
    var _cdp365Analytics = {consent: function (tell) {
      __tcfapi("addEventListener", 2, function (data, ok) {
        if (!ok || data.eventStatus === "cmpuishown") return;
        var may = data.gdprApplies === false || (data.purpose.consents[1] && data.purpose.consents[8]);
        tell(may ? "granted" : "denied");
      });
    }};
    """
    await visitor.goto(site.put(before=tcf))
    await ready(visitor)
    assert [[], [], []] == await _memory(visitor)
    await visitor.evaluate(
        "listeners[0]({eventStatus: 'cmpuishown'}, true),"
        "listeners[0]({eventStatus: 'useractioncomplete', purpose: {consents: {1: true, 8: true}}}, true)"
    )
    await gateway.until_count(1)
    assert await visitor.evaluate("listeners.length") == 1
    await all_answered(visitor)
    await visitor.evaluate("listeners[0]({eventStatus: 'tcloaded', purpose: {consents: {}}}, true)")
    assert [[], [], []] == await _memory(visitor)


@pytest.mark.parametrize(
    "said",
    [
        "consent: null",
        "consent: undefined",
        "consent: 'yes'",
        "consent: true",
        "get consent() { throw new Error('no'); }",
        "consent() { throw new Error('no'); }",
    ],
)
async def test_an_answer_that_cant_be_read_is_no_yes(
    visitor: Page, gateway: FakeGateway, site: FakeSite, said: str
):
    """The page meant to ask: so nothing is kept or sent until it says `granted`."""
    await visitor.goto(site.put(before=f"var _cdp365Analytics = {{{said}}};"))
    await ready(visitor)
    assert [[], [], []] == await _memory(visitor)
    await visitor.evaluate("web_event.consent('granted')")
    await gateway.until_count(1)


async def test_what_the_stub_was_told_holds_from_the_first_event_on(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A page that says `pending` through the stub has no page view before the answer."""
    await visitor.goto(
        site.put(
            after="web_event.queue.push(null); web_event.track('a', '1'); web_event('consent', 'pending');"
        )
    )
    await ready(visitor)
    assert ([[], [], []], []) == (await _memory(visitor), gateway.received)
    await visitor.evaluate("web_event('consent', 'granted')")
    await gateway.until_count(2)
    assert gateway.names == ["pageview/view", "a/1"]


@pytest.mark.parametrize("respects", [False, True])
async def test_global_privacy_control_is_carried_and_honoured_as_the_page_says(
    visitor: Page, gateway: FakeGateway, site: FakeSite, respects: bool
):
    """It is in the event's context; with `respect_gpc` there are no events, whatever the page grants."""
    await visitor.add_init_script(GPC)
    await visitor.goto(
        site.put(
            before=f"var _cdp365Analytics = {{respect_gpc: {str(respects).lower()}}};",
            after="web_event('consent', 'granted');",
        )
    )
    await ready(visitor)
    if respects:
        assert ([[], [], []], []) == (await _memory(visitor), gateway.received)
    else:
        (event,) = await gateway.until_count(1)
        assert (True, "granted") == (event.body["context"]["gpc"], event.body["context"]["consent"])


async def test_a_page_that_says_nothing_claims_no_consent(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Everything flows as it always did, and no event says that anybody agreed."""
    await visitor.goto(site.put())
    (event,) = await gateway.until_count(1)
    assert "consent" not in event.body["context"]


async def test_what_waits_for_consent_is_bounded(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Beyond a thousand events the oldest make room, each with a line in the console."""
    lines: list[str] = []
    visitor.on("console", lambda message: lines.append(message.text))
    await visitor.goto(site.put(before="var _cdp365Analytics = {consent: 'pending', default_event: 0};"))
    await ready(visitor)
    await visitor.evaluate(
        "for (let number = 0; number < 1002; number++) web_event.track('a', String(number));"
        "web_event.consent('granted');"
    )
    await gateway.until_named("a/2")
    assert gateway.names[0] == "a/2"
    assert [line for line in lines if "dropped" in line] == ["web_event: dropped an event: too many"] * 2
