"""A whole gateway whose spool, or whose spool's disk, is full: each event has its one outcome, and it recovers by itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import Counter

import aiohttp

from tests.builders import event
from tests.file_systems import in_memory
from tests.processes import Gateway, running_collector, running_gateway_process, until

SMALL = {"segment_bytes": 65_536, "max_bytes": 1 << 20}
TEXT = "x" * 6_000


async def send(gateway: Gateway, count: int, first: int = 0) -> list[int]:
    """Send events, eight at a time, and give their statuses."""
    statuses: list[int] = [0] * count
    numbers = iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def client():
            for n in numbers:
                url = gateway.collect_url(f"r{first + n}")
                body = event(uid=str(10**12 + n), dims={"note": TEXT})
                async with session.post(url, json=body) as response:
                    assert response.status == 200 or "Retry-After" in response.headers
                    statuses[n] = response.status

        await asyncio.gather(*(client() for _ in range(8)))
    return statuses


def accepted(metrics: dict[str, float]) -> float:
    return sum(
        value for name, value in metrics.items() if "events_total" in name and 'outcome="accepted"' in name
    )


async def test_a_full_spool_that_drops_the_oldest_gives_each_event_one_outcome(tmp_path):
    """All are taken while the collector is down; what is neither dropped, with a line and a count, nor delivered does not exist."""
    spool = {**SMALL, "when_full": "drop_oldest"}
    async with running_collector() as collector:
        await collector.behave(down=True)
        async with running_gateway_process(tmp_path, collector.url, spool=spool) as gateway:
            assert {200: 300} == Counter(await send(gateway, 300))
            assert await gateway.is_ready()
            metrics = await gateway.metrics()
            dropped = metrics['tracking_gateway_deliveries_total{result="dropped_oldest"}']
            assert 100 < dropped < 200
            assert 300 == accepted(metrics)

            async def rest_waits():
                return (await gateway.metrics())["tracking_gateway_spool_pending"] == 300 - dropped

            await until(rest_waits, "what was not dropped is pending")
            await collector.behave()

            async def drained():
                return (await gateway.metrics())["tracking_gateway_spool_pending"] == 0

            await until(drained, "nothing waits any more")
            metrics = await gateway.metrics()
            assert 300 - dropped == metrics['tracking_gateway_deliveries_total{result="delivered"}']
            assert dropped == metrics['tracking_gateway_deliveries_total{result="dropped_oldest"}']

            async def is_logged():
                return len(gateway.log_lines("event")) == 300

            await until(is_logged, "every event is in the log")
            request_of = {line["event_id"]: line["request_id"] for line in gateway.log_lines("event")}
            fates = Counter(
                (line["event_id"], line["result"])
                for line in gateway.log_lines("delivery")
                if line["result"] != "retry"
            )
            assert {1} == set(fates.values())
            assert set(request_of) == {event_id for event_id, _ in fates}
            arrived = {request_of[event_id] for event_id, result in fates if result == "delivered"}
            assert arrived == set(await collector.request_ids())


async def test_a_full_disk_is_told_refuses_and_recovers_without_a_restart(tmp_path):
    """Readiness is off and says why; what was answered with success is delivered, and nothing else."""
    data = tmp_path / "data"
    data.mkdir()
    spool = {"segment_bytes": 65_536, "max_bytes": 1 << 30}
    async with running_collector() as collector:
        await collector.behave(down=True)
        with in_memory(data / "spool", "size=800k"):
            async with running_gateway_process(tmp_path, collector.url, spool=spool) as gateway:
                statuses = await send(gateway, 200)
                assert {200, 503} == set(statuses)

                async def said():
                    async with (
                        aiohttp.ClientSession() as session,
                        session.get(f"{gateway.admin_url}/readyz") as response,
                    ):
                        return response.status == 503 and await response.text()

                assert "free space" in await until(said, "it is not ready")
                assert statuses.count(200) == accepted(await gateway.metrics())
                subprocess.run(["mount", "-o", "remount,size=64m", data / "spool"], check=True)
                await until(gateway.is_ready, "it is ready again")
                statuses += await send(gateway, 50, first=200)
                assert {200} == set(statuses[200:])
                await collector.behave()
                expected = {f"r{n}" for n, status in enumerate(statuses) if status == 200}

                async def arrived():
                    return len(await collector.request_ids()) >= len(expected)

                await until(arrived, "every accepted event arrived", 60)
                assert expected == set(await collector.request_ids())


async def test_a_full_disk_of_the_whole_folder_is_told_while_the_spool_still_has_room(tmp_path):
    """Who signs in can't be bound and is asked to come again; readiness names the disk, and is on again once there is room."""
    data = tmp_path / "data"

    async def readiness(gateway):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{gateway.admin_url}/readyz") as response,
        ):
            return response.status, (await response.json())["problems"]

    async def sign_in(gateway, uid):
        body = event("user", "sign_in", uid=uid, dims={"customers": {"customer_id": f"c-{uid}"}})
        async with (
            aiohttp.ClientSession() as session,
            session.post(gateway.collect_url(f"s-{uid}"), json=body) as response,
        ):
            return response.status

    async with running_collector() as collector:
        with in_memory(data, "size=32m"):
            filler = data / "filler"
            log = {"file": str(tmp_path / "gateway.log")}
            spool = {"segment_bytes": 65_536}
            async with running_gateway_process(tmp_path, collector.url, spool=spool, logging=log) as gateway:
                assert 200 == await sign_in(gateway, "1000000001")
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    while True:
                        file.write(bytes(65_536))
                        file.flush()

                async def is_told():
                    status, problems = await readiness(gateway)
                    return status == 503 and "free space" in problems.get("disk", "")

                await until(is_told, "readiness names the disk")
                filler.unlink()
                await until(gateway.is_ready, "it is ready again")
                assert 200 == await sign_in(gateway, "1000000002")

                async def arrived():
                    return {"s-1000000001", "s-1000000002"} == set(await collector.request_ids())

                await until(arrived, "both arrived")
