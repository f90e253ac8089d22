"""One user's events reach the collector in the order in which they were accepted, whichever worker took which."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import aiohttp
import pytest

from tests.builders import event
from tests.processes import running_collector, running_gateway_process, until

WORKERS = 3
VISITORS = 8
EVENTS = 40


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


@pytest.fixture
async def gateway(tmp_path, collector):
    async with running_gateway_process(tmp_path, collector.url, server={"workers": WORKERS}) as running:
        yield running


async def visit(gateway, visitor):
    """Send one visitor's events, each over a connection of its own after the answer to the last, until it is acknowledged."""
    uid = str(10**12 + visitor)
    sent = []
    for number in range(EVENTS):
        request_id = f"{visitor}-{number}"
        while request_id not in sent:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(gateway.collect_url(request_id), json=event(uid=uid)) as response,
                ):
                    if response.status == 200:
                        sent.append(request_id)
    return sent


async def arrivals(collector, expected):
    """Wait until every event arrived; give the ids of each visitor's, in the order of their first arrival."""

    async def all_arrived():
        ids = await collector.request_ids()
        return ids if expected <= set(ids) else None

    found = {}
    for request_id in await until(all_arrived, "every event arrived"):
        found.setdefault(request_id.partition("-")[0], []).append(request_id)
    return found


def started(gateway, kind):
    """Give the process ids of a kind (`worker`, `delivery`) that were started, oldest first."""
    return [line["pid"] for line in gateway.log_lines(f"{kind}_started")]


async def test_events_of_one_user_that_reach_different_workers_keep_their_order(gateway, collector):
    """Each event over a new connection, so that the kernel spreads a visitor over all workers."""
    sent = await asyncio.gather(*(visit(gateway, visitor) for visitor in range(VISITORS)))
    found = await arrivals(collector, {request_id for mine in sent for request_id in mine})
    assert sent == [found[str(visitor)] for visitor in range(VISITORS)]

    async def logged():
        return VISITORS * EVENTS == len(gateway.log_lines("event"))

    await until(logged, "every event is in the log")
    workers = {}
    for line in gateway.log_lines("event"):
        workers.setdefault(line["uid"], set()).add(line["worker"])
    assert {WORKERS} == {len(each) for each in workers.values()}
    assert 0 == (await collector.get("/totals"))["duplicates"]


async def test_a_backlog_of_all_workers_is_delivered_in_the_order_of_acceptance(gateway, collector):
    """Also when the collector was down while they took it, and the gateway was started anew."""
    await collector.behave(status=503)
    sent = await asyncio.gather(*(visit(gateway, visitor) for visitor in range(VISITORS)))
    assert 0 == await gateway.stop()
    await collector.behave()
    await gateway.start()
    found = await arrivals(collector, {request_id for mine in sent for request_id in mine})
    assert sent == [found[str(visitor)] for visitor in range(VISITORS)]


@pytest.mark.parametrize("kind", ["delivery", "worker"])
async def test_order_holds_when_a_process_is_killed_in_the_middle(gateway, collector, kind):
    """What it was about to deliver, or to hand over, is not overtaken; nothing acknowledged is lost."""
    visits = [asyncio.create_task(visit(gateway, visitor)) for visitor in range(VISITORS)]
    for so_far in (40, 120):

        async def some_arrived(so_far=so_far):
            return len(await collector.request_ids()) >= so_far

        await until(some_arrived, "some events arrived")
        os.kill(started(gateway, kind)[-1], signal.SIGKILL)
        count = len(started(gateway, kind))

        async def is_back(count=count):
            return len(started(gateway, kind)) > count

        await until(is_back, "the process is started again")
    sent = await asyncio.gather(*visits)
    found = await arrivals(collector, {request_id for mine in sent for request_id in mine})
    assert sent == [found[str(visitor)] for visitor in range(VISITORS)]
    assert 2 == len(gateway.log_lines(f"{kind}_died"))
