"""Transformations: what the settings change of events, what they can't, and that what was changed is protected like anything else."""

from __future__ import annotations

import copy

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.events.shapes import field_problem
from gateway.events.transformations import Transformations
from gateway.settings import Settings
from gateway.settings_errors import explain
from gateway.settings_transformations import Transformation
from tests.builders import PORTAL_ID, PROP_ID, decide, event, forwarded, make_settings, post


def changed(fields, *steps, **more):
    """Give what the steps make of an event, and whether anything of it is another."""
    compiled = Transformations([Transformation.model_validate({"steps": steps, **more})])
    fields = copy.deepcopy(fields)
    is_changed = compiled.apply(PORTAL_ID, PROP_ID, fields)
    return fields, is_changed


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ({"rename": "extra.mail", "to": "dims.customers.email"}, {"extra": {"mail": "x"}}, {"extra": {}, "dims": {"customers": {"email": "x"}}}),
        ({"rename": "properties", "to": "extra"}, {"properties": {"a": 1}}, {"extra": {"a": 1}}),
        ({"rename": "extra.member", "to": "cid"}, {"extra": {"member": 5}}, {"extra": {}, "cid": "5"}),
        ({"rename": "items[].sku", "to": "items[].id"}, {"items": [{"sku": 1}, {"id": 2, "sku": 3}, {}]}, {"items": [{"id": 1}, {"id": 2, "sku": 3}, {}]}),
        ({"rename": "dims.shopper.id", "to": "cid"}, {"dims": [{"shopper": {"id": "c"}}]}, {"dims": [{"shopper": {}}], "cid": "c"}),
        ({"duplicate": "ec", "to": "extra.was"}, {}, {"extra": {"was": "a"}}),
        ({"duplicate": "extra", "to": "extra.old"}, {"extra": {"a": 1}}, {"extra": {"a": 1, "old": {"a": 1}}}),
        ({"rename": "extra", "to": "extra.old"}, {"extra": {"a": 1}}, {"extra": {"old": {"a": 1}}}),
        ({"set": "extra.channel", "value": "web"}, {}, {"extra": {"channel": "web"}}),
        ({"set": "extra.flag", "value": True}, {"extra": {"flag": 1}}, {"extra": {"flag": True}}),
        ({"set": "ea", "value": "buy"}, {}, {"ea": "buy"}),
        ({"set": "items[].type", "value": "product"}, {"items": [{}, {"type": "x"}]}, {"items": [{"type": "product"}, {"type": "product"}]}),
        ({"remove": "extra.debug"}, {"extra": {"debug": {}}}, {"extra": {}}),
        ({"map": "extra.t", "table": {"pdp": "product", "4": 5, "true": "y"}}, {"extra": {"t": "pdp"}}, {"extra": {"t": "product"}}),
        ({"map": "extra.t", "table": {"4": 5}}, {"extra": {"t": 4}}, {"extra": {"t": 5}}),
        ({"map": "extra.t", "table": {"true": "y"}}, {"extra": {"t": True}}, {"extra": {"t": "y"}}),
        ({"map": "extra.t", "table": {}, "default": "other"}, {"extra": {"t": "x"}}, {"extra": {"t": "other"}}),
        ({"lower": "ec"}, {"ec": "Shop"}, {"ec": "shop"}),
        ({"trim": "extra.t"}, {"extra": {"t": " x "}}, {"extra": {"t": "x"}}),
        ({"number": "items[].price"}, {"items": [{"price": "12"}, {"price": "1.5"}, {"price": "1e3"}]}, {"items": [{"price": 12}, {"price": 1.5}, {"price": 1000}]}),
        ({"text": "extra.n"}, {"extra": {"n": 5}}, {"extra": {"n": "5"}}),
    ],
)  # fmt: skip
def test_each_step_does_what_its_name_says(step, before, after):
    """And says that it did."""
    base = event("a", "b")
    fields, is_changed = changed({**base, **before}, step)
    assert {**base, **after} == fields
    assert is_changed


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ({"rename": "extra.mail", "to": "extra.email"}, {"extra": {"mail": "x", "email": "y"}}),
        ({"rename": "extra.t", "to": "items"}, {"extra": {"t": [1]}}),
        ({"rename": "extra.t", "to": "ec"}, {"extra": {"t": "x"}}),
        ({"rename": "extra.t", "to": "uid2.x"}, {"extra": {"t": "x"}, "uid2": "text"}),
        ({"map": "ec", "table": {"a": ""}}, {}),
        ({"map": "ec", "table": {"a": 5}}, {}),
        ({"trim": "extra.t"}, {"extra": {"t": ["x"]}}),
        ({"number": "extra.t"}, {"extra": {"t": "1.290.000"}}),
        ({"number": "cid"}, {"cid": "5"}),
        ({"text": "extra.t"}, {"extra": {"t": {}}}),
        ({"remove": "extra.t.u"}, {"extra": {"t": "x"}}),
    ],
)  # fmt: skip
def test_a_step_that_can_not_do_its_work_does_nothing(step, fields):
    """No value is lost, and the wire format keeps its kinds."""
    fields = event("a", "b", **fields)
    assert (fields, False) == changed(fields, step)


@pytest.mark.parametrize(
    ("steps", "key", "hint"),
    [
        ([{"set": "uid", "value": "1"}], "steps[0].set", "leave uid alone"),
        ([{"rename": "extra.id", "to": "uid"}], "steps[0].to", "leave uid alone"),
        ([{"rename": "request_id", "to": "extra.r"}], "steps[0].rename", "leave request_id alone"),
        ([{"set": "extra.reset_uid", "value": "1"}], "steps[0].set", "leave extra.reset_uid alone"),
        ([{"set": "cid", "value": "everybody"}], "steps[0]", "give everybody the same"),
        ([{"set": "dims.customers.id", "value": "x"}], "steps[0]", "give everybody the same"),
        ([{"map": "dims.customers.email", "table": {}, "default": "x@y.z"}], "steps[0]", "give everybody the same"),
        ([{"set": "dims.customers.Phone", "value": "x"}], "steps[0]", "give everybody the same"),
        ([{"remove": "ec"}], "steps[0]", "an event needs its ec"),
        ([{"set": "ea", "value": " "}], "steps[0]", "an event needs its ea"),
        ([{"set": "extra", "value": 1}], "steps[0]", "name one of them"),
        ([{"rename": "items[].mail", "to": "extra.mail"}], "steps[0]", "within that element"),
        ([{"rename": "extra.a"}], "steps[0]", 'write { rename = "extra.a", to = "…" }'),
        ([{"set": "extra.a", "to": "b", "value": 1}], "steps[0]", "leave it out"),
        ([{"set": "extra.a", "remove": "b", "value": 1}], "steps[0]", "write one operation"),
        ([{"renam": "extra.a"}], "steps[0].renam", "did you mean 'rename'"),
        ([], "steps", "at least 1"),
    ],
)  # fmt: skip
def test_what_must_not_be_done_is_refused_with_the_key_and_the_mend(steps, key, hint):
    """Above all what would join strangers: a customer id never changes."""
    with pytest.raises(ValidationError) as refused:
        make_settings(transformations=[{"steps": steps}])
    problem = explain(refused.value, Settings)[0]
    assert f"transformations[0].{key}" == problem.key
    assert hint in problem.hint


def test_a_field_by_which_customers_are_known_gets_no_constant():
    """Also one that only the settings make one of identity."""
    step = {"set": "extra.line_user_id", "value": "x"}
    make_settings(transformations=[{"steps": [step]}])
    with pytest.raises(ValidationError, match=r"transformations\[0\].steps\[0\]: extra.line_user_id"):
        make_settings(transformations=[{"steps": [step]}], identity={"derive_cid_from": ["line_user_id"]})


@pytest.mark.parametrize(
    ("more", "is_meant"),
    [
        ({}, True),
        ({"event": "a/*"}, True),
        ({"event": ["x/y", "a/b"]}, True),
        ({"event": "b/*"}, False),
        ({"properties": [PROP_ID]}, True),
        ({"properties": ["1"]}, False),
        ({"when": {"field": "extra.v", "one_of": ["pos", 1]}}, True),
        ({"when": {"field": "extra.v", "one_of": ["web"]}}, False),
        ({"when": {"field": "extra.v", "matches": "^p"}}, True),
        ({"when": {"field": "extra.v", "matches": "^o"}}, False),
        ({"when": {"field": "extra.v", "exists": True}}, True),
        ({"when": {"field": "extra.v", "exists": False}}, False),
        ({"when": {"field": "extra.w.x", "exists": False}}, True),
    ],
)
def test_which_events_are_meant(more, is_meant):
    """By category and action, property, and one field."""
    assert (
        is_meant == changed(event("a", "b", extra={"v": "pos"}), {"set": "extra.done", "value": 1}, **more)[1]
    )


def test_steps_and_transformations_run_in_order():
    """Each sees what the one before has left; which ones there are goes by the names that the event came with."""
    compiled = Transformations(
        [
            Transformation.model_validate({"event": "a/b", "steps": [{"set": "ea", "value": "c"}, {"set": "extra.n", "value": "1"}]}),
            Transformation.model_validate({"event": "a/b", "steps": [{"number": "extra.n"}]}),
            Transformation.model_validate({"event": "a/c", "steps": [{"set": "extra.n", "value": "lost"}]}),
        ]
    )  # fmt: skip
    fields = event("a", "b")
    assert compiled.apply(PORTAL_ID, PROP_ID, fields)
    assert ("c", 1) == (fields["ea"], fields["extra"]["n"])


def test_an_address_that_gets_its_right_name_is_protected():
    """A page's `mail` is hashed as an `email`, and gives the customer."""
    step = {"rename": "extra.mail", "to": "dims.customers.email"}
    _, decision = decide(post(event("user", "sign_in", extra={"mail": "Jane@Example.com "})), transformations=[{"steps": [step]}])  # fmt: skip
    assert decision.verdicts[0].cid
    assert "ane@" not in orjson.dumps(forwarded(decision)).decode().lower()


def test_an_event_may_get_another_name():
    """The log and the answer speak of the new one."""
    steps = [{"set": "ec", "value": "product"}, {"map": "ea", "table": {"addToCart": "add_to_cart"}}]
    _, decision = decide(post(event("shop", "addToCart")), transformations=[{"event": "shop/*", "steps": steps}])  # fmt: skip
    assert ("product", "add_to_cart") == (decision.verdicts[0].category, decision.verdicts[0].action)


PATHS = st.sampled_from(["ec", "ea", "en", "extra", "extra.a", "extra.a.b", "items", "items[].a", "items[].b", "dims", "dims.a", "context.a", "cid", "x", "x.y"])  # fmt: skip
STEPS = st.one_of(
    *(st.builds(lambda name, path, to: {name: path, "to": to}, st.just(name), PATHS, PATHS) for name in ("rename", "duplicate")),
    *(st.builds(lambda name, path: {name: path}, st.just(name), PATHS) for name in ("remove", "lower", "trim", "number", "text")),
    st.builds(lambda path, value: {"set": path, "value": value}, PATHS, st.sampled_from([1, "x", True])),
    st.builds(lambda path, value: {"map": path, "table": {"a": "b"}, "default": value}, PATHS, st.sampled_from([1, "", True])),
)  # fmt: skip
VALUES = st.sampled_from([1, "a", "", True, {"a": "1", "b": {"a": 2}}, [{"a": "x"}, {"b": "7"}], [1]])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(STEPS, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(["extra", "items", "dims", "x", "en", "cid"]), VALUES),
)
def test_whatever_the_steps_an_event_stays_one_and_its_uid_stays(steps, more):
    """What the wire format took before, it takes afterwards."""
    try:
        transformation = Transformation.model_validate({"steps": steps})
    except ValidationError:
        return
    fields = copy.deepcopy(event("a", "b", **more))
    if field_problem(fields) is not None:
        return
    Transformations([transformation]).apply(PORTAL_ID, PROP_ID, fields)
    assert None is field_problem(fields)
    assert "1234567890123" == fields["uid"]
    orjson.dumps(fields)


@pytest.mark.parametrize(
    "step",
    [
        {"set": "items.color", "value": 1},
        {"rename": "extra.a", "to": "items.color"},
        {"set": "cid.x", "value": "1"},
        {"set": "sid.x", "value": "1"},
        {"rename": "extra.a", "to": "en.x"},
        {"set": "extra[].x", "value": 1},
    ],
)
def test_nothing_is_written_below_what_is_a_text_or_a_list(step):
    """With `items.color` each event without items got an object for its list, could not be kept, and came again for ever."""
    with pytest.raises(ValidationError):
        Transformation.model_validate({"steps": [step]})


def test_a_session_is_a_text():
    """What is moved there becomes one, or stays where it is."""
    step = {"rename": "extra.session", "to": "sid"}
    assert "5" == changed(event(extra={"session": 5}), step)[0]["sid"]
    assert "sid" not in changed(event(extra={"session": {"a": 1}}), step)[0]
