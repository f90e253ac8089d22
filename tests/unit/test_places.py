"""Where identity stands in an event: what is written, and what is left when all of it is taken out."""

from __future__ import annotations

import orjson
import pytest

from gateway.events.places import attach, strip
from tests.builders import event

PEOPLE = {"customer_id": "c1", "name": "Lan", "email": "x", "customer_name": "Lan"}


def is_address(name):
    return name in {"email", "email_sha256"}


@pytest.mark.parametrize(
    "fields",
    [
        event(aid="secret", cid="secret", sid="secret", dims={"customers": {"customer_id": "secret"}}),
        event(dims={"users": {"id": "secret"}, "purchase": {"id": "o1", "customer_id": "secret"}}),
        event(dims=[{"customers": {"id": "secret"}}, {"type": "customers", "id": "secret"}]),
        event(dims=[{"purchase": {"id": "o1", "customer_id": "secret"}}]),
        event(items=[{"type": "customers", "customer_id": "secret"}]),
        event("user", "sign_in", extra={"identify_id": "secret", "identify_time": "secret"}),
        event(extra={"customer_id": "secret", "reset_uid": "secret", "generate_uid": "secret"}),
        event(extra={"form": {"email": "secret", "email_sha256": ["secret"]}}),
    ],
)
def test_a_stripped_event_names_nobody(fields):
    """No id, no customer, no address is left, at any depth."""
    strip(fields, is_address)
    text = orjson.dumps(fields)
    assert b"secret" not in text
    assert b"1234567890123" not in text


def test_what_happened_stays_in_a_stripped_event():
    """Products, order, page and device say nothing of who it was."""
    kept = {
        "items": [{"type": "product", "id": "p1"}],
        "extra": {"order_id": "o1", "revenue": 5},
        "context": {"navigation": {"url": "https://www.shop.example/"}},
    }
    fields = event("product", "purchase", dims={"purchase": {"id": "o1"}, "customers": PEOPLE}, **kept)
    strip(fields, is_address)
    assert fields == {"ec": "product", "ea": "purchase", "dims": {"purchase": {"id": "o1"}}, **kept}


def test_a_cid_is_attached_only_where_none_stands():
    """What the page wrote is never overwritten here."""
    fields = event(cid="a")
    attach(fields, "b")
    assert (fields["cid"], fields["dims"]["customers"]["customer_id"]) == ("a", "b")
