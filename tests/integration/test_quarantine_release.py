"""Releases through a real gateway: what the command says, what the collector gets, what the log, the metrics and the ledger keep."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys

import aiohttp
import orjson
import pytest

from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify
from gateway.quarantine.contract import Which
from gateway.quarantine.sqlite import open_quarantine
from tests.builders import PORTAL_ID, event
from tests.command_line import run
from tests.processes import ROOT, Gateway, running_collector, running_gateway_process, until
from tests.unit import quarantine_version_1
from tests.unit.test_quarantine_store import entry

LAN, BINH = "lan@example.com", "binh@example.com"
CID_OF = {each: hashlib.md5(each.encode()).hexdigest() for each in (LAN, BINH)}
UID, OTHER_UID = "1234567890123", "1234567890124"


class Shop:
    """A gateway process with a collector, and the commands."""

    def __init__(self, gateway, collector, session):
        self.gateway, self.collector, self._session = gateway, collector, session

    async def send(self, request_id, fields):
        async with self._session.post(self.gateway.collect_url(request_id), json=fields) as response:
            return response.status, (await response.json()).get("reason", "")

    async def sign_in(self, request_id, email, uid=UID):
        fields = event("user", "sign_in", uid=uid, dims={"customers": {"email": email}})
        return await self.send(request_id, fields)

    async def command(self, *arguments):
        return await run("quarantine", *arguments, "--config", self.gateway.config)

    def held(self, reason=None):
        """Give what the quarantine holds, oldest first, as a process beside the gateway sees it."""
        store = open_quarantine(self.gateway.data_dir / "quarantine.db", read_only=True)
        entries = store.page(limit=100, which=Which(reason=reason))
        store._reader.close()
        return entries

    async def ready(self):
        """Give what `/readyz` answers: its status, and the document."""
        async with self._session.get(f"{self.gateway.admin_url}/readyz") as response:
            return response.status, await response.json()

    async def arrived(self, count):
        async def enough():
            events = await self.collector.get("/events")
            return events if len(events) >= count else None

        return await until(enough, f"{count} events arrived")

    async def settled(self):
        """Give the metrics when nothing waits any more."""

        async def nothing_waits():
            metrics = await self.gateway.metrics()
            return metrics if not metrics["tracking_gateway_spool_pending"] else None

        return await until(nothing_waits, "nothing waits")


@contextlib.asynccontextmanager
async def running_shop(folder, **sections):
    async with (
        running_collector() as collector,
        running_gateway_process(folder, collector.url, **sections) as gateway,
        aiohttp.ClientSession() as session,
    ):
        yield Shop(gateway, collector, session)


@pytest.fixture
async def shop(tmp_path):
    async with running_shop(tmp_path, quarantine={"max_entries": 2}) as opened:
        yield opened


@pytest.fixture
async def busy_shop(tmp_path):
    """A gateway whose events are taken by two processes and delivered, or buried, by a third."""
    async with running_shop(tmp_path, server={"workers": 2}) as opened:
        yield opened


def law(metrics):
    """Give both sides: accepted + released, and where these are now."""
    came = sum(value for name, value in metrics.items() if 'events_total{outcome="accepted"' in name)
    came += metrics['tracking_gateway_quarantine_releases_total{result="released"}']
    went = sum(
        metrics[f'tracking_gateway_deliveries_total{{result="{result}"}}']
        for result in ("delivered", "undeliverable", "expired", "erased")
    )
    return came, went + metrics["tracking_gateway_spool_pending"]


async def test_a_held_event_goes_out_in_the_way_that_somebody_chose(shop):
    """A conflict stays one as it is; under a new UID it is the second person's, as nobody's it names nobody; the law of counts holds."""
    assert (200, "ok") == await shop.sign_in("r-lan", LAN)
    assert (200, "cid_conflict") == await shop.sign_in("r-binh", BINH)
    assert (200, "cid_conflict") == await shop.sign_in("r-binh-2", BINH)
    of = {each.record.query.partition("request_id=")[2]: each.event_id for each in shop.held()}
    first, second = of["r-binh"], of["r-binh-2"]

    plain = await shop.command("release", "--reason", "cid_conflict", "--yes")
    assert 1 == plain.code
    assert "Released: 0 events." in plain.out
    assert "Stayed: 2 events, cid_conflict: it names another customer" in plain.out
    assert "--as new_uid" in plain.out

    moved = await shop.command("release", first, "--as", "new_uid", "--yes", "--json")
    assert (0, True, 1, []) == (moved.code, moved.json["ok"], moved.json["released"], moved.json["stayed"])
    stripped = await shop.command("release", "--uid", UID, "--since", "1h", "--as", "strip", "--yes")
    assert (0, "Released: 1 event.\n", "") == (stripped.code, stripped.out, stripped.err)
    assert [] == shop.held()

    sent = {each["query"]["request_id"]: each["body"] for each in await shop.arrived(3)}
    hers = sent["r-binh"]
    assert (CID_OF[BINH], CID_OF[LAN]) == (hers["cid"], sent["r-lan"]["cid"])
    assert hers["uid"] not in {UID, ""}
    assert "uid" not in sent[second]
    assert CID_OF[BINH] not in orjson.dumps(sent[second]).decode()
    ledger = open_sqlite_ledger(shop.gateway.data_dir / "ledger.db", read_only=True)
    assert CID_OF[BINH] == ledger.lookup(PORTAL_ID, hers["uid"]).cid
    assert CID_OF[LAN] == ledger.lookup(PORTAL_ID, UID).cid
    notes = [(each.event_id, each.note) for each in ledger.audit() if each.kind == "release"]
    assert verify(ledger).is_whole
    await ledger.close()
    assert [(first, f"new_uid {hers['uid']}"), (second, "strip (cid_conflict)")] == notes
    assert ["stayed", "stayed", "released", "released"] == [
        each["result"] for each in shop.gateway.log_lines("release")
    ]
    came, went = law(await shop.settled())
    assert 3 == came == went


async def test_a_full_quarantine_refuses_what_it_would_hold_and_nothing_else(shop):
    """The page keeps the event and sends it again; the gateway stays in service, and says in four places what is wrong."""
    held = 'tracking_gateway_quarantine_entries{reason="cid_conflict"}'

    async def counted(count):
        async def is_so():
            return (await shop.gateway.metrics()).get(held) == count

        await until(is_so, f"{count} held events are counted")

    await shop.sign_in("r-1", LAN)
    await shop.sign_in("r-2", BINH)
    await shop.sign_in("r-3", BINH)
    assert (503, "unavailable") == await shop.sign_in("r-4", BINH)
    assert (200, "ok") == await shop.sign_in("r-5", LAN)
    status, ready = await shop.ready()
    assert (200, "ready", {}) == (status, ready["status"], ready["problems"])
    assert ready["warnings"]["quarantine"].startswith("it is full: 2 events are held; look with")
    await counted(2)
    assert 1 == len(shop.gateway.log_lines("quarantine_full"))
    assert "quarantine.max_entries" in shop.gateway.log_lines("not_kept")[0]["detail"]

    done = await shop.command("release", "--all", "--as", "strip", "--yes", "--json")
    assert 2 == done.json["released"]
    assert (200, "cid_conflict") == await shop.sign_in("r-4", BINH)
    assert "warnings" not in (await shop.ready())[1]
    await counted(1)
    assert 1 == len(shop.gateway.log_lines("quarantine_has_room"))


async def test_a_dead_letter_is_sent_again_and_comes_back_when_it_is_refused_again(busy_shop):
    """With its own request id; a person's right takes it away before anybody releases it."""
    await busy_shop.collector.behave(status=400)
    await busy_shop.sign_in("r-1", LAN)
    await busy_shop.sign_in("r-2", BINH, OTHER_UID)

    async def buried(count=2):
        return len(busy_shop.held("refused_by_collector")) == count

    await until(buried, "both are buried")
    again = await busy_shop.command("release", "--all", "--yes", "--json")
    assert (0, 2) == (again.code, again.json["released"])
    await until(buried, "both came back")
    assert 4 == (await busy_shop.settled())['tracking_gateway_deliveries_total{result="undeliverable"}']

    await busy_shop.collector.behave()
    erased = await run(
        "ledger",
        "erase",
        "--uid",
        OTHER_UID,
        "--reason",
        "t-1",
        "--yes",
        "--config",
        busy_shop.gateway.config,
    )
    assert 0 == erased.code
    assert 0 == (await busy_shop.command("release", "--reason", "refused_by_collector", "--yes")).code
    sent = [each["query"]["request_id"] for each in await busy_shop.arrived(1)]
    assert {"r-1"} == set(sent)
    came, went = law(await busy_shop.settled())
    assert 5 == came == went


async def test_orders_wait_for_a_gateway_and_one_that_is_killed_releases_at_least_once(tmp_path):
    """The next one carries them out; killed between spool and quarantine it does so again. A file of version 1 is brought up to date."""
    async with running_collector() as collector, aiohttp.ClientSession() as session:
        gateway = Gateway(tmp_path, collector.url)
        shop = Shop(gateway, collector, session)
        gateway.data_dir.mkdir(mode=0o700)
        quarantine_version_1.make_file(gateway.data_dir / "quarantine.db", [entry(1, reason="unreadable")])
        before = await shop.command("list")
        await gateway.start()
        await shop.sign_in("r-1", LAN)
        await shop.sign_in("r-2", BINH)
        await shop.arrived(1)
        await gateway.stop()

        ordered = await shop.command("release", "--reason", "cid_conflict", "--as", "new_uid", "--yes")
        again = await shop.command("release", "--all", "--as", "strip", "--yes", "--json")
        await collector.behave(status=503)
        await killed_between_spool_and_quarantine(gateway)
        left = [each.reason for each in shop.held()]
        await collector.behave()
        await gateway.start()

        async def gone():
            return ["unreadable"] == [each.reason for each in shop.held()]

        await until(gone, "the entry went")
        metrics = await shop.settled()
        sent = [each["query"]["request_id"] for each in await shop.arrived(2)]
        await gateway.stop()

    assert 1 == before.code
    assert "start the gateway once" in before.err
    assert 1 == len(gateway.log_lines("quarantine_upgraded"))
    assert 0 == ordered.code
    assert "Ordered, not done yet: 1 event." in ordered.out
    assert "at its next start" in ordered.out
    assert (0, 1, 1) == (again.code, again.json["ordered"], again.json["ordered_before"])
    assert ["unreadable", "cid_conflict"] == left
    assert ["r-1", "r-2"] == list(dict.fromkeys(sent))
    assert 1 == metrics['tracking_gateway_quarantine_releases_total{result="released"}']


HOLD_BACK = """
import asyncio, sys
from gateway.quarantine.sqlite import SqliteQuarantine

async def settle(self, answers, now_ms):
    print("appended", flush=True)
    await asyncio.Event().wait()

SqliteQuarantine.settle = settle
from gateway.cli import main
main()
"""


async def killed_between_spool_and_quarantine(gateway):
    """Start a gateway that carries out what is ordered, and kill it when the events are in the spool and the entries not taken away."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_BACK, "serve", "--config", str(gateway.config),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert b"appended\n" == await asyncio.wait_for(process.stdout.readline(), 60)
    finally:
        process.kill()
        await process.wait()
