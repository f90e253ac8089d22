"""Every ledger keeps the promises of its contract: one suite over the one in memory and the ones on disk."""

from __future__ import annotations

import asyncio

import pytest

from gateway.events.model import Binding, Claim
from gateway.ledger.contract import BoundUid, LedgerUnavailable
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.sqlite import open_sqlite_ledger

PORTAL = "33167"
MD5 = "5d41402abc4b2a76b9719d911017c592"
OTHER_MD5 = "7d793037a0760186574b0282f2f435e7"


@pytest.fixture(params=["memory", "sqlite", "sqlite without cache", "sqlite, only writer"])
async def ledger(request, tmp_path):
    if request.param == "memory":
        opened = MemoryLedger()
    else:
        entries = 0 if request.param.endswith("without cache") else 100
        opened = open_sqlite_ledger(
            tmp_path / "ledger.db",
            cache_entries=entries,
            is_only_writer=request.param.endswith("only writer"),
        )
    yield opened
    await opened.close()


async def test_an_unknown_uid_is_unbound(ledger):
    """A UID of which nothing is known has no CID, in a portal that is known as in one that is not."""
    await ledger.bind([Claim(PORTAL, "1", MD5)], 1)

    assert ledger.lookup(PORTAL, "2") is None
    assert ledger.lookup("no portal", "1") is None
    assert ledger.find("2") == []
    assert ledger.uids_of(OTHER_MD5) == []


async def test_the_first_cid_is_bound_and_said_to_be_new(ledger):
    """The first claim of a UID binds it; the answer says that the binding is new."""
    assert await ledger.bind([Claim(PORTAL, "1", MD5)], 1) == [Binding(MD5, is_new=True)]
    assert ledger.lookup(PORTAL, "1") == MD5


async def test_a_second_cid_is_answered_with_the_first(ledger):
    """Whoever claims a bound UID gets the CID that it has, whether it is the claimed one or another."""
    await ledger.bind([Claim(PORTAL, "1", MD5)], 1)

    assert await ledger.bind([Claim(PORTAL, "1", OTHER_MD5), Claim(PORTAL, "1", MD5)], 2) == [
        Binding(MD5),
        Binding(MD5),
    ]
    assert ledger.lookup(PORTAL, "1") == MD5


async def test_the_first_of_a_batch_wins(ledger):
    """Of several claims of one UID in a batch the first wins, and it alone is new."""
    claims = [Claim(PORTAL, "1", MD5), Claim(PORTAL, "1", OTHER_MD5), Claim(PORTAL, "1", MD5)]

    assert await ledger.bind(claims, 1) == [Binding(MD5, is_new=True), Binding(MD5), Binding(MD5)]


async def test_a_claim_without_a_cid_is_a_lookup_in_its_place(ledger):
    """A claim of nobody binds nothing and sees what the claims before it in the batch have bound."""
    claims = [Claim(PORTAL, "1"), Claim(PORTAL, "1", MD5), Claim(PORTAL, "1"), Claim(PORTAL, "2")]

    assert await ledger.bind(claims, 1) == [
        Binding(None),
        Binding(MD5, is_new=True),
        Binding(MD5),
        Binding(None),
    ]
    assert await ledger.bind([Claim(PORTAL, "2"), Claim(PORTAL, "1")], 2) == [Binding(None), Binding(MD5)]
    assert ledger.lookup(PORTAL, "2") is None


async def test_an_empty_batch_has_no_answers(ledger):
    """Binding nothing gives nothing."""
    assert await ledger.bind([], 1) == []


async def test_portals_are_strangers_to_each_other(ledger):
    """The same UID may have another CID in another portal, also when both are bound in one batch."""
    claims = [Claim("1", "900", MD5), Claim("2", "900", OTHER_MD5), Claim("3", "900")]

    answers = await ledger.bind(claims, 1)

    assert answers == [Binding(MD5, is_new=True), Binding(OTHER_MD5, is_new=True), Binding(None)]
    assert [ledger.lookup(portal, "900") for portal in ("1", "2", "3")] == [MD5, OTHER_MD5, None]


@pytest.mark.parametrize(
    "text",
    ["", "0", "007", "7", "18446744073709551616", MD5, MD5.upper(), "ä\x00'\"", "\ud800", "a" * 5_000],
    ids=["empty", "zero", "leading zeros", "digit", "2^64", "md5", "MD5", "odd", "surrogate", "long"],
)
async def test_any_text_is_an_id(ledger, text):
    """UIDs and CIDs come back exactly, whatever their text."""
    await ledger.bind([Claim(PORTAL, "other", "other"), Claim(PORTAL, text, text)], 7)

    assert ledger.lookup(PORTAL, text) == text
    assert ledger.find(text) == [BoundUid(PORTAL, text, text, 7)]
    assert ledger.uids_of(text) == [BoundUid(PORTAL, text, text, 7)]
    assert await ledger.bind([Claim(PORTAL, text, "another")], 8) == [Binding(text)]


async def test_ids_that_look_alike_are_different(ledger):
    """Leading zeros and capitals are part of an id."""
    await ledger.bind([Claim(PORTAL, "7", "lower"), Claim(PORTAL, MD5, "lower")], 1)

    assert ledger.lookup(PORTAL, "07") is None
    assert ledger.lookup(PORTAL, MD5.upper()) is None


async def test_a_cid_lists_its_uids_oldest_first(ledger):
    """Every UID of a CID is listed in the order of binding, in one portal or in all."""
    await ledger.bind([Claim("1", "30", MD5)], 30)
    await ledger.bind([Claim("2", "10", MD5)], 10)
    await ledger.bind([Claim("1", "20", MD5), Claim("1", "21", OTHER_MD5)], 20)

    assert [row.uid for row in ledger.uids_of(MD5)] == ["10", "20", "30"]
    assert ledger.uids_of(MD5, "1") == [BoundUid("1", "20", MD5, 20), BoundUid("1", "30", MD5, 30)]
    assert ledger.uids_of(MD5, "no portal") == []


async def test_a_uid_is_found_in_all_portals_or_in_one(ledger):
    """`find` gives one row for each portal in which the UID is bound."""
    await ledger.bind([Claim("1", "900", MD5), Claim("2", "900", OTHER_MD5)], 5)

    assert sorted(row.portal_id for row in ledger.find("900")) == ["1", "2"]
    assert ledger.find("900", "2") == [BoundUid("2", "900", OTHER_MD5, 5)]


async def test_racing_tasks_agree_on_one_cid(ledger):
    """Of many tasks that claim one UID for different CIDs exactly one binds it, and all are told the same CID."""
    answers = await asyncio.gather(*(ledger.bind([Claim(PORTAL, "1", f"c{n}")], n) for n in range(200)))

    bindings = [answer[0] for answer in answers]
    assert len({binding.cid for binding in bindings}) == 1
    assert sum(binding.is_new for binding in bindings) == 1
    assert ledger.lookup(PORTAL, "1") == bindings[0].cid


async def test_many_tasks_each_get_their_own_answers(ledger):
    """Claims of many callers are bound together, and each caller gets the answers to its own, in order."""

    async def caller(number: int) -> bool:
        claims = [Claim(PORTAL, f"{number}-{each}", f"c{number}-{each}") for each in range(number % 5)]
        return await ledger.bind(claims, 1) == [Binding(claim.cid, is_new=True) for claim in claims]

    assert await asyncio.gather(*(caller(number) for number in range(300))) == [True] * 300
    assert ledger.stats().rows == sum(number % 5 for number in range(300))


async def test_a_caller_that_gives_up_takes_nobody_along(ledger):
    """A cancelled `bind` leaves the claims of the others in the same batch in place."""
    given_up = asyncio.ensure_future(ledger.bind([Claim(PORTAL, "1", MD5)], 1))
    waiting = asyncio.ensure_future(ledger.bind([Claim(PORTAL, "2", MD5)], 1))
    await asyncio.sleep(0)
    given_up.cancel()

    assert await waiting == [Binding(MD5, is_new=True)]
    assert ledger.lookup(PORTAL, "2") == MD5


async def test_a_closed_ledger_says_so(ledger):
    """After `close`, which may come twice, every call that needs the store says that it was closed."""
    await ledger.close()
    await ledger.close()

    with pytest.raises(LedgerUnavailable, match="closed") as caught:
        await ledger.bind([Claim(PORTAL, "1", MD5)], 1)
    assert "again" in caught.value.hint
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.lookup(PORTAL, "1")
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.find("1")
