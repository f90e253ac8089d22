"""The collector client against real servers that behave, and real servers that do not.

Every server here is a listening socket on port 0 whose script says what it does with each connection. Each test runs on
asyncio's own loop and on uvloop, because sockets end differently in the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess

import pytest
import uvloop

from gateway.delivery.client import CollectorClient
from gateway.delivery.contract import Delivered, Retry, Undeliverable
from gateway.events.model import Record

RECORD = Record(
    "e1", "1", "2", "u", 0, "portal_id=1&request_id=e1", b'{"ec":"x"}', "203.0.113.9", "Browser/1.0"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = "connection closed"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a scenario on one of the loops, within a bound."""
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]

    def within_bound(scenario):
        async def bounded():
            async with asyncio.timeout(20):
                await scenario()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return within_bound


class Server:
    """A server that plays `script(connection, number of the connection)` for each connection."""

    def __init__(self, script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task] = set()
        self.requests: list[bytes] = []
        self.opened = 0
        self.open_now = 0
        self.most_open = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/event"

    async def serve(self, context=None, port=0) -> None:
        self.scheme = "https" if context else "http"
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer) -> None:
        self._tasks.add(asyncio.current_task())
        self.opened += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self._script(Peer(self, reader, writer), self.opened)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: Server, reader, writer) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Read one request, head and body."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        whole = head + await self._reader.readexactly(length)
        self._server.requests.append(whole)
        return whole

    async def anything(self) -> None:
        """Read what comes first, whatever it is."""
        assert await self._reader.read(65_536)

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """End the connection as a crashed server does."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        while await self._reader.read(65_536):
            pass


async def polite(peer: Peer, _number: int) -> None:
    """Answer every request with a success."""
    while True:
        await peer.request()
        await peer.say(OK)


def answering(answer: bytes):
    """Make a script that gives one answer to one request and then ends the stream."""

    async def script(peer: Peer, _number: int) -> None:
        await peer.request()
        await peer.say(answer)

    return script


@contextlib.asynccontextmanager
async def serving(script, *, context=None, **options):
    """Give a server that plays a script, and a client of it."""
    server = Server(script)
    await server.serve(context)
    client = CollectorClient(server.url, **{"timeout_seconds": 10.0, **options})
    try:
        yield server, client
    finally:
        await client.close()
        assert client.open_connections == 0
        await server.close()


def sent(client: CollectorClient) -> asyncio.Future:
    """Post the record; the future gives the verdict, and fails the test when a second one comes."""
    verdict = asyncio.get_running_loop().create_future()
    client.post(RECORD, verdict.set_result)
    return verdict


async def until(condition) -> None:
    """Wait for a condition; the test's own bound ends the wait."""
    while not condition():
        await asyncio.sleep(0.005)


def test_a_record_arrives_as_it_was_kept(run):
    """Query, body, user agent and address reach the server, and its success is a delivery."""

    async def scenario():
        async with serving(polite) as (server, client):
            verdict = await sent(client)
            assert isinstance(verdict, Delivered)
            assert verdict.status == 200
            assert 0.0 < verdict.duration_ms < 10_000.0
            (request,) = server.requests
            head, _, body = request.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"POST /event?portal_id=1&request_id=e1 HTTP/1.1"
            assert f"Host: localhost:{server.port}".encode() in lines
            assert {b"User-Agent: Browser/1.0", b"X-Forwarded-For: 203.0.113.9"} <= set(lines)
            assert b"Content-Type: application/json" in lines
            assert body == RECORD.body

    run(scenario)


def test_one_connection_serves_many_records(run):
    """Sends that follow one another share a connection."""

    async def scenario():
        async with serving(polite) as (server, client):
            for _ in range(30):
                assert isinstance(await sent(client), Delivered)
            assert (server.opened, len(server.requests)) == (1, 30)

    run(scenario)


def test_no_more_connections_than_allowed(run):
    """Fifty sends at once use at most four connections when four is the limit."""

    async def scenario():
        async with serving(polite, max_connections=4) as (server, client):
            verdicts = await asyncio.gather(*(sent(client) for _ in range(50)))
            assert {type(verdict) for verdict in verdicts} == {Delivered}
            assert (server.most_open, len(server.requests)) == (4, 50)

    run(scenario)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200),
        (b"HTTP/1.0 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", Retry("status 429", 17.0)),
        (b"HTTP/1.1 500 Oops\r\n\r\nstack trace", Retry("status 500")),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", Undeliverable(400, "status 400")),
        (b"garbage that is no HTTP\r\n\r\n", Retry("not an HTTP answer: HttpParserError")),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            Retry("not an HTTP answer: HttpParserError"),
        ),
        (
            b"HTTP/1.1 101 No\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            Retry("not an HTTP answer: HttpParserUpgrade"),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", Retry(f"{CLOSED} inside the answer")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            Retry(f"{CLOSED} inside the answer"),
        ),
        (b"HTTP/1.1 200", Retry(f"{CLOSED} inside the answer")),
        (b"", Retry(CLOSED)),
    ],
)
def test_every_shape_of_answer_has_its_verdict(run, answer, verdict):
    """Whole answers are judged by their status, broken ones are retried; the client then connects anew."""

    async def scenario():
        async with serving(answering(answer)) as (server, client):
            for _ in range(2):
                got = await sent(client)
                assert verdict == (got.status if isinstance(got, Delivered) else got)
            await until(lambda: client.open_connections == 0)
            assert server.opened == 2

    run(scenario)


def test_a_reset_inside_the_body_is_no_delivery(run):
    """A success whose body breaks off is retried: an answer is one only when it is whole."""

    async def script(peer, _):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
        peer.reset()

    async def scenario():
        async with serving(script) as (_, client):
            verdict = await sent(client)
            assert isinstance(verdict, Retry)
            assert verdict.cause.endswith("inside the answer")

    run(scenario)


def test_a_collector_that_hangs_costs_the_time_limit_and_its_connection(run):
    """After the time limit the attempt is a retry, and the connection is closed so that no late answer can mislead."""
    gone = []

    async def script(peer, number):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n")
        await peer.gone()
        gone.append(number)

    async def scenario():
        async with serving(script, timeout_seconds=0.2) as (_, client):
            begun = asyncio.get_running_loop().time()
            assert await sent(client) == Retry("timeout: no answer in time")
            assert 0.2 <= asyncio.get_running_loop().time() - begun < 5.0
            await until(lambda: gone == [1])

    run(scenario)
    gone.clear()


def test_waiting_for_a_free_connection_counts_as_well(run):
    """A send that gets no turn within its time limit is a retry."""

    async def script(peer, _):
        await peer.request()
        await peer.gone()

    async def scenario():
        async with serving(script, timeout_seconds=0.2, max_connections=1) as (server, client):
            verdicts = await asyncio.gather(sent(client), sent(client))
            assert isinstance(verdicts[0], Retry)
            assert verdicts[1].cause.startswith("timeout")
            assert server.most_open == 1

    run(scenario)


def test_nobody_listening_is_a_retry(run):
    """A refused connection says so, and leaves nothing open."""

    async def scenario():
        async with serving(polite) as (server, client):
            await server.close()
            verdict = await sent(client)
            assert isinstance(verdict, Retry)
            assert verdict.cause.startswith("not connected")

    run(scenario)


def test_a_name_that_does_not_exist_is_a_retry(run):
    """A name that can't be resolved is a retry like any other fault of the network."""

    async def scenario():
        client = CollectorClient("http://collector.invalid/event")
        verdict = await sent(client)
        assert isinstance(verdict, Retry)
        assert "connected" in verdict.cause
        await client.close()

    run(scenario)


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_unseen(run):
    """When the server closes a kept connection as the next request leaves, that request is sent once more, on a new one."""

    async def script(peer, number):
        await peer.request()
        await peer.say(OK)
        if number == 1:
            await peer.request()
            peer.reset()
        else:
            await peer.gone()

    async def scenario():
        async with serving(script) as (server, client):
            assert isinstance(await sent(client), Delivered)
            assert isinstance(await sent(client), Delivered)
            assert (server.opened, len(server.requests)) == (2, 3)
            assert server.requests[1] == server.requests[2]

    run(scenario)


def test_a_fresh_connection_that_is_closed_is_not_tried_again(run):
    """Only a kept connection is replaced: on a fresh one the forwarder decides when to try again."""

    async def script(peer, number):
        await peer.request()
        if number == 1:
            await peer.say(OK)
            await peer.request()

    async def scenario():
        async with serving(script) as (server, client):
            assert isinstance(await sent(client), Delivered)
            verdict = await sent(client)
            assert isinstance(verdict, Retry)
            assert (server.opened, len(server.requests)) == (2, 3)

    run(scenario)


def test_a_request_that_was_partly_answered_is_not_sent_again(run):
    """Once a byte of the answer came (an interim one, too), the client does not repeat the request by itself."""

    async def script(peer, _number):
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def scenario():
        async with serving(script) as (server, client):
            assert isinstance(await sent(client), Delivered)
            assert await sent(client) == Retry(f"{CLOSED} inside the answer")
            assert server.opened == 1

    run(scenario)


def test_bytes_that_nobody_asked_for_spoil_a_connection(run):
    """An answer that a server sends on an idle connection is never taken for that of the next record."""

    async def script(peer, number):
        await peer.request()
        await peer.say(OK)
        if number == 1:
            await peer.say(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
        await peer.request()
        await peer.say(OK)

    async def scenario():
        async with serving(script) as (_, client):
            assert isinstance(await sent(client), Delivered)
            await until(lambda: client.open_connections == 0)
            assert isinstance(await sent(client), Delivered)

    run(scenario)


def test_a_head_without_end_is_cut_off(run):
    """A collector that sends headers for ever is a retry, and its connection is closed."""

    async def script(peer, _):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.say(b"X-More: " + b"x" * 1000 + b"\r\n")

    async def scenario():
        async with serving(script) as (_, client):
            assert await sent(client) == Retry("the answer's head is too long")

    run(scenario)


def test_a_header_without_end_is_cut_off(run):
    """A single header that never ends is bounded as well."""

    async def script(peer, _):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nX-More: ")
        while True:
            await peer.say(b"x" * 1000)

    async def scenario():
        async with serving(script) as (_, client):
            assert await sent(client) == Retry("the answer's head is too long")

    run(scenario)


def test_interim_answers_without_end_are_cut_off(run):
    """A collector that sends 1xx for ever does not keep an attempt busy."""

    async def script(peer, _):
        await peer.request()
        while True:
            await peer.say(b"HTTP/1.1 102 Processing\r\n\r\n" * 50)

    async def scenario():
        async with serving(script) as (_, client):
            assert await sent(client) == Retry("the answer's head is too long")

    run(scenario)


def test_a_body_without_end_is_not_waited_for(run):
    """The status counts; the rest of an endless body is refused by closing the connection."""

    async def script(peer, _):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.say(b"x" * 10_000)

    async def scenario():
        async with serving(script) as (_, client):
            assert isinstance(await sent(client), Delivered)
            await until(lambda: client.open_connections == 0)

    run(scenario)


def test_idle_connections_are_let_go(run):
    """A connection that was not used for a while is closed by the client."""

    async def scenario():
        async with serving(polite, idle_seconds=0.1) as (server, client):
            await asyncio.gather(*(sent(client) for _ in range(5)))
            await until(lambda: (client.open_connections, server.open_now) == (0, 0))
            assert isinstance(await sent(client), Delivered)

    run(scenario)


def test_an_abandoned_send_takes_its_connection_with_it(run):
    """The answer to an abandoned request is never told, and can never meet the next one."""

    async def script(peer, number):
        await peer.request()
        if number == 1:
            await peer.gone()
        else:
            await peer.say(OK)
            await peer.gone()

    async def scenario():
        async with serving(script, max_connections=1) as (server, client):
            under_way, waiting = sent(client), sent(client)
            await until(lambda: len(server.requests) == 1)
            client.abandon()
            assert isinstance(await sent(client), Delivered)
            assert (False, False) == (under_way.done(), waiting.done())
            assert (2, 2) == (server.opened, len(server.requests))

    run(scenario)


def test_what_is_abandoned_while_it_connects_is_never_sent(run):
    """A send that still waits for its handshake ends silently, and the client goes on."""

    async def scenario():
        async with serving(polite, max_connections=1) as (server, client):
            connecting = sent(client)
            await asyncio.sleep(0)
            client.abandon()
            assert isinstance(await sent(client), Delivered)
            assert (False, 1) == (connecting.done(), len(server.requests))

    run(scenario)


def test_closing_ends_what_waits_and_what_connects(run):
    """Sends that have no connection yet when the client is closed report a retry, each once."""

    async def silent(peer, _):
        await peer.gone()

    async def scenario():
        async with serving(silent, max_connections=2) as (_, client):
            sends = [sent(client) for _ in range(5)]
            await asyncio.sleep(0)
            await client.close()
            assert [Retry("the client is closed")] * 5 == [verdict.result() for verdict in sends]

    run(scenario)


def test_closing_ends_what_is_under_way(run):
    """Sends under way when the client is closed report a retry, and later ones do too."""

    async def script(peer, _):
        await peer.request()
        await peer.gone()

    async def scenario():
        async with serving(script) as (server, client):
            sending = sent(client)
            await until(lambda: len(server.requests) == 1)
            await client.close()
            assert await sending == Retry("the client is closed")
            assert await sent(client) == Retry("the client is closed")

    run(scenario)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate of our own for localhost: the paths of certificate and key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-out", str(paths[0]), "-keyout", str(paths[1])], check=True, capture_output=True
    )
    return paths


def server_context(certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_https_with_a_ca_of_our_own(run, certificate):
    """With the CA file the collector is trusted, and its connection is kept as without TLS."""

    async def scenario():
        async with serving(polite, context=server_context(certificate), ca_file=certificate[0]) as (
            server,
            client,
        ):
            for _ in range(3):
                assert isinstance(await sent(client), Delivered)
            assert server.opened == 1

    run(scenario)


def test_a_collector_with_an_unknown_certificate_gets_nothing(run, certificate):
    """Without the CA file no request is sent, and the cause names TLS."""

    async def scenario():
        async with serving(polite, context=server_context(certificate)) as (server, client):
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            verdict = await sent(client)
            assert isinstance(verdict, Retry)
            assert verdict.cause == "TLS: CERTIFICATE_VERIFY_FAILED"
            assert server.requests == []

    run(scenario)


def test_a_handshake_that_hangs_is_bounded_by_the_connect_timeout(run):
    """A server that accepts and then stays silent costs the connect timeout."""

    async def silent(peer, _):
        await peer.gone()

    async def scenario():
        server = Server(silent)
        await server.serve()
        client = CollectorClient(f"https://localhost:{server.port}/event", connect_timeout_seconds=0.2)
        assert await sent(client) == Retry("timeout: not connected in time")
        await client.close()
        await server.close()

    run(scenario)
