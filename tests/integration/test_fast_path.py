"""The fast path answers exactly what aiohttp answers, whatever the bytes and however they are cut.

`TRACKING_GATEWAY_FUZZ_ROUNDS` and `TRACKING_GATEWAY_FUZZ_SEED` make the comparison longer or another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket

import orjson
import pytest
from aiohttp import web

from gateway.assets.own import OwnScript
from gateway.events.model import Reply
from gateway.ledger.memory import MemoryLedger
from gateway.names import Names
from gateway.quarantine.memory import MemoryQuarantine
from gateway.settings import Logging
from gateway.settings_paths import Paths
from gateway.spool.memory import MemorySpool
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.web.directory import Directory
from gateway.web.endpoints import endpoints
from gateway.web.fast import encode_reply
from gateway.web.ingest import Ingest
from gateway.web.plain_heads import read_head
from gateway.web.public import PublicServer
from tests.builders import QUERY, STAMP, event, shop_pipeline
from tests.encodings import CODINGS

ROUNDS = int(os.environ.get("TRACKING_GATEWAY_FUZZ_ROUNDS", "1000"))
SEED = int(os.environ.get("TRACKING_GATEWAY_FUZZ_SEED", "20261123"))
LIMIT = 20_000
BODY = orjson.dumps(event("user", "sign_in", dims={"customers": {"email": "lan@example.com"}}))
PATHS = Paths(prefix="/x7", script=("/a.js",), event=("/e/v1",))
CANARY = b"canary@example.com"
BROKEN = (
    b"HTTP 400",
    [
        b"cache-control: no-store",
        b"connection: close",
        b"content-length: 23",
        b"content-type: application/json",
        b"server: tracking-gateway",
    ],
    b'{"error":"bad request"}',
)


class Side:
    """A server on a free port, fast or not, with memory behind it."""

    def __init__(self, runner, ingest, spool, metrics):
        self.runner = runner
        self.port = runner.addresses[0][1]
        self.ingest = ingest
        self.spool = spool
        self.metrics = metrics

    def counted(self):
        """Give how many events came in, by outcome and reason."""
        samples = [each for family in self.metrics.registry.collect() for each in family.samples]
        return {
            (each.labels["outcome"], each.labels["reason"]): each.value
            for each in samples
            if each.name == "tracking_gateway_events_total" and each.value
        }

    async def exchange(self, pieces, silence):
        """Send pieces one after the other, and give all that is answered until nothing more comes for `silence` seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := await asyncio.wait_for(reader.read(65_536), silence):
                answer += part
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer


def small_socket(buffer_bytes, *, bound=False):
    """Give a socket whose kernel buffers are of that size (0: as they come), so that a full one is soon full."""
    made = socket.socket()
    if buffer_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    if bound:
        made.bind(("127.0.0.1", 0))
    return made


@contextlib.asynccontextmanager
async def serving(tmp_path, *, is_fast, buffer_bytes=0, pipeline=None, desk=None):
    metrics = Metrics()
    log = open_log(Logging(format="json", file=str(tmp_path / f"{is_fast}.log")))
    spool = MemorySpool()
    journal = Journal(log, metrics)
    ingest = Ingest(
        pipeline or shop_pipeline(),
        MemoryLedger(),
        spool,
        MemoryQuarantine(),
        journal,
        max_body_bytes=LIMIT,
        stamp=lambda: STAMP,
        desk=desk,
    )
    names = Names(PATHS, 0)
    parts = endpoints(ingest, OwnScript(lambda *_: b"/* script */" * 200, names))
    runner = web.ServerRunner(
        PublicServer(ingest, Directory(parts, names, metrics.path_counter).table, is_fast=is_fast),
        shutdown_timeout=1,
    )
    await runner.setup()
    await web.SockSite(runner, small_socket(buffer_bytes, bound=True)).start()
    yield Side(runner, ingest, spool, metrics)
    await runner.cleanup()
    log.close()


@pytest.fixture
async def sides(tmp_path):
    async with serving(tmp_path, is_fast=True) as fast, serving(tmp_path, is_fast=False) as plain:
        yield fast, plain


def message(rng):
    """Make one request, mostly right, sometimes wrong in the ways that the wild has."""
    method = rng.choice([b"POST"] * 16 + [b"GET"] * 6 + [b"OPTIONS", b"HEAD", b"PUT", b"post", b"BREW"])
    path = rng.choice(
        [
            b"/event",
            b"/event",
            b"/stream_event",
            b"/insight.js",
            b"/x7/a.js",
            b"/x7/e/v1",
            b"/",
            b"//event",
            b"/event/",
            b"http://x/event",
            b"*",
        ]
    )
    query = rng.choice(
        [
            *[QUERY.encode()] * 10,
            QUERY.encode() + b"&request_id=r%201",
            b"portal_id=1",
            b"",
            b"a=%zz&b=+",
            b"x=\xff",
            b"?" * 3,
        ]
    )
    coding = rng.choice([*[""] * 12, *CODINGS, "lzma"])
    body = rng.choice(
        [*[BODY] * 12, b"{", b"", CANARY, b"x" * (LIMIT + 1), orjson.dumps([event(), {}, event(uid="")])]
    )
    fields = [
        b"Host: track.shop.example",
        rng.choice([b"Origin: https://shop.example", b"Origin: https://evil.example", b"X-A: b"]),
        rng.choice(
            [
                b"Cookie: _asm_uid=222222222; a=b",
                b"cookie:_asm_uid=222222222",
                b"Cookie: a=b\r\nCookie: _asm_uid=222222222",
            ]
        ),
        rng.choice([b"User-Agent: Mozilla/5.0 \xe1\xbb\x87", b"User-Agent: \xff\xfe", b"user-agent:\t x \t"]),
    ]
    if coding and rng.random() < 0.9:
        body = CODINGS.get(coding, bytes)(body)
        fields.append(b"Content-Encoding: " + coding.encode())
    if method in {b"POST", b"PUT", b"post"} or rng.random() < 0.05:
        fields.append(b"Content-Length: %d" % len(body))
    else:
        body = b""
    if rng.random() < 0.2:
        fields.append(
            rng.choice([
                b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: +5", b"Content-Length : 7", b"Connection: close",
                b"Connection: keep-alive, x", b"Expect: 100-continue", b"Content-Encoding: gzip\r\nContent-Encoding: br", b"Upgrade: websocket\r\nConnection: upgrade",
                b"Folded: a\r\n b", b": nameless", b"No colon", b"Nul: \x00", b"Host: other", b"X" * 40_000 + b": y", b"TE: trailers",
                b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2", b"Content-Type: application/x-www-form-urlencoded", b"A: \r\n", b"Bare: \n x",
            ])
        )  # fmt: skip
    rng.shuffle(fields)
    version = rng.choice([b"HTTP/1.1"] * 40 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b""])
    end = rng.choice([b"\r\n"] * 40 + [b"\n"])
    return b"%s %s?%s %s%s%s%s%s%s" % (method, path, query, version, end, end.join(fields), end, end, body)


def mutated(rng, data):
    """Break a byte, drop a piece, or put one in, now and then."""
    if rng.random() < 0.75:
        return data
    place = rng.randrange(len(data))
    return rng.choice([
        data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :],
        data[:place] + data[place + rng.randrange(1, 30) :],
        data[:place] + rng.choice([b"\r", b"\n", b" ", b"\x00", b":", b"\r\n\r\n"]) + data[place:],
    ])  # fmt: skip


def pieces_of(rng, data):
    """Cut bytes at random, as networks do; half of the time not at all."""
    if rng.random() < 0.5:
        return [data]
    cuts = sorted({rng.randrange(1, len(data)) for _ in range(rng.randrange(1, 4))} if len(data) > 1 else ())
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def comparable(answer):
    """Take out what may differ: the date, the order of header fields, the words of a status, ids that are random."""
    text = re.sub(rb"(?i)\r\nDate: [^\r]*", b"", answer)
    text = re.sub(rb"HTTP/1\.[01] (\d+)[^\r]*", rb"HTTP \1", text)
    parts = re.split(rb"(?=HTTP \d+\r\n)", text)
    return [
        (head.split(b"\r\n")[0], sorted(head.lower().split(b"\r\n")[1:]), body)
        for head, _, body in (part.partition(b"\r\n\r\n") for part in parts if part)
    ]


def events_in(answer):
    """Count the events that an answer speaks of: each has one outcome, in JSON or in a script's comment."""
    return answer.count(b'"outcome":') + answer.count(b"/* tracking-gateway:")


def agree(ours, theirs):
    """Tell whether two answers say the same.

    aiohttp forgets requests that came in one packet with a broken one behind them, and says only 400; the fast path answers them,
    and it may hold a piece back, so that what aiohttp gets comes in other packets.
    """
    one, other = sorted((comparable(ours), comparable(theirs)), key=len)
    return one == other or (one[-1:] == other[-1:] == [BROKEN] and other[: len(one) - 1] == one[:-1])


@pytest.mark.timeout(120 + ROUNDS / 5)
async def test_fast_and_plain_agree_on_every_request(sides):
    """Pipelined, cut, mutated: same statuses, header fields and bodies; every event counted once; nothing raw repeated."""
    fast, plain = sides
    rng = random.Random(SEED)
    answered = {fast: [0, 0], plain: [0, 0]}

    async def one(number):
        seed = random.Random(number)
        data = b"".join(mutated(seed, message(seed)) for _ in range(seed.choice([1, 1, 1, 2, 4])))
        pieces = pieces_of(seed, data)
        # On a busy machine an answer may be late: before two answers are said to differ, they get more time.
        for silence in (0.2, 2.0):
            answers = await asyncio.gather(fast.exchange(pieces, silence), plain.exchange(pieces, silence))
            for side, answer in zip((fast, plain), answers, strict=True):
                answered[side][0] += answer.count(b"HTTP/1.1 200")
                answered[side][1] += events_in(answer)
                assert CANARY not in answer
            if agree(*answers):
                return
        assert comparable(answers[0]) == comparable(answers[1]), (number, data[:2000])

    numbers = [rng.randrange(2**32) for _ in range(ROUNDS)]
    for start in range(0, ROUNDS, 50):
        await asyncio.gather(*map(one, numbers[start : start + 50]))
    for side in (fast, plain):
        assert answered[side][0] > ROUNDS / 12
        # An answer may be lost with a connection that is closed on a client in mid-body, or, on a busy machine, come when nobody waits for
        # it any more; an event never is.
        counted = sum(side.counted().values())
        assert answered[side][1] <= counted <= 1.25 * answered[side][1]


async def test_requests_that_wait_behind_another_are_answered_in_order(sides):
    """Fifty in one packet: fifty answers, in order, none lost."""
    fast, _ = sides
    body = orjson.dumps(event())
    requests = [
        b"POST /event?%s&request_id=r-%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        % (QUERY.encode(), number, len(body), body)
        for number in range(50)
    ]
    answer = await fast.exchange([b"".join(requests)], 1.0)
    assert [b"r-%d" % number for number in range(50)] == re.findall(rb'"request_id":"([^"]+)"', answer)
    assert fast.spool.pending == 50


async def test_a_client_that_hangs_up_before_its_answer_harms_nobody(sides):
    """Its event is kept; the next client is served."""
    fast, _ = sides
    request = b"POST /event?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        QUERY.encode(),
        len(BODY),
        BODY,
    )
    _, writer = await asyncio.open_connection("127.0.0.1", fast.port)
    writer.write(request)
    writer.transport.abort()
    answer = await fast.exchange([request], 1.0)
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_client_that_never_reads_is_not_read_from_either(tmp_path):
    """What it has sent and what it is owed stay bounded: reading stops, and goes on when the client reads."""
    body = orjson.dumps(event())
    request = b"POST /event?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        QUERY.encode(),
        len(body),
        body,
    )
    async with serving(tmp_path, is_fast=True, buffer_bytes=16_384) as fast:
        client = small_socket(16_384)
        client.connect(("127.0.0.1", fast.port))
        reader, writer = await asyncio.open_connection(sock=client, limit=1_024)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000:
                writer.write(request * 50)
                sent += 50
                await asyncio.wait_for(writer.drain(), 1.0)
        assert sent < 10_000
        assert fast.spool.pending < sent
        answered = 0
        while answered < sent:
            answered += (await asyncio.wait_for(reader.read(65_536), 5)).count(b"HTTP/1.1 200")
        assert fast.spool.pending == sent == answered
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1234567890\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_plain_is_left_to_aiohttp(head):
    """Anything that touches framing or the connection is none of the fast path's business."""
    assert read_head(head, len(head)) is None


def test_no_value_can_break_out_of_its_header_field():
    """A line break in one would let a client write fields of its own."""
    encoded = encode_reply(Reply(200, (("A", "b"), ("C", "d\r\nE: f")), b"x"))
    assert encoded.startswith(b"HTTP/1.1 200 OK\r\nA: b\r\nX-Content-Type-Options: nosniff\r\n")
    assert b"E: f" not in encoded


async def test_closing_waits_for_the_answer_under_way(tmp_path):
    """A stop in the middle of an event does not take its answer away."""
    async with serving(tmp_path, is_fast=True) as fast:
        held = asyncio.get_running_loop().create_future()
        fast.ingest._spool = HeldSpool(held)
        reader, writer = await asyncio.open_connection("127.0.0.1", fast.port)
        body = orjson.dumps(event())
        writer.write(
            b"POST /event?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (QUERY.encode(), len(body), body)
        )
        while not fast.ingest._spool.asked:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(fast.runner.cleanup())
        await asyncio.sleep(0.05)
        held.set_result(None)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 200")
        await stopping
        writer.close()


class HeldSpool:
    """A spool whose disk takes its time."""

    def __init__(self, future):
        self.future = future
        self.asked = False

    def append(self, payloads):
        """Give the one future."""
        self.asked = bool(payloads)
        return self.future
