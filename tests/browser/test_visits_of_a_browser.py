"""A visit in a real browser, over TLS: where it came from, what is remembered of it, and the session of a page that has no script of ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.sdk import snippet
from tests.browser.sdk_page import FakeSite, all_answered, ready
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until
from tests.tls_files import TlsFiles

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.mark.timeout(120)
async def test_a_visit_by_an_advertisement_is_remembered_and_sessions_go_on(
    chromium: Browser, gateway, tmp_path
):
    """The landing is the first and the last touch on every page; a page's own small script is in one session of the gateway's."""
    files = TlsFiles(tmp_path)
    leaf = files.issued("*.shop.example", "shop.example")
    files.put(leaf)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    async with (
        running_collector() as collector,
        running_gateway_process(
            tmp_path, collector.url, tls=files.sections, session={"new_on_campaign": True}
        ) as tracking,
        FakeSite.running(gateway, context) as site,
    ):
        browser = await chromium.new_context(ignore_https_errors=True, timezone_id="Asia/Ho_Chi_Minh")
        visitor = await browser.new_page()
        base = f"https://track.shop.example:{tracking.port}"
        site.pages["/"] = (
            f"<!doctype html><title>-</title>{snippet(base, PORTAL_ID, PROP_ID, site='shop.example')}"
            '<a href="/cart" id="next">next</a>'
        )
        site.pages["/cart"] = site.pages["/"]
        await visitor.goto(
            site.url("/", "www.shop.example") + "?utm_source=zalo&utm_medium=cpc&zclid=z-1&x=1"
        )
        await ready(visitor)
        await all_answered(visitor)
        await visitor.click("#next")
        await ready(visitor)
        await all_answered(visitor)

        async def seen(count):
            events = await collector.get("/events")
            return len(events) >= count and [each["body"] for each in events]

        views = await until(lambda: seen(2), "both page views arrived")
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
        cookies = {each["name"]: each for each in await browser.cookies(base)}
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
        url = f"{base}/event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json"
        uid = cookies["_asm_uid"]["value"]
        bare = f'{{"uid":"{uid}","ec":"product","ea":"view"}}'
        answers = [await visitor.evaluate(send, [url, bare]) for _ in range(2)]
        assert answers[0]["session_id"] == answers[1]["session_id"] != ""
        bodies = (await until(lambda: seen(4), "the bare events arrived"))[2:]
        assert [True, False] == [each["context"]["session"]["is_new"] for each in bodies]
        assert {answers[0]["session_id"]} == {each["sid"] for each in bodies}
        await browser.close()
