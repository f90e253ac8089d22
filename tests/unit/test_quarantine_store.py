"""Every quarantine keeps the promises of its contract: one suite over the one in memory and the one on disk."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.events.model import QuarantineEntry, Record
from gateway.events.outcome import Reason
from gateway.quarantine.contract import QuarantineUnavailable, Which
from gateway.quarantine.dead_letters import QuarantineDeadLetters
from gateway.quarantine.memory import MemoryQuarantine
from gateway.quarantine.sqlite import open_quarantine


def entry(
    number: int, *, reason="cid_conflict", portal_id="33167", uid="900", held_ms=None, claimed="c1"
) -> QuarantineEntry:
    event_id = f"0190-{number:04d}"
    record = Record(
        event_id,
        portal_id,
        "565",
        uid,
        1_000 + number,
        "portal_id=33167",
        b'{"uid":"900"}\x00\xff',
        "203.0.113.9",
    )
    return QuarantineEntry(
        event_id=event_id,
        portal_id=portal_id,
        prop_id="565",
        uid=uid,
        reason=reason,
        detail="The UID belongs to another customer.",
        held_ms=1_000 + number if held_ms is None else held_ms,
        claimed_cid=claimed,
        bound_cid="c0",
        record=record,
    )


def ids(entries) -> list[str]:
    return [each.event_id for each in entries]


@pytest.fixture(params=["memory", "sqlite"])
async def quarantine(request, tmp_path):
    store = MemoryQuarantine() if request.param == "memory" else open_quarantine(tmp_path / "quarantine.db")
    yield store
    await store.close()


async def test_an_entry_comes_back_as_it_was_put(quarantine):
    """An entry comes back field for field, its record byte for byte."""
    held = entry(1)

    await quarantine.put([held])

    assert [held] == quarantine.list(limit=10)


async def test_an_entry_without_cids_comes_back_without_cids(quarantine):
    """A dead letter has no claimed and no bound CID, and gets none by being kept."""
    record = Record("0190-1", "", "", "", 0, "", b"")
    held = QuarantineEntry(
        event_id="0190-1",
        portal_id="",
        prop_id="",
        uid="",
        reason="too_old",
        detail="",
        held_ms=0,
        record=record,
    )

    await quarantine.put([held])

    assert [held] == quarantine.list(limit=10)


async def test_putting_an_event_again_changes_nothing(quarantine):
    """An event id that is kept stays as it was put first, also when it comes twice in one call."""
    await quarantine.put([entry(1), entry(1, reason="too_old")])
    await quarantine.put([entry(1, reason="refused_by_collector"), entry(2)])

    assert ["cid_conflict", "cid_conflict"] == [each.reason for each in quarantine.list(limit=10)]
    assert {"cid_conflict": 2} == quarantine.count()


async def test_the_newest_come_first_and_no_more_than_asked_for(quarantine):
    """Entries are listed by the time they were held, newest first, up to the limit."""
    await quarantine.put([entry(1, held_ms=20), entry(2, held_ms=30), entry(3, held_ms=10)])

    assert ["0190-0002", "0190-0001"] == ids(quarantine.list(limit=2))


async def test_pages_follow_each_other_without_gap_or_repetition(quarantine):
    """`after` continues behind the last entry of a page, also among entries that were held in the same millisecond."""
    await quarantine.put([entry(number, held_ms=1_000 + number // 4) for number in range(25)])
    expected = ids(quarantine.list(limit=100))

    pages, after = [], None
    while page := ids(quarantine.list(limit=4, after=after)):
        pages += page
        after = page[-1]

    assert 25 == len(expected)
    assert expected == pages


async def test_a_page_after_an_unknown_event_is_empty(quarantine):
    """Behind an event that is not kept there is nothing: a caller that pages comes to an end."""
    await quarantine.put([entry(1)])

    assert [] == quarantine.list(limit=10, after="0190-9999")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"reason": "too_old"}, ["0190-0003", "0190-0002"]),
        ({"portal_id": "2"}, ["0190-0004", "0190-0003"]),
        ({"uid": "901"}, ["0190-0004", "0190-0002"]),
        ({"reason": "too_old", "portal_id": "2"}, ["0190-0003"]),
        ({"reason": "too_old", "after": "0190-0003"}, ["0190-0002"]),
        ({"reason": "bad_json"}, []),
        ({"uid": "' OR 1=1 --"}, []),
        ({"prop_id": "565", "since_ms": 1_002, "until_ms": 1_004}, ["0190-0003", "0190-0002"]),
        ({"prop_id": "566"}, []),
        ({"since_ms": 1_004}, ["0190-0004"]),
        ({"until_ms": 1_001}, []),
        ({"event_ids": ("0190-0001", "0190-0004", "0190-9999")}, ["0190-0004", "0190-0001"]),
        ({"event_ids": ("0190-0001", "0190-0004"), "uid": "901"}, ["0190-0004"]),
    ],
)
async def test_filters_narrow_the_list_together(quarantine, filters, expected):
    """Each filter that is given must agree; a filter is a value, never a piece of a query."""
    after = filters.get("after")
    await quarantine.put(
        [
            entry(1, portal_id="1"),
            entry(2, portal_id="1", reason="too_old", uid="901"),
            entry(3, portal_id="2", reason="too_old"),
            entry(4, portal_id="2", uid="901"),
        ]
    )

    which = Which(**{name: value for name, value in filters.items() if name != "after"})
    assert expected == ids(quarantine.list(limit=10, which=which, after=after))
    if after is None:
        assert expected[::-1] == ids(quarantine.page(limit=10, which=which))
        assert len(expected) == sum(quarantine.count(which).values())


async def test_entries_are_counted_by_reason(quarantine):
    """`count` names each reason that has entries, and no other."""
    assert {} == quarantine.count()

    await quarantine.put([entry(1), entry(2, reason="too_old"), entry(3)])

    assert {"cid_conflict": 2, "too_old": 1} == quarantine.count()


async def test_many_callers_at_once_all_have_their_entries_kept(quarantine):
    """Each of many tasks finds its own entries kept when its `put` returns."""

    async def caller(number: int) -> bool:
        mine = [entry(number * 10 + each, uid=f"u{number}") for each in range(number % 7 + 1)]
        await quarantine.put(mine)
        return sorted(ids(mine)) == sorted(ids(quarantine.list(limit=100, which=Which(uid=f"u{number}"))))

    found = await asyncio.gather(*(caller(number) for number in range(300)))

    assert [True] * 300 == found


async def test_putting_nothing_is_allowed(quarantine):
    """An empty `put` returns and keeps nothing."""
    await quarantine.put([])

    assert [] == quarantine.list(limit=10)


@pytest.mark.parametrize(
    ("portal_id", "uids", "cids", "left"),
    [
        ("1", [("1", "900")], [], [3, 4, 5, 6]),
        (None, [("1", "900"), ("2", "901"), ("9", "900")], [], [3, 5, 6]),
        (None, [], ["c1"], [2, 6]),
        ("1", [], ["c1"], [2, 4, 5, 6]),
        ("1", [("2", "902")], ["c0"], [4]),
        (None, [], [], [1, 2, 3, 4, 5, 6]),
    ],
)
async def test_erasing_takes_the_events_of_a_uid_and_those_about_a_customer(
    quarantine, portal_id, uids, cids, left
):
    """A UID is meant in its portal alone, a customer in one portal or all, claimed or bound; the rest stays."""
    await quarantine.put(
        [
            entry(1, portal_id="1"),
            entry(2, portal_id="1", claimed=None),
            entry(3, portal_id="1", uid="901"),
            msgspec.structs.replace(entry(4, portal_id="2", uid="901"), bound_cid=None),
            entry(5, portal_id="2", uid="902"),
            msgspec.structs.replace(entry(6, portal_id="1", uid="903", claimed="c9"), bound_cid="c0"),
        ]
    )

    gone = await quarantine.erase(portal_id, uids, cids)

    assert [f"0190-{number:04d}" for number in left] == sorted(ids(quarantine.list(limit=10)))
    assert 6 - len(left) == gone
    assert 0 == await quarantine.erase(portal_id, uids, cids)


MD5, SHA, KEYED = "6eb8bd6765f22d2ab1ebf3bdb1d5e5a4", "f" * 64, "k1:" + "e" * 64


def named(number: int, body: str, *, portal_id="33167", query="portal_id=33167") -> QuarantineEntry:
    """Give an entry of somebody else's UID, held for no CID, that says this in its record."""
    held = entry(number, uid=f"other-{number}", portal_id=portal_id, claimed=None)
    record = msgspec.structs.replace(held.record, body=body.encode(), query=query, uid=held.uid)
    return msgspec.structs.replace(held, bound_cid=None, record=record)


@pytest.mark.parametrize(
    ("cid", "texts", "left"),
    [
        (MD5, (), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (KEYED, (), [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]),
        ("c-none", (SHA, "lan@example.com"), [1, 2, 4, 7, 8, 9, 10, 11, 12]),
        ("1001", (), [1, 2, 3, 4, 5, 6, 9, 12]),
    ],
)
async def test_an_event_that_names_the_person_goes_whoever_sent_it(quarantine, cid, texts, left):
    """A hash or an address counts wherever it stands, in either case; a customer number only where a customer is named."""
    await quarantine.put(
        [
            named(1, '{"cid":"~","dims":{"customers":{"customer_id":"7"}}}'.replace("~", MD5)),
            named(2, '{"extra":{"was":"~"}}'.replace("~", MD5.upper())),
            named(3, '{"dims":{"customers":{"email":"~"}}}'.replace("~", SHA)),
            named(4, "no JSON", query="portal_id=33167&cid=k1%3A" + "e" * 64),
            named(5, '{"page":"/hello?mail=Lan@Example.com"}'),
            named(6, '{"dims":"{\\"customers\\":{\\"email\\":\\"~\\"}}"}'.replace("~", SHA)),
            named(7, '{"dims":[{"type":"customers","id":"1001"}]}'),
            named(8, '{"dims":{"customers":{"customer_id":1001}}}'),
            named(9, '{"items":[{"type":"product","id":"1001","price":1001}],"uid":"1001"}'),
            named(10, '{"extra":{"customer_id":" 1001 "}}'),
            named(11, '{"dims":{"customers":[{"id":"1001"}]}}'),
            named(12, '{"cid":"10010","dims":{"customers":{"id":"21001"}}}'),
        ]
    )

    gone = await quarantine.erase(None, [], [cid], texts)

    assert [f"0190-{number:04d}" for number in left] == sorted(ids(quarantine.list(limit=20)))
    assert 12 - len(left) == gone
    assert 0 == await quarantine.erase(None, [], [cid], texts)


async def test_naming_counts_in_the_portal_that_is_meant(quarantine):
    """The customer 1001 of one shop is not the customer 1001 of another."""
    body = '{"cid":"1001"}'
    await quarantine.put([named(1, body, portal_id="1"), named(2, body, portal_id="2")])

    assert 1 == await quarantine.erase("2", [], ["1001"])
    assert ["0190-0001"] == ids(quarantine.list(limit=10))


async def test_a_person_is_found_among_many_events(quarantine):
    """More than one page of records."""
    await quarantine.put([named(number, f'{{"cid":"{number % 50}"}}') for number in range(1_050)])

    assert 21 == await quarantine.erase(None, [], ["7"])
    assert {"cid_conflict": 1_029} == quarantine.count()


async def test_many_events_are_erased_at_once(quarantine):
    """More than one statement takes."""
    await quarantine.put([entry(number) for number in range(1_050)])

    assert 1_050 == await quarantine.erase(None, [("33167", "900")])
    assert {} == quarantine.count()


async def test_a_closed_quarantine_says_so(quarantine):
    """After `close`, which may come twice, every call says that the store was closed."""
    await quarantine.close()
    await quarantine.close()

    with pytest.raises(QuarantineUnavailable, match="closed"):
        await quarantine.put([entry(1)])
    with pytest.raises(QuarantineUnavailable, match="closed"):
        quarantine.list(limit=1)
    with pytest.raises(QuarantineUnavailable, match="closed"):
        quarantine.count()


async def test_a_dead_letter_keeps_no_cookies(quarantine):
    """They went along for an answer that nobody waits for any more; the rest is as it was."""
    record = Record("e1", "1", "2", "u", 0, "request_id=e1", b"{}", cookie="seg=1")
    await QuarantineDeadLetters(quarantine, lambda: 0.0).put(record, Reason.TOO_OLD, "too old")
    [kept] = quarantine.list(limit=10)
    assert kept.record == msgspec.structs.replace(record, cookie="")
