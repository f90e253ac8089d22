"""The stand-in collector over real HTTP: what it takes, shows, counts, and how it fails on request."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.sandbox import build_collector

NOON_MS = 1_795_000_000_000
ENVELOPE = {"portal_id": "33167", "prop_id": "564990801", "resp_type": "json"}


@asynccontextmanager
async def running(**options):
    """A collector on a free port, whose clock goes one millisecond an event."""
    ticks = count(NOON_MS)
    app = build_collector(clock=lambda: next(ticks), **options)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def collector():
    async with running() as client:
        yield client


async def send(collector, *, request_id="", path="/event", **fields):
    """Post one event and give status and JSON answer."""
    params = {**ENVELOPE, "request_id": request_id} if request_id else ENVELOPE
    body = {"uid": "1", "ec": "product", "ea": "view", **fields}
    async with collector.post(path, params=params, json=body) as response:
        return response.status, await response.json()


async def get(collector, path):
    async with collector.get(path) as response:
        assert 200 == response.status
        return await response.json()


async def test_an_event_is_answered_in_the_wires_json_form(collector):
    """The answer names the UID, the session and the portal, as `resp_type=json` does."""
    status, answer = await send(collector, request_id="r1", uid="77", sid=5)
    assert 200 == status
    assert {
        "type": "event",
        "au_id": "77",
        "aid": "77",
        "session_id": "5",
        "client_id": "33167",
        "request_id": "r1",
    } == answer


async def test_a_received_event_is_shown_as_it_came(collector):
    """Query, body and the two headers that say who sent it are listed, with time and place."""
    headers = {"User-Agent": "Phone/1", "X-Forwarded-For": "203.0.113.9"}
    body = {"uid": "1", "ec": "user", "ea": "sign_in", "dims": {"customers": {"name": "Nguyễn"}}}
    await collector.post("/stream_event", params={**ENVELOPE, "request_id": "r1"}, json=body, headers=headers)
    assert [
        {
            "index": 0,
            "received_at": "2026-11-18T11:06:40.000Z",
            "query": {**ENVELOPE, "request_id": "r1"},
            "body": body,
            "headers": headers,
            "duplicate": False,
        }
    ] == await get(collector, "/events")


async def test_a_get_event_counts_as_one(collector):
    """The query string alone can be the event, with its objects as JSON text."""
    dims = orjson.dumps({"customers": {"customer_id": "A"}}).decode()
    params = {**ENVELOPE, "uid": "9", "ec": "user", "ea": "sign_in", "dims": dims}
    async with collector.get("/event", params=params) as response:
        assert "9" == (await response.json())["au_id"]
    (profile,) = (await get(collector, "/profiles"))["profiles"]
    assert ("A", ["9"]) == (profile["customer_id"], profile["uids"])


async def test_events_can_be_asked_for_from_an_index_by_uid_and_by_number(collector):
    """`since` continues where a reader stopped, `uid` and `limit` narrow it, and the total is always told."""
    for uid in ("1", "2", "1", "2"):
        await send(collector, uid=uid)

    async def indexes(query):
        return [event["index"] for event in await get(collector, f"/events?{query}")]

    assert [2, 3] == await indexes("since=2")
    assert [] == await indexes("since=4")
    assert [2, 3] == await indexes("limit=2")
    assert [0, 2] == await indexes("uid=1")
    assert [2] == await indexes("uid=1&since=1")
    assert [1] == await indexes("since=1&limit=1")
    async with collector.get("/events?limit=1") as response:
        assert "4" == response.headers["X-Total-Count"]


@pytest.mark.parametrize("query", ["since=-1", "since=x", "limit=", "limit=1.5", "since=" + "9" * 20])
async def test_a_bad_count_is_refused_by_name(collector, query):
    """A query parameter that is no whole number is a 400 that says which."""
    async with collector.get(f"/events?{query}") as response:
        assert (400, query.partition("=")[0]) == (response.status, (await response.json())["field"])


@pytest.mark.parametrize("body", [b"{oops", b"[1]", b'"text"', b"\xff"])
async def test_a_body_that_is_no_object_is_refused_and_counted(collector, body):
    """What isn't an event is a 400, and not in the list."""
    async with collector.post("/event", params=ENVELOPE, data=body) as response:
        assert 400 == response.status
    totals = await get(collector, "/totals")
    assert (0, 1) == (totals["total"], totals["malformed"])


async def test_a_duplicate_is_kept_and_flagged_and_enters_no_profile_twice(collector):
    """At least once on the wire is once in the profile."""
    await send(collector, request_id="r1")
    await send(collector, request_id="r1")
    await send(collector, request_id="r2")
    assert [False, True, False] == [event["duplicate"] for event in await get(collector, "/events")]
    assert 1 == (await get(collector, "/totals"))["duplicates"]
    (profile,) = (await get(collector, "/profiles"))["profiles"]
    assert ["r1", "r2"] == [event["event_id"] for event in profile["events"]]


async def test_only_the_newest_events_are_held_but_all_are_counted():
    """The memory is bounded; indexes go on, and what was never profiled is said."""
    async with running(max_events=32) as collector:
        for number in range(40):
            await send(collector, request_id=f"r{number}")
        totals = await get(collector, "/totals")
        assert 40 == totals["total"]
        assert totals["held"] <= 32
        events = await get(collector, "/events")
        assert list(range(totals["first_index"], 40)) == [event["index"] for event in events]
        profiles = await get(collector, "/profiles")
        assert totals["first_index"] == profiles["unprofiled"]
        assert totals["held"] == profiles["profiles"][0]["event_count"]


async def test_the_bytes_held_are_bounded_too():
    """A few large events push out the older ones."""
    async with running(max_bytes=10_000) as collector:
        for _ in range(10):
            await send(collector, extra={"note": "x" * 3_000})
        assert {"total": 10, "held": 3, "first_index": 7, "duplicates": 0, "refused": 0, "malformed": 0} == (
            await get(collector, "/totals")
        )


async def test_a_login_on_two_devices_becomes_one_profile(collector):
    """Over HTTP as in the rules: UID 1 and UID 2 log in, one customer has both histories."""
    await send(collector, request_id="r1", uid="1")
    await send(collector, request_id="r2", uid="2")
    await send(collector, request_id="r3", uid="1", ec="user", ea="sign_in", cid="A")
    await send(collector, request_id="r4", uid="2", ec="user", ea="sign_in", cid="A")
    answer = await get(collector, "/profiles")
    assert (1, 0) == (answer["customer_count"], answer["anonymous_count"])
    (profile,) = answer["profiles"]
    assert ["1", "2"] == profile["uids"]
    assert ["r1", "r2", "r3", "r4"] == [event["event_id"] for event in profile["events"]]


async def test_a_changed_cid_is_shown_as_a_violation(collector):
    """The collector says what a gateway let through."""
    await send(collector, cid="A")
    await send(collector, request_id="r2", cid="B")
    (violation,) = (await get(collector, "/profiles"))["violations"]
    assert ("cid_changed", "A", "B", "r2") == (
        violation["kind"],
        violation["held_cid"],
        violation["claimed_cid"],
        violation["event_id"],
    )


async def test_profiles_can_be_asked_for_by_uid_and_cid(collector):
    """One person's profile without all the others."""
    await send(collector, uid="1", cid="A")
    await send(collector, uid="2")
    assert [["1"]] == [each["uids"] for each in (await get(collector, "/profiles?cid=A"))["profiles"]]
    assert [["2"]] == [each["uids"] for each in (await get(collector, "/profiles?uid=2"))["profiles"]]
    assert [["2"]] == [each["uids"] for each in (await get(collector, "/profiles?limit=1"))["profiles"]]


async def behave(collector, **behaviour):
    async with collector.post("/behave", json=behaviour) as response:
        return response.status, await response.json()


async def test_a_status_refuses_every_event_until_it_is_healed(collector):
    """Refused events are counted, not kept; an empty behaviour heals."""
    await behave(collector, status=503, retry_after=7)
    async with collector.post("/event", params=ENVELOPE, json={"uid": "1"}) as response:
        assert (503, "7") == (response.status, response.headers["Retry-After"])
    assert 503 == (await send(collector))[0]
    await behave(collector)
    assert 200 == (await send(collector))[0]
    totals = await get(collector, "/totals")
    assert (1, 2) == (totals["total"], totals["refused"])


@pytest.mark.parametrize(("given", "expected"), [({}, 503), ({"status": 429}, 429)])
async def test_fail_next_refuses_that_many_and_is_healthy_again(collector, given, expected):
    """With the given status, or 503."""
    await behave(collector, fail_next=2, **given)
    assert [expected, expected, 200, 200] == [(await send(collector))[0] for _ in range(4)]
    assert (0, None) == ((shown := await get(collector, "/behave"))["fail_next"], shown["status"])


async def test_a_collector_that_is_down_closes_the_connection_and_keeps_nothing(collector):
    """No answer at all, as from a machine that died."""
    await behave(collector, down=True)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send(collector)
    assert 0 == (await get(collector, "/totals"))["total"]


async def test_a_cut_answer_leaves_the_event_with_the_collector(collector):
    """`reset_body`: the sender can't know, so its retry comes as a duplicate."""
    await behave(collector, reset_body=True)
    with pytest.raises(aiohttp.ClientError):
        await send(collector, request_id="r1")
    await behave(collector)
    assert 200 == (await send(collector, request_id="r1"))[0]
    totals = await get(collector, "/totals")
    assert (2, 1) == (totals["total"], totals["duplicates"])


async def test_latency_delays_the_answer(collector):
    """An answer takes at least that long."""
    await behave(collector, latency_ms=60)
    start = time.monotonic()
    await send(collector)
    assert time.monotonic() - start >= 0.06


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("json", b'"campaigns":[{"id":"five"'),
        ("javascript", b'_event_callback_data({"type":"event"'),
        ("pixel", b"GIF89a"),
    ],
)
async def test_a_campaign_and_cookies_are_in_the_answer_when_it_is_told_so(collector, kind, expected):
    """In the type that was asked for; the cookies that came are shown."""
    await behave(collector, campaign="five", set_cookies=["seg=1; Max-Age=60", "b=2"])
    params, headers = {**ENVELOPE, "resp_type": kind}, {"Cookie": "seg=0"}
    async with collector.post("/event", params=params, json={"uid": "1"}, headers=headers) as response:
        body = await response.read()
        assert ["seg=1; Max-Age=60", "b=2"] == response.headers.getall("Set-Cookie")
    assert expected in body
    assert (kind == "pixel") == (b"five" not in body)
    [event] = await get(collector, "/events")
    assert "seg=0" == event["headers"]["Cookie"]


@pytest.mark.parametrize(
    ("behaviour", "field"),
    [
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": True}, "latency_ms"),
        ({"status": 200}, "status"),
        ({"status": "503"}, "status"),
        ({"fail_next": None}, "fail_next"),
        ({"retry_after": 1.5}, "retry_after"),
        ({"down": 1}, "down"),
        ({"reset_body": "yes"}, "reset_body"),
        ({"latency": 5}, "latency"),
        ({"campaign": 5}, "campaign"),
        ({"set_cookies": "a=b"}, "set_cookies"),
        ({"set_cookies": ["a=b\r\nc: d"]}, "set_cookies"),
    ],
)
async def test_a_bad_behaviour_names_its_field_and_changes_nothing(collector, behaviour, field):
    """A 400 says which field, what it got and what to write."""
    _, before = await behave(collector, latency_ms=1)
    status, answer = await behave(collector, **behaviour)
    assert (400, field) == (status, answer["field"])
    assert field in answer["error"]
    assert before == await get(collector, "/behave")


async def test_a_behaviour_that_is_no_json_object_is_refused(collector):
    """The error says so."""
    for body in (b"", b"oops", b"[]"):
        async with collector.post("/behave", data=body) as response:
            assert 400 == response.status


async def test_reset_forgets_events_profiles_counts_and_behaviour(collector):
    """After it the collector is as new."""
    await send(collector, request_id="r1")
    await get(collector, "/profiles")
    await behave(collector, status=500)
    await collector.post("/reset")
    assert 200 == (await send(collector, request_id="r1"))[0]
    (event,) = await get(collector, "/events")
    assert (0, False) == (event["index"], event["duplicate"])
    assert 1 == (await get(collector, "/profiles"))["profiles"][0]["event_count"]


async def test_other_origins_may_read_but_not_steer(collector):
    """GET answers carry permissive CORS headers; POST ones don't."""
    for path in ("/events", "/profiles", "/totals", "/behave", "/events?since=x"):
        async with collector.get(path, headers={"Origin": "http://shop.example"}) as response:
            assert "*" == response.headers["Access-Control-Allow-Origin"]
    async with collector.post("/behave", json={}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_profiles_asked_for_at_once_count_each_event_once(collector):
    """Readers who come together share the folding."""
    for number in range(1_200):
        await send(collector, request_id=f"r{number}")
    answers = await asyncio.gather(*(get(collector, "/profiles?events=0") for _ in range(4)))
    assert [1_200] * 4 == [answer["profiles"][0]["event_count"] for answer in answers]
