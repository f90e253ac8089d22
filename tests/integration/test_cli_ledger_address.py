"""`ledger show | audit | erase` by an address: everybody who is known by it is found, and nothing of them is left in any file."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3
import subprocess

import aiohttp
import orjson
import pytest

from tests.builders import PORTAL_ID, event
from tests.command_line import run
from tests.processes import Gateway, running_collector, running_gateway_process, until

EMAIL, PHONE = "lan@example.com", "+84912345678"
OLD, NEW = "k1:" + "0ld-secret" * 4, "k2:" + "new-secret" * 4
KEYED = {"cid_hash": "hmac-sha256", "derive_cid_from": ["email", "phone"]}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def keyed(key: str, text: str) -> str:
    key_id, _, secret = key.partition(":")
    return f"{key_id}:{hmac.digest(secret.encode(), text.encode(), 'sha256').hex()}"


async def send(gateway: Gateway, body: dict) -> dict:
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.collect_url(), json=body) as response,
    ):
        assert response.status == 200
        return await response.json()


def sign_in(uid: str, **customer) -> dict:
    return event("user", "sign_in", uid=uid, dims={"customers": customer})


def holders(folder, *needles: str) -> dict[str, set[str]]:
    """Give which files hold which text, as text or as the bytes of its hexadecimal digits; read by another process."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.*"):
        data = subprocess.run(["cat", path], check=False, capture_output=True).stdout
        for needle in needles:
            digits = needle.rpartition(":")[2]
            raw = bytes.fromhex(digits) if len(digits) in {32, 64} else needle.encode()
            if needle.encode() in data or raw in data:
                found.setdefault(path.name, set()).add(needle)
    return found


@pytest.fixture
async def rotated(tmp_path):
    """A stopped gateway's settings after a rotation: Lan is known by three hashes of her address and by a shop's number."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, identity={**KEYED, "hash_keys": [OLD]}) as gateway,
    ):
        await send(gateway, sign_in("500", email=EMAIL, phone=PHONE))
        await send(gateway, sign_in("600", customer_id="shop-77", email="lan.other@example.com", phone=PHONE))
        await send(gateway, sign_in("700", customer_id="shop-88", email="minh@example.com"))
        await send(gateway, sign_in("900", customer_id="shop-99", phone="+84987654321"))
        await send(gateway, sign_in("901", customer_id="shop-98", email=EMAIL))
        rows = tmp_path / "rows.csv"
        rows.write_text(
            "portal_id,uid,cid,bound_at\n"
            f"{PORTAL_ID},501,{md5(EMAIL)},2026-01-02T03:04:05.678Z\n"
            f"{PORTAL_ID},502,{sha256(EMAIL.upper())},2026-01-02T03:04:05.678Z\n"
        )
        end = await run("ledger", "import", rows, "--config", gateway.config)
        assert 0 == end.code, end.err

        async def is_delivered() -> bool:
            return (
                len(await collector.get("/events")) >= 5
                and not (await gateway.metrics())["tracking_gateway_spool_pending"]
            )

        await until(is_delivered, "all is delivered")
    rows.unlink()
    return Gateway(tmp_path, "http://127.0.0.1:1", identity={**KEYED, "hash_keys": [NEW, OLD]})


async def ledger(gateway: Gateway, *arguments):
    return await run("ledger", *arguments, "--config", gateway.config)


async def test_an_address_shows_everybody_who_is_known_by_it(rotated):
    """Under the old key, another algorithm, another spelling; by the phone that came with the e-mail; the address is not said."""
    by_email, by_phone, text, nobody = await asyncio.gather(
        ledger(rotated, "show", " Lan@Example.com", "--json"),
        ledger(rotated, "show", "0912 345 678", "--json"),
        ledger(rotated, "show", EMAIL),
        ledger(rotated, "show", "nobody@example.com", "--json"),
    )

    assert {("500", keyed(OLD, EMAIL)), ("501", md5(EMAIL)), ("502", sha256(EMAIL.upper()))} == {
        (each["uid"], each["cid"]) for each in by_email.json["bindings"]
    }
    assert {("500", keyed(OLD, EMAIL))} == {(each["uid"], each["cid"]) for each in by_phone.json["bindings"]}
    assert (0, True) == (text.code, "3 bindings" in text.out)
    assert (1, []) == (nobody.code, nobody.json["bindings"])
    for end in (by_email, by_phone, text, nobody):
        assert "@" not in end.out + end.err
        assert "912345678" not in end.out + end.err


async def test_an_address_leads_to_the_entries_of_all_its_customers(rotated):
    """In the audit log too; a hash in capitals is the same hash."""
    by_email = await ledger(rotated, "audit", "--cid", EMAIL, "--json")
    capitals = await ledger(rotated, "show", md5(EMAIL).upper(), "--json")

    assert {"500", "501", "502", "600", "901"} == {
        orjson.loads(line)["uid"] for line in by_email.out.splitlines()
    }
    assert ["501"] == [each["uid"] for each in capitals.json["bindings"]]


async def test_erasing_by_an_address_leaves_nothing_of_her_in_any_file(rotated):
    """All her CIDs, each an erasure of its own; her hashes are in no file of `data_dir`, the spool's included; others stay."""
    hashes = [keyed(OLD, EMAIL), md5(EMAIL), sha256(EMAIL.upper()), sha256(EMAIL)]
    assert "ledger.db" in holders(rotated.data_dir, *hashes)

    end = await ledger(rotated, "erase", "--cid", EMAIL, "--reason", "request 7", "--yes", "--json")

    assert {keyed(OLD, EMAIL), md5(EMAIL), sha256(EMAIL.upper())} == {
        each["cid"] for each in end.json["cids"]
    }
    assert {"500", "501", "502"} == {each["uid"] for each in end.json["erased"]}
    assert {} == holders(rotated.data_dir, *hashes, EMAIL)
    assert "@" not in end.out
    notes = (await ledger(rotated, "audit", "--kind", "erase", "--json")).out.splitlines()
    assert {"500", "501", "502"} <= {orjson.loads(line)["uid"] for line in notes}
    assert (await ledger(rotated, "verify", "--json")).json["ok"]
    left = (await ledger(rotated, "list", "--json")).json["bindings"]
    assert {"600", "700", "900", "901"} == {each["uid"] for each in left if each["cid"]}
    again = await ledger(rotated, "erase", "--cid", EMAIL, "--reason", "request 7", "--yes")
    assert (1, True) == (again.code, "nothing to erase" in again.err)


async def test_a_shops_number_is_found_by_the_address_it_first_came_with(rotated):
    """In its own portal; nobody else's number goes."""
    end = await ledger(
        rotated, "erase", "--cid", "+84 987 654 321", "--reason", "request 8", "--yes", "--json"
    )

    assert [{"cid": "shop-99", "portal_id": PORTAL_ID}] == end.json["cids"]
    assert ["900"] == [each["uid"] for each in end.json["erased"]]
    assert 1 == end.json["address_keys"]
    assert {} == holders(rotated.data_dir, "shop-99")


async def test_events_that_only_name_her_leave_the_quarantine(tmp_path):
    """A contradiction and a refused event hold her CID and her address's hash under other UIDs; both go, and a stranger's stays."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url) as gateway,
    ):
        await send(gateway, sign_in("500", email=EMAIL, phone=PHONE))
        hers = [
            event(
                "user", "sign_in", uid="801", cid=md5(EMAIL), dims={"customers": {"customer_id": "otherid"}}
            ),
            event(
                "user",
                "sign_in",
                uid="802",
                cid="x1",
                dims={"customers": {"customer_id": "x2", "email": EMAIL}},
            ),
            event(
                "user",
                "sign_in",
                uid="803",
                cid="x1",
                dims={"customers": {"customer_id": "x2", "phone": PHONE}},
            ),
        ]
        other = event("user", "sign_in", uid="804", cid="x1", dims={"customers": {"customer_id": "x2"}})
        for body in (*hers, other):
            assert "cid_contradiction" == (await send(gateway, body))["reason"]

        end = await ledger(gateway, "erase", "--cid", md5(EMAIL), "--reason", "request 9", "--yes", "--json")

        held = (await run("quarantine", "list", "--config", gateway.config, "--json")).json["entries"]
        assert (0, 3) == (end.code, end.json["quarantined_events"])
        assert ["804"] == [each["uid"] for each in held]
    assert {} == holders(tmp_path / "data", md5(EMAIL), sha256(EMAIL), sha256(PHONE))


async def test_an_erasure_whose_log_is_still_read_says_that_it_is_done(tmp_path):
    """What is left to do is told: run it again; then it says what was erased before, with exit code 0."""
    gateway = Gateway(tmp_path, "http://127.0.0.1:1")
    rows = tmp_path / "rows.csv"
    rows.write_text(f"portal_id,uid,cid\n{PORTAL_ID},500,{md5(EMAIL)}\n")
    assert 0 == (await ledger(gateway, "import", rows)).code
    with sqlite3.connect(gateway.data_dir / "ledger.db", isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM binding").fetchone()
        first = await ledger(gateway, "erase", "--uid", "500", "--reason", "request 9", "--yes", "--json")
        reader.execute("ROLLBACK")
    reader.close()
    second = await ledger(gateway, "erase", "--uid", "500", "--reason", "request 9", "--yes", "--json")

    assert (1, False) == (first.code, first.json["ok"])
    assert "it is erased, but the old bytes stay" in first.json["error"]
    assert (0, True, []) == (second.code, second.json["ok"], second.json["erased"])
    assert ["500"] == [each["uid"] for each in second.json["erased_before"]]
    assert {} == holders(gateway.data_dir, md5(EMAIL))
