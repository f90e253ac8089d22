"""What is remembered from event to event changes no answer: a gateway that has seen much says the same as a fresh one."""

from __future__ import annotations

import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events.pipeline import Pipeline
from tests.builders import ORIGIN, QUERY, decide, event, make_settings, post

NAMES = st.sampled_from(
    ["email", "Email", "EMAIL ", "customer_email", "phone", "id", "ID", "uid", "user_id", "User_ID", "name", "note", "x" * 65, ""]
)  # fmt: skip
TEXTS = st.sampled_from(["lan@example.com", "0912345678", "+84912345678", "P1", "", "Lan", "undefined"])
VALUES = st.recursive(
    TEXTS | st.integers(0, 10**10) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries({}, optional={"extra": st.dictionaries(NAMES, VALUES, max_size=4), "dims": st.dictionaries(st.sampled_from(["customers", "note", "Email"]), VALUES, max_size=3)})  # fmt: skip
OTHER = QUERY.replace("556300706", "2")
ORIGINS = st.sampled_from([ORIGIN, "https://other.example", "https://evil.example", "null", ""])


@functools.cache
def two_shops():
    """Give a pipeline that has two properties with origins of their own."""
    shop = {"portal_id": "33167", "prop_id": "556300706", "site": "shop.example", "origins": (ORIGIN,)}
    other = {
        "portal_id": "33167",
        "prop_id": "2",
        "site": "other.example",
        "origins": ("https://other.example",),
    }
    return make_settings(properties=(shop, other))


@functools.cache
def worn():
    """Give one that every example uses again."""
    return Pipeline(two_shops())


def said(pipeline, request):
    """Give what a request comes to: the record's body, the claim, and the answer."""
    prepared, decision = decide(request, pipeline=pipeline)
    records = [each.record and each.record.body for each in decision.verdicts]
    return records, prepared.claims, prepared.origin_allowed, decision.reply


REQUESTS = st.tuples(FIELDS, st.sampled_from([QUERY, OTHER, "portal_id=1"]), ORIGINS)


@given(st.lists(REQUESTS, min_size=3, max_size=10))
@settings(max_examples=15, deadline=None)
def test_a_gateway_that_has_seen_much_answers_like_a_fresh_one(asked):
    """The roles of names, the meaning of a query, the origins of a property: none is another's, whatever came before."""
    requests = [post(event(**fields), query, origin=origin) for fields, query, origin in asked]
    fresh = Pipeline(two_shops())
    backwards = [said(fresh, request) for request in reversed(requests)]
    assert backwards[::-1] == [said(worn(), request) for request in requests]


def test_an_origin_that_one_property_allows_is_not_allowed_for_another():
    """Asked in turns, each property answers for itself."""
    for _ in range(2):
        for query, origin, expected in (
            (QUERY, ORIGIN, True),
            (OTHER, ORIGIN, False),
            (OTHER, "https://other.example", True),
            (QUERY, "https://other.example", False),
        ):
            prepared, decision = decide(post(event(), query, origin=origin), pipeline=worn())
            assert expected == prepared.origin_allowed
            assert expected == (("Access-Control-Allow-Origin", origin) in decision.reply.headers)
