"""When two customer ids are one customer's: what an event proves, and what it does not."""

from __future__ import annotations

import hashlib

import orjson
import pytest

from gateway.events.identity import Identities
from gateway.events.pipeline import Pipeline
from gateway.settings import Identity
from tests.builders import event, make_settings, post
from tests.unit.ingest_fakes import Bench

EMAIL, PHONE = "lan@example.com", "+84912345678"
UID, OTHER_UID = "1234567890123", "9876543210987"
OLD_KEY, NEW_KEY = "2025:0123456789abcdef", "2026:fedcba9876543210"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def of(customer, **policy):
    return Identities(Identity(**policy)).identify(event(dims={"customers": customer}), may_hold_fields=True)


async def play(bench, *events):
    """Send the events one by one; give (outcome, forwarded cid) of each that goes out."""
    results = []
    for each in events:
        answer = orjson.loads((await bench.ingest.take(post(each))).body)
        [fields] = [orjson.loads(record.body) for record in await bench.spooled()] or [{}]
        results.append((answer["outcome"], fields.get("cid")))
    return results


def customer(uid=UID, **fields):
    return event("user", "sign_in", uid=uid, dims={"customers": fields})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("line_user_id", "U4af4980629a7b6c2d1f0e3a5b7c9d1e3"),
        ("shopify_customer_id", 6789012345678),
        ("haravan_customer_id", "1001234567"),
        ("zalo_id", "8123456789012345678"),
    ],
)
def test_any_field_may_give_the_cid(field, value):
    """The id of another system is a customer too; its field's name is in the hash, so two systems' numbers never meet."""
    found = of({field: value}, derive_cid_from=[field, "email"])
    assert (md5(f"{field}:{value}"), True) == (found.cid, found.is_derived)


def test_the_first_field_in_the_order_of_the_settings_gives_the_cid():
    """Whatever the order of the event's own fields."""
    both = {"line_user_id": "U1", "email": EMAIL}
    assert md5("line_user_id:U1") == of(dict(both), derive_cid_from=["line_user_id", "email"]).cid
    assert md5(EMAIL) == of(dict(both), derive_cid_from=["email", "line_user_id"]).cid


def test_a_field_that_derives_nothing_is_still_verified_and_remembered():
    """`derive_cid_from = []`: the page names its customers, and the address only proves what it meant."""
    found = of({"customer_id": sha256(EMAIL), "email": EMAIL}, derive_cid_from=[])
    assert (md5(EMAIL), sha256(EMAIL)) == (found.cid, found.repair.wrong)
    assert (sha256(EMAIL),) == found.keys
    assert None is of({"email": EMAIL}, derive_cid_from=[]).cid


@pytest.mark.parametrize("value", ["undefined", "0", "", "  ", None, {}, True])
def test_a_placeholder_in_such_a_field_names_nobody(value):
    """All who are signed out must not become one customer."""
    assert None is of({"line_user_id": value}, derive_cid_from=["line_user_id"]).cid


async def test_a_cid_that_was_bound_wrongly_hashed_stays_for_the_same_person():
    """A ledger that was imported holds the site's old hashes: the address proves that nobody else is meant."""
    here = Bench()
    wrong = md5("LAN@EXAMPLE.COM")
    await here.ingest.take(post(event(cid=wrong)))
    await here.spooled()
    results = await play(here, customer(customer_id=md5(EMAIL), email=EMAIL), customer(email=EMAIL))
    assert [("accepted", wrong)] * 2 == results


async def test_a_person_known_by_phone_stays_the_same_when_an_email_comes_along():
    """The page names nobody; the phone of this very event is the one that the device is bound by."""
    here = Bench()
    results = await play(here, customer(phone="0912 345 678"), customer(email=EMAIL, phone="0912345678"))
    assert [("accepted", md5(PHONE))] * 2 == results


async def test_a_shared_phone_does_not_make_one_of_two_named_people():
    """The page names another customer, with the family's phone beside her e-mail: a conflict, not a merge."""
    here = Bench()
    results = await play(
        here, customer(phone=PHONE), customer(customer_id=md5(EMAIL), email=EMAIL, phone=PHONE)
    )
    assert ("quarantined", None) == results[1]


async def test_a_shared_phone_does_not_make_one_of_two_people_on_two_devices():
    """She comes with her own e-mail first: her own customer, and the phone is an alias."""
    here = Bench()
    results = await play(here, customer(phone=PHONE), customer(OTHER_UID, email=EMAIL, phone=PHONE))
    assert [("accepted", md5(PHONE)), ("accepted", md5(EMAIL))] == results
    assert ["alias"] == [each.kind for each in here.ledger.audit() if each.kind == "alias"]


async def test_an_unknown_email_on_a_bound_device_proves_nothing():
    """Another address alone may be another person's."""
    here = Bench()
    results = await play(here, customer(phone=PHONE), customer(email=EMAIL))
    assert ("quarantined", None) == results[1]


def keyed(*keys, cid_hash="hmac-sha256"):
    return Bench(Pipeline(make_settings(identity={"cid_hash": cid_hash, "hash_keys": keys})))


async def test_a_keyed_cid_says_its_key_and_page_hashes_are_repaired_to_it():
    """A page can't know the secret, so what it sends is a plain hash or the address."""
    here = keyed(NEW_KEY)
    [(_, derived), (_, plain), (_, raw)] = await play(
        here,
        customer(email=EMAIL),
        customer("1111111111", customer_id=md5(EMAIL), email=EMAIL),
        customer("2222222222", customer_id=EMAIL),
    )
    assert derived.startswith("2026:")
    assert {derived} == {plain, raw}


async def test_after_a_rotation_everybody_keeps_their_cid():
    """A bound device keeps it, and so does a new device of a person whose address is known; only new people get the new key."""
    before = keyed(OLD_KEY)
    [(_, old)] = await play(before, customer(email=EMAIL))
    after = keyed(NEW_KEY, OLD_KEY)
    after.ingest._ledger = before.ledger
    results = await play(
        after,
        customer(email=EMAIL),
        customer(OTHER_UID, email=EMAIL),
        customer("5555555555", email="binh@example.com"),
    )
    assert [("accepted", old)] * 2 == results[:2]
    assert old.startswith("2025:")
    assert results[2][1].startswith("2026:")


SWITCHES = {
    "plain to keyed": (("md5", ()), ("hmac-sha256", (NEW_KEY,))),
    "keyed to plain": (("hmac-sha256", (OLD_KEY,)), ("md5", (NEW_KEY, OLD_KEY))),
    "md5 to sha256": (("md5", ()), ("sha256", ())),
    "sha256 to md5": (("sha256", ()), ("md5", ())),
    "plain to rotated": (("sha256", ()), ("hmac-sha256", (NEW_KEY, OLD_KEY))),
}


@pytest.mark.parametrize("switch", SWITCHES)
async def test_another_hash_leaves_known_people_as_they_are(switch):
    """Changing `cid_hash` does not split those who are known, neither on their devices nor on new ones."""
    (first_hash, first_keys), (then_hash, then_keys) = SWITCHES[switch]
    before = keyed(*first_keys, cid_hash=first_hash)
    [(_, cid)] = await play(before, customer(email=EMAIL))
    after = keyed(*then_keys, cid_hash=then_hash)
    after.ingest._ledger = before.ledger
    results = await play(after, customer(email=EMAIL), customer(OTHER_UID, email=EMAIL))
    assert [("accepted", cid)] * 2 == results


async def test_fields_can_be_keyed_too():
    """`field_hash = hmac-sha256`: what goes to the CDP can't be looked up in a table of hashed addresses."""
    here = Bench(Pipeline(make_settings(identity={"field_hash": "hmac-sha256", "hash_keys": (NEW_KEY,)})))
    await here.ingest.take(post(customer(email=EMAIL)))
    [record] = await here.spooled()
    sent = orjson.loads(record.body)["dims"]["customers"]["email"]
    assert sent.startswith("2026:")
    assert sha256(EMAIL) not in sent
    assert EMAIL not in str(record)


async def test_a_field_gets_the_hashes_of_the_ad_platforms_beside_its_own():
    """Each by the platform's own rule; a value that the page put there itself is not trusted."""
    norms = {"email": ("google", "meta"), "phone": ("meta", "tiktok")}
    here = Bench(Pipeline(make_settings(identity={"norms": norms})))
    await here.ingest.take(
        post(customer(email="L.An@Gmail.com", phone="0912345678", email_google="l.an@gmail.com"))
    )
    [record] = await here.spooled()
    fields = orjson.loads(record.body)["dims"]["customers"]
    assert {
        "email": sha256("l.an@gmail.com"),
        "email_google": sha256("lan@gmail.com"),
        "email_meta": sha256("l.an@gmail.com"),
        "phone": sha256(PHONE),
        "phone_meta": sha256(PHONE[1:]),
        "phone_tiktok": sha256(PHONE),
        "customer_id": md5("l.an@gmail.com"),
    } == fields


async def test_a_typing_error_in_the_event_never_lets_the_address_out():
    """What can't be read as an address is hashed as it stands, and has no norm."""
    here = Bench(Pipeline(make_settings(identity={"norms": {"email": ("meta",)}})))
    await here.ingest.take(post(customer(email="lan at example")))
    [record] = await here.spooled()
    assert {"email": sha256("lan at example")} == orjson.loads(record.body)["dims"]["customers"]
