"""Where the customer stands in an event: found and written."""

from __future__ import annotations

from gateway.events.places import attach, customers
from tests.builders import event


def test_a_cid_is_attached_only_where_none_stands():
    """What the page wrote is never overwritten here."""
    fields = event(cid="a")
    attach(fields, "b")
    assert (fields["cid"], fields["dims"]["customers"]["customer_id"]) == ("a", "b")


def test_a_customer_is_found_in_a_list_too():
    """Some clients send `dims.customers` as an array."""
    each = {"customer_id": "c1"}
    for fields in (event(dims={"customers": [each, 5]}), event(dims=[{"customers": [each]}])):
        assert [each] == [place.holder for place in customers(fields)]
