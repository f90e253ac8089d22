"""The snippet for a site's pages, and the script it brings, as texts: what they say is safe, small and complete."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.sdk import script_source, snippet

BASE = "https://track.shop.example"


def _assigned(html: str, name: str) -> str:
    """Give the value that the snippet's JavaScript gives to a name."""
    match = re.search(rf"{re.escape(name)} = (\".*\");$", html, re.MULTILINE)
    assert match, html
    return json.loads(match[1])


@pytest.mark.parametrize(
    ("script", "event", "stream", "told"),
    [
        ("/insight.js", "/event", "/stream_event", ("event", "stream_event")),
        ("/x7/a.js", "/x7/e", "/x7/s/e", ("e", "s/e")),
        ("/insight.js", "/x7/e", "/x7/s/e", ("x7/e", "x7/s/e")),
        ("/x7/js/a.js", "/x7/e", "/event", ("../e", "../../event")),
    ],
)
def test_the_served_script_knows_its_own_path_and_where_events_go_from_there(script, event, stream, told):
    """Events go to paths relative to the script's, so that a proxy may put something before all of them."""
    line = f'{{script:"{script}",event:"{told[0]}",stream_event:"{told[1]}"}}'
    assert 1 == script_source(script, event, stream).decode().count(line)
    assert script_source().count(b"\n") == script_source(script, event, stream).count(b"\n")


def test_the_snippet_loads_the_script_from_the_path_that_it_is_told():
    """The name of the moment, below whatever the gateway's address has before its paths."""
    html = snippet(BASE + "/t", "1", "2", script_path="/x7/a.js")
    assert f"{BASE}/t/x7/a.js" == _assigned(html, "script.src")


def test_the_snippet_names_property_and_script():
    """Portal, property and the script's address stand where the script looks for them."""
    html = snippet(BASE, "33167", "564990801")
    assert _assigned(html, "var _portalId") == "33167"
    assert _assigned(html, "var _propId") == "564990801"
    assert f"{BASE}/insight.js" == _assigned(html, "script.src")
    assert "first_party_domain" not in html


@pytest.mark.parametrize(
    ("base_url", "script"),
    [
        ("https://track.shop.example/", "https://track.shop.example/insight.js"),
        ("https://shop.example/t", "https://shop.example/t/insight.js"),
        ("http://localhost:8080/t/", "http://localhost:8080/t/insight.js"),
    ],
)
def test_the_script_lies_below_the_base_url(base_url: str, script: str):
    """A trailing slash does not matter, a path prefix is kept."""
    assert script == _assigned(snippet(base_url, "1", "2"), "script.src")


def test_the_site_becomes_the_cookie_domain():
    """With a site given, the snippet sets `first_party_domain` unless the page has."""
    html = snippet(BASE, "1", "2", site="shop.example")
    assert '_cdp365Analytics.first_party_domain || "shop.example";' in html


def test_the_usual_cookie_settings_say_nothing():
    """A snippet for the defaults is the one without them, so pages that have it pasted already stay right."""
    plain = snippet(BASE, "1", "2", site="shop.example")
    usual = {"cookie_name": "_asm_uid", "cookie_domain": "", "lifetime_days": 400, "same_site": "lax"}
    assert plain == snippet(BASE, "1", "2", site="shop.example", **usual)
    assert plain == snippet(BASE, "1", "2", site="www.shop.example", cookie_domain="shop.example")
    assert "cookie_" not in plain


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"cookie_name": "uid"}, '_cdp365Analytics.cookie_name = "uid";'),
        ({"lifetime_days": 30}, "_cdp365Analytics.cookie_days = 30;"),
        ({"lifetime_days": 0}, "_cdp365Analytics.cookie_days = 0;"),
        ({"same_site": "none"}, '_cdp365Analytics.cookie_same_site = "none";'),
        ({"cookie_domain": "host"}, '_cdp365Analytics.first_party_domain || "host";'),
    ],
)
def test_a_cookie_setting_that_differs_is_one_line_with_its_reason(given: dict[str, Any], line: str):
    """The script hears of what the operator set; the other settings stay unsaid."""
    plain = snippet(BASE, "1", "2")
    told = snippet(BASE, "1", "2", **given)
    assert 1 == told.count(line)
    comment, code = [each for each in told.split("\n") if each not in plain.split("\n")]
    assert comment.startswith("  // ")
    assert code.endswith(line)


@pytest.mark.parametrize(
    "hostile",
    [
        '"; alert(1); "',
        "</script><script>alert(1)</script>",
        "<!--",
        "\u2028",
        "a\\",
        "$cookie_lines",
        "&amp;",
    ],
)
def test_no_value_can_leave_its_string(hostile: str):
    """Quotes, tags, line separators and backslashes come back as the value, and end neither string nor element."""
    html = snippet(BASE, hostile, hostile, site=hostile, cookie_name=hostile, same_site=hostile)
    plain = snippet(BASE, "1", "2", site="s", cookie_name="c", same_site="strict")
    assert hostile == _assigned(html, "var _portalId")
    assert hostile == _assigned(html, "var _propId")
    assert plain.count("<") == html.count("<")
    assert plain.count("\n") == html.count("\n")
    assert html.isascii()


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "track.shop.example",
        "javascript:alert(1)",
        "https://",
        "https://a.example/?x=1",
        "https://a.example/#x",
    ],
)
def test_a_base_url_that_is_none_is_refused_with_an_example(base_url: str):
    """The error quotes what it got and says what was expected."""
    with pytest.raises(ValueError, match="expected something like https://"):
        snippet(base_url, "1", "2")


@pytest.mark.parametrize("nonce", ["r4nd0m", "{{ csp_nonce }}", "<%= nonce %>"])
def test_with_a_nonce_the_page_may_have_a_strict_policy(nonce: str):
    """Both scripts carry it, and none of them injects another: Trusted Types would refuse that."""
    html = snippet(BASE, "1", "2", nonce=nonce)
    assert html.count("<script") == html.count(f'<script nonce="{nonce}"') == 2
    assert f'<script nonce="{nonce}" async src="{BASE}/insight.js"></script>' in html
    assert "createElement" not in html


def test_a_nonce_with_a_quote_is_refused():
    """It would end the attribute."""
    with pytest.raises(ValueError, match="without quotes"):
        snippet(BASE, "1", "2", nonce='" onload="')
