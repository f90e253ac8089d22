"""An event's way without a transport: durable before it is acknowledged, and one fate whatever breaks."""

from __future__ import annotations

import asyncio
import hashlib

import orjson
import pytest

from tests.builders import QUERY, event, get, post
from tests.processes import until
from tests.unit.ingest_fakes import LEDGER_DOWN, QUARANTINE_DOWN, SPOOL_DOWN, Bench

LAN, MINH = "Lan@example.com", "minh@example.com"
LAN_CID = hashlib.md5(b"lan@example.com").hexdigest()
REFUSED = {"dropped/unavailable": 1}


def sign_in(email=LAN, **fields):
    return event("user", "sign_in", dims={"customers": {"email": email}}, **fields)


def answer(reply):
    return orjson.loads(reply.body)


@pytest.fixture
def bench():
    opened = Bench()
    yield opened
    opened.close()


async def test_the_answer_waits_until_the_event_is_durable(bench):
    """The spool's future is what an acknowledgement means."""
    bench.spool.is_held = True
    taking = asyncio.create_task(bench.ingest.take(post(event())))

    async def appended():
        return bench.spool.futures

    (future,) = await until(appended, "the event was given to the spool")
    done, _ = await asyncio.wait({taking}, timeout=0.05)
    assert set() == done
    assert {} == bench.counts()
    future.set_result(None)
    reply = await taking
    assert (200, "accepted") == (reply.status, answer(reply)["outcome"])
    assert {"accepted/ok": 1} == bench.counts()


async def test_an_accepted_event_is_in_the_spool_under_the_id_that_was_answered(bench):
    """What is forwarded later is what was promised."""
    reply = await bench.ingest.take(post(event(uid="777777777")))
    (record,) = await bench.spooled()
    assert (answer(reply)["event_id"], "777777777") == (record.event_id, record.uid)
    (line,) = bench.log("event")
    assert record.event_id == line["event_id"]


async def test_a_sign_in_is_bound_before_it_is_answered(bench):
    """The ledger knows the customer; the line says that the binding is new, once."""
    for _ in range(2):
        assert 200 == (await bench.ingest.take(post(sign_in()))).status
    assert LAN_CID == bench.ledger.lookup("33167", "1234567890123").cid
    first, second = bench.log("event")
    assert (True, None) == (first["bound"], second.get("bound"))


async def test_a_conflict_waits_in_the_quarantine_and_nothing_of_it_in_the_spool(bench):
    """A success for the page, a warning for a person."""
    await bench.ingest.take(post(sign_in(LAN)))
    reply = await bench.ingest.take(post(sign_in(MINH)))
    assert (200, "quarantined") == (reply.status, answer(reply)["outcome"])
    (entry,) = bench.held()
    assert (answer(reply)["event_id"], "cid_conflict") == (entry.event_id, entry.reason)
    assert 1 == len(await bench.spooled())
    assert {"accepted/ok": 1, "quarantined/cid_conflict": 1} == bench.counts()


BROKEN = {
    "ledger_lookup": ("ledger", LEDGER_DOWN, event()),
    "ledger_bind": ("ledger", LEDGER_DOWN, sign_in()),
    "spool": ("spool", SPOOL_DOWN, event()),
    "spool_of_a_sign_in": ("spool", SPOOL_DOWN, sign_in()),
    "quarantine": ("quarantine", QUARANTINE_DOWN, event(cid=LAN_CID, extra={"customer_id": "0" * 31 + "1"})),
}


@pytest.mark.parametrize(("part", "failure", "fields"), BROKEN.values(), ids=BROKEN)
async def test_a_store_that_is_unavailable_gives_503_and_one_outcome(bench, part, failure, fields):
    """`Retry-After` for the client; counted once; one line for the event and one that says what broke and what mends it."""
    getattr(bench, part).failure = failure
    reply = await bench.ingest.take(post(fields))
    assert (503, "5") == (reply.status, dict(reply.headers)["Retry-After"])
    assert ("dropped", "unavailable") == (answer(reply)["outcome"], answer(reply)["reason"])
    assert REFUSED == bench.counts()
    assert ([], []) == (await bench.spooled(), bench.held())
    trouble, line = map(orjson.loads, bench.close().splitlines())
    assert ("error", "not_kept", type(failure).__name__, str(failure)) == tuple(
        trouble[key] for key in ("level", "event", "error", "detail")
    )
    assert ("error", "event", "dropped", "unavailable") == tuple(
        line[key] for key in ("level", "event", "outcome", "reason")
    )
    assert [line["event_id"]] == trouble["events"]


@pytest.mark.parametrize("part", ["ledger", "spool", "quarantine"])
async def test_a_fault_of_ours_is_an_outcome_too_and_its_message_is_never_logged(bench, part):
    """Its text may quote what a client sent: type and place are enough to find it."""
    fields = BROKEN["quarantine"][2] if part == "quarantine" else sign_in()
    getattr(bench, part).failure = RuntimeError("canary@example.com is not what was expected of 0912345678")
    reply = await bench.ingest.take(post(fields))
    assert (503, "5") == (reply.status, dict(reply.headers)["Retry-After"])
    assert REFUSED == bench.counts()
    text = bench.close()
    trouble, line = map(orjson.loads, text.splitlines())
    assert ("not_kept", "RuntimeError") == (trouble["event"], trouble["error"])
    assert "ingest.py" in trouble["at"]
    assert "unavailable" == line["reason"]
    for needle in ("canary", "0912345678"):
        assert needle not in text
        assert needle.encode() not in reply.body


async def test_the_same_event_is_taken_once_the_store_is_back(bench):
    """A client that follows `Retry-After` loses nothing, and the binding is the same."""
    bench.spool.failure = SPOOL_DOWN
    assert 503 == (await bench.ingest.take(post(sign_in()))).status
    bench.spool.failure = None
    assert 200 == (await bench.ingest.take(post(sign_in()))).status
    assert {"dropped/unavailable": 1, "accepted/ok": 1} == bench.counts()
    (record,) = await bench.spooled()
    assert LAN_CID == orjson.loads(record.body)["cid"]


async def test_an_outage_does_not_hide_what_was_wrong_with_an_event(bench):
    """Of an array, the one that can't be read stays malformed; sending it again would help nobody."""
    bench.spool.failure = SPOOL_DOWN
    reply = await bench.ingest.take(post([event(), {"uid": "1"}]))
    assert 503 == reply.status
    assert ["unavailable", "bad_field"] == [each["reason"] for each in answer(reply)["results"]]
    assert {"dropped/unavailable": 1, "malformed/bad_field": 1} == bench.counts()


@pytest.mark.parametrize(("kind", "status"), [("pixel", 503), ("javascript", 503), ("redirect", 302)])
async def test_an_outage_never_shows_to_the_shops_visitors(bench, kind, status):
    """An image stays an image, a script is a comment, a link leads where it led."""
    bench.spool.failure = SPOOL_DOWN
    query = (
        QUERY.replace("json", kind, 1) + "&redirect_url=https://www.shop.example/sale&uid=123456789&ec=a&ea=b"
    )
    reply = await bench.ingest.take(get(query))
    headers = dict(reply.headers)
    assert status == reply.status
    expected = {
        "pixel": lambda: headers["Content-Type"] == "image/gif" and reply.body[:3] == b"GIF",
        "javascript": lambda: reply.body.startswith(b"/*") and reply.body.endswith(b"*/"),
        "redirect": lambda: headers["Location"] == "https://www.shop.example/sale",
    }
    assert expected[kind]()
    assert REFUSED == bench.counts()


async def test_a_body_that_was_not_read_is_one_malformed_event(bench):
    """Too large, or broken on the way: counted and logged like any other."""
    request = post(b"")
    large, broken = bench.ingest.too_large(request), bench.ingest.broken_body(request)
    assert (413, 400) == (large.status, broken.status)
    assert {"malformed/too_large": 1, "malformed/bad_body": 1} == bench.counts()
    lines = bench.log("event")
    assert ["too_large", "bad_body"] == [line["reason"] for line in lines]
    assert {"(body)"} == {line["field"] for line in lines}
    assert [] == await bench.spooled()


async def test_a_preflight_is_no_event(bench):
    """Nothing counted, nothing logged."""
    assert 204 == bench.ingest.preflight(post(b"")).status
    assert ({}, "") == (bench.counts(), bench.close())


async def test_racing_sign_ins_of_one_uid_have_one_winner(bench):
    """Of many at once, one binds; those of the other customer are held."""
    people = [LAN, MINH] * 20
    replies = await asyncio.gather(*(bench.ingest.take(post(sign_in(each))) for each in people))
    bound = bench.ledger.lookup("33167", "1234567890123").cid
    outcomes = [answer(each)["outcome"] for each in replies]
    assert (20, 20) == (outcomes.count("accepted"), outcomes.count("quarantined"))
    assert {bound} == {orjson.loads(each.body)["cid"] for each in await bench.spooled()}
    assert {bound} == {each.bound_cid for each in bench.held()}


async def test_an_advertising_id_that_is_an_address_is_hashed_without_a_uid_too(bench):
    """The aid stands beside the UID wherever the UID came from: the event, the cookie, or fresh."""
    await bench.ingest.take(post({"ec": "a", "ea": "b", "aid": LAN}))
    (record,) = await bench.spooled()
    assert b"lan@" not in record.body.lower()


@pytest.mark.parametrize(
    "cid", ["lan\uff20example.com", "lan%40example.com", "(0912) 345 678", "\uff10912345678"]
)
async def test_a_customer_id_that_is_an_address_in_other_letters_is_hashed(bench, cid):
    """Full-width, percent-encoded, or with the area code in brackets: a person can read it, so it is raw."""
    await bench.ingest.take(post(event("user", "sign_in", cid=cid)))
    (record,) = await bench.spooled()
    assert cid != orjson.loads(record.body)["cid"]
