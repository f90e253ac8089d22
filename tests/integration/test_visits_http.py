"""Sessions and touches over real sockets, with and without the fast path, at two gateways with one key, and across a restart."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.builders import PORTAL_ID, PROP_ID, event
from tests.processes import running_collector, running_gateway_process

KEY = "2026b:a newer secret of the shop"
UID = "1234567890123"
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json"
HEADERS = {"Host": "track.shop.example", "Origin": "https://www.shop.example"}
PAGE = "https://www.shop.example/?utm_source=zalo"


async def track(gateway, session, jar, **fields):
    """Send an event of the shop's page; give the answer, after its cookies went into the jar."""
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    sent = {**event(uid=UID), "context": {"navigation": {"url": PAGE}, "referrer": ""}, **fields}
    headers = HEADERS | ({"Cookie": cookie} if cookie else {})
    async with session.post(f"{gateway.url}/event?{QUERY}", json=sent, headers=headers) as response:
        answer = await response.json()
        assert (response.status, answer["outcome"]) == (200, "accepted")
        for value in response.headers.getall("Set-Cookie", []):
            name, _, text = value.partition(";")[0].partition("=")
            assert "; Path=/" in value
            assert ("; HttpOnly" in value) == (name != "_asm_uid")
            jar[name] = text
        return answer


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
async def test_a_session_is_one_over_a_restart_and_at_another_gateway(tmp_path, is_fast):
    """Nothing of it is kept at the gateway: the cookie and the key are all that it takes."""
    sections = {
        "server": {"fast_path": is_fast},
        "cookies": {"keys": [KEY]},
        "session": {"new_on_campaign": True},
    }
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    async with (
        running_collector() as collector,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        running_gateway_process(first, collector.url, **sections) as here,
        running_gateway_process(second, collector.url, **sections) as there,
    ):
        jar, other_tab = {}, {}
        # Two first events at once, at two gateways.
        answers = await asyncio.gather(
            track(here, session, jar), track(there, session, other_tab), track(here, session, {})
        )
        # Half hours begin on the clock: in the one moment where one begins between the three, there are two.
        ids = {each["session_id"] for each in answers}
        assert 1 <= len(ids) <= 2
        await here.kill()
        await here.start()
        again = [await track(each, session, jar) for each in (here, there)]
        assert {answers[0]["session_id"]} == {each["session_id"] for each in again}
        assert {"_asm_uid", "_asm_uid_s", "_asm_visit", "_asm_touch"} == set(jar)
