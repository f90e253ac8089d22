"""What an event without consent loses, whatever its sender makes of it, and what that may cost."""

from __future__ import annotations

import time

import orjson
import pytest

from gateway.events.pipeline import Pipeline
from tests.builders import decide, event, forwarded, make_settings, post

UID = "secretuid12345"
LINE = Pipeline(make_settings(consent={"mode": "anonymise"}, campaign={"click_ids": ["my_click"]}))


def left(fields, **head):
    """Give the bytes that go out."""
    return orjson.dumps(forwarded(decide(post(fields, **head), pipeline=LINE)[1])).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"uid": "pageview", "ec": "pageview", "ea": "view"},
        {"uid": UID, "ec": "an.nguyen@shop.vn", "ea": "view"},
        {"uid": UID, "ec": "contact", "ea": "0912345678"},
        {"uid": UID, "ec": UID, "ea": f"open {UID}"},
    ],
)
def test_category_and_action_are_always_there(fields):
    """Also where they name somebody: an event without them could not be answered, and its client would send it for ever."""
    text = left(fields)
    kept = orjson.loads(text)
    assert kept["ec"]
    assert kept["ea"]
    assert "[masked]" in text
    assert not any(each in text for each in (UID, "an.nguyen", "0912345678"))


def test_ids_are_not_in_what_the_gateway_adds_either():
    """The page's address of the request's head may have the visitor's id in its path."""
    text = left(
        event(uid=UID), referer=f"https://shop.example/u/{UID}/orders", cookie="_asm_uid=othersecret99"
    )
    assert UID not in text
    assert "othersecret99" not in left(
        event(uid=UID), referer="https://shop.example/u/othersecret99", cookie="_asm_uid=othersecret99"
    )


def test_names_of_fields_tell_nothing_either():
    """An id may be a field's name, and names are written with dashes too."""
    extra = {UID: 1, f"k_{UID}": 2, "client-id": "C-123456", "X-Forwarded-For": "198.51.100.7", "kept": 3}
    fields = orjson.loads(left(event(uid=UID, extra=extra)))["extra"]
    assert {"kept", "event_id", "receive_time"} == set(fields)


def test_the_settings_own_click_ids_go_too():
    """They name a click like those that everybody knows."""
    page = {"page": {"url": "https://shop.example/?my_click=CLICK1&utm_source=x"}}
    text = left(event(context=page, extra={"my_click": "CLICK1"}))
    assert "CLICK1" not in text
    assert "utm_source=x" in text


def test_a_hash_of_an_address_is_as_good_as_the_address():
    """It is the same in each shop."""
    digest = "5d41402abc4b2a76b9719d911017c592"
    text = left(event(extra={"customerEmail": digest, "phone_md5": digest, "build": digest}))
    assert 1 == text.count(digest)


@pytest.mark.parametrize(
    "note",
    [
        "[" * 300 + "]" * 300,
        "[" * 900 + "]" * 900,
        '{"a":' * 900 + "1" + "}" * 900,
        '{"a":[' * 120 + '{"uid":"' + UID + '"}' + "]}" * 120,
    ],
)
def test_json_within_a_text_that_is_deeper_than_anybody_nests_it_goes(note):
    """It could neither be looked through nor written again."""
    fields = orjson.loads(left(event(uid=UID, extra={"note": note})))
    assert UID not in fields["extra"].get("note", "")


@pytest.mark.parametrize(
    "extra",
    [
        {"note": "==" + "?" * 400_000 + "x"},
        {"note": "&x=" * 330_000},
        {"note": "==" + "&?" * 200_000 + "x"},
        {"note": "a=" + "%" * 400_000},
        {"ids": [{"client_id": f"id{number:06}"} for number in range(900)], "note": "id000899 " * 40_000},
        {"ids": [{"client_id": "a" * (6 + number)} for number in range(900)], "note": "a" * 400_000},
        {"note": orjson.dumps([f"09{number:08}" for number in range(30_000)]).decode()},
    ],
    ids=["marks", "parameters", "pairs", "percent", "many ids", "long ids", "phones"],
)
def test_what_a_client_sends_costs_no_more_than_its_length(extra):
    """Each of these took seconds to minutes of the only thread."""
    begun = time.process_time()
    assert "event_id" in orjson.loads(left(event(extra=extra)))["extra"]
    assert time.process_time() - begun < 3
