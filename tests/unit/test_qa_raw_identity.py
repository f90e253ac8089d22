"""Raw addresses where they should not stand are found, with their place, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import orjson
import pytest
import pytest_asyncio

from gateway.qa.checks import checks
from gateway.qa.session import Session
from tests.builders import PORTAL_ID, PROP_ID
from tests.qa_rules import FIRST, OWN_HOST, Visit, event, of_md5, of_sha256, view, visit_of

EMAIL, PHONE = "Lan.Nguyen@Example.com", "0912345678"
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with visit_of(tmp_path_factory.mktemp("qa")) as opened:
        yield opened


@pytest.fixture
def visit(gateway):
    return gateway.anew()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"context": {"navigation": {"url": f"https://shop.example/?email={EMAIL}"}}}, "context.navigation.url"),
        ({"context": {"referrer": f"https://shop.example/hi/{EMAIL}"}}, "context.referrer"),
        ({"context": {"referrer": f"https://shop.example/?q={quote(EMAIL)}"}}, "context.referrer"),
        ({"extra": {"page_url": f"/thanks?phone={PHONE}"}}, "extra.page_url"),
        ({"items": [{"type": "product", "id": "1", "link": f"https://shop.example/?to={PHONE}"}]}, "items[0].link"),
    ],
)  # fmt: skip
async def test_an_address_in_the_url_of_a_page_is_found_in_it(visit, fields, place):
    """The page's own address, its referrer, or a link that an event carries."""
    await visit.see(view(**fields))
    assert [("raw-identity-in-url", 1, place)] == visit.end()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"dims": {"customers": {"email": EMAIL}}}, "dims.customers.email"),
        ({"dims": {"customers": {"phone": PHONE}}}, "dims.customers.phone"),
        ({"dims": {"customers": {"phone": 912345678}}}, "dims.customers.phone"),
        ({"dims": {"customers": {"email": ["", EMAIL]}}}, "dims.customers.email"),
        ({"items": [{"type": "customers", "email": EMAIL}]}, "items[0].email"),
        ({"extra": {"email": EMAIL}}, "extra.email"),
        ({"extra": {"search_term": f"order of {EMAIL}"}}, "extra.search_term"),
        ({"context": {"navigation": {"title": f"Hello {EMAIL}"}}}, "context.navigation.title"),
        ({"extra": {"note": f"call me at {PHONE}"}}, "extra.note"),
        ({"extra": {EMAIL: 1}}, "extra.[email]"),
        ({"extra": {"raw": orjson.dumps({"mail": EMAIL}).decode()}}, "extra.raw"),
        ({"extra": {"reset_uid": EMAIL}}, "extra.reset_uid"),
    ],
)
async def test_an_address_in_a_field_is_found_in_it(visit, fields, place):
    """An identity field that came raw, a free text, a name of a field, an id."""
    await visit.see(view(**fields))
    assert [("raw-identity-in-field", 1, place)] == visit.end()


async def test_a_uid_that_is_an_address_is_found_once(visit):
    """The script writes it into `aid` as well."""
    await visit.see({**view(EMAIL), "aid": EMAIL})
    assert [("raw-identity-in-field", 1, "uid")] == visit.end()


async def test_the_same_text_in_two_places_of_an_event_is_one_finding_with_both_named(visit):
    """What is to be mended is one address."""
    url = f"https://shop.example/?email={EMAIL}"
    await visit.see(view(context={"navigation": {"url": url}}, extra={"page_url": url}))
    assert [("raw-identity-in-url", 1, "extra.page_url")] == visit.end() or [
        ("raw-identity-in-url", 1, "context.navigation.url")
    ] == visit.found
    assert "also in" in visit.findings[0].detail


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (f"email={EMAIL}", "query email"),
        (f"utm_content={quote(EMAIL)}", "query utm_content"),
        (f"redirect_url={quote(f'https://shop.example/?m={EMAIL}')}", "query redirect_url"),
        (f"customer[phone]={PHONE}", "query customer[phone]"),
    ],
)
async def test_an_address_in_the_query_string_of_a_call_is_found_in_it(visit, query, place):
    """It is no field of the event, but stands in every log on the way."""
    await visit.see(view(), query=f"{QUERY}&{query}")
    assert [("raw-identity-in-url", 1, place)] == visit.end()
    assert -1 == visit.findings[0].event


async def test_an_event_in_a_query_string_has_its_addresses_in_a_url(visit):
    """A GET's fields are a URL, whatever their policy; through the site's own name too."""
    fields = {
        "uid": FIRST,
        "ec": "user",
        "ea": "subscribe",
        "dims": orjson.dumps({"customers": {"email": EMAIL}}),
    }
    for host in ("a.cdp.asia", OWN_HOST):
        await visit.see(None, host=host, query=f"{QUERY}&{urlencode(fields)}")
    place = "query dims.customers.email"
    assert [("raw-identity-in-url", 1, place), ("raw-identity-in-url", 2, place)] == visit.end()


async def test_the_address_of_the_page_is_found_in_the_header_where_the_event_does_not_tell_it(visit):
    """A page's policy may have the browser send it whole."""
    headers = (("referer", f"https://www.shop.example/?email={EMAIL}"),)
    await visit.see(view(), headers=headers)
    await visit.see(
        view(context={"navigation": {"url": f"https://www.shop.example/?email={EMAIL}"}}), headers=headers
    )
    assert [
        ("raw-identity-in-url", 1, "header referer"),
        ("raw-identity-in-url", 2, "context.navigation.url"),
    ] == visit.end()


async def test_identity_fields_may_come_raw_where_the_gateway_is_called(visit):
    """There it is what hashes them; a free text it can only spoil."""
    await visit.see(view(dims={"customers": {"email": EMAIL, "phone": PHONE}}), host=OWN_HOST)
    assert [] == visit.end()
    await visit.see(view(extra={"note": EMAIL}), host=OWN_HOST)
    assert [("raw-identity-in-field", 2, "extra.note")] == visit.found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dims": {"customers": {"email": of_sha256("lan@example.com"), "phone": of_md5("+84912345678")}}},
        {"dims": {"customers": {"email": "", "phone": None}}},
        {"dims": {"customers": {"email": "undefined"}}},
        {"context": {"navigation": {"url": f"https://shop.example/?email={of_md5('lan@example.com')}"}}},
        {"context": {"navigation": {"url": "https://shop.example/?token=abcdef&session_id=12345"}}},
        {"context": {"navigation": {"title": "Logo@2x.png"}}},
        {"extra": {"order_id": "0912345678", "revenue": 912345678}},
        {"items": [{"type": "product", "id": "8934563138162", "sku": "0912345678"}]},
        {"dims": {"customers": {"name": "Lan"}}},
    ],
)
async def test_nothing_is_found_in_an_event_without_an_address(visit, fields):
    """Hashes, words that name nobody, numbers of orders and of products."""
    await visit.see(view(**fields))
    assert [] == visit.end()


async def test_a_field_that_may_go_on_as_it_is_may_come_so(tmp_path):
    """The policy `pass` is the site's decision."""
    async with visit_of(tmp_path, identity={"fields": {"email": "pass", "phone": "hash_and_pass"}}) as visit:
        await visit.see(view(dims={"customers": {"email": EMAIL, "phone": PHONE}}))
        assert [] == visit.end()


@pytest.mark.parametrize("policy", ["mask", "drop", "hash"])
async def test_every_other_policy_finds_the_same(tmp_path, policy):
    """What the gateway would make of it is said, not the address."""
    async with visit_of(tmp_path, identity={"fields": {"email": policy, "loyalty_card": policy}}) as visit:
        await visit.see(view(dims={"customers": {"email": EMAIL, "loyalty_card": "A-17", "name": "Lan"}}))
        assert [
            ("raw-identity-in-field", 1, "dims.customers.email"),
            ("raw-identity-in-field", 1, "dims.customers.loyalty_card"),
        ] == visit.end()
        assert EMAIL not in str(visit.findings)


async def test_what_the_gateway_would_not_mask_by_its_settings_is_found_all_the_same(tmp_path):
    """`privacy.url_scrubbing = false` is about what the gateway does, not about the site."""
    async with visit_of(tmp_path, privacy={"url_scrubbing": False}) as visit:
        await visit.see(view(context={"navigation": {"url": f"https://shop.example/?email={EMAIL}"}}))
        assert [("raw-identity-in-url", 1, "context.navigation.url")] == visit.end()


async def test_events_that_are_refused_are_looked_at_too(visit):
    """An unknown property's page has sent the address all the same."""
    await visit.see(view(extra={"note": EMAIL}), query="portal_id=1&prop_id=2")
    assert [("raw-identity-in-field", 1, "extra.note")] == visit.end()


async def test_every_event_of_an_array_is_looked_at(visit):
    """Each finding says which."""
    await visit.see([view(), event("a", "b", extra={"note": EMAIL})])
    visit.end()
    assert [1] == [each.event for each in visit.findings]


async def test_identity_fields_may_come_raw_where_the_gateway_takes_the_vendors_calls(visit):
    """In redirect mode it stands where the vendor stood; what it can't know to be identity is found all the same."""
    session = Session(visit.settings, visit.session._inner, checks(visit.settings, is_redirected=True))
    redirected = Visit(session, visit.settings)
    await redirected.see(view(dims={"customers": {"email": EMAIL}}, extra={"note": EMAIL}))
    assert [("raw-identity-in-field", 1, "extra.note")] == redirected.end()
