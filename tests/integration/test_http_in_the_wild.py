"""What clients send besides the usual: each answer is right, harmless, and the same on both paths."""

from __future__ import annotations

import asyncio
import re
import socket

import orjson
import pytest

from tests.builders import ORIGIN, QUERY, event
from tests.public_port import EVENT, GENEROUS_SECONDS, own, post, serving

BOTH = pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
IDENTIFIED = orjson.dumps(event(dims={"customers": {"customer_id": "4a9cec035a99238b0fb92de8999f1815"}}))
FIELDS = "&uid=123456789&ec=a&ea=b"
TARGET = f"/event?{QUERY}{FIELDS}"


def asked(target, *fields, method="GET", version="HTTP/1.1", host="track.shop.example"):
    """Give the bytes of a request without a body; the target as Latin-1, so that any byte can stand in it."""
    hosts = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([f"{method} {target} {version}", *hosts, *fields, "", ""]).encode("latin-1")


def head_of(answer):
    """Give status and header fields of an answer, names in lower case."""
    start, *lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return int(start.split(" ")[1]), {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
    }


@BOTH
@pytest.mark.parametrize(
    "request_",
    [
        asked(TARGET),
        asked("http://track.shop.example" + TARGET),
        asked("HTTPS://track.shop.example:443" + TARGET),
        asked(TARGET + "#fragment?x=y"),
        asked("/" + TARGET),
        asked(TARGET.replace("/event", "/event/")),
        asked(TARGET.replace("/event", "//event//")),
        asked(TARGET.replace("/event", "/%65vent")),
        asked(TARGET + "&en=\xe1\xbb\x87"),
        asked(TARGET + "&en=\xff\xfe"),
        asked(TARGET + "&en=%E1%BB%87+%F0%9F%9B%92&en=second&ec=other"),
        asked(TARGET + "&x=%zz&y=%&z=%e1%bb&&&=&=a&b"),
        asked(TARGET + "&x=" + "y" * 8_000),
        asked(TARGET, version="HTTP/1.0"),
        asked(TARGET, version="HTTP/1.0", host=None),
        asked(TARGET, "Connection: Keep-Alive", version="HTTP/1.0"),
        asked(TARGET, *(f"X-{number}: " for number in range(110))),
        asked(TARGET, f"Cookie: a={'b' * 30_000}"),
        asked(TARGET, "Empty:", "Cookie: ", "User-Agent:", "Referer: \t ", "Accept-Language: \xe1\xbb\x87"),
        asked(TARGET, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        asked(TARGET, "Content-Length: 0"),
        b"\r\n" + asked(TARGET),
        asked(TARGET, host=""),
        asked(TARGET, host="a b\xff, c"),
    ],
)  # fmt: skip
async def test_what_is_odd_and_plain_in_meaning_is_taken(tmp_path, is_fast, request_):
    """200, and one event kept."""
    async with serving(tmp_path, is_fast=is_fast) as port, port.client() as client:
        client.write(request_)
        answer = await client.answer()
        assert 200 == head_of(answer)[0]
        assert "accepted" == orjson.loads(answer.partition(b"\r\n\r\n")[2])["outcome"]
        assert 1 == port.spool.pending


@BOTH
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked("/EVENT?" + QUERY), 404),
        (asked("/events"), 404),
        (asked("/event/x"), 404),
        (asked("/"), 404),
        (asked("*"), 400),
        (asked("event"), 400),
        (asked("http:///event"), 400),
        (asked("http://x@y/event"), 400),
        (asked("track.shop.example:443", method="CONNECT"), 405),
        (asked("/event", method="BREW"), 405),
        (asked("/event", method="get"), 405),
        (asked("/event", method="TRACE"), 405),
        (asked("/event", method="DELETE"), 405),
        (asked("/event?" + "x" * 65_536), 414),
        (asked("/event", *(f"X-{number}: y" for number in range(128))), 431),
        (asked("/event", *(f"X-{number}: {'y' * 9_000}" for number in range(11))), 431),
        (post(EVENT, b"Expect: a-miracle"), 417),
        (post(b"")[:-5].replace(b"th: ", b"th: 99999999999") + b"\r\n\r\n", 413),
        (asked("/event", host=None), 400),
    ],
)
async def test_what_is_not_taken_is_told_so_briefly(tmp_path, is_fast, request_, status):
    """The status says what was wrong, a 405 which methods there are; nothing is kept."""
    async with serving(tmp_path, is_fast=is_fast) as port, port.client() as client:
        client.write(request_)
        found, fields = head_of(await client.answer())
        assert status == found
        assert ("allow" in fields) == (status == 405)
        assert 0 == port.spool.pending
        assert 404 != status or "close" != fields.get("connection")


@BOTH
async def test_a_client_that_asks_first_is_told_to_go_on(tmp_path, is_fast):
    """`Expect: 100-continue`: before the body, an interim answer; one that is too large is refused before it is sent."""
    async with serving(tmp_path, is_fast=is_fast) as port:
        async with port.client() as client:
            data = post(EVENT, b"Expect: 100-Continue")
            client.write(data[: -len(EVENT)])
            assert b"HTTP/1.1 100 Continue\r\n\r\n" == await client.reader.readuntil(b"\r\n\r\n")
            client.write(EVENT)
            assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
            # Who does not wait for it is answered all the same.
            client.write(data)
            assert re.match(rb"HTTP/1.1 (100|200) ", await client.answer())
        async with port.client() as client:
            client.write(data.replace(b"Length: ", b"Length: 99999999")[: -len(EVENT)])
            answer = await client.until_closed()
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"100 Continue" not in answer
        assert {("accepted", "ok"): 2, ("malformed", "too_large"): 1} == port.counted()


@BOTH
async def test_a_client_of_old_may_keep_its_connection(tmp_path, is_fast):
    """HTTP/1.0 with `Connection: keep-alive`: the next request is answered on it too; without, the connection ends."""
    async with serving(tmp_path, is_fast=is_fast) as port:
        async with port.client() as client:
            for _ in range(2):
                client.write(asked(TARGET, "Connection: keep-alive", version="HTTP/1.0", host=None))
                assert 200 == head_of(await client.answer())[0]
        async with port.client() as client:
            client.write(asked(TARGET, version="HTTP/1.0"))
            assert 1 == (await client.until_closed()).count(b" 200 OK")


@BOTH
@pytest.mark.parametrize(
    ("query", "status", "type_"),
    [
        ("&resp_type=pixel", 200, "image/gif"),
        ("&resp_type=json", 200, "application/json"),
        ("", 200, "application/javascript; charset=utf-8"),
        ("&resp_type=redirect&redirect_url=https://www.shop.example/sale", 302, None),
        ("&resp_type=redirect&redirect_url=https://evil.example/", 400, "application/json"),
    ],
)
async def test_a_head_is_answered_like_the_get_and_is_no_event(tmp_path, is_fast, query, status, type_):
    """The same status and fields, no body, nothing counted: link previews and monitors look at links so."""
    ids = QUERY.partition("&resp_type")[0] + query
    async with serving(tmp_path, is_fast=is_fast) as port, port.client() as client:
        client.write(asked(f"/event?{ids}", method="HEAD"))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert {} == port.counted()
        client.write(asked(f"/event?{ids}{FIELDS}"))
        of_head, of_get = head_of(head), head_of(await client.answer())
        assert (status, type_) == (of_head[0], of_head[1].get("content-type"))
        assert of_head[0] == of_get[0]
        assert of_head[1].get("location") == of_get[1].get("location")
        for name in ("content-type", "cache-control", "content-security-policy", "x-content-type-options"):
            assert of_head[1].get(name) == of_get[1].get(name)
        length = of_head[1].get("content-length")
        assert length in {None, of_get[1]["content-length"]}


@pytest.mark.parametrize("path", ["/event", "/stream_event", "/ppid"])
async def test_a_preflight_says_what_a_page_may_send(tmp_path, path):
    """For two hours; the fields that it asks for, but for those in which proxies say whose a request is; a private network only when asked."""
    wanted = "content-type, traceparent, X-Forwarded-For, x-requested-with, Forwarded, Authorization, CF-Connecting-IP, x-client-version, b\xe4d"
    fields = [f"Access-Control-Request-Headers: {wanted}", "Access-Control-Request-Method: POST"]
    async with serving(tmp_path) as port, port.client() as client:
        client.write(asked(f"{path}?{QUERY}", f"Origin: {ORIGIN}", *fields, method="OPTIONS"))
        status, found = head_of(await client.answer())
        assert 204 == status
        assert ORIGIN == found["access-control-allow-origin"]
        assert "7200" == found["access-control-max-age"]
        assert (
            "Content-Type, traceparent, x-requested-with, Authorization, x-client-version"
            == found["access-control-allow-headers"]
        )
        assert "access-control-allow-private-network" not in found
        assert "Origin" in found["vary"]
        private = "Access-Control-Request-Private-Network: true"
        client.write(asked(f"{path}?{QUERY}", f"Origin: {ORIGIN}", private, method="OPTIONS"))
        assert "true" == head_of(await client.answer())[1]["access-control-allow-private-network"]
        for origin in ("https://evil.example", "null", ""):
            client.write(asked(f"{path}?{QUERY}", f"Origin: {origin}", private, *fields, method="OPTIONS"))
            status, found = head_of(await client.answer())
            assert 204 == status
            assert not [name for name in found if name.startswith("access-control-")]
    assert {} == port.counted()


async def test_options_says_which_methods_there_are(tmp_path):
    """On every path, and on `*`."""
    async with serving(tmp_path) as port, port.client() as client:
        for target, allow in {
            "*": "GET, HEAD, POST, OPTIONS",
            "/event": "GET, HEAD, POST, OPTIONS",
            "/insight.js": "GET, HEAD, OPTIONS",
            "/favicon.ico": "GET, HEAD, OPTIONS",
        }.items():
            client.write(asked(target, method="OPTIONS"))
            status, found = head_of(await client.answer())
            assert (204, allow) == (status, found["allow"])


@BOTH
async def test_every_answer_has_the_headers_that_keep_browsers_safe(tmp_path, is_fast):
    """Errors too; scripts have no policy for pages, which would hold for a worker made of them; no version is told."""
    ids = QUERY.partition("&resp_type")[0]
    limits = {
        "address_events_per_second": 0.001,
        "address_burst": 8,
        "exempt": [],
        "uid_events_per_second": 0,
    }
    requests = [
        asked(TARGET), asked(f"/event?{ids}{FIELDS}"), asked(f"/event?{ids}{FIELDS}&resp_type=pixel"), asked("/event?" + QUERY),
        asked(f"/event?{ids}{FIELDS}&resp_type=redirect&redirect_url=https://www.shop.example/"), asked("/insight.js"), asked("/favicon.ico"),
        asked(f"/ppid?{ids}"), asked("/nothing"), asked("/event", method="PUT"), asked("/event", method="OPTIONS"), asked("/event", method="HEAD"),
        post(b"{"), *[post()] * 6, asked("/event", "No colon"), asked("/event", method="BREW"), asked("/" + "x" * 70_000), b"\x16\x03\x01",
        post(EVENT, b"Expect: x"),
    ]  # fmt: skip
    seen = set()
    async with serving(tmp_path, is_fast=is_fast, limits=limits, pipeline=own(limits)) as port:
        for request in requests:
            async with port.client() as client:
                client.write(request)
                status, found = head_of(await client.reader.readuntil(b"\r\n\r\n"))
            seen.add(status)
            is_script = "javascript" in found.get("content-type", "")
            assert "nosniff" == found["x-content-type-options"]
            assert "strict-origin-when-cross-origin" == found["referrer-policy"]
            assert found["cross-origin-resource-policy"] in {"cross-origin", "same-site"}
            assert ("cross-origin" == found["cross-origin-resource-policy"]) or found[
                "content-type"
            ].startswith(("application/json", "text/"))
            assert is_script != ("default-src 'none'" in found.get("content-security-policy", ""))
            assert is_script != ("x-frame-options" in found)
            assert "tracking-gateway" == found["server"]
    assert {200, 204, 302, 400, 404, 405, 414, 417, 429} <= seen


HOSTILE = {
    "host": "Host: evil.example",
    "port": "Host: track.shop.example:99999",
    "markup": 'Host: "><script>alert(1)</script>',
    "forwarded host": "X-Forwarded-Host: evil.example",
    "forwarded proto": "X-Forwarded-Proto: javascript",
    "forwarded for": "X-Forwarded-For: 6.6.6.6, 127.0.0.1",
    "forwarded": 'Forwarded: for=6.6.6.6;host=evil.example;proto=http, for="_hidden"',
    "real ip": "X-Real-IP: 6.6.6.6",
    "client ip": "X-Client-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6",
    "original url": "X-Original-URL: /ppid\r\nX-Rewrite-URL: /ppid",
    "override": "X-HTTP-Method-Override: DELETE\r\nX-Method-Override: GET",
    "prefix": "X-Forwarded-Prefix: /evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Server: evil.example",
    "null origin": "Origin: null",
    "foreign origin": "Origin: https://evil.example",
    "mixed origin": f"Origin: {ORIGIN}.evil.example",
    "two origins": f"Origin: {ORIGIN} https://evil.example",
}


@BOTH
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_header_changes_nothing(tmp_path, is_fast, hostile):
    """The same event goes on, and the same answer comes back; a page of another site is given no cookie besides."""
    told = []
    async with serving(tmp_path, is_fast=is_fast) as port, port.client() as client:
        for field in ("", hostile):
            hosts = [] if field.startswith("Host") else ["Host: track.shop.example"]
            lines = [f"POST /event?{QUERY}&request_id=r1 HTTP/1.1", *hosts, *([field] if field else [])]
            client.write(
                "\r\n".join([*lines, f"Content-Length: {len(IDENTIFIED)}", "", ""]).encode() + IDENTIFIED
            )
            answer = await client.answer()
            status, fields = head_of(answer)
            del fields["date"]
            fields.pop("vary", None)
            is_given = bool(fields.pop("set-cookie", None)) or "Origin" in hostile
            body = orjson.loads(answer.partition(b"\r\n\r\n")[2])
            del body["event_id"]
            told.append((status, fields, is_given, body, port.last_record()))
    assert told[0] == told[1]
    assert 200 == told[0][0]
    assert "127.0.0.1" == told[0][4]["client_ip"]


async def test_a_client_that_hangs_up_in_the_moment_of_its_turn_is_no_fault(tmp_path):
    """The connection is let go of before the request's task has woken up; the task ends without an exception."""
    async with serving(tmp_path, is_fast=False) as port:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, connection = await asyncio.get_running_loop().connect_accepted_socket(
                port.server, ours
            )
            task = connection._task_handler
            while connection._waiter is None:
                await asyncio.sleep(0)
            connection.data_received(post())
            connection.connection_lost(None)
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
            await asyncio.wait([task], timeout=GENEROUS_SECONDS)
            assert task.exception() is None
            assert {} == port.counted()
