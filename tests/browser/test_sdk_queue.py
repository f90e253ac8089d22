"""The page script takes over the stub's queue, sends the page's own events, and never disturbs the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.sdk_page import PORTAL, PROPERTY, all_answered, ready, track

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite


async def test_queued_calls_of_both_forms_go_out_in_order_after_the_page_view(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Calls through `.track` and direct calls with the command's name are sent in the order they were made."""
    await visitor.goto(
        site.put(
            after="""
            web_event.track("user", "sign_in", {extra: {identify_id: "c1"}});
            web_event("track", "user", "identify", {extra: {identify_id: "c2"}});
            web_event("product", "view", {items: [{type: "product", id: "42"}]});
            """
        )
    )
    received = await gateway.until_count(4)
    assert gateway.names == ["pageview/view", "user/sign_in", "user/identify", "product/view"]
    assert [one.body["extra"] for one in received] == [{}, {"identify_id": "c1"}, {"identify_id": "c2"}, {}]
    assert received[3].body["items"] == [{"type": "product", "id": "42"}]


async def test_an_event_carries_the_fields_of_the_protocol(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """The query names property and format, the body the visitor, the event and its circumstances."""
    site.put("/shoes")
    site.pages["/from"] = "<a href='/shoes?size=42'>shoes</a>"
    await visitor.goto(site.url("/from"))
    await visitor.click("a")
    (event,) = await gateway.until_count(1)
    assert event.method == "POST"
    assert event.path == "/t/event"
    assert {
        "portal_id": PORTAL,
        "prop_id": PROPERTY,
        "resp_type": "json",
        "format": "json",
    }.items() <= event.query.items()
    assert len(event.request_id) == 32
    body = event.body
    assert {"uid", "aid", "cid", "sid", "ec", "ea", "et", "items", "dims", "extra", "context"} == body.keys()
    assert body["uid"] == body["aid"]
    assert body["cid"] == ""
    assert (body["items"], body["dims"], body["extra"]) == ([], {}, {})
    # Chromium still says the zone's older name.
    assert body["context"]["timezone"] in {"Asia/Ho_Chi_Minh", "Asia/Saigon"}
    viewport = await visitor.evaluate("({width: screen.width, height: screen.height})")
    assert {
        "navigation": {"url": site.url("/shoes?size=42"), "title": "Trang thử"},
        "referrer": site.url("/from"),
        "screen": viewport,
        "timezone": await visitor.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone"),
        "locale": "vi-VN",
    } == body["context"]


async def test_the_page_view_carries_what_the_page_says_of_itself(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Page type and category become extra; items, dims and extra of the page go along, and with the `track` list."""
    await visitor.goto(
        site.put(
            before="""
            var _cdp365Analytics = {
              page: {page_type: "product", page_category: "shoes"},
              items: [{type: "product", id: "1"}],
              dims: {users: {id: "u"}},
              extra: {theme: "dark"},
              track: [["product", "view"], ["product", "click", {items: [{type: "product", id: "2"}], extra: {slot: 3}}]],
            };
            """,
            after="web_event.track('cart', 'open');",
        )
    )
    page_view, listed, own, later = [one.body for one in await gateway.until_count(4)]
    assert gateway.names == ["pageview/view", "product/view", "product/click", "cart/open"]
    assert page_view["extra"] == {"theme": "dark", "page_type": "product", "page_category": "shoes"}
    assert [{"type": "product", "id": "1"}] == page_view["items"] == listed["items"]
    assert {"users": {"id": "u"}} == page_view["dims"] == listed["dims"] == own["dims"]
    assert listed["extra"] == {"theme": "dark"}
    assert own["items"] == [{"type": "product", "id": "2"}]
    assert own["extra"] == {"theme": "dark", "slot": 3}
    assert (later["items"], later["dims"], later["extra"]) == ([], {}, {})


async def test_default_event_0_stops_the_page_view(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """With `default_event: 0` only what the page tracks is sent."""
    await visitor.goto(
        site.put(
            before="var _cdp365Analytics = {default_event: 0};", after="web_event.track('cart', 'open');"
        )
    )
    await gateway.until_named("cart/open")
    assert gateway.names == ["cart/open"]


async def test_settings_that_are_no_window_properties_are_seen(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A page may declare its settings with `const`; the script reads them all the same."""
    await visitor.goto(site.put(before="const _cdp365Analytics = {page: {page_type: 'home'}};"))
    (event,) = await gateway.until_count(1)
    assert event.body["extra"] == {"page_type": "home"}


async def test_calls_after_loading_go_straight_through_also_by_an_old_reference(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """New members, the stub itself, and references that the page kept from before all lead to the same sender."""
    await visitor.goto(
        site.put(after="var keptTrack = web_event.track, keptStub = web_event, keptQueue = web_event.queue;")
    )
    await gateway.until_named("pageview/view")
    await visitor.evaluate(
        """() => {
          web_event.track("a", "1");
          web_event("track", "a", "2");
          keptTrack("a", "3");
          keptStub("track", "a", "4");
          keptStub.track("a", "5");
          keptQueue.push(["a", "6"]);
        }"""
    )
    await gateway.until_named("a/6")
    assert ["pageview/view", *(f"a/{number}" for number in range(1, 7))] == gateway.names


async def test_loading_the_script_twice_sends_nothing_twice(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A second copy of the script in the page finds the first one and steps back."""
    await visitor.goto(site.put(after="web_event.track('cart', 'open');"))
    await gateway.until_named("cart/open")
    await visitor.add_script_tag(url=f"{gateway.base()}/insight.js?again")
    await track(visitor, "the", "end")
    await gateway.until_named("the/end")
    assert gateway.script_loads == 2
    assert gateway.names == ["pageview/view", "cart/open", "the/end"]


async def test_a_second_stub_is_adopted_without_a_second_page_view(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A tag manager that puts up another stub and loads the script again gets its queue sent."""
    await visitor.goto(site.put())
    await gateway.until_named("pageview/view")
    await visitor.evaluate(
        """() => {
          window.web_event = function () { web_event.queue.push(arguments); };
          web_event.queue = [];
          web_event.track = web_event;
          web_event.propId = "other-property";
          web_event.track("from", "tag_manager");
        }"""
    )
    await visitor.add_script_tag(url=f"{gateway.base()}/insight.js")
    event = await gateway.until_named("from/tag_manager")
    assert gateway.names == ["pageview/view", "from/tag_manager"]
    assert event.query["prop_id"] == "other-property"


async def test_the_script_works_without_a_stub(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A page that only has the script tag gets the whole interface."""
    site.pages["/bare"] = (
        f"<script>_portalId = '1', _propId = '2'</script><script src='{gateway.base()}/insight.js'></script>"
    )
    await visitor.goto(site.url("/bare"))
    await visitor.evaluate("web_event('track', 'a', '1'), web_event.track('a', '2')")
    event = await gateway.until_named("a/2")
    assert gateway.names == ["pageview/view", "a/1", "a/2"]
    assert (event.query["portal_id"], event.query["prop_id"]) == ("1", "2")


async def test_circular_and_unprintable_data_is_sent_as_far_as_it_goes(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A circle is cut where it closes, a shared object stays in both places, a big integer becomes text."""
    await visitor.goto(site.put())
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          const shared = {n: 1};
          const extra = {name: "x", left: shared, right: shared, big: 2n ** 64n};
          extra.self = extra;
          extra.list = [shared, {up: extra}];
          web_event.track("odd", "data", {extra});
        }"""
    )
    event = await gateway.until_named("odd/data")
    assert {
        "name": "x",
        "left": {"n": 1},
        "right": {"n": 1},
        "big": str(2**64),
        "list": [{"n": 1}, {}],
    } == event.body["extra"]


async def test_nonsense_calls_are_a_warning_and_never_an_error(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """Whatever the page passes, it gets no exception; the next good event is sent."""
    warnings: list[str] = []
    visitor.on(
        "console", lambda message: warnings.append(message.text) if message.type == "warning" else None
    )
    await visitor.goto(
        site.put(
            before="var _cdp365Analytics = {track: [null], page: 7};",
            after="web_event(); web_event(null); web_event.queue.push(null, undefined, 7);",
        )
    )
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          web_event.track();
          web_event.track("only category");
          web_event.track({}, []);
          web_event.track("a", "getter", {extra: {get trap() { throw new Error("no"); }}});
          web_event.track("a", "null", null);
          web_event.track("a", "text", "text");
          web_event.track("a", "item", {items: {type: "product"}});
          web_event.trackEventWithUri();
          web_event.trackEventWithUri(null, "http://[bad");
          web_event.trackEventWithUri("a=1", "javascript:void(window.followed = true)");
          web_event.queue.push({});
          _cdpEventFunction.md5();
          web_event.track("the", "end");
        }"""
    )
    end = await gateway.until_named("the/end")
    assert [one.name for one in gateway.received if one.path == "/t/event"] == [
        "pageview/view",
        "a/null",
        "a/text",
        "a/item",
        "the/end",
    ]
    assert next(one for one in gateway.received if one.name == "a/item").body["items"] == [
        {"type": "product"}
    ]
    assert not await visitor.evaluate("window.followed")
    assert any("track needs a category and an action" in text for text in warnings)
    assert end.body["uid"]
    await all_answered(visitor)


async def test_a_page_that_is_only_prepared_sends_nothing_until_it_is_visited(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """A prerendered page waits with its page view and its queue until the visitor comes."""
    await visitor.add_init_script("Object.defineProperty(document, 'prerendering', {value: true});")
    await visitor.goto(site.put(after="web_event.track('a', '1');"))
    await visitor.wait_for_function("Boolean(window._cdpEventFunction && _cdpEventFunction.md5)")
    assert await visitor.evaluate("[web_event.queue.length, document.cookie, localStorage.length]") == [
        1,
        "",
        0,
    ]
    await visitor.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    await gateway.until_count(2)
    assert gateway.names == ["pageview/view", "a/1"]
