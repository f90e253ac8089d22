"""The tracking plan: what an event has not kept of it, how that is told, and what becomes of the event."""

from __future__ import annotations

import time

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.events.model import Binding
from gateway.events.outcome import Outcome, Reason
from gateway.events.pipeline import Pipeline
from gateway.events.plan_checks import KINDS
from gateway.events.releases import Stays, Way
from gateway.events.tracking_plan import MOST, CompiledPlan, fits
from gateway.events.world import World
from gateway.plans.keeper import compile_plans
from gateway.plans.reading import PlanUnusable, read_plan, read_standard, standard_text
from gateway.settings_plan import Plan
from tests.builders import PORTAL_ID, PROP_ID, STAMP, decide, event, forwarded, make_settings, post

SHOE = {"type": "product", "id": "SKU-1", "name": "Shoe", "quantity": 1}


def standard(severity="warn"):
    return CompiledPlan([(read_standard(), lambda *_: severity)])


def own(**plan):
    return CompiledPlan([(Plan.model_validate(plan), None)])


def of_field(path, severity="warn", /, **rule):
    return own(events=[{"event": "a/b", "severity": severity, "fields": {path: rule}}])


def broken(plan, fields):
    return [(each.field, each.rule) for each in plan.judge(PORTAL_ID, PROP_ID, fields)]


RIGHT = [
    event(extra={"page_type": "product", "page_category": "shoes"}),
    event("product", "view", items=[SHOE]),
    event("product", "add_to_cart", items=[SHOE], extra={"cart_subtotal": "1290000", "cart_item_count": 2}),
    event("product", "purchase", items=[SHOE], cid="c1", extra={"order_id": 7, "revenue": 12.5}, dims={"purchase": {"id": "7"}}),
    event("product", "click", items=[{"id": 1}]),
    event("browsing", "product_search", items=[SHOE], extra={"src_search_term": "shoe"}),
    event("promotion_code", "used", items=[{"type": "promotion_code", "code_status": 4}], extra={"order_id": "7"}, dims={"purchase": {"id": "7"}}),
    event("user", "identify", dims={"customers": {"customer_id": "c1"}}, extra={"identify_id": "c1", "identify_time": "2026-11-30 09:41:00", "identify_event": "user_identify", "identify_type": "exact"}),
    event("user", "reset_anonymous_id", extra={"reset_uid": "1", "generate_uid": "2"}),
    event("advertising", "click", dims={"campaign": {"id": 1}, "story": {"id": 1}, "variant": {"id": 1}}),
]  # fmt: skip


@pytest.mark.parametrize("fields", RIGHT, ids=lambda each: f"{each['ec']}/{each['ea']}")
def test_a_standard_event_as_the_protocol_has_it_breaks_nothing(fields):
    """And without its fields it breaks something."""
    assert [] == broken(standard(), fields)
    assert broken(standard(), event(fields["ec"], fields["ea"]))


def test_every_standard_event_of_the_protocol_has_rules():
    """None of the table of `docs/protocol.md` is left out, and each rule has an example."""
    named = {each for rule in read_standard().events for each in rule.event}
    assert {f"product/{each}" for each in ("view", "add_to_cart", "view_cart", "remove_cart", "checkout", "purchase", "click")} < named  # fmt: skip
    assert {"pageview/view", "browsing/product_search", "promotion_code/used", "user/sign_in", "user/sign_up", "user/identify", "user/reset_anonymous_id", "user/exit_intent", "advertising/impression", "advertising/viewable", "advertising/click"} < named  # fmt: skip
    for rule in read_standard().events:
        assert all(field.example is not None for field in rule.fields.values()), rule.event


def test_the_list_of_dims_that_phones_send_is_read():
    """The iOS SDK sends `dims` as an array of objects, by name or by type."""
    fields = event(
        "product",
        "purchase",
        items=[SHOE],
        extra={"order_id": "7", "revenue": 1},
        dims=[{"customers": {"customer_id": "c1"}}, {"type": "purchase", "id": "7"}],
    )
    assert [] == broken(standard(), fields)


@pytest.mark.parametrize(
    ("rule", "good", "bad", "kind"),
    [
        ({"type": "text"}, ["a", ""], [1, [], {}, True], "type"),
        ({"type": "number"}, [1, 1.5, -2], ["1", True, []], "type"),
        ({"type": "integer"}, [1], [1.0, "1", True], "type"),
        ({"type": "numeric"}, [1, "1.5", " 2 ", "-3e4"], ["1,5", "x", True, "1" * 41], "type"),
        ({"type": "boolean"}, [True, False], [0, "true"], "type"),
        ({"type": "id"}, ["a", 7], [1.5, True, []], "type"),
        ({"type": "object"}, [{}], [[], "x"], "type"),
        ({"type": "list"}, [[]], [{}, "x"], "type"),
        ({"type": "time"}, ["2026-11-30 09:41:00", "2026-11-30T09:41:00.5Z"], ["30.11.2026", 5], "type"),
        ({"min": 0, "max": 10}, [0, 10, "5"], [-1, 10.5, "11", "x", []], "range"),
        ({"min_length": 2, "max_length": 3}, ["ab", "abc", 12], ["a", "abcd", 1], "length"),
        ({"min_items": 1, "max_items": 2}, [[1], [1, 2]], [[], [1, 2, 3], "ab"], "items"),
        ({"one_of": [1, "x"]}, [1, "x"], [True, "1", [], {}], "allowed"),
        ({"pattern": "^[A-Z]-[0-9]+$"}, ["A-1"], ["a-1", "A-", 5, "A-1" + "1" * 9_000], "pattern"),
        ({"pattern": "^[0-9]+$", "type": "id"}, [5, "5"], ["x"], "pattern"),
    ],
)  # fmt: skip
def test_each_kind_of_rule(rule, good, bad, kind):
    """What keeps it and what breaks it; what is not there and not required breaks nothing."""
    plan = of_field("extra.v", **rule)
    for value in good:
        assert [] == broken(plan, event("a", "b", extra={"v": value})), value
    for value in bad:
        assert [("extra.v", kind)] == broken(plan, event("a", "b", extra={"v": value})), value
    assert [] == broken(plan, event("a", "b"))
    assert kind in KINDS


@pytest.mark.parametrize("value", [None, "", "undefined", "null", "NaN", "[object Object]"])
def test_a_required_field_that_a_script_left_empty_is_missing(value):
    """Tag managers write `undefined` where a variable had nothing in it."""
    assert [("extra.v", "required")] == broken(of_field("extra.v", required=True), event("a", "b", extra={"v": value}))  # fmt: skip


def test_paths_reach_into_lists():
    """Each element, those of a type, and one of several places."""
    items = [{"type": "product", "id": 1}, {"type": "lead"}, {"type": "product"}]
    assert [("items[].id", "required")] == broken(of_field("items[].id", required=True), event("a", "b", items=items))  # fmt: skip
    assert [] == broken(of_field("items[type=lead].type", required=True), event("a", "b", items=items))
    assert [("items[type=x]", "required")] == broken(of_field("items[type=x]", required=True), event("a", "b", items=items))  # fmt: skip
    deep = of_field("extra.cart.lines[].price", type="number")
    assert [("extra.cart.lines[].price", "type")] == broken(deep, event("a", "b", extra={"cart": {"lines": [{"price": "x"}]}}))  # fmt: skip
    either = of_field("cid | dims.customers.customer_id", required=True)
    assert [] == broken(either, event("a", "b", dims={"customers": {"customer_id": "1"}}))
    assert [("cid | dims.customers.customer_id", "required")] == broken(either, event("a", "b"))


def test_unknown_events_and_fields_are_told_where_the_plan_asks_for_it():
    """A field's name is a client's text: one that may be somebody's address or number is not told."""
    plan = own(
        unknown_events="warn",
        events=[{"event": "a/*", "unknown_fields": "quarantine", "fields": {"extra.known": {}, "items[].id": {}}}],
    )  # fmt: skip
    assert [("ec, ea", "unknown_event")] == broken(plan, event("x", "y"))
    fields = event("a", "b", extra={"known": 1, "odd": 2, "jane@example.com": 3, "tel_0901234567": 4})
    assert [("extra.odd", "unknown_field"), ("extra.(a name)", "unknown_field")] == broken(plan, fields)
    assert not plan.judge(PORTAL_ID, PROP_ID, fields, is_held=True)


def test_rules_may_be_of_one_property():
    """By its prop_id, or by both ids."""
    rule = {"event": "*", "fields": {"extra.v": {"required": True}}}
    for properties, expected in (([PROP_ID], 1), ([f"{PORTAL_ID}/{PROP_ID}"], 1), (["7"], 0), ([f"7/{PROP_ID}"], 0), ([], 1)):  # fmt: skip
        plan = own(events=[{**rule, "properties": properties}])
        assert expected == len(broken(plan, event("a", "b")))


@given(st.text("ab/*", max_size=12), st.text("ab/", max_size=20))
def test_a_star_stands_for_any_characters(pattern, text):
    """As a shell's does, read in one go."""
    import fnmatch
    import re

    if "*" in pattern:
        assert fits(text, pattern.split("*")) == bool(re.match(fnmatch.translate(pattern), text))


STANDARD = standard()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "id", "name", "customers", "purchase", "v"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(RIGHT),
    st.dictionaries(st.sampled_from(["items", "dims", "extra", "context", "cid"]), JSON),
)
def test_no_event_breaks_the_judge(fields, more):
    """Whatever stands where, it gives violations of closed kinds, a bounded number of them."""
    found = STANDARD.judge(PORTAL_ID, PROP_ID, {**fields, **more})
    assert len(found) <= MOST
    assert all(each.rule in KINDS for each in found)


def test_a_pattern_takes_time_that_grows_with_the_text_alone():
    """The pattern that stops other engines for years is read like any other."""
    plan = of_field("extra.v", pattern="^(a+)+$")
    begun = time.monotonic()
    assert [("extra.v", "pattern")] == broken(plan, event("a", "b", extra={"v": "a" * 8_000 + "!"}))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('severty = "warn"', "severty", "did you mean 'severity'"),
        ('[[events]]\nevent = "pageview"', "events[0].event[0]", "write category/action"),
        ('[[events]]\nevent = "a/b"\nfields = { "extra.v" = { requird = true } }', "events[0].fields.extra.v.requird", "did you mean 'required'"),
        ('[[events]]\nevent = "a/b"\nfields = { "extra..v" = {} }', "events[0].fields.extra..v", "such as extra.page_type"),
        ('[[events]]\nevent = "a/b"\nfields = { "v" = { pattern = "(?=x)" } }', "events[0].fields.v.pattern", "without look-around"),
        ('[[events]]\nevent = "a/b"\nfields = { "v" = { min = 5, max = 1 } }', "events[0].fields.v", "min is above max"),
        ('[[events]]\nevent = "a/b"\nschema_file = "none.json"', "events[0].schema_file", "name a readable file"),
        ("a = [", "(file)", "mend the TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_names_the_key_and_the_mend(tmp_path, text, key, hint):
    """As the settings do."""
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PlanUnusable) as refused:
        read_plan(tmp_path / "plan.toml")
    problem = refused.value.problems[0]
    assert key == problem.key
    assert hint in problem.hint


def test_the_standard_plan_is_a_plan_file_like_any_other(tmp_path):
    """It can be copied and changed."""
    (tmp_path / "plan.toml").write_text(standard_text(), encoding="utf-8")
    assert read_standard() == read_plan(tmp_path / "plan.toml").plan


def with_schema(tmp_path, schema):
    (tmp_path / "plan.toml").write_text('[[events]]\nevent = "a/b"\nschema_file = "a.json"\nexample = 5\n', encoding="utf-8")  # fmt: skip
    (tmp_path / "a.json").write_bytes(orjson.dumps(schema))
    plan, schemas, files = read_plan(tmp_path / "plan.toml")
    assert 2 == len(files)
    return CompiledPlan([(plan, None)], schemas)


def test_a_json_schema_judges_the_whole_event(tmp_path):
    """Its findings are told by path and kind; a name that a client chose only where it is a plain word."""
    numbers = {"type": "object", "required": ["v"], "properties": {"v": {"enum": [1]}}, "additionalProperties": {"type": "number"}}  # fmt: skip
    plan = with_schema(tmp_path, {"properties": {"extra": numbers}, "required": ["items"]})
    assert [("items", "required")] == broken(plan, event("a", "b"))
    found = plan.judge(PORTAL_ID, PROP_ID, event("a", "b", items=[], extra={"v": "jane@example.com", "jane@example.com": "x"}))  # fmt: skip
    assert [("extra.v", "allowed"), ("extra.(a name)", "type")] == sorted([(each.field, each.rule) for each in found], reverse=True)  # fmt: skip
    assert "jane" not in repr(found)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://127.0.0.1:9/x.json"}, {"$ref": "file:///etc/passwd"}, {"type": "txt"}, {"pattern": "(?=x)"}],
)  # fmt: skip
def test_a_schema_fetches_nothing_and_is_refused_when_it_cannot_be_read(tmp_path, schema):
    """With the key and the mend."""
    with pytest.raises(PlanUnusable, match=r"events\[0\].schema_file"):
        with_schema(tmp_path, schema)


def pipeline_of(plan, **sections):
    return Pipeline(make_settings(**sections), World(judge=plan.judge))


def test_a_warning_is_told_and_counted_and_holds_nothing():
    """The event goes out as it came; its log line names the field, the rule and an example."""
    _, decision = decide(post(event()), pipeline=pipeline_of(standard()))
    verdict = decision.verdicts[0]
    assert Outcome.ACCEPTED == verdict.outcome
    assert ('extra.page_type: required (pageview/view; such as "product")') == verdict.remarks["plan_violations"][0]  # fmt: skip
    assert [("plan_warn", "required")] * 2 == verdict.tallies
    assert "plan_violations" not in forwarded(decision)["context"]


def test_a_violation_stands_in_the_event_where_the_settings_say_so():
    """For whoever looks at the CDP alone."""
    line = pipeline_of(standard(), tracking_plan={"mark_events": True})
    _, decision = decide(post(event()), pipeline=line)
    assert ["extra.page_type: required", "extra.page_category: required"] == forwarded(decision)["context"]["plan_violations"]  # fmt: skip


def test_a_broken_page_fills_no_log():
    """Of thousands of one kind a few lines in ten seconds say what is wrong, the others how much; each is counted."""
    line = pipeline_of(standard())
    verdicts = [decide(post(event()), pipeline=line)[1].verdicts[0] for _ in range(100)]
    assert 10 == sum(isinstance(each.remarks["plan_violations"], list) for each in verdicts)
    assert 2 == verdicts[-1].remarks["plan_violations"]
    assert 200 == sum(len(each.tallies) for each in verdicts)


def test_who_breaks_a_plan_in_thousands_of_ways_fills_no_log():
    """Of so many kinds of violation within ten seconds the last are only counted, and no line tells of the first ones anew."""
    fields = {f"extra.f{number}": {"required": True, "severity": "warn"} for number in range(11)}
    line = pipeline_of(own(events=[{"event": "a/b", "fields": fields}]))

    def told(number):
        extra = {f"f{bit}": 1 for bit in range(11) if number >> bit & 1}
        verdict = decide(post(event("a", "b", extra=extra)), pipeline=line)[1].verdicts[0]
        return isinstance(verdict.remarks["plan_violations"], list)

    assert 1_024 == sum(told(number) for number in range(1, 2_047))
    assert 9 == sum(told(1) for _ in range(20))


def test_a_batch_is_judged_event_by_event():
    """One that is held holds up no other."""
    body = orjson.dumps([event(), RIGHT[0]])
    _, decision = decide(post(body), pipeline=pipeline_of(standard("quarantine")))
    assert [Outcome.QUARANTINED, Outcome.ACCEPTED] == [each.outcome for each in decision.verdicts]


def test_identity_is_protected_before_an_event_is_held():
    """What waits in the quarantine for the plan's sake has no raw address."""
    fields = event("user", "sign_in", dims={"customers": {"email": "jane@example.com"}})
    _, decision = decide(post(fields), pipeline=pipeline_of(standard("quarantine")))
    verdict = decision.verdicts[0]
    assert (Reason.PLAN_VIOLATION, 200) == (verdict.reason, decision.reply.status)
    assert b"jane" not in verdict.entry.record.body
    assert "jane" not in repr(verdict.rejection)


def test_a_conflict_that_the_policy_resolves_is_held_all_the_same():
    """Who goes on under a UID of her own still sends what the plan wants held."""
    fields = event("user", "sign_in", dims={"customers": {"email": "jane@example.com"}})
    line = pipeline_of(standard("quarantine"), identity={"on_conflict": "strip"})
    _, decision = decide(post(fields), "another", pipeline=line)
    assert Reason.PLAN_VIOLATION == decision.verdicts[0].reason


def released(entry, line, way=Way.POLICY):
    petition = line.releases.ask(entry, way, STAMP)
    if isinstance(petition, Stays):
        return petition
    return line.releases.decide(petition, Binding())


def test_a_held_event_goes_when_the_plan_allows_it_or_a_person_does():
    """Under the plan that held it, it stays, and the reason says why; what the gateway added is no unknown field."""
    strict = own(
        severity="quarantine",
        events=[{"event": "a/b", "unknown_fields": "quarantine", "fields": {"extra.v": {"required": True}, "context.x": {}}}],
    )  # fmt: skip
    line = pipeline_of(strict)
    entry = decide(post(event("a", "b")), pipeline=line)[1].verdicts[0].entry
    assert Reason.PLAN_VIOLATION == entry.reason
    assert Reason.PLAN_VIOLATION == released(entry, line).reason
    assert entry.event_id == released(entry, line, Way.ACCEPT_VIOLATION).record.event_id
    assert entry.event_id == released(entry, pipeline_of(own())).record.event_id
    dead = msgspec.structs.replace(entry, reason="too_old")
    assert entry.event_id == released(dead, line).record.event_id


def test_a_violation_of_two_plans_is_told_once_as_the_graver_has_it():
    """The site's own rule wants the event held, the standard's only a word."""
    mine = Plan.model_validate({"events": [{"event": "pageview/view", "fields": {"extra.page_type": {"required": True, "severity": "quarantine", "example": {"a": 1}}}}]})  # fmt: skip
    both = CompiledPlan([(read_standard(), lambda *_: "warn"), (mine, None)])
    first, second = both.judge(PORTAL_ID, PROP_ID, event())
    assert ("extra.page_type", "quarantine") == (first.field, first.severity)
    assert 'such as {"a": 1}' in first.text
    assert ("extra.page_category", "warn") == (second.field, second.severity)


def test_a_property_may_be_held_to_the_standard_otherwise_than_the_others():
    """`standard_plan` goes before `tracking_plan.standard`; where nobody is held to anything there is no plan."""
    first, second = {"portal_id": "1", "prop_id": "1", "site": "a.example"}, {"portal_id": "1", "prop_id": "2", "site": "b.example", "standard_plan": "quarantine"}  # fmt: skip
    plan, files = compile_plans(make_settings(properties=(first, second), tracking_plan={"standard": "off"}))
    assert () == files
    assert () == plan.judge("1", "1", event())
    assert "quarantine" == plan.judge("1", "2", event())[0].severity
    assert None is compile_plans(make_settings(tracking_plan={"standard": "off"}))[0]
