"""With relay, the fast path and aiohttp answer alike, in order, and forget clients that hang up."""

from __future__ import annotations

import asyncio

import orjson

from gateway.events.model import Answer
from gateway.web.relay import Desk
from tests.builders import PORTAL_ID, PROP_ID, QUERY, event
from tests.integration.test_fast_path import comparable, serving
from tests.unit.test_relay_policy import relaying

BARE = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"
ANSWERS = [
    Answer(200, "", (("content-type", "application/json"), ("set-cookie", "seg=1")), b'{"campaign":1}'),
    Answer(200, "", (("content-type", "text/javascript"),), b"_event_callback_data({campaign:1});"),
    Answer(200, "", (("content-type", "image/png"),), b"\x89PNG"),
    Answer(500),
    None,
]


class Talkative(Desk):
    """A desk that hears one answer after the other, each a moment after it was begun to be wanted."""

    def __init__(self):
        super().__init__(60_000)
        self._said = 0

    def expect(self, event_id, started):
        super().expect(event_id, started)
        loop = asyncio.get_running_loop()
        loop.call_later(0.005, self.hear, event_id, ANSWERS[self._said % len(ANSWERS)])
        self._said += 1


def request(query, body, method=b"POST"):
    data = b"" if method == b"GET" else orjson.dumps(body)
    length = b"" if method == b"GET" else b"Content-Length: %d\r\n" % len(data)
    head = b"%s /event?%s HTTP/1.1\r\nHost: track.shop.example\r\nOrigin: https://shop.example\r\n" % (
        method,
        query.encode(),
    )
    return head + length + b"\r\n" + data


REQUESTS = [
    request(QUERY, event()),
    request(BARE, event()),
    request(f"{BARE}&resp_type=pixel&ec=a&ea=b", None, b"GET"),
    request(QUERY, event()),
    request(f"{BARE}&ec=a&ea=b", None, b"GET"),
    request(QUERY, [event(), event()]),
    request(QUERY, {"ec": ""}),
    request(f"{BARE}&resp_type=redirect&redirect_url=https://shop.example/", event()),
    request(QUERY, event("user", "sign_in", dims={"customers": {"email": "lan@example.com"}})),
]
LAST = b"GET /favicon.ico HTTP/1.1\r\nHost: track.shop.example\r\nConnection: close\r\n\r\n"


async def test_both_paths_relay_the_same_in_the_same_order(tmp_path):
    """All in one packet: those that wait hold up those behind them on their connection."""
    answers = []
    for is_fast in (True, False):
        async with serving(tmp_path, is_fast=is_fast, pipeline=relaying(), desk=Talkative()) as side:
            # The last one ends the connection: no silence has to be waited for.
            answers.append(comparable(await side.exchange([b"".join([*REQUESTS, LAST])], 30.0)))
    fast, plain = answers
    assert fast == plain
    *bodies, _ = [answer[2] for answer in fast]
    assert len(bodies) == len(REQUESTS)
    assert bodies[:3] == [answer.body for answer in ANSWERS[:3]]
    # The last one hears the first answer again; those between hear none, or don't wait.
    assert b'"accepted"' in bodies[3]
    assert bodies[-1] == ANSWERS[0].body


async def test_a_client_that_hangs_up_is_not_waited_for(tmp_path):
    """Its event is kept, nobody keeps the collector's answer for it, and the log says so."""
    desk = Desk(60_000)
    async with serving(tmp_path, is_fast=True, pipeline=relaying(), desk=desk) as side:
        _, writer = await asyncio.open_connection("127.0.0.1", side.port)
        writer.write(REQUESTS[0])
        async with asyncio.timeout(10):
            while not [wait for wait in desk._waits.values() if wait.then]:
                await asyncio.sleep(0.01)
            writer.transport.abort()
            while len(desk):
                await asyncio.sleep(0.01)
        assert side.spool.pending == 1
    assert b'"relayed":"gone"' in (tmp_path / "True.log").read_bytes()
