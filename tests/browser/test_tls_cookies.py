"""The visitor's cookies over real TLS, in a real browser: a site on https and a gateway that speaks TLS itself."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.sdk import snippet
from tests.browser.sdk_page import FakeSite, all_answered, cookie_of, ready, track
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until
from tests.tls_files import TlsFiles

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.mark.timeout(120)
async def test_the_cookies_are_the_sites_and_secure_and_stay_through_a_renewal(
    chromium: Browser, gateway, tmp_path
):
    """The page reads its UID, no script reads the signed twin, and a new certificate changes nothing for who is there."""
    files = TlsFiles(tmp_path)
    leaf = files.issued("*.shop.example", "shop.example")
    files.put(leaf)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, tls=files.sections) as tracking,
        FakeSite.running(gateway, context) as site,
    ):
        # The authority is the tests' own.
        browser = await chromium.new_context(ignore_https_errors=True)
        visitor = await browser.new_page()
        base = f"https://track.shop.example:{tracking.port}"
        site.pages["/"] = (
            f"<!doctype html><title>-</title>{snippet(base, PORTAL_ID, PROP_ID, site='shop.example')}"
        )
        await visitor.goto(site.url("/", "www.shop.example"))
        await ready(visitor)
        await all_answered(visitor)
        cookies = {each["name"]: each for each in await browser.cookies(base)}
        uid, twin = cookies["_asm_uid"], cookies["_asm_uid_s"]
        assert (True, False, ".shop.example") == (uid["secure"], uid["httpOnly"], uid["domain"])
        assert (True, True, ".shop.example") == (twin["secure"], twin["httpOnly"], twin["domain"])
        assert uid["value"] == await cookie_of(visitor, "_asm_uid")
        assert "" == await cookie_of(visitor, "_asm_uid_s")
        # Not over plain HTTP, to whomever.
        assert [] == await browser.cookies("http://track.shop.example/")

        files.put(files.issued("*.shop.example"))

        async def taken():
            return tracking.log_lines("tls_pair_taken")

        await until(taken, "the new certificate was taken")
        await track(visitor, "product", "view")
        await visitor.reload()
        await ready(visitor)
        await all_answered(visitor)

        async def arrived():
            events = await collector.get("/events")
            return len(events) >= 3 and {each["body"]["uid"] for each in events}

        assert {uid["value"]} == await until(arrived, "all three events arrived")
        await browser.close()
