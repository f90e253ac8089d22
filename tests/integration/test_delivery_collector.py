"""Forwarder and client together, against an aiohttp server that plays a collector on a bad day."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict

import msgspec
from aiohttp import web

from gateway.delivery.client import CollectorClient
from gateway.delivery.retry import Breaker, RetryPolicy
from tests.unit.delivery_fakes import FakeSpool, post, record

QUICK = RetryPolicy(base_seconds=0.01, cap_seconds=0.05, longest_retry_after_seconds=0.05)


class Collector:
    """Takes events; `mood()` says what it does with the next one."""

    def __init__(self, mood) -> None:
        self._mood = mood
        self.taken: dict[str, list[int]] = defaultdict(list)
        self.tries = 0

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/event", self._event)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _event(self, request: web.Request) -> web.StreamResponse:
        self.tries += 1
        event = await request.json()
        mood = self._mood()
        if mood == "reset":
            request.transport.abort()
            return web.Response()
        if mood == "torn":
            torn = web.StreamResponse(headers={"Content-Length": "100"})
            await torn.prepare(request)
            await torn.write(b"ok")
            request.transport.abort()
            return torn
        if mood != "ok":
            return web.Response(status=int(mood), headers={"Retry-After": "30"})
        self.taken[event["uid"]].append(event["n"])
        response = web.json_response({"au_id": event["uid"]})
        if event["n"] % 7 == 0:
            response.force_close()
        return response


def event(number: int, uid: str):
    base = record(number, uid)
    body = msgspec.json.encode({"uid": uid, "n": number})
    return msgspec.structs.replace(base, body=body, accepted_ms=int(time.time() * 1000))


async def arrived(running) -> None:
    """Wait until everything is acknowledged."""
    async with asyncio.timeout(30):
        while any(spool.pending for spool in running.spools):
            await asyncio.sleep(0.005)


async def test_a_moody_collector_gets_every_event_in_each_users_order():
    """Through errors, resets and torn answers each user's events arrive in order, each taken at least once."""
    dice = random.Random(11)
    collector = Collector(
        lambda: dice.choice(["ok", "ok", "ok", "500", "429", "503", "408", "reset", "torn"])
    )
    await collector.start()
    client = CollectorClient(f"http://127.0.0.1:{collector.port}/event?key=k", timeout_seconds=5.0)
    spool = FakeSpool([event(i, f"u{i % 20}") for i in range(400)])
    breaker = Breaker(threshold=8, pause=QUICK)
    async with post(
        spool, sink=client, retry=QUICK, breaker=breaker, concurrency=8, clock=time.time
    ) as running:
        await arrived(running)
        assert running.dead_letters.kept == []
        assert {fate for _, fate, _ in running.journal.fates} == {"delivered"}
        assert len(running.journal.fates) == 400
        assert running.faults == []
    await client.close()
    await collector.stop()
    assert collector.tries > 400
    for user in range(20):
        assert collector.taken[f"u{user}"] == list(range(user, 400, 20))


async def test_a_collector_that_was_away_gets_the_backlog_when_it_is_back():
    """While nobody listens nothing is lost or acknowledged; when the collector comes back everything is delivered."""
    collector = Collector(lambda: "ok")
    await collector.start()
    await collector.stop()
    client = CollectorClient(f"http://127.0.0.1:{collector.port}/event", timeout_seconds=5.0)
    spool = FakeSpool([event(i, f"u{i % 20}") for i in range(200)])
    breaker = Breaker(threshold=4, pause=QUICK)
    async with post(
        spool, sink=client, retry=QUICK, breaker=breaker, concurrency=8, clock=time.time
    ) as running:
        async with asyncio.timeout(10):
            while running.journal.phases.count("half_open") < 5:
                await asyncio.sleep(0.005)
        assert spool.pending == 200
        await collector.start(collector.port)
        await arrived(running)
        assert running.forwarder.state == "closed"
    await client.close()
    await collector.stop()
    assert sum(len(numbers) for numbers in collector.taken.values()) == 200


async def test_a_refused_event_is_a_dead_letter_and_the_rest_arrives():
    """What the collector refuses with 400 is kept for a person, and its user's other events go on."""
    answers = iter(["ok", "400", "ok", "ok"])
    collector = Collector(lambda: next(answers))
    await collector.start()
    client = CollectorClient(f"http://127.0.0.1:{collector.port}/event")
    spool = FakeSpool([event(i, "u") for i in range(1, 5)])
    async with post(spool, sink=client, clock=time.time) as running:
        await arrived(running)
        assert [(kept.event_id, detail) for kept, _, detail in running.dead_letters.kept] == [
            ("e2", "status 400")
        ]
    await client.close()
    await collector.stop()
    assert collector.taken["u"] == [1, 3, 4]
