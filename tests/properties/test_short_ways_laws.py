"""Laws of the short ways that nearly all events take: they lead where the long ones do."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.events.cards import is_written_card
from gateway.events.hashing import digest
from gateway.events.plan_checks import ABSENT, compile_check, plain_classes
from gateway.events.wire import _PLAIN_ID, _may_be_phone, request_id_of
from gateway.settings_plan import FieldRule

IDS = st.one_of(
    st.text(string.ascii_letters + string.digits + "_.~-", max_size=140),
    st.text(string.digits, max_size=40),
    st.text(string.digits + "af", max_size=40),
    st.text(max_size=40),
)
TYPES = (None, "text", "number", "integer", "numeric", "boolean", "id", "object", "list", "time")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(sorted(ABSENT)),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)
RULES = st.builds(
    lambda type_, more: FieldRule.model_validate({**({"type": type_} if type_ else {}), **more}),
    st.sampled_from(TYPES),
    st.sampled_from(
        ({}, {"required": True}, {"min": 2}, {"max_length": 3}, {"one_of": ("a", "b")}, {"pattern": "[a-c]+"})
    ),
)


@given(IDS)
@example("4111a1111b1111c1111")
@example("0912345678")
@example("٠١٢")
def test_a_request_id_is_taken_as_it_is_or_hashed_by_what_it_may_be(own):
    """What may be a phone number, a card or anything else is hashed, whatever it is made of."""
    is_plain = _PLAIN_ID.match(own) and not _may_be_phone(own) and not is_written_card(own)
    assert ((own if is_plain else digest(own, "md5")) if own else "event") == request_id_of(own, "event", 0)


@given(RULES, VALUES)
def test_a_value_that_is_passed_without_a_call_breaks_no_rule(rule, value):
    """What is passed by its class alone would have been passed by the rule."""
    check = compile_check(rule)
    if value.__class__ in plain_classes(rule):
        assert check is None or check(value) == ""
