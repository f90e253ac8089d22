"""Nobody can make the gateway and a proxy before it disagree on where a request ends: what may be read in two ways is not read."""

from __future__ import annotations

import re

import pytest

from tests.builders import QUERY
from tests.public_port import EVENT, post, serving

BEHIND = post(EVENT, query=QUERY + "&request_id=smuggled")
_START = b"POST /event?" + QUERY.encode() + b" HTTP/1.1\r\nHost: x\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(EVENT)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)
_GET = b"GET /event?" + QUERY.encode() + b"&uid=123456789&ec=a&ea=b HTTP/1.1\r\n"

SHAPES = {
    "CL.TE": _START + _LENGTH + _CHUNKED + b"\r\n" + EVENT,
    "TE.CL": _START + _CHUNKED + _LENGTH + b"\r\n" + _CHUNKS,
    "TE.TE": _START + _CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + _CHUNKS,
    "TE twice": _START + _CHUNKED + _CHUNKED + b"\r\n" + _CHUNKS,
    "xchunked": _START + b"Transfer-Encoding: xchunked\r\n\r\n" + _CHUNKS,
    "chunked in a list": _START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _CHUNKS,
    "chunked not last": _START + b"Transfer-Encoding: chunked, identity\r\n\r\n" + _CHUNKS,
    "chunked with a parameter": _START + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + _CHUNKS,
    "quoted chunked": _START + b'Transfer-Encoding: "chunked"\r\n\r\n' + _CHUNKS,
    "vertical tab": _START + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + _CHUNKS,
    "no break space": _START + b"Transfer-Encoding: chunked\xa0\r\n\r\n" + _CHUNKS,
    "empty TE": _START + b"Transfer-Encoding:\r\n" + _LENGTH + b"\r\n" + EVENT,
    "TE with HTTP/1.0": _START.replace(b"1.1", b"1.0") + _CHUNKED + b"\r\n" + _CHUNKS,
    "differing lengths": _START + _LENGTH + b"Content-Length: 5\r\n\r\n" + EVENT,
    "same lengths": _START + _LENGTH + _LENGTH + b"\r\n" + EVENT,
    "lengths in a list": _START + _LENGTH.replace(b"\r", b", 5\r") + b"\r\n" + EVENT,
    "plus": _START + b"Content-Length: +%d\r\n\r\n" % len(EVENT) + EVENT,
    "minus": _START + b"Content-Length: -1\r\n\r\n" + EVENT,
    "hexadecimal": _START + b"Content-Length: 0x%x\r\n\r\n" % len(EVENT) + EVENT,
    "underscore": _START + b"Content-Length: 1_0\r\n\r\n" + EVENT,
    "empty length": _START + b"Content-Length:\r\n\r\n" + EVENT,
    "long length": _START + b"Content-Length: 18446744073709551%d\r\n\r\n" % (616 + len(EVENT)) + EVENT,
    "other digits": _START + "Content-Length: \u0663\r\n\r\n".encode() + EVENT,
    "length with a blank inside": _START + b"Content-Length: 1 2\r\n\r\n" + EVENT,
    "blank before the colon": _START + _LENGTH.replace(b":", b" :") + b"\r\n" + EVENT,
    "tab before the colon": _START + _CHUNKED.replace(b":", b"\t:") + b"\r\n" + _CHUNKS,
    "blank before the name": _START + b" " + _LENGTH + b"\r\n" + EVENT,
    "folded line": _START + b"X: a\r\n" + b" " + _CHUNKED + _LENGTH + b"\r\n" + EVENT,
    "folded at once": _START.replace(b"Host", b" Host") + _LENGTH + b"\r\n" + EVENT,
    "bare LF": _START + b"X: a\n" + _CHUNKED + b"\r\n" + _CHUNKS,
    "bare LF everywhere": (_START + _LENGTH + b"\r\n").replace(b"\r", b"") + EVENT,
    "bare CR": _START + b"X: a\r" + _CHUNKED + b"\r\n" + _CHUNKS,
    "CR CR LF": _START + b"X: a\r\r\n" + _LENGTH + b"\r\n" + EVENT,
    "NUL in a value": _START + b"X: a\x00\r\n" + _LENGTH + b"\r\n" + EVENT,
    "NUL in a name": _START + b"Content-Length\x00: 5\r\n" + _LENGTH + b"\r\n" + EVENT,
    "NUL in the target": _START.replace(b"/event", b"/ev\x00ent") + _LENGTH + b"\r\n" + EVENT,
    "nameless": _START + b": chunked\r\n" + _LENGTH + b"\r\n" + EVENT,
    "no colon": _START + b"Transfer-Encoding chunked\r\n" + _LENGTH + b"\r\n" + EVENT,
    "two hosts": _START + b"Host: y\r\n" + _LENGTH + b"\r\n" + EVENT,
    "no host": b"POST /event HTTP/1.1\r\n" + _LENGTH + b"\r\n" + EVENT,
    "two blanks": _START.replace(b" HTTP", b"  HTTP") + _LENGTH + b"\r\n" + EVENT,
    "blank in the target": _START.replace(b"/event", b"/ev ent") + _LENGTH + b"\r\n" + EVENT,
    "HTTP/2": _START.replace(b"1.1", b"2.0") + _LENGTH + b"\r\n" + EVENT,
    "HTTP/1.2": _START.replace(b"1.1", b"1.2") + _LENGTH + b"\r\n" + EVENT,
    "no version": _START.replace(b" HTTP/1.1", b"") + _LENGTH + b"\r\n" + EVENT,
    "GET with a body": _GET + b"Host: x\r\n" + _LENGTH + b"\r\n" + EVENT,
    "GET with chunks": _GET + b"Host: x\r\n" + _CHUNKED + b"\r\n" + _CHUNKS,
    "chunk extension": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(b"\r\n", b";a=b\r\n", 1),
    "chunk extension with a bare LF": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(b"\r\n", b";a\n\r\n", 1),
    "blank behind a chunk's length": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(b"\r\n", b" \r\n", 1),
    "chunk overflow": _START + _CHUNKED + b"\r\n1000000000000000" + _CHUNKS,
    "chunk of minus": _START + _CHUNKED + b"\r\n-" + _CHUNKS,
    "chunk in 0x": _START + _CHUNKED + b"\r\n0x" + _CHUNKS,
    "chunk with an underscore": _START + _CHUNKED + b"\r\n1_0\r\n" + _CHUNKS,
    "chunk of no length": _START + _CHUNKED + b"\r\n\r\n" + _CHUNKS,
    "chunk longer than it says": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(EVENT, EVENT + b"x"),
    "chunk that ends with LF": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(EVENT + b"\r\n", EVENT + b"\n"),
    "chunk's length with LF": _START + _CHUNKED + b"\r\n" + _CHUNKS.replace(b"\r\n", b"\n", 1),
    "trailer": _START + _CHUNKED + b"\r\n" + _CHUNKS[:-2] + b"Content-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
async def test_shapes_that_can_be_read_in_two_ways_are_refused(tmp_path, is_fast):
    """400 and the end of the connection; nothing is counted as an event, and what stands behind is never taken for a request."""
    async with serving(tmp_path, is_fast=is_fast) as port:
        for name, shape in SHAPES.items():
            for pieces in (
                [shape + BEHIND],
                [shape, BEHIND],
                [shape[:40], shape[40:-7], shape[-7:] + BEHIND],
            ):
                async with port.client() as client:
                    for piece in pieces:
                        client.write(piece)
                    answer = await client.until_closed()
                    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), (name, answer)
                    assert 1 == answer.count(b"HTTP/1."), (name, answer)
                    assert b"smuggled" not in answer, name
        assert {} == port.counted()
        assert 0 == port.spool.pending
        refused = port.counted("tracking_gateway_requests_refused_total")
        assert 3 * len(SHAPES) == sum(refused.values())
        assert {("malformed",), ("framing",)} == refused.keys()


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
async def test_good_requests_before_a_refused_one_are_answered(tmp_path, is_fast):
    """The answers come in order, the refusal last; each event that was sent rightly is kept."""
    async with serving(tmp_path, is_fast=is_fast) as port, port.client() as client:
        client.write(post() + post(EVENT, b"X-Not-Plain: 1", b"TE: trailers") + SHAPES["CL.TE"] + BEHIND)
        answer = await client.until_closed()
        assert [b"200", b"200", b"400"] == re.findall(rb"HTTP/1\.[01] (\d+)", answer)
        assert 2 == port.spool.pending


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
async def test_nothing_behind_a_last_request_is_read(tmp_path, is_fast):
    """Who says `Connection: close`, or speaks HTTP/1.0, gets one answer."""
    async with serving(tmp_path, is_fast=is_fast) as port:
        for one in (post(EVENT, b"Connection: close"), post(EVENT, version=b"HTTP/1.0")):
            async with port.client() as client:
                client.write(one + BEHIND)
                answer = await client.until_closed()
                assert 1 == answer.count(b"HTTP/1."), answer
                assert b"smuggled" not in answer
        assert 2 == port.spool.pending


async def test_usual_chunks_are_read(tmp_path):
    """Any number of them, however they are cut, and the request behind them."""
    cut = (
        b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in (EVENT[:1], EVENT[1:9], EVENT[9:]))
        + b"0\r\n\r\n"
    )
    async with serving(tmp_path) as port:
        whole = _START + _CHUNKED.replace(b"chunked", b"Chunked") + b"\r\n" + cut + BEHIND
        for step in (1, 2, 7, len(whole)):
            async with port.client() as client:
                for start in range(0, len(whole), step):
                    client.write(whole[start : start + step])
                assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
                assert b"smuggled" in await client.answer()
