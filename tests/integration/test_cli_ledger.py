"""`ledger list | stats | audit | verify | erase` as processes, beside a running gateway and without one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pty
import re
import sqlite3
import subprocess
import sys

import aiohttp
import orjson
import pytest

from tests.builders import PORTAL_ID, event
from tests.command_line import both, environment, run
from tests.processes import ROOT, Gateway, running_collector, running_gateway_process, until

LAN, MINH = "lan@example.com", "minh@example.com"
LAN_CID, MINH_CID = (hashlib.md5(each.encode()).hexdigest() for each in (LAN, MINH))
UID, OTHER_UID, MINHS_UID = "1234567890123", "222222222", "444444444"
HEAD = "portal_id,uid,cid,bound_at,erased_at,reason\n"


class Shop:
    """A running gateway, and what its visitors do."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.config = gateway.config
        self._session = session

    async def sign_in(self, uid, email) -> dict[str, str]:
        body = event("user", "sign_in", uid=uid, dims={"customers": {"email": email}})
        async with self._session.post(self.gateway.collect_url(), json=body) as response:
            assert response.status == 200
            return await response.json()

    async def ledger(self, *arguments, **options):
        return await run("ledger", *arguments, "--config", self.config, **options)

    async def json(self, *arguments):
        return (await self.ledger(*arguments, "--json")).json

    async def held(self) -> list[tuple[str, str]]:
        end = await run("quarantine", "list", "--config", self.config, "--json")
        return [(each["uid"], each["reason"]) for each in end.json["entries"]]


@pytest.fixture
async def shop(tmp_path):
    """Lan on two devices, Minh on one; Minh's sign-in on Lan's device is held."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url) as gateway,
        aiohttp.ClientSession() as session,
    ):
        shop = Shop(gateway, session)
        for uid, email in ((UID, LAN), (OTHER_UID, LAN), (MINHS_UID, MINH), (UID, MINH)):
            await shop.sign_in(uid, email)
        yield shop


@pytest.fixture
async def large(tmp_path):
    """A ledger of 25 rows that no gateway serves, as its settings."""
    gateway = Gateway(tmp_path, "http://127.0.0.1:1")
    rows = tmp_path / "rows.csv"
    rows.write_text(
        HEAD + "".join(f"{PORTAL_ID},{uid},c{uid},2026-01-02T03:04:05.678Z,,\n" for uid in range(10, 35))
    )
    assert 0 == (await run("ledger", "import", rows, "--config", gateway.config)).code
    return gateway


async def test_rows_are_listed_a_page_at_a_time(large):
    """Each row once, in the order of an export; a page says where the next begins, the last that there is none."""
    whole = [
        line.split(",")[1]
        for line in (await run("ledger", "export", "--config", large.config)).out.splitlines()[1:]
    ]
    uids, options = [], ()
    while True:
        page = (
            await run("ledger", "list", "--config", large.config, "--limit", "10", "--json", *options)
        ).json
        uids += [each["uid"] for each in page["bindings"]]
        if page["next"] is None:
            break
        options = ("--after", page["next"])
    text = await run("ledger", "list", "--config", large.config, "--limit", "10")
    none, wrong, unknown = [
        await run("ledger", "list", "--config", large.config, *each)
        for each in (("--portal-id", "99"), ("--after", "33167"), ("--after", "99:1"))
    ]

    assert (25, whole) == (len(uids), uids)
    assert (0, f"more: --after {PORTAL_ID}:{uids[9]}\n") == (text.code, text.err)
    assert "10 bindings" in text.out
    assert (0, 2, 2) == (none.code, wrong.code, unknown.code)
    assert "0 bindings" in none.out
    assert "such as 33167:1234567890123" in wrong.err
    assert "no such portal" in unknown.err


async def test_stats_say_how_large_the_ledger_is(shop):
    """Bindings by portal, tombstones, address keys, and the head of the audit log."""
    text, json = await both("ledger", "stats", "--config", shop.config)

    assert (0, 0, "") == (text.code, json.code, text.err)
    said = json.json
    assert (3, 0, {PORTAL_ID: 3}, 2) == (
        said["bindings"],
        said["tombstones"],
        said["portals"],
        said["address_keys"],
    )
    assert re.fullmatch(rf"{said['audit_entries']}:[0-9a-f]{{64}}", said["audit_head"])
    for needle in ("bindings", f"{PORTAL_ID}: 3", "audit head"):
        assert needle in text.out


async def test_the_audit_log_tells_what_happened(shop):
    """Newest last; by UID, CID, kind; from a number on, so that it can be read on; no raw address anywhere."""
    whole = await shop.ledger("audit", "--json")
    entries = [orjson.loads(line) for line in whole.out.splitlines()]
    text, by_uid, by_cid, by_kind, behind, last, wrong = await asyncio.gather(
        *(
            shop.ledger("audit", *options)
            for options in (
                (), ("--uid", MINHS_UID, "--json"), ("--cid", MINH, "--json"), ("--kind", "conflict", "--json"),
                ("--after", "2", "--json"), ("--limit", "1", "--json"), ("--kind", "marriage"),
            )
        )
    )  # fmt: skip

    assert list(range(1, len(entries) + 1)) == [each["seq"] for each in entries]
    assert ["bind", "bind", "bind", "conflict"] == [each["kind"] for each in entries]
    assert (LAN_CID, MINH_CID) == (entries[3]["cid"], entries[3]["other"])
    assert [MINHS_UID] == [orjson.loads(line)["uid"] for line in by_uid.out.splitlines()]
    assert [3, 4] == [orjson.loads(line)["seq"] for line in by_cid.out.splitlines()]
    assert [4] == [orjson.loads(line)["seq"] for line in by_kind.out.splitlines()]
    assert [3, 4] == [orjson.loads(line)["seq"] for line in behind.out.splitlines()]
    assert [4] == [orjson.loads(line)["seq"] for line in last.out.splitlines()]
    assert (0, 2) == (text.code, wrong.code)
    for needle in ("4 entries", "conflict", MINH_CID):
        assert needle in text.out
    for end in (text, whole):
        assert "@" not in end.out


async def test_the_audit_log_can_be_followed(shop):
    """What happens comes out as it happens, until Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "ledger", "audit", "--follow", "--limit", "1", "--json", "--config", str(shop.config),
        cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        first = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        await shop.sign_in("555555555", LAN)
        second = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        process.send_signal(2)
        assert (0, b"") == (await asyncio.wait_for(process.wait(), 30), await process.stderr.read())
    finally:
        if process.returncode is None:
            process.kill()
    assert ("conflict", "bind", "555555555") == (first["kind"], second["kind"], second["uid"])
    assert first["seq"] + 1 == second["seq"]


async def test_a_whole_ledger_verifies_and_gives_its_head(shop):
    """Beside the running gateway; an earlier head is found again when the log has grown."""
    text = await shop.ledger("verify")
    head = (await shop.json("verify"))["head"]
    await shop.sign_in("555555555", LAN)

    later, made_up, wrong = [
        await shop.ledger("verify", "--json", "--head", each) for each in (head, f"2:{'0' * 64}", "latest")
    ]

    assert (0, f"head {head}") == (text.code, text.out.splitlines()[-1])
    assert "nothing is wrong" in text.out
    assert (0, True, 5) == (later.code, later.json["ok"], later.json["entries"])
    assert (1, False, 2) == (made_up.code, made_up.json["ok"], made_up.json["first_broken"]["seq"])
    assert (2, True) == (wrong.code, "--head" in wrong.json["error"])


async def test_a_ledger_that_was_tampered_with_is_found_out(large):
    """Somebody dropped the guards and changed one hash: the entry is named, exit code 1."""
    file = large.data_dir / "ledger.db"
    with sqlite3.connect(file) as tool:
        for (name,) in tool.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            tool.execute(f"DROP TRIGGER {name}")
        tool.execute("UPDATE audit SET cid = (SELECT cid FROM audit WHERE seq = 8) WHERE seq = 7")
    tool.close()

    text, json = await both("ledger", "verify", "--config", large.config)

    assert (1, 1) == (text.code, json.code)
    assert 7 == json.json["first_broken"]["seq"]
    assert "first broken: entry 7" in text.err
    assert "take a backup that verifies" in text.err


async def test_a_customer_can_be_forgotten_while_the_gateway_runs(shop):
    """UIDs become dated tombstones, address keys and held events go; the gateway sends nothing under these UIDs from then on."""
    assert [(UID, "cid_conflict")] == await shop.held()
    unsure = await shop.ledger("erase", "--cid", LAN_CID, "--reason", "request 2026-118")
    assert (2, "") == (unsure.code, unsure.out)
    assert "--yes" in unsure.err

    end = await shop.ledger("erase", "--cid", LAN_CID, "--reason", "request 2026-118", "--yes", "--json")

    assert (0, 1, 1) == (end.code, end.json["address_keys"], end.json["quarantined_events"])
    assert {UID, OTHER_UID} == {each["uid"] for each in end.json["erased"]}
    assert [{"cid": LAN_CID, "portal_id": None}] == end.json["cids"]
    assert "the CDP's own copy must be erased there" in end.json["beyond"]
    assert [] == await shop.held()
    (stone,) = (await shop.json("show", UID))["bindings"]
    assert ("", "", "request 2026-118") == (stone["cid"], stone["bound_at"], stone["reason"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stone["erased_at"])
    text = await shop.ledger("show", UID)
    assert ("0 bindings, 1 tombstone" in text.out, "request 2026-118" in text.out) == (True, True)
    assert (1, []) == ((await shop.ledger("show", LAN_CID)).code, (await shop.json("list"))["bindings"][3:])
    assert (await shop.json("verify"))["ok"]

    async def has_noticed() -> bool:
        said = await shop.sign_in(UID, LAN)
        return said["reason"] == "new_uid" and said["au_id"] != UID

    await until(has_noticed, "the gateway has noticed")
    assert [stone] == (await shop.json("show", UID))["bindings"]


async def test_nothing_that_names_the_customer_is_left_in_the_files(shop):
    """The CID's bytes and text are gone from ledger and quarantine, while the gateway has both open."""
    names = (bytes.fromhex(LAN_CID), LAN_CID.encode())

    def found() -> set[str]:
        # By another process: nothing in this one may open the files.
        files = [
            each for each in shop.gateway.data_dir.iterdir() if each.name.startswith(("ledger", "quarantine"))
        ]
        return {
            each.name
            for each in files
            for text in [subprocess.run(["cat", each], check=True, capture_output=True).stdout]
            if any(name in text for name in names)
        }

    assert {name.partition("-")[0].removesuffix(".db") for name in found()} == {"ledger", "quarantine"}

    end = await shop.ledger("erase", "--cid", LAN, "--reason", "request 2026-118", "--yes")

    assert (0, "") == (end.code, end.err)
    assert (
        "2 UIDs have a tombstone now; 1 address key, 1 quarantined event and 0 archived events are gone."
        in end.out
    )
    assert LAN not in end.out
    assert set() == found()


async def test_one_uid_can_be_forgotten_even_before_it_is_bound(shop):
    """With its portal named it gets a tombstone; a customer's other UIDs stay."""
    one = await shop.ledger("erase", "--uid", UID, "--reason", "ticket 7", "--yes", "--json")
    unbound = await shop.ledger(
        "erase", "--uid", "777", "--portal-id", PORTAL_ID, "--reason", "t", "--yes", "--json"
    )
    nothing = await shop.ledger("erase", "--uid", "888", "--reason", "ticket 9", "--yes")
    again = await shop.ledger("erase", "--uid", UID, "--reason", "ticket 10", "--yes", "--json")

    assert (0, [UID], 1) == (
        one.code,
        [each["uid"] for each in one.json["erased"]],
        one.json["quarantined_events"],
    )
    assert (0, ["777"]) == (unbound.code, [each["uid"] for each in unbound.json["erased"]])
    assert (1, "") == (nothing.code, nothing.out)
    assert "there was nothing to erase" in nothing.err
    assert (0, [], [(UID, "ticket 7")]) == (
        again.code,
        again.json["erased"],
        [(each["uid"], each["reason"]) for each in again.json["erased_before"]],
    )
    assert [OTHER_UID] == [each["uid"] for each in (await shop.json("show", LAN_CID))["bindings"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reason", "x"), "write either --cid or --uid"),
        (("--cid", "a", "--uid", "b", "--reason", "x"), "write either --cid or --uid"),
        (("--uid", "12", "--portal-id", "nosuch", "--reason", "x"), "neither the settings nor the ledger"),
        (("--cid", "a", "--reason", " "), "--reason: write one line"),
        (("--cid", "a", "--reason", "two\nlines"), "--reason: write one line"),
        (("--cid", "a", "--reason", "asked by lan@example.com"), "name a ticket instead"),
        (("--cid", "a", "--reason", "call +84 912 345 678"), "name a ticket instead"),
    ],
)
async def test_what_would_be_wrong_to_erase_is_refused(large, options, said):
    """Exit code 2; the address is not said again, and nothing has changed."""
    text, json = await both("ledger", "erase", "--config", large.config, "--yes", *options)

    assert (2, 2, "") == (text.code, json.code, text.out)
    for each in (text.err, json.json["error"]):
        assert said in each
        assert "lan@" not in each
        assert "912" not in each
    assert 0 == (await run("ledger", "stats", "--config", large.config, "--json")).json["tombstones"]


@pytest.mark.parametrize(("answer", "code", "erased"), [("y", 0, 1), ("n", 1, 0)])
async def test_on_a_terminal_it_is_asked_first(large, answer, code, erased):
    """With what will go; only a yes erases."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "ledger", "erase", "--cid", "c12", "--reason", "ticket 7"),
        *("--config", str(large.config)), cwd=ROOT, env=environment(),
        stdin=slave, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(slave)
    try:
        os.write(master, f"{answer}\n".encode())
        _, err = await asyncio.wait_for(process.communicate(), 30)
    finally:
        os.close(master)

    assert code == process.returncode
    for needle in (
        "To be forgotten for good: customer c12",
        f"1 bound UID: 12 (portal {PORTAL_ID})",
        "Erase? [y/N]",
    ):
        assert needle in err.decode()
    assert erased == (await run("ledger", "stats", "--config", large.config, "--json")).json["tombstones"]
