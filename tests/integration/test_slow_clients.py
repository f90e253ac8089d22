"""Who takes too long, or too much, loses its connection, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from tests.builders import QUERY
from tests.public_port import EVENT, GENEROUS_SECONDS, own, post, serving

QUICK = {
    "head_seconds": 0.3,
    "body_seconds": 0.3,
    "unread_seconds": 0.3,
    "idle_seconds": 30,
    "bytes_per_second": 1_000_000,
    "uid_events_per_second": 0,
    "exempt": [],
}
CUT = "tracking_gateway_connections_cut_total"
CHUNKED = (
    b"POST /event?" + QUERY.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
)
BOTH = pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])


async def dribble(client, data, pause=0.02):
    """Send byte by byte until the server has enough of it; gives what it said."""

    async def send():
        with contextlib.suppress(ConnectionError):
            for place in range(len(data)):
                client.write(data[place : place + 1])
                await asyncio.sleep(pause)
            await asyncio.sleep(GENEROUS_SECONDS)

    sending = asyncio.create_task(send())
    try:
        return await client.until_closed()
    finally:
        sending.cancel()


@BOTH
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (post()[:100], "head"),
        (b"GET /event HTTP/1.1\r\n" + b"X: y\r\n" * 100, "head"),
        (post(EVENT, b"Expect: 100-continue")[:-5], "body"),
        (post()[:-5], "body"),
        (CHUNKED, "body"),
        (post() + post()[:-5], "body"),
        (post() + b"GET /e", "head"),
    ],
    ids=["head", "fields", "expected body", "body", "chunk", "second body", "second head"],
)
async def test_a_head_or_body_that_does_not_come_is_not_waited_for(tmp_path, is_fast, data, why):
    """408, the end, and no event of it; what came before it whole is answered and kept."""
    async with serving(tmp_path, is_fast=is_fast, limits=QUICK) as port, port.client() as client:
        whole = data.count(b"POST") - (1 if why == "body" else 0) if data.count(b"/e") == 2 else 0
        client.write(data)
        answer = await client.until_closed()
        assert b" 408 " in answer.partition(b"HTTP/1.1 200" if whole else b"HTTP/1.")[2]
        assert b'{"error":"too slow"}' in answer
        assert b"Connection: close" in answer or b"HTTP/1.0 408" in answer
        assert whole == port.spool.pending
        assert whole == sum(port.counted().values())
        assert {(why,): 1} == port.counted(CUT)


@BOTH
@pytest.mark.parametrize("data", [post(), post()[:-1] + b"\r\n" * 9_000, CHUNKED + b"x" * 500])
async def test_dribbling_wins_no_time(tmp_path, is_fast, data):
    """A byte now and then is as slow as none."""
    async with serving(tmp_path, is_fast=is_fast, limits=QUICK) as port, port.client() as client:
        assert b" 408 " in await dribble(client, data)
        assert {} == port.counted()


@BOTH
async def test_a_slow_body_that_makes_its_way_is_waited_for(tmp_path, is_fast):
    """A phone on a bad line sends as fast as `bytes_per_second`, and is heard to its end, however long that takes."""
    limits = {**QUICK, "bytes_per_second": 20}
    async with serving(tmp_path, is_fast=is_fast, limits=limits) as port, port.client() as client:
        data = post(EVENT + b" " * 200)
        client.write(data[:-200])
        for _ in range(20):
            await asyncio.sleep(0.06)
            client.write(b" " * 10)
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")


@BOTH
async def test_a_connection_that_never_says_anything_ends(tmp_path, is_fast):
    """Without an answer: nothing was asked. Of browsers' spare connections no line is written."""
    async with serving(tmp_path, is_fast=is_fast, limits=QUICK) as port:
        async with port.client() as client:
            assert b"" == await client.until_closed()
        assert {("silent",): 1} == port.counted(CUT)
    assert not port.log_lines()


@BOTH
async def test_an_idle_connection_ends_after_its_time(tmp_path, is_fast):
    """It is no news."""
    async with (
        serving(tmp_path, is_fast=is_fast, limits={**QUICK, "idle_seconds": 0.3}) as port,
        port.client() as client,
    ):
        client.write(post())
        assert 1 == (await client.until_closed()).count(b"HTTP/1.1 200 ")
        assert {} == port.counted(CUT)


@BOTH
async def test_a_client_that_reads_nothing_is_left(tmp_path, is_fast):
    """What it is owed does not wait for ever."""
    async with serving(tmp_path, is_fast=is_fast, limits=QUICK) as port:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port.port))
            request = b"GET /insight.js HTTP/1.1\r\nHost: x\r\n\r\n" * 100
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(GENEROUS_SECONDS):
                    while True:
                        await loop.sock_sendall(client, request)
        assert {("reading",): 1} == port.counted(CUT)


async def test_a_client_has_so_many_connections(tmp_path):
    """The next one is told to come later; when one of them is idle, it makes room; who comes from elsewhere is not touched."""
    limits = {**QUICK, "head_seconds": 60, "connections_per_address": 3}
    async with serving(tmp_path, limits=limits) as port, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(port.client()) for _ in range(3)]
        for each in clients:
            each.write(b"GET /ev")
        while len(port.server.connections) < 3:
            await asyncio.sleep(0.01)
        async with port.client() as refused:
            answer = await refused.until_closed()
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After: 5\r\n" in answer
        assert {("address",): 1} == port.counted("tracking_gateway_connections_refused_total")
        clients[1].write(b"ent HTTP/1.1\r\nHost: x\r\n\r\n")
        await clients[1].answer()
        ends = time.monotonic() + GENEROUS_SECONDS
        while not port.counted(CUT) and time.monotonic() < ends:
            async with port.client() as another:
                another.write(post())
                await another.until_closed() if not port.counted(CUT) else await another.answer()
        assert {("room",): 1} == port.counted(CUT)
        assert b"" == await clients[1].until_closed()
        assert 1 == port.spool.pending
    lines = {(line["event"], line["why"]): line for line in port.log_lines() if "why" in line}
    assert "127.0.0.0/24" in lines["connection_refused", "address"]["networks"]
    assert "trusted_proxies" in lines["connection_refused", "address"]["hint"]


async def test_a_process_has_so_many_connections(tmp_path):
    """Beyond them 503, and it goes on when one has gone."""
    async with serving(tmp_path, limits={**QUICK, "head_seconds": 60, "connections": 2}) as port:
        async with port.client() as one, port.client() as two, port.client() as three:
            one.write(b"G")
            two.write(b"P")
            assert (await three.until_closed()).startswith(b"HTTP/1.1 503 ")
        ends = time.monotonic() + GENEROUS_SECONDS
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200 ") and time.monotonic() < ends:
            async with port.client() as another:
                another.write(post())
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    answer = await another.answer()
        assert answer.startswith(b"HTTP/1.1 200 ")


@BOTH
async def test_an_address_that_sends_too_much_is_told_to_wait(tmp_path, is_fast):
    """Each of its requests is one event with one outcome; the log has a few lines and a sum; a server's events pass."""
    limits = {**QUICK, "address_events_per_second": 0.001, "address_burst": 5}
    async with (
        serving(tmp_path, is_fast=is_fast, limits=limits, pipeline=own(limits)) as port,
        port.client() as client,
    ):
        answers = []
        for _ in range(30):
            client.write(post(EVENT, b"X-Forwarded-For: 192.0.2.1"))
            answers.append(await client.answer())
        assert [b"200"] * 5 + [b"429"] * 25 == [each[9:12] for each in answers]
        assert all(b"Retry-After: 5\r\n" in each for each in answers[5:])
        client.write(post(query=QUERY + "&is_s2s=true"))
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        client.write(post(EVENT[:-1] + b',"is_s2s":true}'))
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        assert {("accepted", "ok"): 7, ("dropped", "rate_limited"): 25} == port.counted()
    lines = port.log_lines()
    assert 10 == sum(line.get("reason") == "rate_limited" for line in lines)
    assert [15] == [line["count"] for line in lines if line["event"] == "rate_limited"]
    warned = [line for line in lines if line["event"] == "proxy_not_trusted"]
    assert [("127.0.0.0/24", "error")] == [(line["network"], line["level"]) for line in warned]


async def test_a_batch_counts_as_the_events_in_it(tmp_path):
    """An array of ten is as much as ten requests."""
    limits = {**QUICK, "address_events_per_second": 0.001, "address_burst": 10}
    async with serving(tmp_path, limits=limits, pipeline=own(limits)) as port, port.client() as client:
        client.write(post(b"[" + b",".join([EVENT] * 10) + b"]"))
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        client.write(post())
        assert (await client.answer()).startswith(b"HTTP/1.1 429 ")


@BOTH
async def test_bodies_under_way_hold_no_more_memory_than_they_may(tmp_path, is_fast):
    """The client that holds most loses its oldest body, with 503; the others' are taken when their rest comes."""
    limits = {**QUICK, "body_seconds": 60, "bodies_bytes": 1_048_576}
    large = post(EVENT + b" " * 400_000)
    async with (
        serving(tmp_path, limits=limits, is_fast=is_fast) as port,
        contextlib.AsyncExitStack() as stack,
    ):
        slows = [await stack.enter_async_context(port.client()) for _ in range(3)]
        for each in slows:
            each.write(large[:-1])
        oldest, *others = slows
        refused = await oldest.until_closed()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5\r\n" in refused
        for each in others:
            each.write(large[-1:])
            assert (await each.answer()).startswith(b"HTTP/1.1 200 ")
        assert {("accepted", "ok"): 2} == port.counted()
        assert {("memory",): 1} == port.counted(CUT)


async def test_hundreds_of_slow_clients_take_nothing_from_the_others(tmp_path):
    """While they dribble heads and bodies everybody else is answered; then each of them is cut off, and none of theirs is an event."""
    slow, usual = 300, 100
    limits = {**QUICK, "head_seconds": 3, "body_seconds": 3}
    async with serving(tmp_path, limits=limits) as port, contextlib.AsyncExitStack() as stack:
        slows = [await stack.enter_async_context(port.client()) for _ in range(slow)]
        for number, each in enumerate(slows):
            each.write(post()[:10] if number % 2 else post(EVENT + b" " * 5_000)[:-5_000])
        dribbling = asyncio.create_task(dribble_all(slows))
        others = [await stack.enter_async_context(port.client()) for _ in range(5)]
        for _ in range(usual // len(others)):
            for each in others:
                each.write(post())
            assert {b"HTTP/1.1 200"} == {(await each.answer())[:12] for each in others}
        answers = await asyncio.gather(*(each.until_closed() for each in slows))
        dribbling.cancel()
        assert {b" 408 "} == {answer[8:13] for answer in answers if answer}
        assert slow == sum(port.counted(CUT).values())
        assert {("accepted", "ok"): usual} == port.counted()
    lines = [line for line in port.log_lines() if line["event"] == "cut_off"]
    assert slow == sum(line["count"] for line in lines)
    assert 6 > len(lines)


async def dribble_all(clients):
    """Send a byte of each now and then, for ever."""
    while True:
        for each in clients:
            if not each.is_gone:
                each.write(b" ")
        await asyncio.sleep(0.2)
