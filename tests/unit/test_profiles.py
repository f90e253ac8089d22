"""The rules of identity, as the stand-in collector judges them (protocol notes, "The rules this product exists for")."""

from __future__ import annotations

import pytest

from gateway.sandbox.profiles import ProfileBook, Violation, event_fields

LAN = "5f0c27dd9b3e1f0d2f5b6f6c1e1f4c11"
MINH = "0d9f0b6f5cf2f0ddc2a9b0c9bba3b5a2"


class Story:
    """Tells a book one event after the other, a second apart."""

    def __init__(self) -> None:
        self.book = ProfileBook()
        self._told = 0

    def tell(self, uid, name="pageview/view", **fields):
        self._told += 1
        ec, _, ea = name.partition("/")
        whole = {"portal_id": "33167", "uid": uid, "ec": ec, "ea": ea, **fields}
        self.book.add(f"e{self._told}", f"2026-11-23T08:00:{self._told:02d}.000Z", whole)

    def histories(self):
        """Give (customer id, uids, event ids) of each profile, the one seen last first."""
        return [
            (each["customer_id"], each["uids"], [event["event_id"] for event in each["events"]])
            for each in self.book.profiles()
        ]


def test_each_uid_is_an_anonymous_profile_of_its_own():
    """Two visitors who never said who they are stay two strangers."""
    story = Story()
    story.tell("1")
    story.tell("2")
    story.tell("1")
    assert [(None, ["1"], ["e1", "e3"]), (None, ["2"], ["e2"])] == story.histories()
    assert ["anonymous", "anonymous"] == [each["kind"] for each in story.book.profiles()]


def test_the_same_uid_in_two_portals_is_two_profiles():
    """A UID means nobody outside its portal."""
    story = Story()
    story.tell("1")
    story.tell("1", portal_id="44000")
    assert {"33167", "44000"} == {each["portal_id"] for each in story.book.profiles()}


def test_a_login_merges_all_anonymous_histories_of_a_customer():
    """Day 1 UID 1, day 3 UID 2, day 7 a login on both: one customer profile with both histories, in order of time."""
    story = Story()
    story.tell("1")
    story.tell("2")
    story.tell("2", "user/sign_in", cid=LAN)
    story.tell("1", "user/sign_in", cid=LAN)
    assert [(LAN, ["2", "1"], ["e1", "e2", "e3", "e4"])] == story.histories()
    profile = story.book.profiles()[0]
    assert "customer" == profile["kind"]
    assert ("2026-11-23T08:00:01.000Z", "2026-11-23T08:00:04.000Z") == (
        profile["first_seen"],
        profile["last_seen"],
    )


def test_later_events_without_a_cid_go_to_the_customer_of_their_uid():
    """Once a UID is bound, what it does is the customer's."""
    story = Story()
    story.tell("1", "user/sign_in", cid=LAN)
    story.tell("1", "product/view")
    assert [(LAN, ["1"], ["e1", "e2"])] == story.histories()


@pytest.mark.parametrize(
    "fields",
    [
        {"cid": LAN},
        {"cid": "", "dims": {"customers": {"customer_id": LAN}}},
        {"dims": [{"users": {}}, {"customers": {"customer_id": LAN}}]},
        {"dims": [{"type": "customers", "customer_id": LAN}]},
    ],
    ids=["cid", "dims", "dims as array", "dims as typed array"],
)
def test_a_cid_is_found_wherever_the_wire_puts_it(fields):
    """The field `cid`, `dims.customers` as an object, and both array shapes of the iOS SDK name the same customer."""
    story = Story()
    story.tell("1", "user/sign_in", **fields)
    assert [(LAN, ["1"], ["e1"])] == story.histories()


def test_a_numeric_cid_and_uid_are_their_decimal_text():
    """A client that sends ids as numbers means the same people."""
    story = Story()
    story.tell(7, cid=42)
    story.tell("7", cid="42")
    assert [("42", ["7"], ["e1", "e2"])] == story.histories()
    assert [] == story.book.violations


def test_another_cid_for_a_bound_uid_is_a_violation_and_merges_nothing():
    """The first customer keeps UID, history and traits; the second gets no profile out of it."""
    story = Story()
    story.tell("1", "user/sign_in", dims={"customers": {"customer_id": LAN, "name": "Lan"}})
    story.tell("1", "user/sign_in", dims={"customers": {"customer_id": MINH, "name": "Minh"}})
    assert [Violation("cid_changed", "33167", "1", LAN, MINH, "e2", "2026-11-23T08:00:02.000Z")] == (
        story.book.violations
    )
    assert [(LAN, ["1"], ["e1", "e2"])] == story.histories()
    assert {"name": "Lan"} == story.book.profiles()[0]["traits"]


def test_one_event_that_names_two_customers_is_a_violation():
    """The field `cid` counts, the contradiction is recorded."""
    story = Story()
    story.tell("1", "user/sign_in", cid=LAN, dims={"customers": {"customer_id": MINH}})
    assert [("cid_contradiction", LAN, MINH)] == [
        (each.kind, each.held_cid, each.claimed_cid) for each in story.book.violations
    ]
    assert [(LAN, ["1"], ["e1"])] == story.histories()


def test_a_reset_starts_a_new_anonymous_profile():
    """After a logout the announced UID is a stranger at once, before its first own event."""
    story = Story()
    story.tell("1", "user/sign_in", cid=LAN)
    story.tell("1", "user/reset_anonymous_id", extra={"reset_uid": "1", "generate_uid": "2"})
    assert {(LAN, "1"), (None, "2")} == {(cid, *uids) for cid, uids, _ in story.histories()}
    story.tell("2", "product/view")
    assert (None, ["2"], ["e3"]) == story.histories()[0]


def test_a_reset_binds_nobody_even_when_the_old_customer_is_still_attached():
    """A page that forgets to clear its customer on logout does not drag the new UID along."""
    story = Story()
    extra = {"reset_uid": "1", "generate_uid": "2"}
    story.tell("2", "user/reset_anonymous_id", cid=LAN, extra=extra, dims={"customers": {"name": "Lan"}})
    assert [(None, ["2"], ["e1"])] == story.histories()
    assert {} == story.book.profiles()[0]["traits"]


def test_traits_keep_the_latest_value_that_is_not_empty():
    """Traits come from `dims.customers`, without the id, and an empty field erases nothing."""
    story = Story()
    story.tell("1", dims={"customers": {"customer_id": "", "name": "Lan", "city": "Hà Nội"}})
    story.tell("1", dims={"customers": {"customer_id": LAN, "name": "", "city": "Huế"}})
    assert {"name": "Lan", "city": "Huế"} == story.book.profiles()[0]["traits"]


def test_an_event_without_any_identity_is_counted_not_profiled():
    """What belongs to nobody is not lost silently."""
    story = Story()
    story.tell("")
    assert (1, []) == (story.book.unattributed, story.book.profiles())


def test_a_server_event_with_a_cid_alone_belongs_to_the_customer():
    """An event without a UID but with a CID adds to the customer and to no UID."""
    story = Story()
    story.tell("", "product/purchase", cid=LAN)
    assert [(LAN, [], ["e1"])] == story.histories()


def test_the_newest_events_are_shown_when_a_history_is_long():
    """`event_count` still counts all of them."""
    story = Story()
    for _ in range(5):
        story.tell("1")
    (profile,) = story.book.profiles(max_events=2)
    assert (["e4", "e5"], 5) == ([event["event_id"] for event in profile["events"]], profile["event_count"])
    assert 5 == len(story.book.profiles(max_events=9)[0]["events"])


def test_fields_of_a_get_are_decoded_and_a_body_wins_over_the_query():
    """JSON text in a query is decoded; what can't be read stays text and breaks nothing."""
    query = {"uid": "1", "ec": "a", "dims": '{"customers": {"customer_id": "7"}}', "items": "[oops"}
    expected = {
        "uid": "1",
        "ec": "b",
        "dims": {"customers": {"customer_id": "7"}},
        "items": "[oops",
    }
    assert expected == event_fields(query, {"ec": "b"})
