"""A session tells which events don't keep to the tracking plan, whatever the gateway does about it."""

from __future__ import annotations

import pytest

from gateway.qa.judging import with_standard
from tests.builders import make_settings
from tests.qa_sessions import pageview
from tests.qa_traffic import traffic_of

BARE = {"uid": "111111111111", "ec": "pageview", "ea": "view", "extra": {"page_type": "home"}}
OWN_PLAN = """
unknown_events = "warn"
[[events]]
event = "quiz/done"
[events.fields]
"extra.score" = { required = true, type = "integer", example = 7 }
[[events]]
event = "pageview/view"
"""


@pytest.mark.parametrize(
    ("mode", "outcome"), [("warn", "accepted"), ("quarantine", "quarantined"), ("off", "accepted")]
)
async def test_a_field_that_a_standard_event_lacks_is_named(tmp_path, mode, outcome):
    """With the plan's own example; also where the gateway holds events to no plan, whose fate is left to it."""
    async with traffic_of(tmp_path, tracking_plan={"standard": mode}) as traffic:
        examined = await traffic.see(BARE)
        assert [outcome] == [each.verdict.outcome for each in examined.events]
        assert [("required-field-missing", 1, "extra.page_category")] == traffic.found
        (finding,) = traffic.findings
        assert 'is required by the plan of pageview/view, such as "shoes"' == finding.detail
        assert ("error", 0) == (finding.severity, finding.event)


async def test_an_event_with_all_it_needs_is_fine(tmp_path):
    """Nothing is found."""
    async with traffic_of(tmp_path) as traffic:
        await traffic.view()
        assert [] == traffic.found


async def test_each_field_of_each_event_of_a_batch_is_found_once(tmp_path):
    """At its event."""
    bare = {"uid": "111111111111", "ec": "pageview", "ea": "view"}
    async with traffic_of(tmp_path) as traffic:
        await traffic.see([pageview(), bare])
        assert [(1, "extra.page_type"), (1, "extra.page_category")] == [
            (each.event, each.place) for each in traffic.findings
        ]


async def test_a_sites_own_plan_is_held_to(tmp_path):
    """A value of another type is less grave than a field that is missing; what no plan knows is said."""
    (tmp_path / "plan.toml").write_text(OWN_PLAN)
    plan = {"file": str(tmp_path / "plan.toml")}
    async with traffic_of(tmp_path, tracking_plan=plan) as traffic:
        quiz = {"uid": "111111111111", "ec": "quiz", "ea": "done"}
        await traffic.see(quiz)
        await traffic.see({**quiz, "extra": {"score": "high"}})
        await traffic.see({**quiz, "extra": {"score": 3}})
        await traffic.see({**quiz, "ea": "dnoe"})
        assert [
            ("required-field-missing", "error", "extra.score"),
            ("required-field-missing", "warning", "extra.score"),
            ("unknown-event", "warning", "ec, ea"),
        ] == [(each.rule, each.severity, each.place) for each in traffic.findings]
        assert "the plan knows no quiz/dnoe" == traffic.findings[2].detail


async def test_another_spelling_of_a_standard_event_is_unknown(tmp_path):
    """And what was meant is told; an event of the site's own is not, where no plan says that all are known."""
    async with traffic_of(tmp_path) as traffic:
        await traffic.see({"uid": "111111111111", "ec": "Product", "ea": "AddToCart"})
        await traffic.see({"uid": "111111111111", "ec": "quiz", "ea": "done"})
        assert [("unknown-event", 1, "ec, ea")] == traffic.found
        assert traffic.findings[0].detail.endswith("; the standard event is product/add_to_cart")


@pytest.mark.parametrize(
    ("event", "meant"),
    [
        ("prodct/view", "product/view"),
        ("product/veiw_cart", "product/view_cart"),
        ("product/add_to_card", "product/add_to_cart"),
        ("products/view", "product/view"),
    ],
)
async def test_a_slip_in_a_standard_event_is_told_once(tmp_path, event, meant):
    """Under the settings that a gateway begins with; once, as the event may be one of the site's own."""
    category, action = event.split("/")
    async with traffic_of(tmp_path) as traffic:
        for score in range(2):
            await traffic.see(
                {"uid": "111111111111", "ec": category, "ea": action, "extra": {"score": score}}
            )
        assert [("unknown-event", 1, "ec, ea")] == traffic.found
        assert f"the plan knows no {event}; the standard event is {meant}" == traffic.findings[0].detail


@pytest.mark.parametrize(
    "event",
    ["product/review", "user/sign_out", "user/logout", "product/viewed", "quiz/view", "checkout/done"],
)
async def test_an_event_of_the_sites_own_is_no_slip(tmp_path, event):
    """More than one letter lies between it and any standard event."""
    category, action = event.split("/")
    async with traffic_of(tmp_path) as traffic:
        await traffic.see({"uid": "111111111111", "ec": category, "ea": action})
        assert [] == traffic.found


async def test_what_the_sites_plan_names_is_no_slip(tmp_path):
    """Nor is it another spelling of a standard event."""
    plan = "[[events]]\nevent = ['products/view', 'Product/View']\n[[events]]\nevent = '*'\n"
    (tmp_path / "plan.toml").write_text(plan)
    async with traffic_of(tmp_path, tracking_plan={"file": str(tmp_path / "plan.toml")}) as traffic:
        for category, action in (("products", "view"), ("Product", "View"), ("prodct", "view")):
            await traffic.see({"uid": "111111111111", "ec": category, "ea": action})
        assert [("unknown-event", 3, "ec, ea")] == traffic.found


@pytest.mark.parametrize(("is_bound", "found"), [(True, []), (False, ["required-field-missing"])])
async def test_a_purchase_under_a_customers_uid_lacks_no_customer(tmp_path, is_bound, found):
    """The gateway sends it on with the customer that it knows of the UID; without one it is anybody's."""
    purchase = {
        "uid": "111111111111",
        "ec": "product",
        "ea": "purchase",
        "items": [{"type": "product", "id": "SKU-1", "name": "Shoe", "quantity": 1}],
        "dims": {"purchase": {"id": "A-1"}},
        "extra": {"order_id": "A-1", "revenue": 1},
    }
    async with traffic_of(tmp_path) as traffic:
        if is_bound:
            await traffic.see({**pageview(), "uid": "111111111111", "cid": "0" * 31 + "1"})
        await traffic.see(purchase)
        assert found == [each.rule for each in traffic.findings]


@pytest.mark.parametrize(
    ("email", "found"),
    [(" Lan@Example.com", []), ("", ["dims.customers.customer_id", "extra.identify_id"])],
)
async def test_a_sign_in_whose_address_the_gateway_hashes_lacks_no_hash(tmp_path, email, found):
    """A page need not know the hash; where there is no address either, nobody does."""
    sign_in = {
        "uid": "111111111111",
        "ec": "user",
        "ea": "sign_in",
        "dims": {"customers": {"email": email}},
        "extra": {
            "identify_event": "user_sign_in",
            "identify_type": "exact",
            "identify_time": "2026-11-30 09:41:00",
        },
    }
    async with traffic_of(tmp_path) as traffic:
        await traffic.see(sign_in)
        assert found == [each.place for each in traffic.findings if each.rule == "required-field-missing"]


async def test_no_address_is_quoted(tmp_path):
    """An event whose name is an address is told without it."""
    (tmp_path / "plan.toml").write_text(OWN_PLAN)
    async with traffic_of(tmp_path, tracking_plan={"file": str(tmp_path / "plan.toml")}) as traffic:
        await traffic.see({"uid": "111111111111", "ec": "lan@example.com", "ea": "click"})
        (finding,) = [each for each in traffic.findings if each.rule == "unknown-event"]
        assert "the plan knows no [email]/click" == finding.detail


async def test_what_was_taken_out_of_an_anonymised_event_is_not_missed(tmp_path):
    """The gateway has taken the customer out; the page has not."""
    sign_in = {"uid": "111111111111", "ec": "user", "ea": "sign_in"}
    async with traffic_of(tmp_path, consent={"mode": "anonymise"}) as traffic:
        await traffic.see(sign_in)
        assert ["event-before-consent"] == [each.rule for each in traffic.findings]


def test_a_plan_that_asks_for_all_is_the_gateways_own():
    """Nothing is judged twice then."""
    settings = make_settings()
    assert settings is with_standard(settings)
