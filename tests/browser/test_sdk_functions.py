"""The page script's helpers that sites call: MD5, lead time, and events as ready-made query strings."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from tests.browser.sdk_page import PORTAL, PROPERTY, cookie_of, ready

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite

SILENT = "var _cdp365Analytics = {default_event: 0};"


async def _open(page: Page, site: FakeSite, *, before: str = SILENT) -> None:
    await page.goto(site.put(before=before))
    await ready(page)


async def test_md5_agrees_with_hashlib(visitor: Page, site: FakeSite):
    """The vectors of RFC 1321, Vietnamese text, astral characters, and every length around the block borders agree."""
    await _open(visitor, site)
    texts = [
        "",
        "a",
        "abc",
        "message digest",
        "abcdefghijklmnopqrstuvwxyz",
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "Nguyễn Văn Ánh",
        "nguyen.van.anh@shop.example",
        "Đặng Thị Tuyết, phường Bến Nghé",
        "👩🏽‍🚀 𐍈",
        *("x" * length for length in range(50, 131)),
        "ế" * 5000,
    ]
    digests = await visitor.evaluate("(texts) => texts.map(_cdpEventFunction.md5)", texts)
    assert [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in texts] == digests


async def test_the_lead_time_is_the_visitors_local_time(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Lead time, and the time of an event, are written `YYYY-MM-DD hh:mm:ss` in the browser's zone."""
    await _open(visitor, site, before="")
    (event,) = await gateway.until_count(1)
    for text in (await visitor.evaluate("_cdpEventFunction._cdpGetLeadTime()"), event.body["et"]):
        told = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
        assert text == f"{told:%Y-%m-%d %H:%M:%S}"
        assert abs((datetime.now(tz=told.tzinfo) - told).total_seconds()) < 60


@pytest.mark.parametrize(
    "uri",
    [
        "ec=advertising&ea=click&extra=%7B%22slot%22%3A3%7D",
        "?ec=advertising&ea=click&extra=%7B%22slot%22%3A3%7D",
        "/stream_event?ec=advertising&ea=click&extra=%7B%22slot%22%3A3%7D",
        "https://a.cdp.asia/stream_event?ec=advertising&ea=click&extra=%7B%22slot%22%3A3%7D&resp_type=pixel#x",
    ],
)
async def test_a_ready_made_uri_goes_to_the_gateways_stream(
    visitor: Page, gateway: FakeGateway, site: FakeSite, uri: str
):
    """A query string or a full URL is sent as a GET to this gateway, with property and visitor added."""
    await _open(visitor, site)
    await visitor.evaluate("(uri) => web_event.trackEventWithUri(uri)", uri)
    (event,) = await gateway.until_count(1)
    assert (event.method, event.path) == ("GET", "/t/stream_event")
    assert {
        "ec": "advertising",
        "ea": "click",
        "extra": '{"slot":3}',
        "portal_id": PORTAL,
        "prop_id": PROPERTY,
        "uid": await cookie_of(visitor, "_asm_uid"),
        "resp_type": "json",
        "format": "json",
        "request_id": event.request_id,
        "uid_new": "1",
    } == dict(event.query)


async def test_what_the_uri_says_is_not_replaced(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A URI that names portal, property and UID keeps them."""
    await _open(visitor, site)
    await visitor.evaluate("web_event.trackEventWithUri('portal_id=1&prop_id=2&uid=3&ec=a&ea=b')")
    (event,) = await gateway.until_count(1)
    assert tuple(event.query[name] for name in ("portal_id", "prop_id", "uid")) == ("1", "2", "3")


async def test_the_link_is_followed_once_the_event_is_on_its_way(
    visitor: Page, gateway: FakeGateway, site: FakeSite
):
    """With a link, the page moves on to it, and the event arrives although nobody waits for its answer."""
    await _open(visitor, site)
    site.pages["/landing"] = "<title>landing</title>"
    gateway.hold()
    await visitor.evaluate(
        "web_event.trackEventWithUri('ec=a&ea=1'), web_event.trackEventWithUri('ec=a&ea=2', '/landing')"
    )
    await visitor.wait_for_url("**/landing")
    received = await gateway.until_count(2)
    assert [one.query["ea"] for one in received] == ["1", "2"]


async def test_a_link_for_a_new_tab_opens_there(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """The target `_blank` leaves the page where it is."""
    await _open(visitor, site)
    site.pages["/landing"] = "<title>landing</title>"
    async with visitor.context.expect_page() as opened:
        await visitor.evaluate("web_event.trackEventWithUri('ec=a&ea=b', '/landing', '_blank')")
    await (await opened.value).wait_for_url("**/landing")
    assert site.url("/") == visitor.url
    await gateway.until_count(1)


async def test_tracking_only_follows_no_link(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """With `trackingOnly` the event is sent and the page stays."""
    await _open(visitor, site)
    await visitor.evaluate(
        "web_event.trackEventWithUri('ec=a&ea=1', '/landing', '', {trackingOnly: true}), web_event.track('the', 'end')"
    )
    await gateway.until_named("the/end")
    assert site.url("/") == visitor.url
    assert len(gateway.received) == 2
