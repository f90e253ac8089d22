"""`tracking-gateway spool replay`: what was archived goes out again, in order, at its rate, and never to anybody's harm."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time

import aiohttp
import orjson
import pytest

from gateway.archive.folder import Folder
from gateway.archive.lines import Delivery, moment
from gateway.events.model import Claim, Record
from gateway.ledger.sqlite import open_sqlite_ledger
from tests.archive_builders import DAY_MS, HOUR_MS, NOON_MS, make_writer
from tests.builders import PORTAL_ID, PROP_ID, event
from tests.command_line import both, environment, on_a_terminal, run
from tests.processes import ROOT, Gateway, running_collector, running_gateway_process, until

SINCE, UNTIL = moment(NOON_MS), moment(NOON_MS + 3 * HOUR_MS)


def archived(index, uid, at_ms, prop_id=PROP_ID):
    query = f"portal_id={PORTAL_ID}&prop_id={prop_id}&request_id=r{index}&resp_type=json"
    body = orjson.dumps(event("shop", "view", uid=uid, n=index))
    record = Record(f"e{index}", PORTAL_ID, prop_id, uid, at_ms - 50, query, body, "203.0.113.9", "Agent/1")
    return Delivery(record, at_ms, 1)


class Machine:
    """A data folder with a ledger and an archive, and no gateway; its collector is `collector`."""

    def __init__(self, folder, collector):
        self.collector = collector
        self.gateway = Gateway(folder, collector.url, archive={"days": 7})
        self.gateway.data_dir.mkdir(mode=0o700)
        self.folder = Folder(self.gateway.data_dir / "archive")
        self.span = ("--since", SINCE, "--until", UNTIL)

    async def set_up(self, *erased):
        ledger = open_sqlite_ledger(self.gateway.data_dir / "ledger.db")
        await ledger.bind([Claim(portal_id=PORTAL_ID, uid="1", cid="c" * 32)], 5)
        for uid in erased:
            await ledger.erase(PORTAL_ID, uid=uid, reason="ticket 7", now_ms=6)
        await ledger.close()

    def archive(self, deliveries):
        writer = make_writer(self.folder)
        rest = list(deliveries)
        while rest:
            del rest[: writer.write(rest).taken]
        writer.close()

    def command(self, *arguments):
        return ("spool", "replay", "--config", self.gateway.config, *arguments)

    async def replay(self, *arguments, **options):
        return await run(*self.command(*self.span, *arguments), **options)

    async def received(self):
        """Give (request id, UID) of each event that the collector took, in order."""
        found = await self.collector.get("/events")
        return [(each["query"]["request_id"], each["body"]["uid"]) for each in found]


@pytest.fixture
async def machine(tmp_path):
    async with running_collector() as collector:
        machine = Machine(tmp_path, collector)
        await machine.set_up("2")
        yield machine


def three_users(count=60, step_ms=1_000):
    return [archived(index, str(index % 3 + 1), NOON_MS + index * step_ms) for index in range(count)]


async def test_events_are_sent_again_as_they_were_and_in_order(machine):
    """The same query, body, address and user agent, in order for each UID; nothing of the erased one; the archive stays."""
    machine.archive(three_users())
    before = [each.path.read_bytes() for each in machine.folder.parts()]

    end = await machine.replay("--rate", "2000", "--yes")

    assert (0, "40 events sent, 0 refused, 20 skipped because their UID is erased.\n") == (end.code, end.out)
    assert "60 events delivered in that time, 20 of them of erased UIDs, which are not sent" in end.err
    received = await machine.received()
    for uid in ("1", "3"):
        assert [f"r{index}" for index in range(60) if str(index % 3 + 1) == uid] == [
            name for name, of in received if of == uid
        ]
    assert 40 == len(received)
    (first,) = [
        each for each in await machine.collector.get("/events") if each["query"]["request_id"] == "r0"
    ]
    assert event("shop", "view", uid="1", n=0) == first["body"]
    assert {"User-Agent": "Agent/1", "X-Forwarded-For": "203.0.113.9"} == first["headers"]
    assert before == [each.path.read_bytes() for each in machine.folder.parts()]


async def test_a_rehearsal_says_what_would_be_sent(machine):
    """How many, where to and how long it would take; nothing is sent and nothing asked."""
    machine.archive(three_users(12))
    text, json = await both(*machine.command(*machine.span, "--dry-run", "--rate", "0.1"))
    assert (0, 0, "A rehearsal: nothing was sent.\n") == (text.code, json.code, text.out)
    assert "12 events delivered in that time, 4 of them of erased UIDs, which are not sent.\n" in text.err
    assert f"To {machine.collector.url}/event, at most 0.1 a second: about 1 min 20 s.\n" in text.err
    assert {
        "ok": True, "dry_run": True, "since": SINCE, "until": UNTIL, "to": f"{machine.collector.url}/event", "events": 12,
        "sent": 0, "refused": 0, "erased": 4, "refusals": [], "unreadable": [], "stopped_at": None, "go_on": None,
    } == json.json  # fmt: skip
    assert [] == await machine.collector.request_ids()


async def test_what_the_collector_refuses_is_named(machine):
    """Exit code 1; a collector that is away is waited for, as long as somebody has patience."""
    machine.archive(three_users(2))
    await machine.collector.behave(status=400)
    text, json = await both(*machine.command(*machine.span, "--yes"))
    assert (1, 1, 1, False) == (text.code, json.code, json.json["refused"], json.json["ok"])
    assert "0 events sent, 1 refused, 1 skipped" in text.out
    assert "refused: event e0 of UID 1: status 400" in text.out
    assert [{"event_id": "e0", "uid": "1", "cause": "status 400"}] == json.json["refusals"]

    await machine.collector.behave(down=True)
    end = await machine.replay("--yes", "--patience", "1", "--json")
    assert (1, 0, SINCE) == (end.code, end.json["sent"], end.json["stopped_at"])
    assert "the collector took nothing for 1 seconds" in end.json["error"]


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_an_interrupted_replay_says_how_to_go_on(machine, form):
    """Ctrl-C: 130, the command for the rest; with it every event is sent, none of them out of order."""
    machine.archive([archived(index, str(index % 5 + 10), NOON_MS + index * 10) for index in range(300)])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, machine.command(*machine.span, "--rate", "100", "--yes", *form)),
        cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def has_begun():
        return len(await machine.collector.request_ids()) >= 20

    await until(has_begun, "some were sent")
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert (130, False) == (process.returncode, b"Traceback" in err)
    sent = await machine.collector.request_ids()
    assert 20 <= len(sent) < 300
    if form:
        said = orjson.loads(out)
        assert (False, "interrupted", len(sent)) == (said["ok"], said["error"], said["sent"])
        go_on = said["go_on"]
    else:
        assert f"{len(sent)} events sent, 0 refused, 0 skipped" in out.decode()
        assert (
            "Stopped (interrupted) before the event that was delivered at 2026-11-30T12:00:0" in out.decode()
        )
        go_on = out.decode().splitlines()[-1].strip()
    if form:
        # The other form's command is tried.
        return
    _, *words = shlex.split(go_on)
    assert 0 == (await run(*words, "--yes", "--rate", "5000")).code
    everything = await machine.collector.request_ids()
    assert {f"r{index}" for index in range(300)} == set(everything)
    for remainder in range(5):
        of_one = [int(name[1:]) for name in everything if int(name[1:]) % 5 == remainder]
        assert sorted(of_one) == of_one


async def test_who_is_erased_while_it_runs_is_not_sent_from_then_on(machine):
    """The ledger is asked in the moment in which an event leaves; the archive is erased while it is read."""
    machine.archive(archived(index, "1", NOON_MS + index) for index in range(400))
    replaying = asyncio.create_task(machine.replay("--rate", "100", "--yes", "--json"))

    async def has_begun():
        return len(await machine.collector.request_ids()) >= 10

    await until(has_begun, "some were sent")
    erased = await run(
        "ledger", "erase", "--config", machine.gateway.config, "--uid", "1", "--portal-id", PORTAL_ID, "--reason", "ticket 8", "--yes", "--json",
    )  # fmt: skip
    behind = len(await machine.collector.request_ids())
    end = await replaying

    assert (0, 400) == (erased.code, erased.json["archived_events"])
    assert (0, 400) == (end.code, end.json["sent"] + end.json["erased"])
    assert len(await machine.collector.request_ids()) <= behind + 1
    assert 0 == (await machine.replay("--yes", "--json")).json["events"]


async def test_it_asks_before_it_sends(machine):
    """A no sends nothing; without a terminal it wants --yes."""
    machine.archive(three_users(2))
    no = await on_a_terminal("again? [y/N]:", b"n\n", *machine.command(*machine.span))
    assert (1, "2 events delivered in that time" in no.err) == (no.code, True)
    unsure = await machine.replay()
    assert (2, True) == (unsure.code, "--yes" in unsure.err)
    assert [] == await machine.collector.request_ids()
    yes = await on_a_terminal("again? [y/N]:", b"y\n", *machine.command(*machine.span))
    assert (0, ["r0"]) == (yes.code, await machine.collector.request_ids())


async def test_a_gateways_archive_goes_to_another_collector(tmp_path):
    """What one collector took, a second one gets, while the gateway goes on."""
    async with (
        running_collector() as first,
        running_collector() as second,
        running_gateway_process(tmp_path, first.url, archive={"days": 7}) as gateway,
        aiohttp.ClientSession() as session,
    ):
        for index in range(30):
            body = event(uid=str(1_000 + index % 4), n=index)
            async with session.post(gateway.collect_url(f"r{index}"), json=body) as response:
                assert 200 == response.status

        async def is_kept():
            return 30 == (await gateway.metrics())['tracking_gateway_archived_total{result="kept"}']

        await until(is_kept, "all are archived")
        since = moment(int(time.time() * 1000) - DAY_MS)
        end = await run(
            "spool", "replay", "--config", gateway.config, "--since", since, "--to", f"{second.url}/event",
            "--rate", "1000", "--yes", "--json",
        )  # fmt: skip

        assert (0, 30, f"{second.url}/event") == (end.code, end.json["sent"], end.json["to"])
        there, here = await first.get("/events"), await second.get("/events")
        for each in (*there, *here):
            del each["index"], each["received_at"]
        assert sorted(map(repr, there)) == sorted(map(repr, here))
        assert 30 == len(here)
