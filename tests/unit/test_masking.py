"""Raw identity in events: masked wherever it stands, and nothing else touched."""

from __future__ import annotations

import copy
import re

import orjson
import pytest

from benchmarks.traffic import make_hits
from gateway.events.identity import Identities
from gateway.events.masking import Masking
from gateway.events.pipeline import Pipeline
from gateway.settings import Identity
from gateway.settings_privacy import Privacy
from tests.builders import decide, event, forwarded, get, make_settings, post

RAW = {
    "lan@example.com": "[email]",
    "0912 345 678": "[phone]",
    "4111 1111 1111 1111": "[card]",
    "079094001234": "[id]",
}


def make_masking(privacy=None, identity=None):
    owner = Identity.model_validate(identity or {})
    return Masking(Privacy.model_validate(privacy or {}), owner, Identities(owner).protect)


@pytest.mark.parametrize(("raw", "word"), RAW.items())
def test_no_place_of_an_event_keeps_raw_identity(raw, word):
    """Category, action, name, titles, links, search terms, free fields, lists, names of fields, JSON within texts."""
    fields = event(
        raw,
        f"view {raw}",
        en=raw,
        items=[{"type": "product", "id": "P1", "name": raw, "attributes": [raw, [raw]]}],
        dims={"story": {"name": raw}, "customers": {"note": raw, raw: {raw: raw}}},
        extra={
            "src_search_term": raw,
            "json": orjson.dumps({"a": raw, "deep": orjson.dumps([raw]).decode()}).decode(),
            raw: 1,
            f"x {raw}": [{"y": raw}],
        },
        context={
            "navigation": {
                "url": f"https://www.shop.example/a/{raw}?q={raw}#{raw}",
                "title": f"Xin chào {raw}",
            },
            "referrer": f"https://www.shop.example/?next=https%3A%2F%2Fa.example%2F%3Fx%3D{raw}",
            "campaign": {"term": raw},
        },
    )
    _, decision = decide(
        post(fields, referer=f"https://www.shop.example/?x={raw}", user_agent=f"App/1 ({raw})")
    )
    record = decision.verdicts[0].record
    text = record.body.decode() + record.user_agent + record.query
    assert raw not in text
    assert text.count(word) >= 20
    assert decision.verdicts[0].category == word


def test_what_a_request_says_of_its_visitor_is_masked_before_it_is_added():
    """Page and program of an event that says nothing itself come from headers."""
    _, decision = decide(
        post(
            event(),
            referer="https://www.shop.example/?email=lan@example.com",
            user_agent="App/2 lan@example.com",
        )
    )
    context = forwarded(decision)["context"]
    assert context["navigation"]["url"] == "https://www.shop.example/?email=[email]"
    assert context["userAgent"] == "App/2 [email]"


def test_carried_parameters_are_masked_as_links_are():
    """By name, by value, within JSON; the link that a visitor follows leads where it led."""
    target = "https://www.shop.example/?email=lan@example.com"
    query = (
        "portal_id=33167&prop_id=556300706&ec=a&ea=click&uid=123456789&resp_type=redirect&delivery_src=x&otp=123456"
        "&note=call%200912%20345%20678&customer=%7B%22customer_id%22%3A%22lan%40example.com%22%2C%22n%22%3A%22a%40b.example%22%7D"
        "&redirect_url=https%3A%2F%2Fwww.shop.example%2F%3Femail%3Dlan%40example.com"
    )
    _, decision = decide(get(query))
    assert dict(decision.reply.headers)["Location"] == target
    forwarded_query = decision.verdicts[0].record.query
    assert "delivery_src=x" in forwarded_query
    assert "otp=%5Bmasked%5D" in forwarded_query
    assert "note=call+%5Bphone%5D" in forwarded_query
    for raw in ("lan", "a%40b", "0912", "123456&", "redirect"):
        assert raw not in forwarded_query


def test_a_field_that_may_pass_keeps_its_value_in_that_field_alone():
    """Beside it, the same address is masked."""
    fields = event(
        dims={"customers": {"email": "lan@example.com", "Note": "lan@example.com"}}, en="lan@example.com"
    )
    _, decision = decide(post(fields), identity={"fields": {"email": "pass"}})
    found = forwarded(decision)
    assert found["dims"]["customers"]["email"] == "lan@example.com"
    assert found["dims"]["customers"]["Note"] == found["en"] == "[email]"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("mask", "[email]"),
        ("pass", "lan@example.com"),
        ("hash", "2a539d6520266b56c3b0c525b9e6128858baeccb5ee9b694a2906e123c8d6dd3"),
    ],
)
def test_every_identity_field_has_its_policy(policy, expected):
    """A configured one too."""
    fields = event(extra={"contact_email": "lan@example.com"})
    _, decision = decide(post(fields), identity={"fields": {"contact_email": policy}})
    if policy == "hash":
        assert len(forwarded(decision)["extra"]["contact_email"]) == 64
    else:
        assert forwarded(decision)["extra"]["contact_email"] == expected


def test_a_masked_address_still_says_who_the_customer_is():
    """The CID is derived before the field is masked."""
    fields = event("user", "sign_in", dims={"customers": {"email": "lan@example.com"}})
    _, decision = decide(post(fields), identity={"fields": {"email": "mask"}})
    assert len(decision.verdicts[0].cid) == 32
    assert forwarded(decision)["dims"]["customers"]["email"] == "[email]"


@pytest.mark.parametrize("nothing", ["undefined", "null", "N/A", " none "])
def test_an_address_that_says_nothing_is_none(nothing):
    """Hashed, it would be one address of all who gave none."""
    fields = event(dims={"customers": {"email": nothing, "phone": nothing}})
    _, decision = decide(post(fields), identity={"fields": {"phone": "hash_and_pass"}})
    customer = forwarded(decision)["dims"]["customers"]
    assert customer["email"] == ""
    assert "phone_sha256" not in customer


def test_without_scrubbing_addresses_stay_and_cards_and_papers_do_not():
    """`url_scrubbing = false` is about addresses and links alone."""
    fields = event(
        en="lan@example.com 0912345678",
        extra={"a": "4111 1111 1111 1111", "b": "079094001234", "url": "https://a.example/?token=1"},
    )
    _, decision = decide(post(fields), privacy={"url_scrubbing": False})
    found = forwarded(decision)
    assert found["en"] == "lan@example.com 0912345678"
    assert (found["extra"]["a"], found["extra"]["b"], found["extra"]["url"]) == (
        "[card]",
        "[id]",
        "https://a.example/?token=1",
    )


def test_patterns_of_the_settings_are_masked_as_ids():
    """And none of the shipped ones, when none is named."""
    fields = event(en="MC-12345678", extra={"a": "079094001234", "MC-87654321": "x"})
    _, decision = decide(
        post(fields), privacy={"national_ids": [], "id_patterns": {"member": r"\bMC-\d{8}\b"}}
    )
    found = forwarded(decision)
    assert (found["en"], found["extra"]["a"], found["extra"]["[id]"]) == ("[id]", "079094001234", "x")


def test_ids_stay_whatever_their_digits_look_like():
    """In fields that are named as ids, and in those that the settings name; numbers that are cards do not, elsewhere."""
    digits = "4111111111111111"
    ids = {"order_id": digits, "sku": "0912345678", "orderNumber": "84912345678", "loyalty": digits}
    _, decision = decide(
        post(event(uid=digits, extra=dict(ids), items=[{"id": 4111111111111111}])),
        privacy={"id_fields": ["loyalty"]},
    )
    found = forwarded(decision)
    assert ids.items() <= found["extra"].items()
    assert (found["uid"], found["items"][0]["id"]) == (digits, 4111111111111111)
    _, decision = decide(
        post(event(extra={"number": 4111111111111111, "list": [4111111111111111, 4111111111111112]}))
    )
    assert forwarded(decision)["extra"]["number"] == "[card]"
    assert forwarded(decision)["extra"]["list"] == ["[card]", 4111111111111112]


def test_names_that_become_the_same_stay_apart():
    """No value is lost, and the order stays."""
    masking = make_masking()
    fields = {"a": 1, "lan@example.com": 2, "minh@example.com": 3, "[email]": 4, "b": 5}
    assert masking.mask(fields)
    assert list(fields.items()) == [("a", 1), ("[email]", 2), ("[email]_2", 3), ("[email]_3", 4), ("b", 5)]


def test_masking_twice_changes_nothing():
    """A held event is masked again when it is released."""
    masking = make_masking()
    fields = event(
        en="lan@example.com",
        extra={"x": '{"email":"lan@example.com","phone":"0912345678"}', "u": "https://a.example/?email=a"},
    )
    assert masking.mask(fields)
    before = copy.deepcopy(fields)
    assert not masking.mask(fields)
    assert fields == before


def test_a_shops_usual_traffic_comes_through_as_it_came_and_unwalked():
    """Page and product views: none is changed, and nearly none is looked at field by field."""
    masking = make_masking()
    bodies = [hit.body for hit in make_hits(1_000) if not hit.is_sign_in]
    for body in bodies:
        fields = orjson.loads(body)
        assert not masking.mask(fields)
        assert orjson.dumps(fields) == body
    assert sum(map(masking.may_hold, bodies)) < len(bodies) / 100


def test_thousands_of_addresses_in_one_event_cost_no_second():
    """Only so many are given to libphonenumber; the others never leave in the clear either."""
    pipeline = Pipeline(make_settings(server={"max_keys": 20_000}))
    phones = [f"09{number:08d}" for number in range(15_000)]
    for fields in (event(dims={"customers": {"phone": phones}}), event(extra={"note": phones})):
        _, decision = decide(post(fields), pipeline=pipeline)
        assert not set(phones).intersection(orjson.dumps(forwarded(decision)).decode().split('"'))


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 300 + "1" + "}" * 300, "[" * 900 + "]" * 900, "{", "[lan@example.com", '{"a":1}{"b":2}'],
)
def test_texts_that_begin_like_json_and_go_too_deep_are_read_as_texts(text):
    """They break nothing, and hide nothing."""
    _, decision = decide(post(event(extra={"x": f"{text} lan@example.com", "y": text})))
    assert "lan@example.com" not in decision.verdicts[0].record.body.decode()


def test_the_addresses_in_json_within_texts_are_read_within_the_events_bounds():
    """Each text with bounds of its own would take ten seconds of the only thread, for a megabyte of them."""
    rows = [
        orjson.dumps([{"phone": f"09{number:04}{row:04}"} for number in range(200)]).decode()
        for row in range(100)
    ]
    fields = event(extra={f"note{row}": text for row, text in enumerate(rows)})
    make_masking(identity={"norms": {"phone": ["meta", "google", "tiktok"]}}).mask(fields)
    assert not re.search(r"\b09\d{8}\b", orjson.dumps(fields).decode())
    assert orjson.dumps(fields).count(b"phone_meta") < 100
