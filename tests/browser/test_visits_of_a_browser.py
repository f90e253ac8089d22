"""A visit in a real browser, over TLS: where it came from, what is remembered of it, and the session of a page that has no script of ours."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio

from gateway.sdk import snippet
from tests.browser.sdk_page import FakeSite, all_answered, ready
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until
from tests.tls_files import TlsFiles

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.processes import Collector


class Shop(NamedTuple):
    """A shop over TLS, with a gateway of its own; `base` is the gateway's URL."""

    base: str
    site: FakeSite
    collector: Collector

    async def seen(self, count):
        """Give the events that have arrived, once there are so many."""
        events = await self.collector.get("/events")
        return len(events) >= count and [each["body"] for each in events]


@pytest_asyncio.fixture(loop_scope="session")
async def shop(gateway, tmp_path):
    files = TlsFiles(tmp_path)
    leaf = files.issued("*.shop.example", "shop.example")
    files.put(leaf)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    sections = {"tls": files.sections, "session": {"new_on_campaign": True}}
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as tracking,
        FakeSite.running(gateway, context) as site,
    ):
        base = f"https://track.shop.example:{tracking.port}"
        site.pages["/"] = (
            f"<!doctype html><title>-</title>{snippet(base, PORTAL_ID, PROP_ID, site='shop.example')}"
            '<a href="/cart" id="next">next</a>'
        )
        site.pages["/cart"] = site.pages["/"]
        yield Shop(base, site, collector)


@pytest.mark.timeout(120)
async def test_a_visit_by_an_advertisement_is_remembered_and_sessions_go_on(chromium: Browser, shop):
    """The landing is the first and the last touch on every page; a page's own small script is in one session of the gateway's."""
    browser = await chromium.new_context(ignore_https_errors=True, timezone_id="Asia/Ho_Chi_Minh")
    visitor = await browser.new_page()
    await visitor.goto(
        shop.site.url("/", "www.shop.example") + "?utm_source=zalo&utm_medium=cpc&zclid=z-1&x=1"
    )
    await ready(visitor)
    await all_answered(visitor)
    await visitor.click("#next")
    await ready(visitor)
    await all_answered(visitor)

    views = await until(lambda: shop.seen(2), "both page views arrived")
    first, last = views[0]["context"]["first_touch"], views[1]["context"]["last_touch"]
    assert ("paid_social", "zalo", {"zclid": "z-1"}) == (
        first["channel"],
        first["source"],
        first["click_ids"],
    )
    assert (first, first) == (views[1]["context"]["first_touch"], last)
    assert first["landing_page"].endswith("/?utm_source=zalo&utm_medium=cpc&zclid=z-1")
    assert {"type": "internal"} == views[1]["context"]["traffic_source"]
    # Its own script tells its sessions, and says when it sends; a clock that is right needs no word.
    assert views[0]["sid"] == views[1]["sid"]
    assert {"session", "clock"}.isdisjoint(views[1]["context"])
    assert "sent_at" not in views[1]
    cookies = {each["name"]: each for each in await browser.cookies(shop.base)}
    touch = cookies["_asm_touch"]
    assert (True, True, ".shop.example", "Lax") == (
        touch["secure"],
        touch["httpOnly"],
        touch["domain"],
        touch["sameSite"],
    )
    # A page without our script: its cookie of sessions is gone, and what it sends has no `sid`.
    await browser.clear_cookies(name="_asm_ss_view")
    send = """([url, body]) => fetch(url, { method: "POST", credentials: "include", body }).then((one) => one.json())"""
    url = f"{shop.base}/event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json"
    uid = cookies["_asm_uid"]["value"]
    bare = f'{{"uid":"{uid}","ec":"product","ea":"view"}}'
    answers = [await visitor.evaluate(send, [url, bare]) for _ in range(2)]
    assert answers[0]["session_id"] == answers[1]["session_id"] != ""
    bodies = (await until(lambda: shop.seen(4), "the bare events arrived"))[2:]
    assert [True, False] == [each["context"]["session"]["is_new"] for each in bodies]
    assert {answers[0]["session_id"]} == {each["sid"] for each in bodies}
    await browser.close()


@pytest.mark.timeout(120)
async def test_a_wrong_clock_is_corrected(chromium: Browser, shop):
    """Two hours ahead: the script's word of when it sends tells so."""
    ahead = await chromium.new_context(ignore_https_errors=True, timezone_id="Asia/Ho_Chi_Minh")
    visitor = await ahead.new_page()
    await visitor.clock.set_system_time(datetime.now(UTC) + timedelta(hours=2))
    await visitor.goto(shop.site.url("/", "www.shop.example"))
    await ready(visitor)
    await all_answered(visitor)
    late = (await until(lambda: shop.seen(1), "the view by a wrong clock arrived"))[0]
    assert abs(late["context"]["clock"]["skew_seconds"] + 7_200) < 300
    moments = [datetime.fromisoformat(late["extra"][each]) for each in ("corrected_time", "receive_time")]
    assert timedelta(minutes=-1) < moments[1] - moments[0] < timedelta(minutes=5)
    await ahead.close()
