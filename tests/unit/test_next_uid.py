"""Which UID the cookies hold after an answer: a visitor keeps the own one until a reset."""

from __future__ import annotations

import pytest

from gateway.events.cookies import STRANGER, Reset, Visitor, next_uid, reset_of
from gateway.events.twin import Twin, TwinState

UID, OTHER, THIRD, FRESH = "1234567890123", "222222222", "333333333", "999999999"
HAS_UID = Visitor(UID, UID)
RESTORED = Visitor(UID, "", Twin(TwinState.VALID, UID, 1_790_000_000, is_first_key=True), is_restored=True)


def after(visitor, uid, **changes):
    """Give the UID after an event of a page that named its own UID."""
    facts = {"may_set": True, "is_own": True, "response_type": "json", **changes}
    return next_uid(visitor, uid, **facts)


def usable(uid):
    return uid if uid.isdigit() else ""


def reset(**extra):
    fields = {"ec": "user", "ea": "reset_anonymous_id", "extra": extra}
    return reset_of(fields, usable, lambda: FRESH)


def test_a_stranger_gets_the_uid_of_the_event():
    """The page named it, or it is fresh."""
    assert after(STRANGER, UID) == UID
    assert after(STRANGER, FRESH, is_own=False) == FRESH


@pytest.mark.parametrize("visitor", [HAS_UID, RESTORED])
def test_a_visitor_keeps_the_own_uid(visitor):
    """It is what the cookies shall hold, so that they can be renewed."""
    assert after(visitor, UID) == UID


@pytest.mark.parametrize("visitor", [HAS_UID, RESTORED])
def test_a_late_event_of_another_uid_changes_nothing(visitor):
    """What the page kept from before a logout must not undo the logout."""
    assert after(visitor, OTHER) is None


@pytest.mark.parametrize("kind", ["redirect", "pixel"])
@pytest.mark.parametrize("visitor", [STRANGER, HAS_UID])
@pytest.mark.parametrize("uid", [UID, OTHER])
def test_a_link_or_image_that_names_a_uid_makes_it_nobodys(kind, visitor, uid):
    """A message that was passed on would otherwise make two people one."""
    assert after(visitor, uid, response_type=kind) is None
    assert after(visitor, OTHER, response_type=kind, replaced=UID) is None


@pytest.mark.parametrize("kind", ["redirect", "pixel"])
def test_a_link_or_image_without_a_uid_is_the_visitors(kind):
    """A campaign link is a first visit like any other."""
    assert after(STRANGER, FRESH, is_own=False, response_type=kind) == FRESH
    assert after(HAS_UID, UID, is_own=False, response_type=kind) == UID


@pytest.mark.parametrize("visitor", [STRANGER, HAS_UID, RESTORED])
def test_servers_and_pages_of_other_sites_change_nothing(visitor):
    """Neither by an event, nor by a reset, nor by a conflict."""
    assert after(visitor, UID, may_set=False) is None
    assert after(visitor, OTHER, may_set=False, reset=Reset(UID, OTHER)) is None
    assert after(visitor, OTHER, may_set=False, replaced=UID) is None


def test_a_uid_that_the_gateway_replaced_is_replaced_in_the_cookies():
    """Another person signed in on this device: from here on it is theirs."""
    assert after(STRANGER, OTHER, replaced=UID) == OTHER
    assert after(HAS_UID, OTHER, replaced=UID) == OTHER
    assert after(RESTORED, OTHER, replaced=UID) == OTHER


def test_a_replaced_uid_that_the_visitor_no_longer_has_changes_nothing():
    """The conflict is in a late event of an earlier visitor."""
    assert after(HAS_UID, OTHER, replaced=THIRD) is None


@pytest.mark.parametrize("has", ["", UID, OTHER, THIRD])
def test_a_reset_turns_to_the_new_uid_whichever_of_its_own_the_visitor_has(has):
    """The old one, the new one, or the one the event came under."""
    assert after(Visitor(has, has), THIRD, reset=Reset(UID, OTHER)) == OTHER


def test_a_late_reset_does_not_undo_a_later_one():
    """The browser has moved on."""
    assert after(Visitor(FRESH, FRESH), OTHER, reset=Reset(UID, OTHER)) is None


@pytest.mark.parametrize("kind", ["redirect", "pixel"])
def test_a_reset_by_image_is_for_the_visitor_it_names_alone(kind):
    """A script may log out by an image; a message with one in it gives its readers no UID."""
    assert after(HAS_UID, OTHER, response_type=kind, reset=Reset(UID, OTHER)) == OTHER
    assert after(STRANGER, OTHER, response_type=kind, reset=Reset(UID, OTHER)) is None


def test_a_reset_names_the_old_and_the_new_uid():
    """As the page generated it."""
    assert Reset(UID, OTHER) == reset(reset_uid=UID, generate_uid=OTHER)


@pytest.mark.parametrize("generated", [None, "", "a b", 5, ["1"]])
def test_a_reset_without_a_usable_new_uid_gets_a_fresh_one(generated):
    """The logout still happens."""
    assert Reset(UID, FRESH) == reset(reset_uid=UID, generate_uid=generated)


@pytest.mark.parametrize("extra", [None, [], "x", {}])
def test_a_reset_that_says_nothing_is_a_reset(extra):
    """Fields are what clients make of them."""
    fields = {"ec": "user", "ea": "reset_anonymous_id", "extra": extra}
    assert Reset("", FRESH) == reset_of(fields, usable, lambda: FRESH)


@pytest.mark.parametrize(
    "fields", [{}, {"ec": "user", "ea": "sign_in"}, {"ec": "product", "ea": "reset_anonymous_id"}]
)
def test_other_events_are_no_reset(fields):
    """Only `user` / `reset_anonymous_id` is."""
    assert reset_of(fields, usable, lambda: FRESH) is None


def test_a_logout_ends_the_uid_that_only_the_signed_cookie_remembers():
    """A browser that forgot its UID and signs out at once can't name the old one; it starts as a stranger all the same."""
    assert after(RESTORED, OTHER, reset=Reset(OTHER, FRESH)) == FRESH
