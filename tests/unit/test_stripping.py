"""What is left of an event when every identity is taken out of it."""

from __future__ import annotations

import orjson
import pytest

from gateway.events.stripping import strip
from tests.builders import event

PEOPLE = {"customer_id": "c1", "name": "Lan", "email": "x", "customer_name": "Lan"}


UID = "1234567890123"


def is_address(name):
    return name.lower() in {"email", "email_sha256"}


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
        event(extra={"form": {"email": "secret", "Email_SHA256": ["secret"]}}),
        event(items=[{"type": "product", "customer_id": "secret", "nested": [{"Identify_Id": "secret"}]}]),
        event(items=[{"type": "Customers", "id": "secret"}], dims={"Customers": {"id": "secret"}}),
        event(dims={"order": {"customer": {"id": "secret"}}}, context={"uid": "secret", "user": "secret"}),
        event(extra={"note": UID, "numbers": [1234567890123], "by": f" {UID} "}),
    ],
)
def test_a_stripped_event_names_nobody(fields):
    """No id, no customer, no address is left, at any depth."""
    strip(fields, [UID], is_address)
    text = orjson.dumps(fields)
    assert b"secret" not in text
    assert UID.encode() not in text


def test_what_happened_stays_in_a_stripped_event():
    """Products, order, page and device say nothing of who it was."""
    kept = {
        "items": [{"type": "product", "id": "p1"}],
        "extra": {"order_id": "o1", "revenue": 5},
        "context": {"navigation": {"url": "https://www.shop.example/"}},
    }
    fields = event("product", "purchase", dims={"purchase": {"id": "o1"}, "customers": PEOPLE}, **kept)
    strip(fields, [UID], is_address)
    assert fields == {"ec": "product", "ea": "purchase", "dims": {"purchase": {"id": "o1"}}, **kept}
