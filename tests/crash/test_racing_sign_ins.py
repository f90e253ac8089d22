"""Whoever signs in first on a UID is its customer, however many race, over however many processes."""

from __future__ import annotations

import asyncio
import hashlib
import random

import aiohttp
import pytest

from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.sqlite import open_quarantine
from tests.builders import PORTAL_ID, event
from tests.processes import running_collector, running_gateway_process, until

pytestmark = pytest.mark.crash
UID = "123456789012345"


async def test_one_of_200_racing_customers_is_bound_and_none_is_changed(tmp_path):
    """1,000 concurrent sign-ins of 200 customers on one UID, over 4 processes: one binding, the others are held."""
    customers = [hashlib.md5(f"person{number}@shop.example".encode()).hexdigest() for number in range(200)]
    claims = customers * 5
    random.Random(7).shuffle(claims)
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, server={"workers": 4}) as gateway,
        # Connections that are not kept: the kernel spreads them over the processes.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200, force_close=True)) as session,
    ):

        async def sign_in(cid):
            fields = event("user", "sign_in", uid=UID, dims={"customers": {"customer_id": cid}})
            async with session.post(gateway.collect_url(), json=fields) as response:
                assert response.status == 200
                return cid, (await response.json())["outcome"]

        answers = await asyncio.gather(*map(sign_in, claims))
        winners = {cid for cid, outcome in answers if outcome == "accepted"}
        assert len(winners) == 1
        winner = winners.pop()
        assert {(cid, outcome) for cid, outcome in answers if cid == winner} == {(winner, "accepted")}
        assert sum(outcome == "quarantined" for _, outcome in answers) == 995

        async def delivered():
            return len(await collector.get("/events")) == 5

        await until(delivered, "the winner's events arrived")
        assert {each["body"]["cid"] for each in await collector.get("/events")} == {winner}
        profiles = await collector.get("/profiles")
        assert (profiles["customer_count"], profiles["violations"]) == (1, [])
        metrics = await gateway.metrics()
        assert metrics['tracking_gateway_events_total{outcome="accepted",reason="ok"}'] == 5
        assert metrics['tracking_gateway_events_total{outcome="quarantined",reason="cid_conflict"}'] == 995
        assert metrics["tracking_gateway_bindings_total"] == 1
        workers = {line["worker"] for line in gateway.log_lines("event")}
        assert len(workers) > 1, "the race was not spread over processes"
        assert await gateway.stop() == 0
    ledger = open_sqlite_ledger(gateway.data_dir / "ledger.db", read_only=True)
    assert [winner] == [each.cid for each in ledger.find(UID)]
    assert [(PORTAL_ID, UID)] == [(each.portal_id, each.uid) for each in ledger.uids_of(winner)]
    await ledger.close()
    quarantine = open_quarantine(gateway.data_dir / "quarantine.db", read_only=True)
    assert quarantine.count() == {"cid_conflict": 995}
    await quarantine.close()
