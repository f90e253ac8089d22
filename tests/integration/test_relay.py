"""A gateway process in relay mode, with a collector that answers, is slow, is down; and one that is killed while it waits."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import orjson
import pytest

from tests.builders import event
from tests.processes import running_collector, running_gateway_process, until

FOREVER_MS = 10_000
FAILURES = {
    "down": {"down": True},
    "unavailable": {"status": 503},
    "limited": {"status": 429, "fail_next": 35},
}
COOKIES = ["seg=s3cret; Domain=evil.example; Max-Age=60; HttpOnly", "other=1", "_asm_uid=666"]


def relay(**more):
    """Settings of a gateway in relay mode that waits longer than any test, where nothing else is said."""
    return {
        "collector": {
            "mode": "relay", "relay_budget_ms": FOREVER_MS, "timeout_seconds": 20, "relay_cookies": ["seg"], **more,
        },
        "cookies": {"secure": False},
    }  # fmt: skip


async def ask(session, gateway, request_id, *, kind="json", uid="1234567890123", **headers):
    """Send one event as a page does; gives the status, the body and the cookies that were set."""
    url = gateway.collect_url(request_id, kind)
    page = {"Origin": "https://www.shop.example", "Host": "track.shop.example", **headers}
    async with session.post(url, json=event(uid=uid), headers=page) as response:
        return response.status, await response.read(), response.headers.getall("Set-Cookie", [])


async def relayed_counts(gateway):
    """Give what came of the waits, without the zeros."""
    prefix = 'tracking_gateway_relayed_total{result="'
    metrics = await gateway.metrics()
    return {
        key[len(prefix) : -2]: value for key, value in metrics.items() if key.startswith(prefix) and value
    }


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_collectors_campaign_and_cookies_reach_the_page_through_the_gateway(tmp_path, workers):
    """As the asked kind, under the site's own name; each event arrives once, with the listed cookie; no log has a word of it.

    With several workers another process hears the collector than the one that the page waits at.
    """
    settings = {"server": {"workers": workers}, **relay()}
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **settings) as gateway,
        aiohttp.ClientSession() as session,
    ):
        await collector.behave(campaign="five-percent", set_cookies=COOKIES)
        status, body, cookies = await ask(session, gateway, "r1", Cookie="seg=mine; other=x")
        assert status == 200
        answer = orjson.loads(body)
        assert (answer["campaigns"][0]["id"], answer["au_id"]) == ("five-percent", "1234567890123")
        assert sorted(cookie.partition("=")[0] for cookie in cookies) == ["_asm_uid", "_asm_uid_s", "seg"]
        assert "seg=s3cret; Path=/; Max-Age=60; Domain=shop.example; SameSite=Lax; HttpOnly" in cookies
        _, script, _ = await ask(session, gateway, "r2", kind="javascript")
        assert script.startswith(b"_event_callback_data({")
        assert b"five-percent" in script
        _, image, _ = await ask(session, gateway, "r3", kind="pixel")
        assert image.startswith(b"GIF89a")
        events = await collector.get("/events")
        assert [each["query"]["request_id"] for each in events] == ["r1", "r2", "r3"]
        assert [each["query"]["resp_type"] for each in events] == ["json", "javascript", "pixel"]
        assert [each["headers"].get("Cookie") for each in events] == ["seg=mine", None, None]
        assert await relayed_counts(gateway) == {"relayed": 3}
        await gateway.stop()
        lines = gateway.log_lines("event")
        assert [line["relayed"] for line in lines] == ["relayed"] * 3
        assert not [word for word in ("five-percent", "s3cret", "mine") if word in gateway.log()]


async def test_a_collector_that_is_too_slow_costs_the_budget_and_no_event(tmp_path):
    """The made-up answer goes out after the budget, without the collector's; the event arrives once."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **relay(relay_budget_ms=100)) as gateway,
        aiohttp.ClientSession() as session,
    ):
        await collector.behave(latency_ms=3_000, campaign="late")
        before = asyncio.get_running_loop().time()
        status, body, _ = await ask(session, gateway, "r1")
        took = asyncio.get_running_loop().time() - before
        assert (status, orjson.loads(body)["outcome"]) == (200, "accepted")
        assert took >= 0.09
        assert await relayed_counts(gateway) == {"budget": 1}

        async def arrived():
            return await collector.request_ids() == ["r1"]

        await until(arrived, "the event arrived")
        assert (await collector.get("/totals"))["total"] == 1


async def test_a_collector_that_fails_is_nobodys_5xx_and_nobody_waits_for_it(tmp_path):
    """Each answer is a made-up success, at once though the budget is long; afterwards every event arrives, once."""
    expected = []
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **relay()) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def all_arrived():
            return sorted(await collector.request_ids()) == sorted(expected)

        async def relays_again():
            expected.append(f"again{len(expected)}")
            _, body, _ = await ask(session, gateway, expected[-1])
            return b"campaigns" in body

        for name, behaviour in FAILURES.items():
            await collector.behave(**behaviour)
            mine = [f"{name}{number}" for number in range(30)]
            expected += mine
            answers = await asyncio.gather(
                *(ask(session, gateway, each, uid=str(10**12 + n // 3)) for n, each in enumerate(mine))
            )
            said = {(status, orjson.loads(body)["outcome"]) for status, body, _ in answers}
            assert said == {(200, "accepted")}, name
            await collector.behave(campaign="five-percent")
            await until(all_arrived, "every event arrived")
            await until(relays_again, "answers are relayed again")
        assert (await collector.get("/totals"))["duplicates"] == 0
        # A refusal of the event itself stays between the collector and the gateway.
        await collector.behave(status=400)
        status, body, _ = await ask(session, gateway, "refused")
        assert (status, orjson.loads(body)["outcome"]) == (200, "accepted")
        counts = await relayed_counts(gateway)
        assert counts["refused"] == 1
        assert sum(counts.values()) == len(expected) + 1
        assert set(counts) <= {"relayed", "failed", "refused"}


async def test_stopping_lets_everybody_who_waits_leave_with_an_answer(tmp_path):
    """At once, with the made-up one."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, server={"drain_seconds": 1}, **relay()) as gateway,
        aiohttp.ClientSession() as session,
    ):
        await collector.behave(latency_ms=8_000)
        waiting = [
            asyncio.create_task(ask(session, gateway, f"r{number}", uid=f"{number + 1}"))
            for number in range(5)
        ]
        await until(lambda: _spooled(gateway, 5), "all are kept")
        assert await gateway.stop() == 0
        answers = await asyncio.gather(*waiting)
        assert {(status, orjson.loads(body)["outcome"]) for status, body, _ in answers} == {(200, "accepted")}
        assert {line["relayed"] for line in gateway.log_lines("event")} == {"stopped"}


@pytest.mark.crash
async def test_an_event_whose_reply_waits_survives_kill_9(tmp_path):
    """It was spooled before it was sent: after the restart it arrives, although nobody was answered."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **relay()) as gateway,
        aiohttp.ClientSession() as session,
    ):
        # It takes the connection and says nothing, so that not even a first attempt can arrive.
        await collector.behave(latency_ms=60_000)
        waiting = asyncio.create_task(ask(session, gateway, "r1"))
        await until(lambda: _spooled(gateway, 1), "it is kept")
        assert not waiting.done()
        await gateway.kill()
        with contextlib.suppress(aiohttp.ClientError):
            await waiting
        await collector.behave()
        await gateway.start()

        async def arrived():
            return "r1" in await collector.request_ids()

        await until(arrived, "the event arrived")


async def _spooled(gateway, count):
    return (await gateway.metrics())["tracking_gateway_spool_pending"] == count
