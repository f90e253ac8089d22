"""A gateway that is killed under load loses nothing that it had acknowledged."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from tests.builders import event
from tests.processes import running_collector, running_gateway_process, until

pytestmark = pytest.mark.crash
VISITORS = 12
ROUNDS = 3


async def visitor(gateway, session, number, acknowledged, stop):
    """Send one visitor's events, each after the answer to the last; remember those that were acknowledged."""
    uid, count = str(10**12 + number), 0
    while not stop.is_set():
        count += 1
        request_id = f"e-{uid}-{len(acknowledged)}-{count}"
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with session.post(
                gateway.collect_url(request_id), json=event(uid=uid, sid=count)
            ) as response:
                if response.status == 200:
                    acknowledged.append(request_id)
                    continue
        await asyncio.sleep(0.01)


async def load(gateway, acknowledged, until_count):
    """Let all visitors send until so many more events were acknowledged, then kill the gateway in the middle of it."""
    stop = asyncio.Event()
    goal = sum(map(len, acknowledged)) + until_count
    async with aiohttp.ClientSession() as session:
        tasks = [
            asyncio.create_task(visitor(gateway, session, number, mine, stop))
            for number, mine in enumerate(acknowledged)
        ]

        async def enough():
            return sum(map(len, acknowledged)) >= goal

        await until(enough, "enough events were acknowledged")
        await gateway.kill()
        stop.set()
        await asyncio.gather(*tasks)


async def test_an_acknowledged_event_survives_kill_9_under_load(tmp_path):
    """Killed three times in the middle of its work, restarted each time: every acknowledged event arrives, in order."""
    acknowledged = [[] for _ in range(VISITORS)]
    async with running_collector() as collector, running_gateway_process(tmp_path, collector.url) as gateway:
        for round_ in range(ROUNDS):
            await load(gateway, acknowledged, 400 + 150 * round_)
            await gateway.start()
        expected = {request_id for mine in acknowledged for request_id in mine}
        assert len(expected) > ROUNDS * 400

        async def all_arrived():
            return expected <= set(await collector.request_ids())

        await until(all_arrived, "every acknowledged event arrived")
        arrived = await collector.request_ids()
        place = {request_id: index for index, request_id in enumerate(arrived)}
        for mine in acknowledged:
            assert mine == sorted(mine, key=place.__getitem__)


async def test_a_restart_goes_on_where_it_stopped(tmp_path):
    """Events that the collector would not take before the crash are delivered after it, each once."""
    async with running_collector() as collector, running_gateway_process(tmp_path, collector.url) as gateway:
        await collector.behave(status=503)
        async with aiohttp.ClientSession() as session:
            for number in range(20):
                async with session.post(
                    gateway.collect_url(f"r-{number}"), json=event(uid="111111111")
                ) as response:
                    assert response.status == 200
        await gateway.kill()
        await collector.behave()
        await gateway.start()

        async def all_arrived():
            return len(await collector.get("/events")) == 20

        await until(all_arrived, "all events arrived")
        assert [f"r-{number}" for number in range(20)] == await collector.request_ids()
        assert (await collector.get("/totals"))["duplicates"] == 0
