"""A customer is erased while events of hers wait for the collector: real gateway, real command line."""

from __future__ import annotations

import contextlib
import hashlib

import aiohttp
import pytest

from tests.builders import event
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until

LAN, MINH = "lan@example.com", "minh@example.com"
LAN_CID = hashlib.md5(LAN.encode()).hexdigest()
LANS_UID, MINHS_UID = "1234567890123", "444444444"
MADE = {"lan-1": (LANS_UID, LAN), "minh-1": (MINHS_UID, MINH), "lan-2": (LANS_UID, LAN)}


class Shop:
    """A gateway whose collector refuses everything, with two events of Lan's and one of Minh's."""

    def __init__(self, gateway, collector) -> None:
        self.gateway = gateway
        self.collector = collector

    async def sign_in(self, request_id, uid, email):
        body = event("user", "sign_in", uid=uid, dims={"customers": {"email": email}})
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.gateway.collect_url(request_id), json=body) as response,
        ):
            assert 200 == response.status

    async def erase_lan(self):
        end = await run(
            "ledger", "erase", "--cid", LAN_CID, "--reason", "request 2026-118", "--yes", "--json",
            "--config", self.gateway.config,
        )  # fmt: skip
        assert (0, [LANS_UID]) == (end.code, [each["uid"] for each in end.json["erased"]])

    async def held(self):
        end = await run("quarantine", "list", "--config", self.gateway.config, "--json")
        return [(each["uid"], each["reason"]) for each in end.json["entries"]]

    async def deliveries(self):
        """Give the count of each result that there was; an attempt that failed is none."""
        metrics = await self.gateway.metrics()
        counts = {
            name.split('"')[1]: value
            for name, value in metrics.items()
            if "deliveries_total" in name and value
        }
        counts.pop("retry", None)
        return counts

    async def has_tried(self):
        return {LANS_UID, MINHS_UID} == {each["uid"] for each in self.gateway.log_lines("delivery")}

    async def is_drained(self):
        # The log is written behind the events.
        pending = (await self.gateway.metrics())["tracking_gateway_spool_pending"]
        return (0, len(MADE)) == (pending, len(self.fates()))

    def fates(self):
        """Give the final result of each event in the log, by UID."""
        lines = self.gateway.log_lines("delivery")
        return sorted((each["uid"], each["result"]) for each in lines if each["result"] != "retry")


@contextlib.asynccontextmanager
async def waiting_shop(folder, workers=1):
    """Run a shop until each visitor's first event was tried and the collector would not have it."""
    async with (
        running_collector() as collector,
        running_gateway_process(folder, collector.url, server={"workers": workers}) as gateway,
    ):
        shop = Shop(gateway, collector)
        await collector.behave(down=True)
        for request_id, (uid, email) in MADE.items():
            await shop.sign_in(request_id, uid, email)
        await until(shop.has_tried, "both visitors' events were tried")
        yield shop


@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_of_an_erased_customer_arrives_when_the_collector_is_back(tmp_path, workers):
    """Only the other's event does; hers are neither delivered nor held, the counts add up, and the spool drains."""
    async with waiting_shop(tmp_path, workers) as shop:
        await shop.erase_lan()
        await shop.collector.behave()
        await until(shop.is_drained, "nothing waits any more")
        assert ["minh-1"] == await shop.collector.request_ids()
        assert {"erased": 2, "delivered": 1} == await shop.deliveries()
        accepted = 'tracking_gateway_events_total{outcome="accepted",reason="ok"}'
        assert len(MADE) == (await shop.gateway.metrics())[accepted]
        assert [(LANS_UID, "erased"), (LANS_UID, "erased"), (MINHS_UID, "delivered")] == shop.fates()
        assert [] == await shop.held()


async def test_nothing_of_an_erased_customer_is_kept_when_the_collector_refuses_it(tmp_path):
    """A collector that comes back with 400 makes a dead letter of the other's event alone."""
    async with waiting_shop(tmp_path) as shop:
        await shop.erase_lan()
        await shop.collector.behave(status=400)
        await until(shop.is_drained, "nothing waits any more")
        assert [] == await shop.collector.request_ids()
        assert {"erased": 2, "undeliverable": 1} == await shop.deliveries()
        assert [(MINHS_UID, "refused_by_collector")] == await shop.held()


async def test_an_erasure_while_the_gateway_stands_still_counts_at_its_next_start(tmp_path):
    """What a killed gateway had in its spool is not sent to anybody by the one that comes after it."""
    async with waiting_shop(tmp_path) as shop:
        await shop.gateway.kill()
        await shop.erase_lan()
        await shop.collector.behave()
        await shop.gateway.start()
        await until(shop.is_drained, "nothing waits any more")
        assert ["minh-1"] == await shop.collector.request_ids()
        assert {"erased": 2, "delivered": 1} == await shop.deliveries()
        assert [] == await shop.held()
