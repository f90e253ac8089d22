"""The collector's whole answer, for whom somebody waits: real servers, on both loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.contract import Delivered, Retry
from gateway.delivery.http1 import MAX_BODY_BYTES, MAX_KEPT_BYTES
from gateway.events.model import Answer
from tests.integration.test_delivery_client import RECORD, answering, run, sent, serving

if TYPE_CHECKING:
    from gateway.delivery.client import CollectorClient

__all__ = ["run"]
OWN = b'HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nContent-Length: 9\r\n\r\n{"a": 1}\n'
HEARD = Answer(
    200, "", (("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("content-length", "9")), b'{"a": 1}\n'
)


async def heard(client: CollectorClient):
    """Post the record, and give the answer and the verdict."""
    loop = asyncio.get_running_loop()
    answer, verdict = loop.create_future(), loop.create_future()
    client.post(RECORD, verdict.set_result, answer.set_result)
    said = await verdict
    assert answer.done()
    return answer.result(), said


def test_an_answer_is_kept_for_whom_waits_for_it(run):
    """Status, headers and body; also when the same head was heard before for a record whose answer nobody wanted."""

    async def script(peer, _number):
        while True:
            await peer.request()
            await peer.say(OWN)

    async def scenario():
        async with serving(script) as (server, client):
            for _ in range(2):
                assert isinstance(await sent(client), Delivered)
            for _ in range(2):
                answer, verdict = await heard(client)
                assert answer == HEARD
                assert isinstance(verdict, Delivered)
            assert isinstance(await sent(client), Delivered)
            assert server.opened == 1

    run(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: early=1\r\n\r\nHTTP/1.1 404 No\r\nX-A: b\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 No\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nn\r\n1\r\no\r\n0\r\nSet-Cookie: late=1\r\n\r\n",
        b"HTTP/1.1 404 No\r\nX-A: b\r\n\r\nno",
    ],
    ids=["interim", "trailer", "until the end"],
)
def test_an_answer_of_any_status_and_framing_is_kept(run, answer):
    """Headers are those of the final answer, never of an interim one or a trailer."""

    async def scenario():
        async with serving(answering(answer)) as (_, client):
            kept, _ = await heard(client)
        assert (kept.status, kept.headers[0], kept.body) == (404, ("x-a", "b"), b"no")
        assert "set-cookie" not in dict(kept.headers)

    run(scenario)


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_BODY_BYTES + 1, True), (MAX_KEPT_BYTES, True), (MAX_KEPT_BYTES + 1, False)])  # fmt: skip
def test_a_body_is_kept_up_to_a_bound(run, size, is_kept):
    """Of a longer one nothing is kept, and the record is delivered all the same."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (size, b"x" * size)

    async def scenario():
        async with serving(answering(whole)) as (_, client):
            answer, verdict = await heard(client)
        assert isinstance(verdict, Delivered)
        assert len(answer.body) == (size if is_kept else 0)
        assert bool(answer.headers) == is_kept

    run(scenario)


@pytest.mark.parametrize("cut", [0, 40, len(OWN) - 1])
def test_an_answer_that_breaks_off_is_none(run, cut):
    """Half a campaign is shown to nobody."""

    async def scenario():
        async with serving(answering(OWN[:cut])) as (_, client):
            answer, verdict = await heard(client)
        assert answer is None
        assert isinstance(verdict, Retry)

    run(scenario)


def test_a_client_that_is_closed_or_closing_says_that_no_answer_comes(run):
    """Whoever waits hears of it."""

    async def scenario():
        async with serving(lambda peer, _: peer.gone()) as (_, client):
            waiting = asyncio.create_task(heard(client))
            await asyncio.sleep(0)
            await client.close()
            assert (await waiting)[0] is None
            assert (await heard(client))[0] is None

    run(scenario)
