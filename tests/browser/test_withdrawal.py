"""A visitor who takes her consent back in a real browser is forgotten by the gateway too: also by the cookie that no script sees."""

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
@pytest.mark.parametrize("mode", ["off", "require"])
async def test_a_refusal_ends_both_cookies(chromium: Browser, gateway, tmp_path, mode: str):
    """`web_event.consent("denied")`, whatever the gateway asks for by itself; and an agreement later is a stranger's."""
    files = TlsFiles(tmp_path)
    leaf = files.issued("*.shop.example", "shop.example")
    files.put(leaf)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    async with (
        running_collector() as collector,
        running_gateway_process(
            tmp_path, collector.url, tls=files.sections, consent={"mode": mode}
        ) as tracking,
        FakeSite.running(gateway, context) as site,
    ):
        browser = await chromium.new_context(ignore_https_errors=True)
        visitor = await browser.new_page()
        base = f"https://track.shop.example:{tracking.port}"
        tag = snippet(base, PORTAL_ID, PROP_ID, site="shop.example")
        site.pages["/"] = (
            f"<!doctype html><title>-</title><script>var _cdp365Analytics = {{consent: 'granted'}};</script>{tag}"
        )

        async def uids():
            found = {each["name"]: each["value"] for each in await browser.cookies(base)}
            return [found.get("_asm_uid", ""), found.get("_asm_uid_s", "")]

        async def has_both():
            return all(await uids())

        async def has_none():
            return not any(await uids())

        await visitor.goto(site.url("/", "www.shop.example"))
        await ready(visitor)
        await all_answered(visitor)
        await until(has_both, "the UID and its twin were set")
        first = (await uids())[0]
        await visitor.evaluate("web_event.consent('denied')")
        await until(has_none, "both cookies were ended")
        await visitor.evaluate("web_event.consent('granted'), web_event.track('a', 'again')")
        await all_answered(visitor)
        await until(has_both, "the visitor is somebody again")
        assert first not in (await uids())[0]
        await browser.close()
