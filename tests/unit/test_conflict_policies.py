"""Two people on one device without a logout, under each policy; and what else the ledger won't bind."""

from __future__ import annotations

import hashlib

import orjson
import pytest

from gateway.events.pipeline import Pipeline
from tests.builders import PORTAL_ID, PROP_ID, QUERY, event, get, make_settings, post
from tests.unit.ingest_fakes import Bench

LAN, BINH = "lan@example.com", "binh@example.com"
CID_OF = {each: hashlib.md5(each.encode()).hexdigest() for each in (LAN, BINH)}
UID = "1234567890123"
NOW = 1_790_000_000_000


def sign_in(email, uid=UID):
    return event("user", "sign_in", uid=uid, dims={"customers": {"email": email}})


def bench(**identity):
    return Bench(Pipeline(make_settings(identity=identity)))


async def take(bench, *requests):
    return [orjson.loads((await bench.ingest.take(each)).body) for each in requests]


async def sent(bench):
    return [(each, orjson.loads(each.body)) for each in await bench.spooled()]


def cookies(reply):
    pairs = [value.partition(";")[0].partition("=") for name, value in reply.headers if name == "Set-Cookie"]
    return {name: value for name, _, value in pairs}


async def test_quarantine_holds_the_second_person_for_a_person():
    """Nothing of hers goes out under either identity, and the answer is a success that names the reason."""
    here = bench()
    answers = await take(here, post(sign_in(LAN)), post(sign_in(BINH)))
    assert [("accepted", "ok"), ("quarantined", "cid_conflict")] == [
        (each["outcome"], each["reason"]) for each in answers
    ]
    assert [CID_OF[LAN]] == [fields["cid"] for _, fields in await sent(here)]
    [entry] = here.held()
    assert (CID_OF[BINH], CID_OF[LAN]) == (entry.claimed_cid, entry.bound_cid)


async def test_new_uid_gives_the_second_person_a_uid_of_her_own():
    """Her event goes out under it, bound to her; the answer and the cookie say so; the first person's binding stays."""
    here = bench(on_conflict="new_uid")
    await here.ingest.take(post(sign_in(LAN)))
    hers = sign_in(BINH) | {"sid": "session-of-lan"}
    reply = await here.ingest.take(post(hers, cookie=f"_asm_uid={UID}"))
    answer = orjson.loads(reply.body)
    uid = answer["au_id"]
    assert ("accepted", "new_uid", UID) == (answer["outcome"], answer["reason"], answer["uid_replaced"])
    assert uid != UID
    assert uid == cookies(reply)["_asm_uid"]
    (_, first), (record, second) = await sent(here)
    assert (UID, CID_OF[LAN]) == (first["uid"], first["cid"])
    assert (uid, uid, uid, CID_OF[BINH]) == (record.uid, second["uid"], second["aid"], second["cid"])
    assert "sid" not in second
    assert CID_OF[LAN] == here.ledger.lookup(PORTAL_ID, UID).cid
    assert CID_OF[BINH] == here.ledger.lookup(PORTAL_ID, uid).cid


async def test_the_same_person_on_the_same_device_gets_the_same_new_uid_again():
    """An event that is sent again, and a page that never heard the answer, make no third profile."""
    here = bench(on_conflict="new_uid")
    answers = await take(here, post(sign_in(LAN)), *[post(sign_in(BINH))] * 3)
    assert 1 == len({each["au_id"] for each in answers[1:]})
    assert 2 == here.ledger.stats().rows


async def test_a_new_uid_differs_by_device_person_portal_and_secret():
    """Nobody who does not know the gateway's secret can compute it."""
    uids = set()
    for secret in ("t1:0123456789abcdef", "t1:0123456789abcdeF"):
        here = Bench(
            Pipeline(make_settings(identity={"on_conflict": "new_uid"}, cookies={"keys": (secret,)}))
        )
        for uid in (UID, "9876543210"):
            await here.ingest.take(post(sign_in("first@example.com", uid)))
            for person in (LAN, BINH):
                uids.add((await take(here, post(sign_in(person, uid))))[0]["au_id"])
    assert 8 == len(uids)


async def test_what_follows_in_the_same_array_belongs_to_the_second_person():
    """A page view behind her sign-in is hers, one before it is the first person's."""
    here = bench(on_conflict="new_uid")
    await here.ingest.take(post(sign_in(LAN)))
    reply = await here.ingest.take(post([event(), sign_in(BINH), event()], cookie=f"_asm_uid={UID}"))
    before, hers, after = orjson.loads(reply.body)["results"]
    assert UID == before["au_id"]
    assert "uid_replaced" not in before
    assert hers["au_id"] == after["au_id"] != UID
    assert hers["au_id"] == cookies(reply)["_asm_uid"]
    cids = [fields["cid"] for _, fields in await sent(here)]
    assert [CID_OF[LAN], CID_OF[LAN], CID_OF[BINH], CID_OF[BINH]] == cids


async def test_a_late_event_does_not_take_the_cookie_of_who_came_after():
    """A queued sign-in of a UID that the visitor no longer has gives her a UID, but leaves the visitor's cookie alone."""
    here = bench(on_conflict="new_uid")
    await here.ingest.take(post(sign_in(LAN)))
    reply = await here.ingest.take(post(sign_in(BINH), cookie="_asm_uid=5555555555"))
    assert {} == cookies(reply)


async def test_strip_sends_the_event_on_as_nobodys():
    """No uid, no customer, no address, no parameter that could name one; what happened is there."""
    here = bench(on_conflict="strip")
    fields = sign_in(BINH) | {"items": [{"type": "product", "id": "p1"}], "extra": {"identify_id": "x"}}
    query = f"{QUERY}&email={LAN}&is_debug=true"
    [_, answer] = await take(here, post(sign_in(LAN)), post(fields | {"extra": {"order_id": "o1"}}, query))
    assert ("accepted", "identity_stripped", UID) == (answer["outcome"], answer["reason"], answer["au_id"])
    _, (record, stripped) = await sent(here)
    text = orjson.dumps(stripped).decode() + record.query
    assert "" == record.uid
    for secret in (UID, CID_OF[LAN], CID_OF[BINH], "email", hashlib.sha256(BINH.encode()).hexdigest()):
        assert secret not in text
    assert [{"type": "product", "id": "p1"}] == stripped["items"]
    assert {"order_id", "event_id", "receive_time"} == set(stripped["extra"])


async def test_a_property_may_have_a_policy_of_its_own():
    """`properties.on_conflict` wins over `identity.on_conflict`."""
    property_ = {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example"}
    here = Bench(
        Pipeline(
            make_settings(
                identity={"on_conflict": "strip"}, properties=({**property_, "on_conflict": "new_uid"},)
            )
        )
    )
    answers = await take(here, post(sign_in(LAN)), post(sign_in(BINH)))
    assert ["ok", "new_uid"] == [each["reason"] for each in answers]


@pytest.mark.parametrize("policy", ["quarantine", "new_uid", "strip"])
async def test_a_contradiction_is_held_under_every_policy(policy):
    """It is never guessed which of two customers is meant."""
    here = bench(on_conflict=policy)
    [answer] = await take(here, post(event(cid=CID_OF[LAN], extra={"customer_id": CID_OF[BINH]})))
    assert ("quarantined", "cid_contradiction") == (answer["outcome"], answer["reason"])
    assert None is here.ledger.lookup(PORTAL_ID, UID).cid


async def test_an_erased_uid_is_retired_and_nothing_links_it_to_the_next():
    """The browser of an erased person goes on under another UID, the same for all its events, and may sign in again."""
    here = bench()
    await here.ingest.take(post(sign_in(LAN)))
    await here.ledger.erase(PORTAL_ID, cid=CID_OF[LAN], reason="asked for it", now_ms=NOW)
    await here.spooled()
    page = event(sid="session-of-lan", aid=UID, extra={"reset_uid": UID, "list": "sale"})
    reply = await here.ingest.take(post(page, cookie=f"_asm_uid={UID}"))
    page_view = orjson.loads(reply.body)
    [again] = await take(here, post(sign_in(LAN)))
    uid = page_view["au_id"]
    assert ("accepted", "new_uid", UID) == (
        page_view["outcome"],
        page_view["reason"],
        page_view["uid_replaced"],
    )
    assert uid == again["au_id"] == cookies(reply)["_asm_uid"] != UID
    assert CID_OF[LAN] == here.ledger.lookup(PORTAL_ID, uid).cid
    assert here.ledger.lookup(PORTAL_ID, UID).is_erased
    assert not [each for each in here.ledger.audit() if each.kind == "conflict"]
    for record, fields in await sent(here):
        assert UID not in f"{record}"
        assert "session-of-lan" not in f"{record}"
        assert uid == fields["aid"]
    lines = here.log("event")[1:]
    assert ["erased"] * 2 == [line["uid_replaced"] for line in lines]
    assert UID not in str(lines)


async def test_an_address_that_comes_with_a_second_cid_is_an_alias():
    """A site that hashes in two ways, or two people with one phone: said once in the line of its event, and counted."""
    here = bench()
    fields = [
        event(cid=cid, uid=uid, dims={"customers": {"phone": "0912345678"}})
        for cid, uid in (("C-1", "1111111111"), ("C-2", "2222222222"))
    ]
    answers = await take(here, *[post(each) for each in fields])
    assert ["ok", "ok"] == [each["reason"] for each in answers]
    assert 1 == here.metrics.registry.get_sample_value("tracking_gateway_identity_aliases_total")
    [entry] = [each for each in here.ledger.audit() if each.kind == "alias"]
    assert ("2222222222", "C-1", "C-2") == (entry.uid, entry.cid, entry.other)
    _, line = here.log("event")
    assert ("warning", "C-1") == (line["level"], line["identity_alias"][0]["first_cid"])


async def test_an_alias_can_be_held_and_then_binds_nobody():
    """`on_alias = quarantine`: a person looks before the second customer id is bound for ever."""
    here = bench(on_alias="quarantine")
    fields = [
        event(cid=cid, uid=uid, dims={"customers": {"phone": "0912345678"}})
        for cid, uid in (("C-1", "1111111111"), ("C-2", "2222222222"))
    ]
    answers = await take(here, *[post(each) for each in fields])
    assert ["ok", "identity_alias"] == [each["reason"] for each in answers]
    assert None is here.ledger.lookup(PORTAL_ID, "2222222222").cid
    [entry] = here.held()
    assert "identity_alias" == entry.reason


async def test_the_audit_log_tells_of_conflicts_and_repairs_by_hashes_alone():
    """What was claimed, what holds, how it was resolved, and by which event."""
    here = bench(on_conflict="new_uid")
    await take(
        here,
        post(sign_in(LAN)),
        post(sign_in(BINH)),
        post(event(uid="3333333333", cid="LAN@example.com")),
        post(event(uid="4444444444", cid=hashlib.md5(LAN.upper().encode()).hexdigest(), dims={"customers": {"email": LAN}})),
    )  # fmt: skip
    entries = list(here.ledger.audit())
    kinds = [each.kind for each in entries]
    assert ["bind", "bind", "conflict", "bind", "repair", "bind", "repair"] == kinds
    conflict, raw, wrong = entries[2], entries[4], entries[6]
    assert (UID, CID_OF[LAN], CID_OF[BINH]) == (conflict.uid, conflict.cid, conflict.other)
    assert conflict.note == f"new_uid {entries[1].uid}"
    assert (CID_OF[LAN], "raw") == (raw.cid, raw.other)
    assert (CID_OF[LAN], hashlib.md5(LAN.upper().encode()).hexdigest()) == (wrong.cid, wrong.other)
    assert all(each.event_id for each in entries)
    assert "@" not in str(entries)


async def test_nothing_is_acknowledged_that_the_audit_log_could_not_keep():
    """A conflict whose entry can't be written is refused, to be sent again; it is in neither store."""
    here = bench(on_conflict="strip")
    await here.ingest.take(post(sign_in(LAN)))
    await here.spooled()
    from tests.unit.ingest_fakes import LEDGER_DOWN

    async def broken(notes, now_ms):
        raise LEDGER_DOWN

    here.ledger.record = broken
    reply = await here.ingest.take(post(sign_in(BINH)))
    assert 503 == reply.status
    assert [] == await here.spooled()


async def test_a_browser_that_lost_its_uid_gets_it_back_from_the_signed_cookie():
    """The page's script says that it had to mint one (`uid_new=1`); the event goes out under the visitor's own."""
    here = bench()
    first = cookies(await here.ingest.take(post(event(uid=UID))))
    reply = await here.ingest.take(
        post(
            event(uid="7777777777"),
            f"{QUERY}&uid_new=1",
            cookie=f"_asm_uid=7777777777; _asm_uid_s={first['_asm_uid_s']}",
        )
    )
    answer = orjson.loads(reply.body)
    assert (UID, "7777777777", "ok") == (answer["au_id"], answer["uid_replaced"], answer["reason"])
    assert UID == cookies(reply)["_asm_uid"]
    _, (record, fields) = await sent(here)
    assert (UID, UID, UID) == (record.uid, fields["uid"], fields["aid"])
    assert "uid_new" not in record.query


@pytest.mark.parametrize(("uid", "query"), [("7777777777", QUERY), ("7777777777", f"{QUERY}&uid_new=0")])
async def test_a_uid_that_the_page_has_chosen_is_never_replaced_by_the_signed_cookie(uid, query):
    """A page that starts a new visitor by itself (its own logout) must not get the one before back."""
    here = bench()
    first = cookies(await here.ingest.take(post(event(uid=UID))))
    twin = first["_asm_uid_s"]
    [answer] = await take(here, post(event(uid=uid), query, cookie=f"_asm_uid={uid}; _asm_uid_s={twin}"))
    assert uid == answer["au_id"]


async def test_an_event_without_a_uid_gets_the_one_of_the_signed_cookie():
    """An image tag on a page whose readable cookie has run out is still the same visitor's."""
    here = bench()
    first = cookies(await here.ingest.take(post(event(uid=UID))))
    [answer] = await take(
        here, get(f"{QUERY}&ec=pageview&ea=view", cookie=f"_asm_uid_s={first['_asm_uid_s']}")
    )
    assert UID == answer["au_id"]
    assert ["event", "twin"] == [each["uid_source"] for each in here.log("event")]


async def test_a_forged_signed_cookie_is_ignored_and_counted():
    """It gives nobody another visitor's UID, and somebody may want to know."""
    here = bench()
    first = cookies(await here.ingest.take(post(event(uid=UID))))
    forged = first["_asm_uid_s"].replace(UID, "9999999999")
    [answer] = await take(here, post(event(uid=""), cookie=f"_asm_uid_s={forged}"))
    assert "9999999999" != answer["au_id"]
    sample = here.metrics.registry.get_sample_value
    assert 1 == sample("tracking_gateway_cookie_twins_total", {"state": "forged"})
    assert [None, "forged"] == [each.get("twin") for each in here.log("event")]
