"""TLS on the public port, by real handshakes: what is spoken, who is refused, and how a new certificate comes in under load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import ssl
import warnings

import aiohttp
import orjson
import pytest
from aiohttp import web

from gateway.settings_web import Server
from gateway.tls import handshakes
from gateway.web import sites
from gateway.web.porch import Terms, bound
from tests.builders import event
from tests.command_line import run
from tests.processes import Gateway, running_collector, until
from tests.tls_files import HOST, TlsFiles

BODY = orjson.dumps(event())


@pytest.fixture
def files(tmp_path):
    made = TlsFiles(tmp_path)
    made.put(made.issued())
    return made


@contextlib.asynccontextmanager
async def serving(files, **sections):
    """Run a gateway with TLS; its clients trust the authority of `files`."""
    async with running_collector() as collector:
        gateway = Gateway(files.folder, collector.url, tls=files.sections, **sections)
        gateway.url = f"https://127.0.0.1:{gateway.port}"
        await gateway.start()
        try:
            yield gateway
        finally:
            with contextlib.suppress(TimeoutError):
                await gateway.stop()
            if gateway.process.returncode is None:
                await gateway.kill()


async def connected(gateway, context):
    return await asyncio.open_connection(
        "127.0.0.1", gateway.port, ssl=context, server_hostname=HOST, ssl_handshake_timeout=20
    )


async def shown(gateway, files):
    """Give the serial number of the certificate that a new connection is shown."""
    _, writer = await connected(gateway, files.client())
    serial = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return int(serial, 16)


async def readiness(gateway):
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/readyz") as response:
        return response.status, await response.json()


async def failures(gateway, kind):
    return (await gateway.metrics())[f'tracking_gateway_tls_failures_total{{kind="{kind}"}}']


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "aiohttp"])
async def test_events_are_taken_over_tls_as_they_are_without(files, fast_path):
    """One after the other and pipelined, on the connection itself and through aiohttp."""
    async with serving(files, server={"fast_path": fast_path}) as gateway:
        reader, writer = await connected(gateway, files.client())
        path = gateway.collect_url().removeprefix(gateway.url)
        post = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
        script = f"GET /insight.js HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
        # More than the receiving side of a record can hold at once.
        for piece in (post * 3, post[:90], post[90:] + post * 40, script):
            writer.write(piece)
            await writer.drain()
        answers = await asyncio.wait_for(reader.read(), 30)
        assert 44 == answers.count(b'"outcome":"accepted"')
        assert 45 == answers.count(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_old_protocols_and_plain_http_are_refused_and_counted(files):
    """1.2 and 1.3 with forward secrecy and no HTTP but 1.1; what isn't TLS is closed without an answer."""
    async with serving(files) as gateway:
        for version, number in (("TLSv1.2", ssl.TLSVersion.TLSv1_2), ("TLSv1.3", ssl.TLSVersion.TLSv1_3)):
            context = files.client()
            context.minimum_version = context.maximum_version = number
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await connected(gateway, context)
            found = writer.get_extra_info("ssl_object")
            assert (version, "http/1.1") == (found.version(), found.selected_alpn_protocol())
            assert found.cipher()[0].startswith(("ECDHE-", "TLS_"))
            assert "CBC" not in found.cipher()[0]
            writer.close()
        old = files.client()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        weak = files.client()
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("AES256-SHA256")
        for context in (old, weak):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await connected(gateway, context)
        assert 2 == await failures(gateway, "too_old")
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"POST /event HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert 1 == await failures(gateway, "plain_http")
        assert not gateway.log_lines("fault")


async def test_only_the_newest_version_where_that_is_asked_for(files):
    """`minimum_version = "1.3"`."""
    files.sections["minimum_version"] = "1.3"
    async with serving(files) as gateway:
        context = files.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connected(gateway, context)
        assert await shown(gateway, files)
        # Ready is a moment before that is written.
        [started] = await until(lambda: _is(gateway.log_lines("started")), "it says that it has started")
        assert gateway.url == started["listen"]


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "aiohttp"])
async def test_browsers_are_told_to_stay_with_tls_where_that_is_asked_for(files, fast_path):
    """On every answer, a refusal too; and nothing of it by default."""
    files.sections["hsts_seconds"] = 31_536_000
    async with serving(files, server={"fast_path": fast_path}) as gateway, aiohttp.ClientSession() as session:
        for path in ("/insight.js", "/nothing", gateway.collect_url().removeprefix(gateway.url)):
            async with session.get(gateway.url + path, ssl=files.client(), server_hostname=HOST) as response:
                assert ["max-age=31536000"] == response.headers.getall("Strict-Transport-Security"), path


class Visitors:
    """Clients that go on sending events until they are told to stop: some on one connection, some on a new one for each."""

    def __init__(self, gateway, files):
        self.gateway = gateway
        self.files = files
        self.kept = self.fresh = 0
        self.numbers = itertools.count()
        self.stop = asyncio.Event()

    async def on_one_connection(self):
        async with aiohttp.ClientSession() as session:
            while not self.stop.is_set():
                await self._send(session)
                self.kept += 1

    async def on_new_connections(self):
        while not self.stop.is_set():
            async with aiohttp.ClientSession() as session:
                await self._send(session)
                self.fresh += 1

    async def _send(self, session):
        # Each of another visitor: how often they come is bounded for one.
        body = orjson.dumps(event(uid=str(1_000_000 + next(self.numbers))))
        async with session.post(
            self.gateway.collect_url(), data=body, ssl=self.files.client(), server_hostname=HOST
        ) as response:
            assert 200 == response.status, await response.text()

    async def until_more(self):
        kept, fresh = self.kept + 3, self.fresh + 3

        async def sent():
            return self.kept >= kept and self.fresh >= fresh

        await until(sent, "visitors went on")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_new_certificate_comes_in_under_load_and_a_bad_one_stays_out(files, workers):
    """Not one request fails; whoever has a connection keeps it; readiness warns of the bad pair, and of nothing when it is mended."""
    first = files.issued()
    files.put(first)
    async with serving(files, server={"workers": workers}) as gateway:
        visitors = Visitors(gateway, files)
        tasks = [asyncio.create_task(visitors.on_one_connection()) for _ in range(2)]
        tasks.append(asyncio.create_task(visitors.on_new_connections()))
        before = await shown(gateway, files)
        for how in ("rename", "hangup"):
            await visitors.until_more()
            files.put(files.issued())
            if how == "hangup":
                gateway.process.send_signal(signal.SIGHUP)
            asked = 1 if how == "rename" else 2

            async def taken(before=before, lines=workers * asked):
                shows = await shown(gateway, files)
                return shows != before and len(gateway.log_lines("tls_pair_taken")) >= lines

            await until(taken, "every worker shows the new certificate")
            before = await shown(gateway, files)
            await visitors.until_more()
        files.chain.write_bytes(files.chain.read_bytes()[:100])

        async def warned():
            status, answer = await readiness(gateway)
            parts = {part for part in answer.get("warnings", {}) if part.endswith("tls")}
            return status == 200 and len(parts) == workers

        await until(warned, "readiness warns of the bad pair")
        await visitors.until_more()
        assert before == await shown(gateway, files)
        files.put(files.issued())

        async def mended():
            return "warnings" not in (await readiness(gateway))[1]

        await until(mended, "nothing is wrong any more")
        await visitors.until_more()
        visitors.stop.set()
        await asyncio.gather(*tasks)
        metrics = await gateway.metrics()
        assert 80 * 86_400 < metrics["tracking_gateway_tls_expires_seconds"] < 91 * 86_400
        assert (
            visitors.kept + visitors.fresh
            == metrics['tracking_gateway_events_total{outcome="accepted",reason="ok"}']
        )


async def test_a_gateway_does_not_start_without_a_usable_pair(files):
    """It says which file it is, why, and what would mend it; nothing was taken. `check` says so before."""
    gateway = Gateway(files.folder, "http://127.0.0.1:9", tls=files.sections)
    files.key.unlink()
    end = await run("serve", "--config", gateway.config)
    assert 1 == end.code
    assert "key.pem can't be used for TLS: No such file or directory" in end.err
    assert "tls.key_file its key" in end.err
    checked = await run("check", "--config", gateway.config)
    assert 0 == checked.code
    # A terminal's lines may be broken there.
    assert "key.pem can't be used for TLS" in " ".join(checked.out.split())
    assert (
        "can't be used"
        in (await run("check", "--config", gateway.config, "--json")).json["certificate"]["problem"]
    )


async def test_check_tells_for_whom_the_certificate_is_and_until_when(files):
    """And notes one that ends soon, or that isn't for the gateway's public name."""
    public = {"public_url": "https://t.other.example"}
    gateway = Gateway(files.folder, "http://127.0.0.1:9", tls=files.sections, server=public)
    files.put(files.issued(days=5.5))
    found = (await run("check", "--config", gateway.config, "--json")).json["certificate"]
    assert ([HOST], 5) == (found["names"], found["expires_days"])
    said = " ".join((await run("check", "--config", gateway.config)).out.split())
    assert f"certificate for {HOST} until {found['expires']}" in said
    assert "expires in 5 days: renew it" in said
    assert "but browsers reach the gateway as t.other.example" in said


@contextlib.asynccontextmanager
async def on_the_porch(files, **terms):
    """Serve with TLS in this process, to whoever comes from 127.0.0.x; gives the port and the porch."""

    async def answer(_):
        return web.Response(text="here")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.chain, files.key)
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    assert f"https://127.0.0.1:{port}" == await sites.start_public(
        runner, Server(), listener, Terms(context, **terms)
    )
    [site] = runner.sites
    try:
        yield port, site._server
    finally:
        await asyncio.wait_for(runner.cleanup(), 20)


async def is_answered(files, port):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}", ssl=files.client(), server_hostname=HOST) as response,
    ):
        return await response.text() == "here"


async def test_a_client_that_never_shakes_hands_is_cut_off(files, monkeypatch):
    """A connection without TLS is no connection, and costs a bounded time."""
    monkeypatch.setattr(handshakes, "SECONDS", 0.2)
    async with on_the_porch(files) as (port, porch):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionError):
            assert b"" == await asyncio.wait_for(reader.read(), 20)
        writer.close()
        monkeypatch.undo()
        assert await is_answered(files, port)
        await until(lambda: _is(len(porch) == 0), "nobody is on the porch")


async def test_clients_that_say_nothing_keep_nobody_out(files, monkeypatch):
    """However many there are: the client with the most of them makes room, its oldest one first; a single slow one keeps its place."""
    monkeypatch.setattr(handshakes, "SECONDS", 600.0)
    made_room = []
    terms = {"most": 20, "on_too_many": lambda: made_room.append(1)}
    async with on_the_porch(files, **terms) as (port, porch), contextlib.AsyncExitStack() as stack:

        async def comes(address):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            stack.callback(writer.close)
            return reader

        slow = await comes("127.0.0.2")
        silent = [await comes("127.0.0.3") for _ in range(40)]
        await until(lambda: _is(len(porch) == 20), "the porch is full")
        with contextlib.suppress(ConnectionError):
            assert b"" == await asyncio.wait_for(silent[0].read(), 20)
        assert await is_answered(files, port)
        assert (False, False) == (slow.at_eof(), silent[-1].at_eof())
        assert len(made_room) >= 21


async def test_a_client_that_goes_before_its_handshake_takes_no_room(files):
    """Such as a balancer that looks whether the port is open."""
    made_room = []
    async with on_the_porch(files, most=5, on_too_many=lambda: made_room.append(1)) as (port, porch):
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await until(lambda: _is(len(porch) == 0), "nobody is on the porch")
        assert [] == made_room
        assert await is_answered(files, port)


async def test_stopping_waits_for_no_handshake(files, monkeypatch):
    """Who has not begun is gone at once."""
    monkeypatch.setattr(handshakes, "SECONDS", 600.0)
    async with on_the_porch(files) as (port, porch):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: _is(len(porch) == 1), "it is on the porch")
    with contextlib.suppress(ConnectionError):
        assert b"" == await asyncio.wait_for(reader.read(), 20)
    writer.close()


async def test_a_port_that_is_taken_is_told():
    """As it is without TLS."""
    sockets = await bound("127.0.0.1", 0)
    try:
        [each] = sockets
        each.listen()
        with pytest.raises(OSError, match=str(each.getsockname()[1])):
            await bound("127.0.0.1", each.getsockname()[1])
    finally:
        for each in sockets:
            each.close()


async def _is(value):
    return value
