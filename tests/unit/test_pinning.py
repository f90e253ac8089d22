"""Which version of a vendor's script is served: what settings and people have decided, whatever the vendor does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.assets.pinning import (
    Ambiguous,
    By,
    Index,
    Policy,
    Seen,
    State,
    confirmed,
    decided,
    found_by,
    seen,
    settled,
    to_keep,
)

PATH, URL = "/insight.js", "https://st-a.cdp.asia/insight.js"
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SERVE, HOLD = Policy("serve"), Policy("hold")


def after(*hashes, policy=HOLD, index=None, at=1):
    """Give the index after the vendor gave these contents, one after the other."""
    index = index or Index()
    for number, sha256 in enumerate(hashes):
        index = seen(index, PATH, URL, Seen(sha256, 10, etag=f'"{sha256[0]}"'), policy, at + number)
    return index


def served(index):
    version = index.assets[PATH].served
    return version.sha256 if version else None


def state(index, sha256):
    return index.assets[PATH].version(sha256).state


@pytest.mark.parametrize("policy", [SERVE, HOLD])
def test_the_first_version_is_trusted(policy):
    """There is nothing to compare it with, and a gateway that serves nothing helps nobody."""
    index = after(A, policy=policy)
    assert (A, By.FIRST) == (served(index), index.assets[PATH].version(A).by)


def test_a_change_is_served_or_held_as_the_settings_say():
    """`on_change`."""
    assert B == served(after(A, B, policy=SERVE))
    held = after(A, B)
    assert (A, State.HELD, True) == (served(held), state(held, B), held.assets[PATH].is_held)


def test_an_approved_change_is_served():
    """Until then the old one is."""
    index = decided(after(A, B), B, State.APPROVED, 9)
    assert (B, False) == (served(index), index.assets[PATH].is_held)


def test_a_vendor_that_goes_back_needs_no_approval():
    """What was approved once is."""
    assert A == served(after(A, index=decided(after(A, B), B, State.APPROVED, 9), at=10))


def test_a_rejected_version_is_never_served_again():
    """A person takes a bad script back at night, and the vendor still gives it, also where changes are served at once."""
    index = decided(after(A, B, policy=SERVE), B, State.REJECTED, 9)
    assert A == served(index)
    assert A == served(settled(after(B, A, B, policy=SERVE, index=index, at=10), SERVE, 20))


def test_a_version_that_the_vendor_gives_no_more_can_be_approved():
    """It is served as long as what the vendor gives is held."""
    assert B == served(decided(after(A, B, C), B, State.APPROVED, 9))


def test_only_pinned_versions_are_served_where_there_are_pins():
    """Not even the first one is trusted then, unless a person approves it."""
    pinned = Policy("serve", {PATH: (B,)})
    index = after(A, policy=pinned)
    assert (None, State.HELD) == (served(index), state(index, A))
    assert B == served(after(B, policy=pinned, index=index))
    assert A == served(decided(index, A, State.APPROVED, 9))
    assert B == served(after(A, policy=pinned, index=after(B, policy=pinned)))


def test_settings_that_change_hold_for_what_settings_have_decided():
    """A version that `hold` held is served under `serve`; a pin that comes later takes an unpinned one away; a person's word stays."""
    index = after(A, B)
    assert B == served(settled(index, SERVE, 9))
    assert B == served(settled(settled(index, SERVE, 9), HOLD, 10))
    assert B == served(settled(index, Policy("hold", {PATH: (B,)}), 9))
    assert None is served(settled(index, Policy("hold", {PATH: (C,)}), 9))
    assert A == served(settled(decided(index, B, State.REJECTED, 8), SERVE, 9))
    assert A == served(settled(settled(after(A), Policy("hold", {PATH: (C,)}), 9), HOLD, 10))


def test_a_confirmation_changes_nothing_but_its_time():
    """And it needs no new version."""
    index = after(A)
    now = confirmed(index, PATH, 77)
    assert 77 == now.assets[PATH].confirmed_ms
    assert index.assets[PATH].versions == now.assets[PATH].versions


def test_a_hash_can_be_cut_short_as_long_as_it_is_one():
    """What fits none or several is refused, with how many."""
    index = after(A, "ab" * 32)
    assert A == found_by(index, "AA")
    for prefix, count in (("a", 2), ("f", 0), ("", 0)):
        with pytest.raises(Ambiguous) as error:
            found_by(index, prefix)
        assert count == len(error.value.found)


def test_what_is_in_use_is_kept():
    """The newest, what is served and what would be in its place, and what the vendor gives, however old."""
    index = after(A, B, C)
    assert {A, C} == to_keep(index, 1)
    assert {A, B, C} == to_keep(index, 3)
    assert {A, B, C} == to_keep(after(C, policy=HOLD, index=after(A, B, policy=SERVE)), 1)


def test_very_many_versions_are_bounded_and_a_persons_word_is_not_forgotten():
    """A vendor that gives another content each time fills no disk."""
    index = decided(after(A, B), B, State.REJECTED, 9)
    index = after(*(f"{number:064x}" for number in range(700)), index=index, at=100)
    assert len(index.assets[PATH].versions) <= 500
    assert (A, State.REJECTED) == (served(index), state(index, B))


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("seen", "approve", "reject", "settle")), st.sampled_from((A, B, C)), st.sampled_from((SERVE, HOLD))
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ACTIONS)
def test_whatever_happens_nothing_unapproved_is_served(actions):
    """And a person's word stands until the next one; the index says the same after it was written and read."""
    index, said = Index(), {}
    for number, (action, sha256, policy) in enumerate(actions):
        if action == "seen":
            index = seen(index, PATH, URL, Seen(sha256, 1), policy, number)
        elif action == "settle":
            index = settled(index, policy, number)
        elif PATH in index.assets and index.assets[PATH].version(sha256):
            said[sha256] = State.APPROVED if action == "approve" else State.REJECTED
            index = decided(index, sha256, said[sha256], number)
        if PATH in index.assets:
            tracked = index.assets[PATH]
            assert all(tracked.version(each).state is state for each, state in said.items())
            assert all(each.state is State.APPROVED for each in tracked.servable)
            if tracked.version(tracked.current).state is State.APPROVED:
                assert tracked.current == served(index)
    assert index == msgspec.json.decode(msgspec.json.encode(index), type=Index)
