"""The wire format: what is read from requests, and what is refused with the field's name."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import orjson
import pytest

from gateway.events.outcome import Reason
from tests.builders import PORTAL_ID, PROP_ID, QUERY, decide, event, forwarded, get, post


def rejection(request):
    _, decision = decide(request)
    return decision.verdicts[0].rejection


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (event(items={}), "items"),
        (event(items=["x"]), "items[0]"),
        (event(dims="x"), "dims"),
        (event(dims=[1]), "dims[0]"),
        (event(extra=[]), "extra"),
        (event(context=1), "context"),
        (event(uid=[1]), "uid"),
        (event(uid=True), "uid"),
        (event(sid=1.5), "sid"),
        (event("", "view"), "ec"),
        (event("pageview", " "), "ea"),
        ({"uid": "123", "ea": "view"}, "ec"),
        (event(et=5), "et"),
        (event(en="x" * 2000), "en"),
        (event(uid="two words"), "uid"),
        (event(uid="x" * 129), "uid"),
        (event(uid="1\n2"), "uid"),
        (5, "(body)"),
        ([], "(body)"),
        ("text", "(body)"),
    ],
)
def test_a_wrong_type_is_refused_with_the_fields_name(body, field):
    """Each known field has its type; the answer is a 400 that names it."""
    _, decision = decide(post(body))
    found = decision.verdicts[0].rejection
    assert (found.reason, found.field) == (Reason.BAD_FIELD, field)
    answer = orjson.loads(decision.reply.body)
    assert (decision.reply.status, answer["field"], answer["outcome"]) == (400, field, "malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff\xfe"}',
        b"\x00",
        b"[" * 5000,
        b'{"a":1}{',
    ],
)
def test_what_is_not_json_is_refused_without_repeating_it(body):
    """Broken syntax, NaN and invalid UTF-8 are bad JSON."""
    found = rejection(post(body))
    assert (found.reason, found.field) == (Reason.BAD_JSON, "(body)")


def test_deep_nesting_is_refused_with_the_field_that_holds_it():
    """A thousand levels under `extra` are named as `extra`."""
    nested = b'{"ec":"a","ea":"b","extra":' + b'{"x":' * 999 + b"1" + b"}" * 999 + b"}"
    found = rejection(post(nested))
    assert (found.reason, found.field, found.detail) == (
        Reason.BAD_FIELD,
        "extra",
        "nested deeper than 32 levels",
    )


def test_ten_thousand_keys_are_refused_with_the_field_that_holds_them():
    """The bound is on the whole request; the widest field is named."""
    found = rejection(post(event(extra={f"k{index}": index for index in range(10_000)})))
    assert (found.reason, found.field) == (Reason.BAD_FIELD, "extra")


def test_many_colons_and_brackets_in_text_are_not_taken_for_depth():
    """Only real keys and levels count."""
    _, decision = decide(post(event(extra={"text": "[{:" * 3000})))
    assert decision.verdicts[0].reason is Reason.OK


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "portal_id"),
        (f"prop_id={PROP_ID}", "portal_id"),
        (f"portal_id={PORTAL_ID}", "prop_id"),
        (f"{QUERY.replace('json', 'xml')}", "resp_type"),
    ],
)
def test_a_request_that_lacks_its_property_is_refused(query, field):
    """The ids and the answer's type come in the query string."""
    assert rejection(post(event(), query)).field == field


def test_an_unknown_property_is_dropped():
    """What is not ours is counted as dropped, with a 403."""
    _, decision = decide(post(event(), "portal_id=1&prop_id=2&resp_type=json", origin="https://new.example"))
    assert (decision.verdicts[0].outcome, decision.verdicts[0].reason) == ("dropped", Reason.UNKNOWN_PROPERTY)
    assert decision.reply.status == 403
    # Its page can read that: to a script an answer without permission looks like a network that is down.
    assert ("Access-Control-Allow-Origin", "https://new.example") in decision.reply.headers
    assert not [value for name, value in decision.reply.headers if name == "Set-Cookie"]


def test_a_get_carries_the_same_event_as_a_post():
    """Fields come from the query string, the JSON ones URL-encoded."""
    extra = quote(orjson.dumps({"page_type": "Áo dài + nón"}).decode())
    _, decision = decide(get(f"{QUERY}&uid=123456789&ec=pageview&ea=view&extra={extra}&delivery_src=sms"))
    sent = forwarded(decision)
    assert (sent["uid"], sent["ec"], sent["extra"]["page_type"]) == ("123456789", "pageview", "Áo dài + nón")
    assert "delivery_src=sms" in decision.verdicts[0].record.query


def test_a_get_with_broken_json_names_the_parameter():
    """The parameter's name is the field."""
    found = rejection(get(f"{QUERY}&ec=a&ea=b&dims=%7B"))
    assert (found.reason, found.field) == (Reason.BAD_JSON, "dims")


def test_broken_percent_encoding_does_not_break_the_request():
    """`%zz` and invalid UTF-8 become text."""
    _, decision = decide(get(f"{QUERY}&uid=123456789&ec=a%zz&ea=%ff%fe"))
    assert decision.verdicts[0].reason is Reason.OK


def test_numbers_given_as_ids_become_text():
    """Some clients send their ids as numbers."""
    _, decision = decide(post(event(uid=1234567890123456789, aid=5, sid=17)))
    sent = forwarded(decision)
    assert (sent["uid"], sent["aid"], sent["sid"]) == ("1234567890123456789", "5", 17)


def test_null_means_absent():
    """`null` in a known field is the same as no field."""
    _, decision = decide(post(event(extra=None, dims=None, items=None, cid=None)))
    assert decision.verdicts[0].reason is Reason.OK


def test_unknown_fields_pass_untouched():
    """The gateway hands on what it does not know."""
    sent = forwarded(decide(post(event(custom={"a": [1, 2.5, None, "ơ"]})))[1])
    assert sent["custom"] == {"a": [1, 2.5, None, "ơ"]}


def test_the_collector_is_asked_for_json_with_the_clients_request_id():
    """The query string is the collector's; `resp_type` is always json, `redirect_url` stays here."""
    query = (
        QUERY.replace("resp_type=json", "resp_type=pixel")
        + "&request_id=r-1&is_debug=true&redirect_url=https://shop.example/"
    )
    record = decide(post(event(), query))[1].verdicts[0].record
    expected = (
        f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json&request_id=r-1&is_debug=true"
    )
    assert expected == record.query


def test_without_a_request_id_the_events_own_id_stands_in():
    """So that every attempt of a delivery carries the same one."""
    verdict = decide(post(event()))[1].verdicts[0]
    assert verdict.record.query.endswith(f"request_id={verdict.event_id}")


def test_an_address_in_a_forwarded_parameter_is_hashed():
    """A ready-made link may carry `email=…` in its query string."""
    record = decide(get(f"{QUERY}&uid=123456789&ec=a&ea=b&email=lan%40example.com"))[1].verdicts[0].record
    assert "example.com" not in record.query
    assert "email=" in record.query


def test_an_array_of_events_gives_one_verdict_each():
    """One bad event does not take the others with it."""
    prepared, decision = decide(
        post([event(), {"ec": 1}, event("user", "exit_intent")], QUERY + "&request_id=r-1")
    )
    assert ["accepted", "malformed", "accepted"] == [each.outcome for each in decision.verdicts]
    results = orjson.loads(decision.reply.body)["results"]
    assert (decision.reply.status, results[1]["field"]) == (200, "ec")
    assert [results[0]["request_id"], results[2]["request_id"]] == ["r-1", "r-1.2"]
    assert len({each.event_id for each in decision.verdicts if each.event_id}) == 2
    assert len(prepared.claims) == 2


def test_a_server_may_put_everything_into_the_body():
    """Portal, property and `is_s2s` count there too."""
    body = event(portal_id=int(PORTAL_ID), prop_id=PROP_ID, is_s2s=True)
    _, decision = decide(post(body, "resp_type=json"))
    assert decision.verdicts[0].reason is Reason.OK
    assert not [value for name, value in decision.reply.headers if name == "Set-Cookie"]


@pytest.mark.parametrize(
    ("said", "expected"), [("true", "true"), ("TRUE", "true"), ("1", "false"), ("yes", "false")]
)
def test_the_collector_hears_whether_a_server_has_sent_it_as_the_gateway_has_read_it(said, expected):
    """Nobody is a server to the collector alone, by a word that only the collector takes for true."""
    _, decision = decide(post(event(), f"{QUERY}&is_s2s={said}"))
    assert f"&is_s2s={expected}" in decision.verdicts[0].record.query
    _, decision = decide(post(event(is_s2s=said)))
    assert f"&is_s2s={expected}" in decision.verdicts[0].record.query


def test_a_form_carries_the_same_fields_and_json_in_a_forms_clothes_is_read_as_json():
    """`curl -d` calls everything a form."""
    form = "application/x-www-form-urlencoded"
    by_form = forwarded(
        decide(post(b"uid=123456789&ec=a&ea=b&extra=%7B%22n%22%3A1%7D", content_type=form))[1]
    )
    by_json = forwarded(
        decide(post(b' {"uid":"123456789","ec":"a","ea":"b","extra":{"n":1}}', content_type=form))[1]
    )
    assert (by_form["extra"]["n"], by_json["extra"]["n"]) == (1, 1)


@pytest.mark.parametrize("address", ["lan@example.com", "0912345678", "091.234-5678", "84-912_345~678"])
def test_a_request_id_that_may_be_an_address_is_replaced_by_its_hash(address):
    """It stays the same on every attempt, and can stand in a log."""
    query = f"{QUERY}&request_id={address.replace('@', '%40')}"
    ids = {decide(post(event(), query))[1].verdicts[0].request_id for _ in range(2)}
    assert ids == {hashlib.md5(address.encode()).hexdigest()}


@pytest.mark.parametrize("own", ["3-17", "r-12", "e-1000000000001-12-3", "20261130-120000-1234567"])
def test_a_request_id_that_nobody_can_be_called_on_stays_as_it_is(own):
    """A page's own ids come back to it in the answer, and stand in the collector's query."""
    assert decide(post(event(), f"{QUERY}&request_id={own}"))[1].verdicts[0].request_id == own
