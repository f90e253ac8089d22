"""Google Ad Manager's PPID: its value, who may read it, and that asking for it changes nothing."""

from __future__ import annotations

import orjson
import pytest

from gateway.events.cookies import UidCookie
from gateway.events.keyring import Keyring
from gateway.events.model import Head, Request
from gateway.events.ppid import PpidDesk, ppid
from gateway.events.screening import Properties
from gateway.events.twin import TwinSigner
from gateway.settings import Cookies, Identity, Property

RING = Keyring(["2026b:a newer secret of the shop"])
COOKIE = UidCookie(Cookies(), RING, lambda uid: uid if uid.isdigit() else "")
ORIGIN = "https://www.shop.example"
PROPERTIES = (
    Property(portal_id="33167", prop_id="1", site="shop.example"),
    Property(portal_id="33167", prop_id="2", site="other.example", origins=("https://app.other.example",)),
)
DESK = PpidDesk(Properties(PROPERTIES, Identity()), COOKIE)
QUERY, UID, NOW_MS = "portal_id=33167&prop_id=1", "1234567890123", 1_790_000_000_123
# `printf 1234567890123 | md5sum`
PPID = "ee76971984d25138a199ac90553401dd"
PRIVATE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-site",
}


def ask(query=QUERY, *, cookie=f"_asm_uid={UID}", origin="", method="GET", now_ms=NOW_MS):
    """Give status, headers and body of an answer."""
    head = Head(
        method=method, path="/ppid", query=query, host="track.shop.example", origin=origin, cookie=cookie
    )
    reply = DESK.answer(Request(head), now_ms)
    assert len(reply.headers) == len(dict(reply.headers))
    return reply.status, dict(reply.headers), reply.body


@pytest.mark.parametrize(("uid", "expected"), [(UID, PPID), ("", "d41d8cd98f00b204e9800998ecf8427e")])
def test_the_ppid_is_the_md5_of_the_uid_as_text(uid, expected):
    """What the vendor's guide computes in the page."""
    assert expected == ppid(uid)


def test_a_visitors_ppid_is_given_as_json_that_nobody_stores():
    """With the headers that keep it from caches and from other sites."""
    assert (200, {"Content-Type": "application/json", **PRIVATE}, b'{"ppid":"%s"}' % PPID.encode()) == ask()


def test_the_bare_text_is_given_on_request():
    """For a page that takes it as it is."""
    headers = {"Content-Type": "text/plain; charset=utf-8", **PRIVATE}
    assert (200, headers, PPID.encode()) == ask(QUERY + "&format=text")


def test_a_visitor_without_a_uid_has_no_ppid():
    """Not the hash of nothing, which all of them would share."""
    assert ask(cookie="")[::2] == (200, b'{"ppid":null}')
    assert ask(cookie="_asm_uid=undefined")[::2] == (200, b'{"ppid":null}')
    assert ask(QUERY + "&format=text", cookie="")[::2] == (200, b"")


def test_the_twin_stands_in_for_a_plain_cookie_that_is_gone():
    """The PPID outlives what the browser does to cookies of scripts."""
    twin = "_asm_uid_s=" + TwinSigner(RING).sign("shop.example", UID, NOW_MS // 1000)
    assert orjson.loads(ask(cookie=twin)[2]) == {"ppid": PPID}
    assert orjson.loads(ask(cookie=twin.replace(UID, "1234567890124"))[2]) == {"ppid": None}
    assert orjson.loads(ask(cookie=twin, now_ms=NOW_MS + 400 * 86_400_000)[2]) == {"ppid": None}


def test_the_twin_of_another_property_says_nothing():
    """It is read for the site of the property that was named."""
    twin = "_asm_uid_s=" + TwinSigner(RING).sign("other.example", UID, NOW_MS // 1000)
    assert orjson.loads(ask(cookie=twin)[2]) == {"ppid": None}
    assert orjson.loads(ask("portal_id=33167&prop_id=2", cookie=twin)[2]) == {"ppid": PPID}


def test_asking_sets_nothing():
    """Not even where the cookies are due."""
    assert "Set-Cookie" not in ask(cookie="")[1]
    assert "Set-Cookie" not in ask()[1]


def test_a_page_of_the_property_may_read_it_with_credentials():
    """As it may read the answers to its events."""
    status, headers, body = ask(origin=ORIGIN)
    assert (200, {"ppid": PPID}) == (status, orjson.loads(body))
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("query", "origin"),
    [(QUERY, "https://evil.example"), (QUERY, "null"), (QUERY, "https://evilshop.example"), (QUERY, "https://app.other.example"),
     ("portal_id=33167&prop_id=2", "https://other.example"), (QUERY, "https://шоп.shop.example")],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(query, origin):
    """The browser would not let it read; the answer does not hold it either."""
    status, headers, body = ask(query, origin=origin)
    assert 403 == status
    assert PPID.encode() not in body
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "portal_id"),
        ("portal_id=33167", 400, "prop_id"),
        ("portal_id=1&prop_id=1", 403, "portal_id"),
    ],
)
def test_a_question_without_a_known_property_says_what_is_wrong(query, status, field):
    """Its author may read that, from wherever."""
    found, headers, body = ask(query, origin="https://new.example")
    assert (status, field) == (found, orjson.loads(body)["field"])
    assert headers["Access-Control-Allow-Origin"] == "https://new.example"
    assert PPID.encode() not in body


@pytest.mark.parametrize(
    ("query", "origin", "allowed"),
    [(QUERY, ORIGIN, True), (QUERY, "https://app.other.example", False), ("", "https://app.other.example", True),
     ("", "https://evil.example", False), (QUERY, "", False)],
)  # fmt: skip
def test_a_preflight_allows_the_origins_of_the_property(query, origin, allowed):
    """One that names no property is allowed for the origins of all, as for events."""
    status, headers, body = ask(query, origin=origin, method="OPTIONS")
    assert (204, b"", "GET, HEAD, OPTIONS") == (status, body, headers["Allow"])
    assert allowed is ("Access-Control-Allow-Origin" in headers)
    assert headers.get("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS") == "GET, HEAD, OPTIONS"
