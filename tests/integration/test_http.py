"""The public and the admin port over real sockets: what clients send, also what none should."""

from __future__ import annotations

import asyncio
import gzip
import io
import re

import aiohttp
import brotli
import orjson
import pytest

from tests.builders import event
from tests.processes import running_collector, running_gateway_process


@pytest.fixture
async def gateway(tmp_path):
    async with running_collector() as collector, running_gateway_process(tmp_path, collector.url) as running:
        yield running


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(auto_decompress=False) as opened:
        yield opened


async def raw(gateway, request):
    """Send bytes and give all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_both_paths_take_events_by_get_and_post(gateway, session):
    """Same parameters, same answers."""
    for path in ("/event", "/stream_event"):
        async with session.post(gateway.collect_url(path=path), json=event()) as response:
            assert (response.status, (await response.json())["outcome"]) == (200, "accepted")
        async with session.get(gateway.collect_url(path=path) + "&uid=123456789&ec=a&ea=b") as response:
            assert (response.status, (await response.json())["outcome"]) == (200, "accepted")


BAD = {
    "bad_json": b"{",
    "nan": b'{"ec":"a","ea":"b","extra":{"x":NaN}}',
    "utf8": b'{"ec":"\xff","ea":"b"}',
    "types": b'{"ec":1,"ea":"b"}',
    "keys": orjson.dumps(event(extra={f"k{index}": 1 for index in range(10_000)})),
    "nesting": b'{"ec":"a","ea":"b","extra":' + b'{"x":' * 1000 + b"1" + b"}" * 1000 + b"}",
    "deep_array": b"[" * 100_000,
    "two_megabytes": orjson.dumps(event(extra={"x": "y" * 2_000_000})),
    "nothing": b"",
}


async def test_bad_input_gets_a_4xx_that_names_the_field_and_nothing_else_is_lost(gateway, session):
    """Each is one malformed event; the connection and the next event are unharmed; no traceback is logged."""
    for name, body in BAD.items():
        async with session.post(gateway.collect_url(), data=io.BytesIO(body)) as response:
            answer = await response.json()
            assert 400 <= response.status < 500, name
            assert answer["outcome"] == "malformed", name
            assert answer["field"], name
            assert answer["detail"], name
        async with session.post(gateway.collect_url(), json=event()) as response:
            assert response.status == 200, name
    metrics = await gateway.metrics()
    counted = {
        key: value
        for key, value in metrics.items()
        if key.startswith("tracking_gateway_events_total") and value
    }
    assert sum(counted.values()) == 2 * len(BAD)
    assert counted['tracking_gateway_events_total{outcome="malformed",reason="too_large"}'] == 1
    assert counted['tracking_gateway_events_total{outcome="accepted",reason="ok"}'] == len(BAD)
    assert "Traceback" not in gateway.log()
    assert not gateway.log_lines("library")


async def test_a_body_that_grows_too_large_on_the_way_is_refused(gateway, session):
    """Chunked, or compressed a thousandfold: the bound holds without a Content-Length."""

    async def chunks():
        for _ in range(40):
            yield b"x" * 65_536

    bomb = gzip.compress(b"x" * 20_000_000)
    for request in ({"data": chunks()}, {"data": bomb, "headers": {"Content-Encoding": "gzip"}}):
        async with session.post(gateway.collect_url(), **request) as response:
            assert (response.status, (await response.json())["reason"]) == (413, "too_large")


async def test_a_compressed_event_is_read(gateway, session):
    """`Content-Encoding: gzip` is undone."""
    body = gzip.compress(orjson.dumps(event()))
    async with session.post(
        gateway.collect_url(), data=body, headers={"Content-Encoding": "gzip"}
    ) as response:
        assert (response.status, (await response.json())["outcome"]) == (200, "accepted")


async def test_the_script_is_served_compressed_and_revalidated(gateway, session):
    """Under 6.4 KB on the wire, also for those who take nothing newer than gzip; cacheable, with a validator."""
    script = f"{gateway.url}/insight.js"
    async with session.get(script, headers={"Accept-Encoding": "gzip, deflate, br, zstd"}) as response:
        best = await response.read()
        assert response.headers["Content-Encoding"] == "br"
    async with session.get(script, headers={"Accept-Encoding": "gzip, deflate"}) as response:
        packed = await response.read()
        etag = response.headers["ETag"]
        assert response.headers["Content-Type"] == "application/javascript; charset=utf-8"
        assert response.headers["Content-Encoding"] == "gzip"
        assert "max-age=3600" in response.headers["Cache-Control"]
        assert len(best) < len(packed) < 6.4 * 1024
    async with session.get(script, headers={"Accept-Encoding": "identity"}) as response:
        assert await response.read() == gzip.decompress(packed) == brotli.decompress(best)
    async with session.get(script, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with session.head(script, headers={"Accept-Encoding": "gzip"}) as response:
        assert (response.status, response.headers["ETag"]) == (200, etag)


async def test_the_scripts_map_is_served_compressed_and_revalidated(gateway, session):
    """For debuggers, and large: as few bytes as gzip makes of it."""
    url = f"{gateway.url}/insight.js.map"
    async with session.get(url, headers={"Accept-Encoding": "gzip, br"}) as response:
        packed, etag = await response.read(), response.headers["ETag"]
        assert ("gzip", "application/json") == (
            response.headers["Content-Encoding"],
            response.headers["Content-Type"],
        )
    assert 3 == orjson.loads(gzip.decompress(packed))["version"]
    async with session.get(url, headers={"If-None-Match": etag}) as response:
        assert 304 == response.status


async def test_a_preflight_lets_the_shops_pages_send_credentials(gateway, session):
    """And gives other sites nothing."""
    for origin, expected in (
        ("https://www.shop.example", "https://www.shop.example"),
        ("https://evil.example", None),
    ):
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        async with session.options(gateway.collect_url(), headers=headers) as response:
            assert response.status == 204
            assert response.headers.get("Access-Control-Allow-Origin") == expected


async def test_other_methods_and_paths_are_refused_briefly(gateway, session):
    """405 with `Allow`, 404, and nothing counted; a HEAD counts no event either."""
    for method, path, status in (
        ("DELETE", "/event", 405),
        ("PUT", "/insight.js", 405),
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("HEAD", "/event", 200),
    ):
        async with session.request(method, gateway.url + path) as response:
            assert response.status == status, (method, path)
            assert "aiohttp" not in response.headers["Server"]
    assert not [key for key, value in (await gateway.metrics()).items() if "events_total" in key and value]


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE canary@example.com\r\n\r\n",
        b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: canary@example.com\r\n\r\n",
        b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /event HTTP/1.1\r\nHost: x\r\ncanary@example.com\r\n\r\n",
        b"GET /event HTTP/1.1\r\nHost: x\r\nX: " + b"canary@example.com" * 6000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary@example.com\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_short_answer_that_repeats_nothing(gateway, request_):
    """A 400 or 431, and neither it nor the log quotes what was sent."""
    answer = await raw(gateway, request_)
    assert re.match(rb"HTTP/1\.[01] (400|431)", answer)
    assert b"canary" not in answer
    assert "canary" not in gateway.log()


async def test_an_absolute_target_and_pipelined_requests_are_taken(gateway):
    """As proxies and old clients send them; each is answered, in order."""
    body = orjson.dumps(event())
    target = gateway.collect_url()
    one = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
    answer = await raw(gateway, (one + b"\r\n" + body) * 2 + one + b"Connection: close\r\n\r\n" + body)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b'"outcome":"accepted"') == 3


async def test_bytes_that_are_no_text_are_survived(gateway):
    """In a header they become replacement characters, and in the target too, where clients of old send them unencoded."""
    rest = (
        b"&uid=123456789&ec=a&ea=b HTTP/1.1\r\nHost: x\r\nUser-Agent: \xff\xfe\r\nConnection: close\r\n\r\n"
    )
    target = f"GET {gateway.collect_url()}".encode()
    assert (await raw(gateway, target + rest)).startswith(b"HTTP/1.1 200")
    assert (await raw(gateway, target + b"&x=\xff" + rest)).startswith(b"HTTP/1.1 200")


async def test_a_body_with_broken_compression_is_malformed(gateway, session):
    """It came whole, so it counts, and its sender is told."""
    async with session.post(
        gateway.collect_url(), data=b"no gzip", headers={"Content-Encoding": "gzip"}
    ) as response:
        assert (response.status, (await response.json())["reason"]) == (400, "bad_body")


async def test_a_client_that_hangs_up_in_mid_body_leaves_no_trace(gateway, session):
    """No event came in, so none is counted, and nothing breaks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    del reader
    async with session.post(gateway.collect_url(), json=event()) as response:
        assert response.status == 200
    counted = {
        key: value for key, value in (await gateway.metrics()).items() if "events_total" in key and value
    }
    assert counted == {'tracking_gateway_events_total{outcome="accepted",reason="ok"}': 1}
    assert not gateway.log_lines("library")


async def test_the_admin_port_says_that_it_lives_and_is_ready(gateway, session):
    """JSON for machines."""
    for path, expected in (
        ("/healthz", {"status": "alive"}),
        ("/readyz", {"status": "ready", "problems": {}}),
    ):
        async with session.get(gateway.admin_url + path) as response:
            assert (response.status, await response.json()) == (200, expected)
