"""Customer ids that are no hash, the hash of something else, another one than before, or two: each is found, and nothing else."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.qa_rules import FIRST, OWN_HOST, SECOND, event, of_md5, of_sha256, visit_of

EMAIL, PHONE = "lan.nguyen@example.com", "+84912345678"
CID, OTHER = of_md5(EMAIL), of_md5("minh@example.com")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with visit_of(tmp_path_factory.mktemp("qa")) as opened:
        yield opened


@pytest.fixture
def visit(gateway):
    return gateway.anew()


def sign_in(cid, uid=FIRST, **customer):
    return event("user", "sign_in", uid, dims={"customers": {"customer_id": cid, **customer}})


@pytest.mark.parametrize(
    ("cid", "severity"),
    [
        (EMAIL, "error"),
        (" LAN.Nguyen@example.com ", "error"),
        ("0912345678", "error"),
        (PHONE, "error"),
        ("undefined", "error"),
        (of_md5("undefined"), "error"),
        ("shop-4711", "warning"),
        (12345, "warning"),
        ("84912345678", "warning"),
    ],
)
async def test_a_customer_id_that_is_no_hash(visit, cid, severity):
    """A raw address is an error; a number of the shop's own, which the gateway takes, a warning."""
    await visit.see(sign_in(cid))
    assert [("cid-not-hash", 1, "dims.customers.customer_id")] == visit.end()
    assert severity == visit.findings[0].severity
    assert str(cid).strip() not in str(visit.findings)


async def test_a_bare_number_is_raw_where_the_event_proves_that_it_is_a_phone(visit):
    """So the gateway has it."""
    await visit.see(sign_in("84912345678", phone=of_sha256(PHONE)))
    await visit.see(sign_in("84912345678", SECOND, phone=PHONE), host=OWN_HOST)
    assert ["warning", "error"] == [each.severity for each in visit.findings]
    assert ["cid-not-hash"] * 2 == [rule for rule, *_ in visit.end()]


async def test_the_same_in_several_places_is_found_once(visit):
    """All places are named."""
    fields = event(
        "user",
        "sign_in",
        cid=EMAIL,
        dims={"customers": {"customer_id": EMAIL, "id": EMAIL}},
        extra={"identify_id": EMAIL},
    )
    await visit.see(fields)
    assert [("cid-not-hash", 1, "cid")] == visit.end()
    assert "dims.customers.id, extra.identify_id" in visit.findings[0].detail


@pytest.mark.parametrize("cid", ["", CID, CID.upper(), of_sha256(EMAIL), of_sha256(PHONE), None])
async def test_a_hash_is_a_customer_id(visit, cid):
    """So is none at all; without an address nobody can say more."""
    await visit.see(sign_in(cid))
    assert [] == visit.end()


async def test_the_severity_that_the_settings_say_goes_before_the_cases_own(tmp_path):
    """A shop that wants its numbers found, or not."""
    severity = {"cid-not-hash": "note"}
    async with visit_of(tmp_path, qa={"severity": severity}) as visit:
        await visit.see(sign_in(EMAIL))
        await visit.see(sign_in("shop-4711", SECOND))
        visit.end()
        assert ["note", "note"] == [each.severity for each in visit.findings]


@pytest.mark.parametrize(
    ("cid", "customer", "how"),
    [
        (of_md5("Lan.Nguyen@Example.com"), {"email": EMAIL}, "another spelling"),
        (of_md5("Lan.Nguyen@Example.com"), {"email": "Lan.Nguyen@Example.com"}, "not in lower case"),
        (of_md5(f"{EMAIL} "), {"email": EMAIL}, "with blanks around it"),
        (of_sha256(EMAIL.upper()), {"email": EMAIL}, "not in lower case"),
        (of_md5("0912345678"), {"phone": PHONE}, "in the form of its own country"),
        (of_md5("84912345678"), {"phone": "0912345678"}, "without its +"),
        (of_md5("0084912345678"), {"phone": PHONE}, "with 00 for its +"),
        (of_md5("091 234 56 78"), {"phone": "091 234 56 78"}, "with blanks or marks between its digits"),
    ],
)
async def test_the_hash_of_another_spelling_of_the_address(visit, cid, customer, how):
    """The address that came with it proves it, and tells how it was written; through the gateway it may come raw."""
    await visit.see(sign_in(cid, **customer), host=OWN_HOST)
    assert [("cid-of-other-spelling", 1, "dims.customers.customer_id")] == visit.end()
    assert "error" == visit.findings[0].severity
    assert how in visit.findings[0].detail


async def test_a_hash_by_another_algorithm_is_told_from_another_spelling(visit):
    """Mend the setting or the site: the address was normalised well."""
    await visit.see(sign_in(of_sha256(EMAIL), email=EMAIL.upper()), host=OWN_HOST)
    assert [("cid-of-other-spelling", 1, "dims.customers.customer_id")] == visit.end()
    assert "warning" == visit.findings[0].severity
    assert "identity.cid_hash" in visit.findings[0].detail


async def test_another_spelling_is_found_where_the_gateway_does_not_verify(tmp_path):
    """`identity.verify = false` is about what the gateway does."""
    async with visit_of(tmp_path, identity={"verify": False}, qa={"tracking_hosts": (OWN_HOST,)}) as visit:
        await visit.see(sign_in(of_md5(EMAIL.upper()), email=EMAIL), host=OWN_HOST)
        assert [("cid-of-other-spelling", 1, "dims.customers.customer_id")] == visit.end()


async def test_the_hash_of_something_else_is_not_judged(visit):
    """A shop may hash its own numbers."""
    await visit.see(sign_in(of_md5("customer 4711"), email=EMAIL), host=OWN_HOST)
    assert [] == visit.end()


async def test_another_hash_of_the_same_address_than_before_is_a_warning(visit):
    """The gateway keeps the one by which the UID was bound."""
    await visit.see(sign_in(of_md5(EMAIL.upper())), host=OWN_HOST)
    await visit.see(sign_in(CID, email=EMAIL), host=OWN_HOST)
    assert [("cid-of-other-spelling", 2, "dims.customers.customer_id")] == visit.end()
    assert ("warning", 1) == (visit.findings[0].severity, visit.others[0])


async def test_an_address_alone_names_its_customer_and_breaks_no_rule(visit):
    """What is derived is right, also where the UID was bound by another hash of it."""
    await visit.see(sign_in(of_sha256(EMAIL)), host=OWN_HOST)
    await visit.see(event("user", "subscribe", dims={"customers": {"email": EMAIL}}), host=OWN_HOST)
    assert [] == visit.end()


@pytest.mark.parametrize("policy", ["quarantine", "new_uid", "strip"])
async def test_another_customer_for_a_uid(tmp_path, policy):
    """Whatever the gateway's policy makes of it; said once, however often the page goes on with it."""
    async with visit_of(tmp_path, identity={"on_conflict": policy}) as visit:
        await visit.see(sign_in(CID))
        await visit.see(sign_in(OTHER))
        await visit.see(event("product", "view", cid=OTHER))
        await visit.see(event("product", "view"))
        assert [("cid-changed", 2, "dims.customers.customer_id")] == visit.end()
        assert 1 == visit.others[0]


@pytest.mark.parametrize("policy", ["new_uid", "strip"])
async def test_another_customer_is_found_in_an_event_that_breaks_the_plan_as_well(tmp_path, policy):
    """The event is held for the plan, and the conflict is none the less."""
    async with visit_of(
        tmp_path, identity={"on_conflict": policy}, tracking_plan={"standard": "quarantine"}
    ) as visit:
        await visit.see(sign_in(CID))
        await visit.see(event("product", "purchase", cid=OTHER))
        assert [("cid-changed", 2, "cid")] == visit.end()


async def test_the_same_customer_on_two_devices_is_no_change(visit):
    """One CID may have many UIDs."""
    await visit.see(sign_in(CID))
    await visit.see(sign_in(CID, SECOND), headers=(("user-agent", "Firefox/140.0"),))
    assert [] == visit.end()


async def test_two_customers_in_one_event(visit):
    """The gateway says in which places."""
    await visit.see(event("user", "sign_in", cid=CID, dims={"customers": {"customer_id": OTHER}}))
    assert [("cid-contradiction", 1, "cid")] == visit.end()
    assert "dims.customers.customer_id" in visit.findings[0].detail


async def test_two_hashes_of_one_customer_in_one_event_are_no_contradiction(visit):
    """The address proves that they are one; the wrong one is found as such."""
    fields = event(
        "user", "sign_in", cid=CID, dims={"customers": {"customer_id": of_md5(EMAIL.upper()), "email": EMAIL}}
    )
    await visit.see(fields, host=OWN_HOST)
    assert [("cid-of-other-spelling", 1, "dims.customers.customer_id")] == visit.end()


async def test_an_address_that_comes_with_another_customer_than_before(visit):
    """The sign of a site that makes its ids in two ways; a warning, and the call before is named."""
    await visit.see(sign_in(of_md5("one"), email=of_sha256(EMAIL)))
    await visit.see(sign_in(of_md5("two"), SECOND, email=of_sha256(EMAIL)))
    assert [("cid-of-other-spelling", 2, "dims.customers")] == visit.end()
    assert ("warning", 1) == (visit.findings[0].severity, visit.others[0])


async def test_a_family_may_share_a_phone(visit):
    """Each of them is named by the hash of an address of her own."""
    await visit.see(sign_in(CID, email=EMAIL, phone=PHONE), host=OWN_HOST)
    await visit.see(sign_in(OTHER, SECOND, email="minh@example.com", phone=PHONE), host=OWN_HOST)
    assert [] == visit.end()


async def test_the_same_event_again_is_a_duplicate_and_no_second_mistake(visit):
    """The rule for duplicates finds it."""
    fields = sign_in("shop-4711")
    query = "portal_id=33167&prop_id=556300706&request_id=same"
    await visit.see(fields, query=query)
    await visit.see(fields, query=query)
    assert [("cid-not-hash", 1, "dims.customers.customer_id")] == visit.end()
