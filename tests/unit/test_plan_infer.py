"""Inferring a plan: what nearly all events keep, in bounded memory, with nobody's values in it."""

from __future__ import annotations

import tomllib

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.events.shapes import field_problem
from gateway.events.tracking_plan import CompiledPlan
from gateway.plans.inferring import Inference, Thresholds, is_personal
from gateway.plans.writing import plan_text
from gateway.settings_plan import Plan
from tests.builders import PORTAL_ID, PROP_ID, event


def inferred(events, **thresholds):
    inference = Inference(Thresholds(**thresholds))
    for each in events:
        inference.add(each)
    text = plan_text(inference.rules(), ["A plan."])
    return inference, text, Plan.model_validate(tomllib.loads(text))


def fields_of(plan, name):
    return next(each.fields for each in plan.events if name in each.event)


def orders(count=200):
    for number in range(count):
        yield event(
            "product",
            "purchase",
            uid=str(number % 40),
            items=[{"type": "product", "id": f"SKU-{number}", "price": 10.5 + number, "color": ("red", "blue")[number % 2]}, {"type": "gift"}],
            extra={"order_id": number, "revenue": 1_000 + number, "currency": "VND", "note": f"for jane{number}@example.com", "coupon": "X"} | ({"late": True} if number % 10 else {}),
            dims={"customers": {"customer_id": f"c{number}", "email": "jane@example.com", "tier": "gold"}},
        )  # fmt: skip


def test_the_plan_says_what_came():
    """Required, types, rounded bounds, and the few words of a field."""
    _, _, plan = inferred(orders())
    fields = fields_of(plan, "product/purchase")
    revenue = fields["extra.revenue"]
    assert (True, "integer", 0, 2_000) == (revenue.required, revenue.type, revenue.min, revenue.max)
    assert ("id", True) == (fields["extra.order_id"].type, fields["extra.order_id"].required)
    assert ("VND",) == fields["extra.currency"].one_of
    assert ("blue", "red") == tuple(sorted(fields["items[type=product].color"].one_of))
    assert "number" == fields["items[type=product].price"].type
    assert fields["items[type=gift]"].required
    assert (False, "boolean") == (fields["extra.late"].required, fields["extra.late"].type)


def test_the_events_that_it_is_made_of_keep_it():
    """Each of them."""
    _, _, plan = inferred(orders())
    compiled = CompiledPlan([(plan, None)])
    assert [()] * 200 == [tuple(compiled.judge(PORTAL_ID, PROP_ID, each)) for each in orders()]


def test_no_value_of_anybodys_is_written():
    """Neither an address nor what a single visitor sent, nor anything of a customer, nor an id."""
    _, text, plan = inferred(orders())
    for value in ("jane", "example.com", "SKU-", "c1", "gold", "1199"):
        assert value not in text
    assert not fields_of(plan, "product/purchase")["dims.customers.customer_id"].required


def test_a_word_of_few_visitors_is_not_written():
    """It may be somebody's nickname."""
    events = [event("a", "b", uid=str(number % 3), extra={"kind": "Winterfell"}) for number in range(100)]
    assert "Winterfell" not in inferred(events)[1]


def test_names_are_personal_by_their_parts():
    """However they are written."""
    assert all(map(is_personal, ["extra.userName", "extra.phone", "extra.billing_address", "dims.customers.tier", "extra.src_search_term", "extra.id"]))  # fmt: skip
    assert not any(map(is_personal, ["extra.page_type", "extra.currency", "items[type=product].price", "dims.purchase.status"]))  # fmt: skip


def test_rare_kinds_and_odd_names_are_left_out():
    """And said."""
    events = [event("a", "b")] * 5 + [event("jane@example.com", "b")] * 30 + [event("c", "0901234567")] * 30
    inference, text, plan = inferred(events)
    assert (1, 60, ()) == (inference.rare, inference.odd, plan.events)
    assert "jane" not in text


def test_a_table_of_ids_is_no_list_of_fields():
    """Objects whose names are data, or too many, are left out; the plan stays small."""
    events = [event("a", "b", extra={"ok": 1, "by_sku": {f"k{number}_{each}": 1 for each in range(50)}}) for number in range(100)]  # fmt: skip
    _, text, plan = inferred(events)
    assert ["extra.ok"] == list(fields_of(plan, "a/b"))
    assert len(text) < 1_000


def test_memory_is_bounded_whatever_comes():
    """So many kinds, so many fields, so many values."""
    inference = Inference()
    for number in range(2_000):
        inference.add(
            event("k", f"a{number % 1_000}", extra={f"f{number}_{each}": "v" for each in range(20)})
        )
    assert 500 == len(inference._kinds)
    for number in range(1_000):
        inference.add(event("k", "a0", extra={f"g{number}_{each}": str(each) for each in range(20)}))
    assert len(inference._kinds["k/a0"].fields) <= 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["", "a", "1", "2026-11-30 09:41:00", "undefined"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "v", "price", "x y", "items"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(["items", "dims", "extra"]), JSON), max_size=5))
def test_whatever_came_the_plan_can_be_used(events):
    """It is TOML, and a plan; with thresholds of one hundred per cent all events keep it."""
    sent = [event("a", "b", uid=str(number), **each) for number, each in enumerate(events)]
    # What comes into the archive has passed this.
    sent = [each for each in sent if field_problem(each) is None]
    _, _, plan = inferred(sent, required=1.0, least_events=1)
    compiled = CompiledPlan([(plan, None)])
    assert [()] * len(sent) == [tuple(compiled.judge(PORTAL_ID, PROP_ID, each)) for each in sent]
    orjson.dumps(plan.model_dump(mode="json"))


def test_what_the_gateway_adds_is_asked_of_nobody():
    """A plan is held to events before they have it: click ids stand in the page's URL then."""
    landings = [event(extra={"gclid": f"G{number}", "zclid": "z", "event_id": "e", "kind": "x"}) for number in range(50)]  # fmt: skip
    _, _, plan = inferred(landings)
    assert ["extra.kind"] == list(fields_of(plan, "pageview/view"))
