"""The sandbox's pages as files: complete, self-contained, and safe to fill with any value."""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.sandbox import build_collector, build_shop
from gateway.sandbox.shop import BadUrl

GATEWAY, COLLECTOR = "http://localhost:8080", "http://localhost:9000"
HOOKS = (
    "sign-up",
    "sign-in",
    "sign-out",
    "view-product",
    "add-to-cart",
    "purchase",
    "second-person",
    "sent-rows",
    "received-rows",
    "uid",
    "cid",
)


async def fetch_page_and_assets(app):
    """Give the page's text and those of all files that it and its modules name."""
    async with TestClient(TestServer(app)) as client:
        async with client.get("/") as response:
            assert ("text/html", "utf-8") == (response.content_type, response.charset)
            texts = {"/": await response.text()}
        waiting = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', texts["/"]))
        while waiting:
            path = waiting.pop()
            async with client.get(path) as response:
                assert 200 == response.status, path
                texts[path] = await response.text()
            found = {f"/assets/{name}" for name in re.findall(r'from "\./([^"]+)"', texts[path])}
            waiting |= found - texts.keys()
        return texts


@pytest.mark.parametrize(
    "build",
    [build_collector, lambda: build_shop(GATEWAY, COLLECTOR, "33167", "564990801")],
    ids=["collector", "shop"],
)
async def test_a_page_needs_nothing_from_anywhere_else(build):
    """All assets are served, and no URL leads to another host than the gateway's and the collector's."""
    texts = await fetch_page_and_assets(build())
    assert len(texts) >= 5
    for path, text in texts.items():
        urls = set(re.findall(r"https?://[^\s\"'<>)]+", text))
        foreign = {
            url for url in urls if not url.startswith((GATEWAY, COLLECTOR, "http://www.w3.org/2000/svg"))
        }
        assert set() == foreign, path
        assert "{{" not in text, path


async def test_the_shop_listens_before_the_snippet_and_has_its_hooks():
    """The wiretap stands before the tracking snippet; every control that tests use is there once, as id and test id."""
    page = (await fetch_page_and_assets(build_shop(GATEWAY, COLLECTOR, "33167", "564990801")))["/"]
    assert page.index("/assets/wiretap.js") < page.index('_portalId = "33167"')
    assert f'"{GATEWAY}/insight.js"' in page
    for hook in HOOKS:
        assert 1 == page.count(f'data-testid="{hook}"'), hook
        assert 1 == page.count(f' id="{hook}"'), hook


async def test_values_cannot_break_out_of_the_page():
    """Ids and URLs are data, whatever characters they have."""
    hostile = '</script><script>alert("1")</script>'
    page = (await fetch_page_and_assets(build_shop(GATEWAY, 'http://x"><b>', hostile, hostile)))["/"]
    assert "alert(" in page
    assert "<script>alert" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://localhost", "http://", "http://localhost?x=1", "http://localhost#x"]
)
def test_a_url_that_is_no_origin_is_refused_by_name(url):
    """The error says which of the two, and what it got."""
    with pytest.raises(BadUrl, match="collector_url") as caught:
        build_shop(GATEWAY, url, "1", "2")
    assert url == caught.value.got
