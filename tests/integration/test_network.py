"""A real gateway: what leaves of the visitor's address, and where she is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aiohttp
import orjson
import pytest

from tests.geo_files import CITY, LONDON, make_database
from tests.processes import running_collector, running_gateway_process, until

VISITOR = "203.0.113.77"
SPOOFED = {
    "Forwarded": "for=6.6.6.6",
    "X-Real-IP": "6.6.6.6",
    "CF-Connecting-IP": "6.6.6.6",
    "True-Client-IP": "6.6.6.6",
    "X-Client-IP": "6.6.6.6",
}


def day():
    return datetime.now(UTC).date()


async def sent(gateway, request_id, headers=None, **fields):
    """Send an event and give the status."""
    body = orjson.dumps({"ec": "pageview", "ea": "view", **fields})
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.collect_url(request_id), data=body, headers=headers or {}) as response,
    ):
        return response.status


async def received(collector, *request_ids):
    """Wait until a collector has these events, and give them by id."""

    async def found():
        events = {each["query"]["request_id"]: each for each in await collector.get("/events")}
        return events if events.keys() >= set(request_ids) else None

    return await until(found, f"{request_ids} have come")


async def test_a_spoofed_header_reaches_nobody(tmp_path):
    """Of an untrusted peer every such header is a word of the visitor's; behind a trusted proxy what she put in front is not reached."""
    async with running_collector() as collector:
        for name, server in (("open", {}), ("proxied", {"trusted_proxies": ["127.0.0.1/32"]})):
            folder = tmp_path / name
            folder.mkdir()
            async with running_gateway_process(folder, collector.url, server=server) as gateway:
                headers = {**SPOOFED, "X-Forwarded-For": f"6.6.6.6, {VISITOR}"}
                assert 200 == await sent(gateway, name, headers)
                event = (await received(collector, name))[name]
                right = VISITOR if server else "127.0.0.1"
                assert (right, right) == (event["headers"]["X-Forwarded-For"], event["body"]["context"]["ip"])
                assert "6.6.6.6" not in str(event)
                await gateway.stop()
                assert "6.6.6.6" not in gateway.log()
                assert VISITOR not in gateway.log()


async def test_workers_hash_with_one_salt_and_keep_no_address(tmp_path):
    """Several workers, a restart: the same visitor is the same; the address is in no file, no log line and no request."""
    sections = {
        "server": {"trusted_proxies": ["127.0.0.1/32"], "workers": 3},
        "network": {"client_address": "hash"},
    }
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as gateway,
    ):
        began = day()
        names = [f"e{number}" for number in range(12)]
        for name in names[:9]:
            assert 200 == await sent(gateway, name, {"X-Forwarded-For": VISITOR}, extra={"ip": VISITOR})
        await gateway.stop()
        await gateway.start()
        for name in names[9:]:
            assert 200 == await sent(gateway, name, {"X-Forwarded-For": VISITOR})
        events = await received(collector, *names)
        # Two, when midnight came between.
        assert len({events[name]["body"]["context"]["ip"] for name in names}) <= 1 + (day() != began)
        assert {""} == {events[name]["headers"].get("X-Forwarded-For", "") for name in names}
        assert VISITOR not in str(events)
        await gateway.stop()
        salt = (gateway.data_dir / "address.salt").read_text().split()[1]
        assert salt not in gateway.log()
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or VISITOR.encode() not in path.read_bytes(), path


async def test_another_database_is_taken_under_load(tmp_path):
    """Two workers, events all the time, the file exchanged and broken again and again: each event has its answer and a place of one of the databases."""
    path = make_database(tmp_path / "geo.mmdb", {"81.2.69.0/24": {"country_code": "VN"}})
    sections = {
        "server": {"trusted_proxies": ["127.0.0.1/32"], "workers": 2},
        "geo": {"database": str(path), "max_age_days": 100_000},
        "network": {"client_address": "drop"},
        "limits": {"uid_events_per_second": 0},
    }
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as gateway,
    ):
        names = []

        async def visit(prefix, stop):
            while not stop.is_set():
                names.append(f"{prefix}-{len(names)}")
                assert 200 == await sent(gateway, names[-1], {"X-Forwarded-For": LONDON})

        async def said(event, count):
            await until(lambda: done(len(gateway.log_lines(event)) >= count), f"{count} times {event}")

        async def done(value):
            return value

        async def warned():
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{gateway.admin_url}/readyz") as response,
            ):
                # Events are taken all the same.
                assert 200 == response.status
                # Each worker tells the one that answers now and then.
                return "geo" in str((await response.json()).get("warnings"))

        def put(content):
            # In one piece: a worker that looks in between would see, and refuse, half a file.
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)

        stop = asyncio.Event()
        async with asyncio.TaskGroup() as visits:
            for prefix in "ab":
                visits.create_task(visit(prefix, stop))
            put(CITY.read_bytes())
            await said("geo_database_taken", 2)
            put(CITY.read_bytes()[:10_000])
            await said("geo_database_refused", 2)
            await until(warned, "the health says that the database is refused")
            make_database(path, {"81.2.69.0/24": {"country_code": "SG"}})
            await said("geo_database_taken", 4)
            stop.set()
        assert 200 == await sent(gateway, "last", {"X-Forwarded-For": LONDON})
        events = await received(collector, *names, "last")
        assert {"country": "SG"} == events["last"]["body"]["context"]["geo"]
        assert {each["body"]["context"]["geo"]["country"] for each in events.values()} <= {"VN", "GB", "SG"}
        assert LONDON not in str(events)
        assert 2 == len(gateway.log_lines("geo_database_refused"))
        assert "tracking_gateway_geo_database_age_seconds" in str(await gateway.metrics())


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_country_has_its_collector_and_one_that_is_down_holds_up_no_other(tmp_path, workers):
    """By the visitor's true address; a traveller stays; what waits for the one that is down comes in order when it is back."""
    hanoi, london = "14.160.0.1", "81.2.69.160"
    async with running_collector() as usual, running_collector() as region:
        sections = {
            "server": {"trusted_proxies": ["127.0.0.1/32"], "workers": workers},
            "network": {"client_address": "truncate"},
            "collector.regions": {"VN": f"{region.url}/event"},
        }
        async with running_gateway_process(tmp_path, usual.url, **sections) as gateway:
            await region.behave(down=True)
            waiting = [f"vn-{number}" for number in range(30)]
            for name in waiting:
                assert 200 == await sent(gateway, name, {"X-Forwarded-For": hanoi}, uid="111111111")
            crowd = [f"crowd-{number}" for number in range(20)]
            for name in crowd:
                assert 200 == await sent(gateway, name, {"X-Forwarded-For": hanoi}, uid=f"3{name[6:]:0>8}")

            async def is_away():
                lines = gateway.log_lines("collector")
                return any(line["state"] == "open" and region.url in line["cause"] for line in lines)

            await until(is_away, "the log says which collector is away")
            assert 0 == (await gateway.metrics())["tracking_gateway_collector_up"]
            others = [f"gb-{number}" for number in range(30)]
            for name in others:
                assert 200 == await sent(gateway, name, {"X-Forwarded-For": london}, uid="222222222")
            await received(usual, *others)
            # She has landed in London, and is still at home in Hanoi.
            assert 200 == await sent(gateway, "traveller", {"X-Forwarded-For": london}, uid="111111111")
            assert set(others) == set(await usual.request_ids())
            await region.behave()
            await received(region, *waiting, *crowd, "traveller")
            found = await region.request_ids()
            assert [*waiting, "traveller"] == [name for name in found if name not in crowd]
            assert set(others) == set(await usual.request_ids())
