"""Collectors that are really broken, on loopback: certificates, listeners that accept nobody, trickles, and all of it by turns."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme

from gateway.delivery.client import CollectorClient
from gateway.delivery.contract import Delivered, Retry
from gateway.delivery.retry import Breaker, RetryPolicy
from tests.integration.test_delivery_client import OK, Peer, Server, polite, sent, serving, until
from tests.unit.delivery_fakes import FakeSpool, post, record

NOW = datetime.now(UTC)
QUICK = RetryPolicy(base_seconds=0.01, cap_seconds=0.05, longest_retry_after_seconds=0.05)
WIDTH = 8


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def showing(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Give a server's context that shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def good_certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("localhost")


WRONG = {
    "another name": lambda authority: authority.issue_cert("collector.example"),
    "expired": lambda authority: authority.issue_cert(
        "localhost", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1)
    ),
    "not yet valid": lambda authority: authority.issue_cert("localhost", not_before=NOW + timedelta(days=2)),
    "of another authority": lambda _: trustme.CA().issue_cert("localhost"),
}


@pytest.mark.parametrize("which", WRONG)
async def test_a_wrong_certificate_gets_no_event(authority, ca_file, which):
    """Whatever is wrong with it, no byte of an event is sent, and the attempt is a retry that names TLS."""
    context = showing(WRONG[which](authority))
    async with serving(polite, context=context, ca_file=ca_file) as (server, client):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for _ in range(2):
            assert Retry("TLS: CERTIFICATE_VERIFY_FAILED") == await sent(client)
        assert ([], 0) == (server.requests, client.open_connections)


async def test_a_collector_that_speaks_no_tls_gets_no_event(ca_file):
    """Where TLS is configured nothing leaves in the clear."""

    async def plain(peer, _):
        await peer.anything()
        await peer.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with serving(plain) as (server, _):
        client = CollectorClient(f"https://localhost:{server.port}/event", ca_file=ca_file)
        verdict = await sent(client)
        assert isinstance(verdict, Retry)
        assert verdict.cause.startswith("TLS: ")
        await client.close()


async def test_a_listener_that_accepts_nobody_costs_the_time_limit():
    """Connections that the system takes and no server ever sees are broken off in time, and so is one that the system leaves waiting."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/event"
        client = CollectorClient(url, timeout_seconds=1.5, connect_timeout_seconds=0.7)
        verdicts = await asyncio.gather(*(sent(client) for _ in range(8)))
        # How many of them the system takes is its own business.
        assert {each.cause for each in verdicts} <= {
            "timeout: no answer in time",
            "timeout: not connected in time",
        }
        await client.close()
        assert 0 == client.open_connections


async def test_an_answer_that_trickles_is_broken_off_in_time():
    """The limit is the attempt's: a byte now and then does not put it off."""

    async def script(peer, _):
        await peer.request()
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Slow: " + b"x" * 10_000:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0.01)

    async with serving(script, timeout_seconds=0.3) as (_, client):
        verdict = await sent(client)
        assert isinstance(verdict, Retry)
        assert verdict.cause.startswith("timeout")


async def test_a_date_in_retry_after_is_a_wait():
    """The collector may name a moment instead of seconds."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    async def script(peer, _):
        await peer.request()
        await peer.say(f"HTTP/1.1 429 No\r\nRetry-After: {moment}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serving(script) as (_, client):
        verdict = await sent(client)
        assert isinstance(verdict, Retry)
        assert 60.0 < (verdict.after_seconds or 0.0) <= 90.0


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_server_that_closes_after_each_answer_gets_each_event_once(says_so):
    """Whether or not it announces it, every event is delivered at its first attempt and none is sent twice."""
    answer = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if says_so else OK

    async def script(peer, _):
        await peer.request()
        await peer.say(answer)

    async with serving(script) as (server, client):
        for _ in range(20):
            assert isinstance(await sent(client), Delivered)
        assert 20 == len(server.requests)


class Moody:
    """A collector whose every request meets a mood of chance; notes what it took, and each request's bytes by the event's id."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.is_well = False
        self.taken: list[str] = []
        self.bytes_of: dict[str, set[bytes]] = defaultdict(set)

    async def __call__(self, peer: Peer, _number: int) -> None:
        while await self._turn(peer):
            pass

    async def _turn(self, peer: Peer) -> bool:
        """Take one request; tells whether the connection is kept."""
        request = await peer.request()
        event_id = request.partition(b"request_id=")[2].split(b" ")[0].decode()
        self.bytes_of[event_id].add(request)
        mood = "ok" if self.is_well else self._dice.choice(MOODS)
        if mood == "hang":
            await peer.gone()
        elif mood == "reset":
            peer.reset()
        elif mood in {"ok", "close", "torn"}:
            self.taken.append(event_id)
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok" if mood == "torn" else OK)
            if mood == "torn":
                peer.reset()
        else:
            await peer.say(ANSWERS[mood])
        return mood == "ok" or mood in ANSWERS


ANSWERS = {
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",
    "429, a second": b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "503, a date": b"HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 2038 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n",
}
MOODS = ("ok", "ok", "ok", "close", "hang", "reset", "torn", "garbage", *ANSWERS)
ANSWERS["garbage"] = b"\x16\x03\x01 this is no HTTP\r\n\r\n"


async def probed(running) -> None:
    """Wait until the collector was asked twice more, in vain."""
    goal = running.journal.phases.count("half_open") + 3
    await until(lambda: running.journal.phases.count("half_open") >= goal)


async def test_a_collector_with_every_fault_by_turns_gets_every_event_in_order(authority, ca_file):
    """Over TLS, through hangs, resets, torn answers, garbage, storms, a wrong certificate and nobody at all: in order, the same bytes each time."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    collector = Moody(random.Random(11))
    records = [record(number, f"u{number % 24}", age_seconds=0.0) for number in range(240)]
    spool = FakeSpool(records)
    good, wrong = (showing(each) for each in (good_certificate(authority), WRONG["expired"](authority)))
    server = Server(collector)
    await server.serve(good)
    port = server.port
    client = CollectorClient(server.url, timeout_seconds=0.25, max_connections=WIDTH, ca_file=ca_file)
    breaker = Breaker(threshold=6, pause=QUICK)
    async with (
        asyncio.timeout(60),
        post(
            spool, sink=client, retry=QUICK, breaker=breaker, concurrency=WIDTH, clock=lambda: 1_800_000_000.0
        ) as running,
    ):
        # Well enough; then nobody listens; then somebody with a wrong certificate; then well enough again.
        await until(lambda: len(collector.taken) >= 60)
        await server.close()
        await probed(running)
        server = Server(collector)
        await server.serve(wrong, port)
        await probed(running)
        await server.close()
        server = Server(collector)
        await server.serve(good, port)
        await until(lambda: len(collector.taken) >= 150)
        collector.is_well = True
        await until(lambda: not spool.pending)
        assert [] == running.dead_letters.kept
        assert [item.event_id for item in records] == sorted(
            (event_id for event_id, fate, _ in running.journal.fates if fate == "delivered"),
            key=lambda e: int(e[1:]),
        )
    await client.close()
    await server.close()
    assert dict.fromkeys(collector.bytes_of, 1) == {
        event_id: len(requests) for event_id, requests in collector.bytes_of.items()
    }
    first = list(dict.fromkeys(collector.taken))
    for user in range(24):
        assert [f"e{number}" for number in range(user, 240, 24)] == [
            e for e in first if int(e[1:]) % 24 == user
        ]
