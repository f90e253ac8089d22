"""Who an event says its user is: places, contradictions, repairs, policies."""

from __future__ import annotations

import hashlib

import pytest

from gateway.events.identity import Identities
from gateway.events.outcome import Reason
from gateway.events.places import attach
from gateway.settings import Identity
from tests.builders import event

CID = hashlib.md5(b"lan.nguyen@example.com").hexdigest()
OTHER = hashlib.md5(b"binh@example.com").hexdigest()


def identify(event_fields, **policy):
    return Identities(Identity(**policy)).identify(event_fields, may_hold_fields=True)


@pytest.mark.parametrize(
    "fields",
    [
        event(cid=CID),
        event(dims={"customers": {"customer_id": CID}}),
        event(dims={"customers": {"id": CID}}),
        event(dims=[{"customers": {"customer_id": CID}}]),
        event(dims=[{"type": "customers", "customer_id": CID}]),
        event(items=[{"type": "product", "id": "1"}, {"type": "customers", "customer_id": CID}]),
        event(extra={"customer_id": CID}),
        event("user", "sign_in", extra={"identify_id": CID}),
        event("product", "view", extra={"identify_id": CID, "identify_type": "exact"}),
        event(dims={"purchase": {"id": "o1", "customer_id": CID}}),
        event(dims=[{"purchase": {"id": "o1", "customer_id": CID}}]),
        event(cid=CID.upper(), dims={"customers": {"customer_id": f" {CID} "}}),
    ],
)
def test_a_cid_is_found_in_every_place_where_it_can_stand(fields):
    """Each of the places of the wire format names the customer."""
    assert identify(fields).cid == CID


def test_an_identify_id_of_another_event_may_be_a_leads_and_is_no_cid():
    """Old integrations put a lead's id there: without an identify event it names nobody."""
    found = identify(event("lead", "submit", extra={"identify_id": "lead-7"}, cid=CID))
    assert (found.cid, found.rejection) == (CID, None)


def test_two_places_that_name_two_customers_are_a_contradiction():
    """It is never guessed which of them is meant; the answer names the places, not the values."""
    found = identify(event(cid=CID, dims={"customers": {"customer_id": OTHER}}))
    assert found.rejection is not None
    assert found.rejection.reason is Reason.CID_CONTRADICTION
    assert found.rejection.detail == "cid and dims.customers.customer_id name different customers"
    assert found.cid is None


@pytest.mark.parametrize(
    "nobody",
    [
        "",
        " ",
        "undefined",
        "null",
        "0",
        0,
        "NaN",
        "[object Object]",
        None,
        hashlib.md5(b"").hexdigest(),
        hashlib.sha256(b"undefined").hexdigest(),
    ],
)
def test_a_placeholder_names_nobody(nobody):
    """What pages send when nobody is signed in must not make one customer of everybody."""
    fields = event(dims={"customers": {"customer_id": nobody}})
    assert identify(fields).cid is None
    assert not (fields["dims"]["customers"]["customer_id"] or "").strip()


def test_a_cid_is_derived_from_the_address_when_none_is_given():
    """The e-mail address comes before the phone; both are normalised first."""
    fields = event(dims={"customers": {"email": " Lan.Nguyen@Example.com ", "phone": "0912 345 678"}})
    found = identify(fields)
    assert (found.cid, found.is_derived) == (CID, True)
    by_phone = identify(event(dims={"customers": {"phone": "0912 345 678"}}))
    assert by_phone.cid == hashlib.md5(b"+84912345678").hexdigest()


def test_a_sha256_cid_is_derived_when_the_settings_say_so():
    """`cid_hash` names the hash."""
    found = identify(event(dims={"customers": {"email": "lan.nguyen@example.com"}}), cid_hash="sha256")
    assert found.cid == hashlib.sha256(b"lan.nguyen@example.com").hexdigest()


def test_no_cid_is_derived_from_an_address_that_cannot_be_read():
    """What can't be parsed is not guessed."""
    assert identify(event(dims={"customers": {"email": "lan at example", "phone": "12"}})).cid is None


@pytest.mark.parametrize(
    "wrong",
    [
        hashlib.md5(b" Lan.Nguyen@Example.com ").hexdigest(),
        hashlib.md5(b"LAN.NGUYEN@EXAMPLE.COM").hexdigest(),
        hashlib.sha256(b"lan.nguyen@example.com").hexdigest(),
        hashlib.sha1(b"lan.nguyen@example.com").hexdigest(),
        "Lan.Nguyen@example.com",
    ],
)
def test_a_cid_made_of_the_same_address_otherwise_is_repaired(wrong):
    """The address that came with it proves what was meant; every place gets the right one."""
    fields = event(cid=wrong, dims={"customers": {"customer_id": wrong, "email": " Lan.Nguyen@Example.com "}})
    found = identify(fields)
    assert found.cid == CID
    assert found.repair is not None
    assert found.repair.right == CID
    assert (fields["cid"], fields["dims"]["customers"]["customer_id"]) == (CID, CID)


@pytest.mark.parametrize(
    "wrong", ["0912345678", "84912345678", "0912 345 678", "912345678", "+84 912 345 678"]
)
def test_a_cid_made_of_the_same_phone_otherwise_is_repaired(wrong):
    """Hashed or raw, in any spelling: the phone that came with it proves it, and the raw one is not told."""
    right = hashlib.md5(b"+84912345678").hexdigest()
    raw = identify(event(cid=wrong, dims={"customers": {"phone": "0912 345 678"}}))
    assert (raw.cid, raw.repair and raw.repair.wrong) == (right, "raw")
    hashed = identify(
        event(cid=hashlib.md5(wrong.encode()).hexdigest(), dims={"customers": {"phone": "0912 345 678"}})
    )
    assert hashed.cid == right


def test_a_cid_that_nothing_proves_wrong_stays_as_it_is():
    """The shop's own customer number is a CID too."""
    found = identify(event(cid="C-1001", dims={"customers": {"email": "lan@example.com"}}))
    assert (found.cid, found.repair) == ("C-1001", None)


def test_without_verify_a_wrong_hash_stays_but_a_raw_address_never_does():
    """`verify = false` trusts the page's hashes; raw identity is another matter."""
    wrong = hashlib.md5(b"LAN@EXAMPLE.COM").hexdigest()
    assert (
        identify(event(cid=wrong, dims={"customers": {"email": "lan@example.com"}}), verify=False).cid
        == wrong
    )
    assert identify(event(cid="lan.nguyen@example.com"), verify=False).cid == CID


@pytest.mark.parametrize("value", [["x"], {"a": 1}, True, 1.5, "x" * 300])
def test_a_cid_of_a_wrong_type_is_a_bad_field(value):
    """The answer names the place."""
    found = identify(event(dims={"customers": {"customer_id": value}}))
    assert found.rejection is not None
    assert (found.rejection.reason, found.rejection.field) == (Reason.BAD_FIELD, "dims.customers.customer_id")


def test_addresses_are_hashed_wherever_they_stand():
    """The policy of a field holds at every depth, in lists and in other letter-case."""
    digest = hashlib.sha256(b"lan@example.com").hexdigest()
    fields = event(
        email="lan@example.com",
        dims={"customers": {"email": " LAN@example.com"}, "users": {"Email": "lan@example.com"}},
        items=[{"type": "gift", "to": {"email": "lan@example.com"}}],
        extra={"form": [{"email": ["lan@example.com", "lan@example.com"]}]},
        context={"traits": {"email": "lan@example.com"}},
    )
    identify(fields)
    assert fields["email"] == digest
    assert fields["dims"] == {"customers": {"email": digest}, "users": {"Email": digest}}
    assert fields["items"][0]["to"]["email"] == digest
    assert fields["extra"]["form"][0]["email"] == [digest, digest]
    assert fields["context"]["traits"]["email"] == digest


def test_a_phone_given_as_a_number_is_hashed_like_its_text():
    """A page that lost the leading zero in a number still gives the same hash."""
    fields = event(dims={"customers": {"phone": 912345678}})
    identify(fields)
    assert fields["dims"]["customers"]["phone"] == hashlib.sha256(b"+84912345678").hexdigest()


def test_a_value_that_is_already_a_hash_is_left_alone():
    """And it derives the CID when it is the CDP's own hash."""
    fields = event(dims={"customers": {"email": CID}})
    assert identify(fields).cid == CID
    assert fields["dims"]["customers"]["email"] == CID


def test_each_policy_does_what_its_name_says():
    """`pass` leaves, `drop` removes, `hash_and_pass` adds."""
    digest = hashlib.sha256(b"lan@example.com").hexdigest()
    for policy, expected in {
        "pass": {"email": "Lan@example.com"},
        "drop": {},
        "hash": {"email": digest},
        "hash_and_pass": {"email": "Lan@example.com", "email_sha256": digest},
    }.items():
        fields = event(dims={"customers": {"email": "Lan@example.com"}})
        identify(fields, fields={"email": policy})
        assert expected == fields["dims"]["customers"]


def test_an_address_that_could_not_be_read_is_named():
    """The log says which field was hashed as it stood."""
    assert identify(event(dims={"customers": {"email": "lan at example"}})).unreadable == ("email",)


def test_a_known_cid_is_attached_without_replacing_anything():
    """It stands where the CDP looks, and a place that is taken keeps its value."""
    fields = event(dims={"customers": {"name": "Lan"}})
    attach(fields, CID)
    assert (fields["cid"], fields["dims"]["customers"]) == (CID, {"name": "Lan", "customer_id": CID})
    as_list = event(dims=[{"campaign": {"id": 1}}])
    attach(as_list, CID)
    assert (as_list["cid"], as_list["dims"]) == (CID, [{"campaign": {"id": 1}}])


def test_a_text_without_field_names_need_not_be_searched():
    """The cheap test sees names in any letter-case, and gives way to escapes that could hide one."""
    mentions = Identities(Identity()).mentions_fields
    assert not mentions(b'{"ec":"pageview"}')
    assert mentions(b'{"EMAIL":"x"}')
    assert mentions(b'{"\\u0065mail":"x"}')
