"""What is no tracking goes through the addon as if it were not there: to the last byte, as soon as it comes, and unread."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import random

import aiohttp
import brotli
import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web

from tests.addon.conftest import CONFIG, EVENT, VENDOR, ask
from tests.builders import event
from tests.mitmdump import Mitmdump, qa_venv, running_mitmdump
from tests.processes import PATIENCE_SECONDS, ROOT, running_collector
from tests.tls_files import TlsFiles

# One loop, for two mitmdumps serve all: each takes seconds to start.
pytestmark = pytest.mark.asyncio(loop_scope="module")

NOISE = random.Random(7).randbytes(3_000_000)
TEXT = "Trà xanh 🍵".encode() * 500
ANSWERS = {
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Odd: a\r\nx-odd: b\r\nContent-Length: %d\r\n\r\n",
    "/br": b"HTTP/1.1 200 Fine\r\ncontent-encoding: br\r\nContent-Length: %d\r\n\r\n",
    "/lie": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n",
    "/range": b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/20\r\nETag: "x"\r\nContent-Length: %d\r\n\r\n',
    "/sw.js": b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nService-Worker-Allowed: /\r\nContent-Length: %d\r\n\r\n",
    "/large": b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
    "/event": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
    "/end": b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Length: %d\r\n\r\n",
}  # fmt: skip
BODIES = {
    "/gzip": gzip.compress(TEXT, mtime=1),
    "/br": brotli.compress(TEXT),
    "/lie": b"no gzip",
    "/range": b"bytes",
    "/sw.js": b"self.addEventListener('fetch', () => {});",
    "/large": NOISE,
    "/event": b'{"mine": true}',
    "/end": TEXT,
}
REQUESTS = [
    ("GET", "/gzip?a=%7e&b", (("Accept-Encoding", "gzip"), ("X-Odd", "1"), ("x-ODD", "2")), b""),
    ("POST", "/br", (("Content-Encoding", "gzip"),), gzip.compress(TEXT, mtime=2)),
    ("POST", "/lie", (("Content-Encoding", "br"), ("Content-Type", "application/json")), b"{no br, no JSON"),
    ("GET", "/range", (("Range", "bytes=5-9"), ("If-Range", '"x"')), b""),
    ("GET", "/sw.js", (("Service-Worker", "script"), ("Sec-Fetch-Dest", "serviceworker")), b""),
    ("GET", "/large", (), b""),
    ("POST", "/event?portal_id=33167", (("Content-Type", "application/json"),), b'{"ec":"pageview"}'),
    ("PUT", "/end", (), NOISE[:300_000]),
]  # fmt: skip


@contextlib.asynccontextmanager
async def listening(serve):
    """Serve raw connections on a free port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def unread(mitmdump):
    """Whatever goes through meanwhile: no code of the addon's or the gateway's looks at a body."""
    before = mitmdump.output().count("READ")
    yield
    assert before == mitmdump.output().count("READ"), mitmdump.output()


def spied(folder, *arguments, **more):
    """Give a mitmdump with the addon, which says whose body is read."""
    config = folder / "gateway.toml"
    # The collector of the defaults is at this machine, as the sites of these tests are.
    config.write_text('[collector]\nurl = "https://a.cdp.asia/event"\n' + CONFIG, encoding="utf-8")
    reads = ("-s", str(ROOT / "tests/mitmdump_reads.py"))
    return Mitmdump.with_addon(folder, config, *reads, *arguments, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector():
    async with running_collector() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory, collector):
    """Two mitmdumps: one alone, one with the addon."""
    arguments = ("--set", "ssl_insecure=true")
    names = {VENDOR: collector.url.removeprefix("http://")}
    alone = Mitmdump(tmp_path_factory.mktemp("alone"), *arguments, names=names)
    beside = spied(tmp_path_factory.mktemp("beside"), *arguments, names=names)
    async with running_mitmdump(alone), running_mitmdump(beside):
        yield alone, beside


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streaming(tmp_path_factory):
    """One with the addon that is told to stream."""
    mitmdump = spied(tmp_path_factory.mktemp("streaming"), "--set", "stream_large_bodies=1")
    async with running_mitmdump(mitmdump):
        yield mitmdump


@pytest.fixture(params=["events", "pieces"])
def flowing(request, pair, streaming):
    """Give a proxy and the type of an answer that flows through it."""
    return (
        (pair[1], "text/event-stream")
        if request.param == "events"
        else (streaming, "application/octet-stream")
    )


async def test_every_byte_is_as_without_the_addon(pair):
    """Heads, codings, ranges, scripts of service workers, large bodies and what is no valid body, both ways; nothing of them is read."""
    got = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")), 0)  # fmt: skip
        got.append(head + await reader.readexactly(length))
        path = head.split(b" ")[1].split(b"?")[0].decode()
        writer.write(ANSWERS[path] % len(BODIES[path]) + BODIES[path])
        await writer.drain()
        writer.close()

    async with listening(serve) as port, unread(pair[1]):
        for method, target, headers, body in REQUESTS:
            url = f"http://127.0.0.1:{port}{target}"
            answers = [await ask(each.proxy, url, body, method=method, headers=headers) for each in pair]
            assert answers[0] == answers[1]
            assert BODIES[target.partition("?")[0]] == answers[1].body
            without, beside = got[-2:]
            assert without == beside
            assert beside.endswith(body)


async def test_the_witness_sees_what_is_read(pair):
    """A tracking call's body is read: the other tests would see it if theirs were."""
    await ask(pair[1].proxy, EVENT, event())
    await pair[1].said("READ /event")


async def test_a_stream_flows(flowing):
    """Its first piece is there before the last is sent: server-sent events as they are, all else where mitmproxy is told to stream."""
    mitmdump, kind = flowing
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"9\r\ndata: 1\n\n\r\n")
        await go_on.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with (
        listening(serve) as port,
        unread(mitmdump),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/news", proxy=mitmdump.proxy) as answer,
    ):
        first = await asyncio.wait_for(answer.content.readexactly(9), PATIENCE_SECONDS)
        go_on.set()
        assert b"data: 1\n\n" == first
        assert b"data: 2\n\n" == await answer.content.read()


async def test_a_large_upload_flows(streaming):
    """The site has its first piece before the browser sends the last, where mitmproxy is told to stream."""
    there = asyncio.Event()
    digest = hashlib.sha256()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        left = len(NOISE)
        while left:
            piece = await reader.read(65_536)
            digest.update(piece)
            left -= len(piece)
            there.set()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def pieces():
        yield NOISE[:1_000_000]
        await asyncio.wait_for(there.wait(), PATIENCE_SECONDS)
        yield NOISE[1_000_000:]

    async with listening(serve) as port, unread(streaming), aiohttp.ClientSession() as session:
        headers = {"Content-Length": str(len(NOISE))}
        url = f"http://127.0.0.1:{port}/up"
        async with session.put(url, data=pieces(), headers=headers, proxy=streaming.proxy) as answer:
            assert 204 == answer.status
    assert hashlib.sha256(NOISE).digest() == digest.digest()


async def test_a_websocket_talks_both_ways(pair):
    """Texts and bytes arrive as they were sent."""

    async def serve(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await (
                socket.send_str(message.data)
                if message.type is WSMsgType.TEXT
                else socket.send_bytes(message.data)
            )
        return socket

    app = web.Application()
    app.add_routes([web.get("/ws", serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with unread(pair[1]), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/ws"
            async with session.ws_connect(url, proxy=pair[1].proxy) as socket:
                await socket.send_str(TEXT.decode())
                assert TEXT.decode() == (await socket.receive(PATIENCE_SECONDS)).data
                await socket.send_bytes(NOISE[:200_000])
                assert NOISE[:200_000] == (await socket.receive(PATIENCE_SECONDS)).data
    finally:
        await runner.cleanup()


async def test_a_tunnel_to_another_host_is_a_tunnel(pair):
    """What is no HTTP goes through CONNECT as bytes."""

    async def serve(reader, writer):
        writer.write(b"\x00hello\xff")
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()

    async with listening(serve) as port, unread(pair[1]):
        reader, writer = await asyncio.open_connection("127.0.0.1", pair[1].port)
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01\x02\x03\x04")
        assert b"\x00hello\xff\x00\x01\x02\x03\x04" == await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        writer.close()


async def test_http_2_is_as_without_the_addon(pair, tmp_path):
    """Several streams of one connection, with codings and large bodies, both ways."""
    tls = TlsFiles(tmp_path)
    tls.put(tls.issued("localhost"))
    routes = [
        {"path": "/a", "headers": [["accept-encoding", "br"], ["x-odd", "1"]], "body": "", "answer": BODIES["/br"].hex(), "coding": "br"},
        {"path": "/b", "headers": [["content-encoding", "gzip"]], "body": BODIES["/gzip"].hex(), "answer": NOISE[:400_000].hex(), "coding": "identity"},
        {"path": "/sw.js", "headers": [["service-worker", "script"]], "body": "", "answer": BODIES["/sw.js"].hex(), "coding": "identity"},
    ]  # fmt: skip
    (tmp_path / "routes.json").write_text(json.dumps(routes), encoding="utf-8")
    async with unread(pair[1]):
        told = []
        for each in pair:
            process = await asyncio.create_subprocess_exec(
                qa_venv() / "bin/python", ROOT / "tests/h2_ends.py", str(each.port), tls.chain, tls.key, tmp_path / "routes.json",
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await asyncio.wait_for(process.communicate(), 70)
            assert 0 == process.returncode, each.output()
            told.append(json.loads(out))
        assert told[0] == told[1]
        assert {each["path"]: each["answer"] for each in routes} == {
            path: body for path, (_, body) in told[1]["came"].items()
        }
        assert BODIES["/gzip"].hex() == told[1]["seen"]["/b"][1]
