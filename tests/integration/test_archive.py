"""The archive of a real gateway process: what is in it, after a crash too, and how a person leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

import aiohttp
import pytest

from gateway.archive.folder import Folder
from gateway.archive.reading import Reading
from tests.archive_builders import ALWAYS
from tests.builders import event
from tests.command_line import on_a_terminal, run
from tests.processes import running_collector, running_gateway_process, until

LAN, MINH = "lan@example.com", "minh@example.com"
LAN_CID = hashlib.md5(LAN.encode()).hexdigest()
LANS_UID, MINHS_UID = "1234567890123", "444444444"


class Shop:
    """A running gateway with an archive, its collector, and what visitors do."""

    def __init__(self, gateway, collector, session):
        self.gateway = gateway
        self.collector = collector
        self.folder = Folder(gateway.data_dir / "archive")
        self._session = session

    async def visit(self, request_id, uid, email=""):
        names = {"dims": {"customers": {"email": email}}} if email else {}
        body = event("user", "sign_in" if email else "view", uid=uid, **names)
        async with self._session.post(self.gateway.collect_url(request_id), json=body) as response:
            assert 200 == response.status

    def archived(self):
        reading = Reading(self.folder, ALWAYS)
        found = list(reading)
        assert [] == reading.damage
        return found

    def request_ids(self):
        return [each.record.query.partition("request_id=")[2].partition("&")[0] for each in self.archived()]

    async def has_archived(self, *request_ids):
        async def is_there():
            return self.folder.exists and set(request_ids) <= set(self.request_ids())

        await until(is_there, f"{request_ids} are archived")


@contextlib.asynccontextmanager
async def running_shop(folder, **sections):
    async with (
        running_collector() as collector,
        running_gateway_process(folder, collector.url, archive={"days": 30}, **sections) as gateway,
        aiohttp.ClientSession() as session,
    ):
        yield Shop(gateway, collector, session)


@pytest.fixture
async def shop(tmp_path):
    async with running_shop(tmp_path, server={"workers": 2}) as shop:
        yield shop


async def test_delivered_events_are_archived_as_they_went_out(shop):
    """As the policy left them, with the visitor's address and user agent; after SIGKILL what was written is there, and it goes on."""
    await shop.visit("lan-1", LANS_UID, LAN)
    await shop.has_archived("lan-1")
    (delivery,) = shop.archived()
    (received,) = await shop.collector.get("/events")
    assert received["query"]["request_id"] == "lan-1"
    assert (LANS_UID, 1, "127.0.0.1") == (
        delivery.record.uid,
        delivery.attempts,
        delivery.record.client_ip,
    )
    assert LAN.encode() not in delivery.record.body
    assert LAN_CID.encode() in delivery.record.body
    assert 0 <= delivery.delivered_ms - delivery.record.accepted_ms < 30_000

    await shop.gateway.kill()
    await shop.gateway.start()
    await shop.visit("minh-1", MINHS_UID)
    await shop.has_archived("minh-1")
    assert ["lan-1", "minh-1"] == shop.request_ids()

    async def is_counted():
        metrics = await shop.gateway.metrics()
        return (
            1 == metrics['tracking_gateway_archived_total{result="kept"}']
            and metrics["tracking_gateway_archive_bytes"]
        )

    await until(is_counted, "the archive is counted")
    assert 0 == (await shop.gateway.metrics())["tracking_gateway_archive_stopped"]
    await shop.visit("minh-2", MINHS_UID)
    await until(lambda: has_delivered(shop, 3), "all are delivered")
    assert 0 == await shop.gateway.stop()
    # What was delivered at the very end is there as well.
    assert ["lan-1", "minh-1", "minh-2"] == shop.request_ids()


async def has_delivered(shop, count):
    return count == len(await shop.collector.request_ids())


async def test_a_customer_leaves_the_archive_while_the_gateway_writes_it(shop):
    """Her UIDs' events, anonymous ones too, and none of anybody else; what comes later of hers is not archived."""
    await shop.visit("lan-0", LANS_UID)
    await shop.visit("lan-1", LANS_UID, LAN)
    await shop.visit("minh-1", MINHS_UID, MINH)
    await shop.has_archived("lan-0", "lan-1", "minh-1")
    command = (
        "ledger",
        "erase",
        "--cid",
        LAN_CID,
        "--reason",
        "request 2026-118",
        "--config",
        shop.gateway.config,
    )
    is_over = asyncio.Event()

    async def keep_coming():
        index = 2
        while not is_over.is_set():
            await shop.visit(f"lan-{index}", LANS_UID)
            await shop.visit(f"minh-{index}", MINHS_UID)
            index += 1
            await asyncio.sleep(0.01)
        return index

    coming = asyncio.create_task(keep_coming())
    end = await on_a_terminal("Erase? [y/N]:", b"y\n", *command)
    is_over.set()
    count = await coming

    assert 0 == end.code, end
    assert "every quarantined and every archived event" in end.err
    assert "archived events are gone" in end.out
    await shop.has_archived(f"minh-{count - 1}")
    assert 0 == await shop.gateway.stop()
    assert [] == [each for each in shop.archived() if each.record.uid == LANS_UID]
    assert [f"minh-{index}" for index in range(1, count)] == [
        each for each in shop.request_ids() if "minh" in each
    ]
    again = (await run(*command, "--yes", "--json")).json
    assert 0 == again["archived_events"]


async def test_an_archive_that_can_not_be_written_holds_up_nothing(tmp_path):
    """It says so, in the log and as a number, is no reason not to be ready, and goes on by itself; so too beside several workers."""
    (tmp_path / "data").mkdir(mode=0o700)
    in_the_way = tmp_path / "data" / "archive"
    in_the_way.write_text("a file where the folder should be")
    async with running_shop(tmp_path) as shop:
        await shop.visit("minh-1", MINHS_UID)
        await until(lambda: has_delivered(shop, 1), "it is delivered")

        async def is_stopped():
            return (await shop.gateway.metrics())["tracking_gateway_archive_stopped"]

        await until(is_stopped, "the archive says that it stands still")
        assert await shop.gateway.is_ready()
        in_the_way.unlink()
        await shop.has_archived("minh-1")

        async def goes_on():
            return shop.gateway.log_lines("archive_goes_on")

        await until(goes_on, "it says that it goes on")
        (line,) = shop.gateway.log_lines("archive_stopped")
        assert ("error", True) == (line["level"], "archive" in line["hint"])
