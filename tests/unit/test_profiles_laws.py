"""What holds for the profiles after any sequence of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.profiles import ProfileBook

EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "portal_id": st.sampled_from(["p", "q"]),
            "uid": st.sampled_from(["", "1", "2", "3"]),
            "cid": st.sampled_from(["", "A", "B"]),
            "ec": st.just("user"),
            "ea": st.sampled_from(["sign_in", "view", "reset_anonymous_id"]),
            "dims": st.sampled_from([{}, [], None, {"customers": {"customer_id": "A"}}, {"customers": 3}]),
            "extra": st.sampled_from([{}, {"generate_uid": "2"}, "text"]),
        }
    ),
    max_size=30,
)


@given(EVENTS)
def test_every_event_and_every_uid_stands_in_exactly_one_profile(events):
    """No event is lost, none stands in two histories, no UID has two owners, no customer two profiles."""
    book = ProfileBook()
    for index, fields in enumerate(events):
        book.add(f"e{index:02d}", f"2026-11-23T08:00:{index:02d}.000Z", fields)
    profiles = book.profiles()
    ids = [event["event_id"] for profile in profiles for event in profile["events"]]
    assert len(events) == len(ids) + book.unattributed
    assert len(set(ids)) == len(ids)
    owned = [(profile["portal_id"], uid) for profile in profiles for uid in profile["uids"]]
    assert len(set(owned)) == len(owned)
    customers = [(p["portal_id"], p["customer_id"]) for p in profiles if p["customer_id"]]
    assert len(set(customers)) == len(customers)
    assert {
        "customer_count": len(customers),
        "anonymous_count": len(profiles) - len(customers),
    } == book.counts()


@given(EVENTS)
def test_the_first_cid_of_a_uid_stays(events):
    """Whatever comes later, a UID that has a customer keeps it."""
    book = ProfileBook()
    first: dict[tuple[str, str], str] = {}
    for index, fields in enumerate(events):
        book.add(f"e{index}", f"2026-11-23T08:00:{index:02d}.000Z", fields)
        for profile in book.profiles():
            for uid in profile["uids"]:
                if profile["customer_id"]:
                    owner = first.setdefault((profile["portal_id"], uid), profile["customer_id"])
                    assert owner == profile["customer_id"]
