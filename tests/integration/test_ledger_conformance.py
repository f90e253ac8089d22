"""Every ledger keeps each sentence of its contract: one suite over the one in memory and the ones on disk."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from gateway.events.model import UNBOUND, Alias, AuditNote, Binding, Claim
from gateway.ledger.chain import FIRST_CHAIN, KIND_CODES, digest, link
from gateway.ledger.contract import AddressKey, BoundUid, Erasure, LedgerUnavailable
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

PORTAL = "33167"
UUID = "0190a0b1-0000-7000-8000-00000000000a"
MD5 = "5d41402abc4b2a76b9719d911017c592"
OTHER_MD5 = "7d793037a0760186574b0282f2f435e7"
EMAIL, PHONE, OLD_EMAIL = "e" * 64, "f" * 64, "d" * 64
ERASED = Binding(is_erased=True)


class Bench:
    """Opens ledgers over one store; `second` gives another one over the same store, as another process has it."""

    def __init__(self, kind: str, folder) -> None:
        self.kind = kind
        self.folder = folder
        self.opened: list = []
        self.ledger = self.second()

    def second(self):
        if self.kind == "memory":
            ledger = self.opened[0] if self.opened else MemoryLedger()
        else:
            entries = 0 if self.kind.endswith("without cache") else 100
            ledger = open_sqlite_ledger(
                self.folder / "ledger.db",
                cache_entries=entries,
                is_only_writer=self.kind.endswith("only writer"),
            )
        self.opened.append(ledger)
        return ledger


@pytest.fixture(params=["memory", "sqlite", "sqlite without cache", "sqlite, only writer"])
async def bench(request, tmp_path):
    made = Bench(request.param, tmp_path)
    yield made
    for ledger in made.opened:
        await ledger.close()


@pytest.fixture
async def ledger(bench):
    return bench.ledger


def claim(uid: str, cid: str | None = None, **fields) -> Claim:
    return Claim(portal_id=fields.pop("portal_id", PORTAL), uid=uid, cid=cid, **fields)


def note(kind: str, uid: str = "1", **fields) -> AuditNote:
    return AuditNote(kind=kind, portal_id=PORTAL, uid=uid, **fields)


def told(ledger) -> list[tuple]:
    """What the audit log says, without times and hashes."""
    return [
        (entry.kind, entry.portal_id, entry.uid, entry.cid, entry.other, entry.note, entry.is_erased)
        for entry in ledger.audit()
    ]


def sizes(ledger) -> tuple:
    stats = ledger.stats()
    return stats.rows, stats.erased, stats.aliases, stats.audit_entries, stats.portals


# First wins


async def test_an_unknown_uid_is_unbound(ledger):
    """A UID of which nothing is known has no CID, in a portal that is known as in one that is not."""
    await ledger.bind([claim("1", MD5)], 1)

    assert ledger.lookup(PORTAL, "2") == UNBOUND
    assert ledger.lookup("no portal", "1") == UNBOUND
    assert ledger.find("2") == []
    assert ledger.uids_of(OTHER_MD5) == []


async def test_the_first_cid_is_bound_and_said_to_be_new(ledger):
    """The first claim of a UID binds it; the answer says that the binding is new."""
    assert await ledger.bind([claim("1", MD5)], 1) == [Binding(MD5, is_new=True)]
    assert ledger.lookup(PORTAL, "1") == Binding(MD5)


async def test_a_second_cid_is_answered_with_the_first(ledger):
    """Whoever claims a bound UID gets the CID that it has, whether it is the claimed one or another."""
    await ledger.bind([claim("1", MD5)], 1)

    assert await ledger.bind([claim("1", OTHER_MD5), claim("1", MD5)], 2) == [Binding(MD5), Binding(MD5)]
    assert ledger.lookup(PORTAL, "1") == Binding(MD5)


async def test_the_first_of_a_batch_wins(ledger):
    """Of several claims of one UID in a batch the first wins, and it alone is new."""
    claims = [claim("1", MD5), claim("1", OTHER_MD5), claim("1", MD5)]

    assert await ledger.bind(claims, 1) == [Binding(MD5, is_new=True), Binding(MD5), Binding(MD5)]


async def test_a_claim_without_a_cid_is_a_lookup_in_its_place(ledger):
    """A claim of nobody binds nothing and sees what the claims before it in the batch have bound."""
    claims = [claim("1"), claim("1", MD5), claim("1"), claim("2")]

    assert await ledger.bind(claims, 1) == [UNBOUND, Binding(MD5, is_new=True), Binding(MD5), UNBOUND]
    assert await ledger.bind([claim("2"), claim("1")], 2) == [UNBOUND, Binding(MD5)]
    assert ledger.lookup(PORTAL, "2") == UNBOUND


async def test_an_empty_batch_has_no_answers(ledger):
    """Binding, noting or importing nothing gives nothing and writes nothing."""
    assert await ledger.bind([], 1) == []
    assert await ledger.record([], 1) is None
    assert await ledger.import_rows([], 1) == []
    assert sizes(ledger) == (0, 0, 0, 0, {})


async def test_portals_are_strangers_to_each_other(ledger):
    """The same UID may have another CID in another portal, also when both are bound in one batch."""
    claims = [
        claim("900", MD5, portal_id="1"),
        claim("900", OTHER_MD5, portal_id="2"),
        claim("900", portal_id="3"),
    ]

    answers = await ledger.bind(claims, 1)

    assert answers == [Binding(MD5, is_new=True), Binding(OTHER_MD5, is_new=True), UNBOUND]
    assert [ledger.lookup(portal, "900").cid for portal in ("1", "2", "3")] == [MD5, OTHER_MD5, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "007",
        "7",
        "18446744073709551616",
        MD5,
        MD5.upper(),
        "ä\x00'\"",
        "\ud800",
        "a" * 5_000,
        UUID,
        UUID.upper(),
    ],
    ids=["empty", "zero", "zeros", "digit", "2^64", "md5", "MD5", "odd", "surrogate", "long", "uuid", "UUID"],
)
async def test_any_text_is_an_id(ledger, text):
    """UIDs, CIDs, address keys and event ids come back exactly, whatever their text."""
    await ledger.bind([claim("other", "other"), claim(text, text, keys=(text,), event_id=text)], 7)
    await ledger.record([note("conflict", text, cid=text, other=text, note=text)], 7)

    assert ledger.lookup(PORTAL, text) == Binding(text)
    assert ledger.find(text) == [BoundUid(PORTAL, text, text, 7)]
    assert ledger.uids_of(text) == [BoundUid(PORTAL, text, text, 7)]
    assert await ledger.bind([claim(text, "another", keys=(text,))], 8) == [
        Binding(text, aliases=(Alias(text, text),))
    ]
    assert told(ledger)[1:] == [
        ("bind", PORTAL, text, text, "", "", False),
        ("conflict", PORTAL, text, text, text, text, False),
    ]
    assert list(ledger.audit())[1].event_id == text
    assert verify(ledger).problems == []


async def test_ids_that_look_alike_are_different(ledger):
    """Leading zeros and capitals are part of an id."""
    await ledger.bind([claim("7", "lower"), claim(MD5, "lower")], 1)

    assert ledger.lookup(PORTAL, "07") == UNBOUND
    assert ledger.lookup(PORTAL, MD5.upper()) == UNBOUND


async def test_racing_tasks_agree_on_one_cid(ledger):
    """Of many tasks that claim one UID for different CIDs exactly one binds it, and all are told the same CID."""
    answers = await asyncio.gather(*(ledger.bind([claim("1", f"cid-{each}")], 1) for each in range(50)))

    assert {answer.cid for (answer,) in answers} == {ledger.lookup(PORTAL, "1").cid}
    assert [answer.is_new for (answer,) in answers].count(True) == 1
    assert sizes(ledger) == (1, 0, 0, 1, {PORTAL: 1})


async def test_many_callers_each_get_their_own_answers(ledger):
    """Three hundred callers with batches of different sizes each get the answers to their own, in order."""

    async def caller(number: int) -> bool:
        claims = [claim(f"{number}-{each}", f"c{number}-{each}") for each in range(number % 5)]
        return await ledger.bind(claims, 1) == [Binding(each.cid, is_new=True) for each in claims]

    assert await asyncio.gather(*(caller(number) for number in range(300))) == [True] * 300
    assert ledger.stats().rows == sum(number % 5 for number in range(300))


async def test_a_batch_of_thousands_is_one(ledger):
    """A batch that is longer than any statement is bound as a whole, and the log has each of its bindings."""
    claims = [claim(str(number), f"c{number}", keys=(f"k{number}",)) for number in range(2_500)]

    answers = await ledger.bind(claims, 1)

    assert all(answer == Binding(f"c{number}", is_new=True) for number, answer in enumerate(answers))
    assert sizes(ledger) == (2_500, 0, 2_500, 2_500, {PORTAL: 2_500})
    assert verify(ledger).problems == []


async def test_a_caller_that_gives_up_takes_nobody_along(ledger):
    """A cancelled `bind` leaves the claims of the others in the same batch in place."""
    given_up = asyncio.ensure_future(ledger.bind([claim("1", MD5)], 1))
    waiting = asyncio.ensure_future(ledger.bind([claim("2", MD5)], 1))
    await asyncio.sleep(0)
    given_up.cancel()

    assert await waiting == [Binding(MD5, is_new=True)]
    assert ledger.lookup(PORTAL, "2") == Binding(MD5)


# Address keys


async def test_an_address_with_a_second_customer_is_an_alias(ledger):
    """An address that first came with another CID is told in the answer; the UID is bound to what was claimed."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL, PHONE))], 1)

    (answer,) = await ledger.bind([claim("2", OTHER_MD5, keys=(PHONE, EMAIL))], 2)

    assert answer == Binding(OTHER_MD5, is_new=True, aliases=(Alias(PHONE, MD5), Alias(EMAIL, MD5)))
    assert ledger.lookup(PORTAL, "2") == Binding(OTHER_MD5)


async def test_an_alias_is_seen_within_a_batch(ledger):
    """Claims of one batch see the addresses of those before them."""
    answers = await ledger.bind(
        [
            claim("1", MD5, keys=(EMAIL,)),
            claim("2", OTHER_MD5, keys=(EMAIL,)),
            claim("3", MD5, keys=(EMAIL,)),
        ],
        1,
    )

    assert answers == [
        Binding(MD5, is_new=True),
        Binding(OTHER_MD5, is_new=True, aliases=(Alias(EMAIL, MD5),)),
        Binding(MD5, is_new=True),
    ]


async def test_an_address_keeps_its_first_customer(ledger):
    """That an address came with a second CID changes nothing for the third."""
    for number, cid in enumerate((MD5, OTHER_MD5, "third")):
        (answer,) = await ledger.bind([claim(str(number), cid, keys=(EMAIL,))], 1)

    assert answer.aliases == (Alias(EMAIL, MD5),)
    assert ledger.stats().aliases == 1


async def test_an_alias_can_hold_a_binding_back(ledger):
    """With `holds_alias` nothing is bound, remembered or logged, and the answer says what stood in the way."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)

    answers = await ledger.bind([claim("2", OTHER_MD5, keys=(EMAIL, PHONE), holds_alias=True), claim("2")], 2)

    assert answers == [Binding(aliases=(Alias(EMAIL, MD5),)), UNBOUND]
    assert sizes(ledger) == (1, 0, 1, 1, {PORTAL: 1})
    assert await ledger.bind([claim("2", "third", keys=(PHONE,), holds_alias=True)], 3) == [
        Binding("third", is_new=True)
    ]


async def test_a_bound_uid_is_told_its_aliases_too(ledger):
    """A claim of a bound UID with its own CID names the aliases among its addresses, also with `holds_alias`."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,)), claim("2", OTHER_MD5)], 1)
    again = claim("2", OTHER_MD5, keys=(EMAIL,), holds_alias=True)

    assert await ledger.bind([again], 2) == [Binding(OTHER_MD5, aliases=(Alias(EMAIL, MD5),))]
    assert ledger.known(again) == Binding(OTHER_MD5, aliases=(Alias(EMAIL, MD5),))


async def test_a_known_customer_stays(ledger):
    """Where the address is known with one of `same`, that CID is bound instead of the claimed one, and is no alias."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)

    answers = await ledger.bind([claim("2", OTHER_MD5, same=("x", MD5), keys=(PHONE, EMAIL))], 2)

    assert answers == [Binding(MD5, is_new=True)]
    assert [row.uid for row in ledger.uids_of(MD5)] == ["1", "2"]
    # The other address came with the customer as well: it is remembered with the CID that the UID has.
    assert (await ledger.bind([claim("3", "y", keys=(PHONE,))], 3))[0].aliases == (Alias(PHONE, MD5),)


async def test_the_first_address_that_is_known_decides(ledger):
    """Of two addresses that are known with two CIDs of the same customer, the first of the claim decides."""
    await ledger.bind([claim("1", "a", keys=(EMAIL,)), claim("2", "b", keys=(PHONE,))], 1)

    answers = await ledger.bind(
        [
            claim("3", "c", same=("a", "b"), keys=(PHONE, EMAIL)),
            claim("4", "a", same=("b",), keys=(EMAIL, PHONE)),
        ],
        2,
    )

    assert answers == [Binding("b", is_new=True), Binding("a", is_new=True)]


async def test_same_alone_proves_nothing(ledger):
    """Without a known address the claimed CID is bound, whatever else may name the customer."""
    assert await ledger.bind([claim("1", MD5, same=(OTHER_MD5,), keys=(EMAIL,))], 1) == [
        Binding(MD5, is_new=True)
    ]


async def test_an_older_key_is_looked_for_but_never_written(ledger):
    """An address under an older key finds the customer or the alias; only the newest key is remembered."""
    await ledger.bind([claim("1", MD5, keys=(OLD_EMAIL,))], 1)

    found = await ledger.bind([claim("2", OTHER_MD5, same=(MD5,), keys=(EMAIL,), older_keys=(OLD_EMAIL,))], 2)
    alias = await ledger.bind([claim("3", "x", keys=(PHONE,), older_keys=(OLD_EMAIL, "nobody's"))], 3)

    assert found == [Binding(MD5, is_new=True)]
    assert alias == [Binding("x", is_new=True, aliases=(Alias(OLD_EMAIL, MD5),))]
    assert ledger.stats().aliases == 3
    assert (await ledger.bind([claim("4", "y", keys=("nobody's",))], 4)) == [Binding("y", is_new=True)]
    assert (await ledger.bind([claim("5", "z", keys=(EMAIL,))], 5))[0].aliases == (Alias(EMAIL, MD5),)


async def test_the_addresses_of_a_conflict_are_not_remembered(ledger):
    """Where the UID has another customer's CID, the claimed addresses are nobody's; a later owner is no alias."""
    await ledger.bind([claim("1", MD5)], 1)

    assert await ledger.bind([claim("1", OTHER_MD5, keys=(EMAIL,))], 2) == [Binding(MD5)]
    assert ledger.stats().aliases == 0
    assert await ledger.bind([claim("2", OTHER_MD5, keys=(EMAIL,))], 3) == [Binding(OTHER_MD5, is_new=True)]


async def test_a_bound_uid_brings_new_addresses(ledger):
    """An address that comes with the CID that the UID has already, or with one of `same`, is remembered with it."""
    await ledger.bind([claim("1", MD5), claim("2", MD5)], 1)

    await ledger.bind([claim("1", MD5, keys=(EMAIL,)), claim("2", OTHER_MD5, same=(MD5,), keys=(PHONE,))], 2)

    answers = await ledger.bind([claim("3", "x", keys=(EMAIL,)), claim("4", "y", keys=(PHONE,))], 3)
    assert [answer.aliases for answer in answers] == [(Alias(EMAIL, MD5),), (Alias(PHONE, MD5),)]


async def test_addresses_of_portals_are_strangers(ledger):
    """The same address may come with another CID in another portal."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,), portal_id="1")], 1)

    assert await ledger.bind([claim("1", OTHER_MD5, keys=(EMAIL,), portal_id="2")], 2) == [
        Binding(OTHER_MD5, is_new=True)
    ]


async def test_a_claim_of_nobody_says_nothing_of_addresses(ledger):
    """A claim without a CID is a look-up, also when addresses came with it: they are nobody's."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)

    assert await ledger.bind([claim("2", keys=(EMAIL, PHONE))], 2) == [UNBOUND]
    assert ledger.stats().aliases == 1


# What is known without waiting


async def test_what_needs_writing_is_not_known(ledger):
    """`known` gives `None` where `bind` would bind or remember something, and else what `bind` gives."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)

    assert ledger.known(claim("2", MD5)) is None
    assert ledger.known(claim("1", MD5, keys=(EMAIL, PHONE))) is None
    assert ledger.known(claim("1", OTHER_MD5, same=(MD5,), keys=(PHONE,))) is None
    for asked in (
        claim("1"),
        claim("2"),
        claim("1", MD5),
        claim("1", MD5, keys=(EMAIL,), older_keys=(OLD_EMAIL,)),
        claim("1", OTHER_MD5, keys=(EMAIL, PHONE)),
    ):
        known = ledger.known(asked)
        assert known is not None
        assert [known] == await ledger.bind([asked], 2)
    assert sizes(ledger) == (1, 0, 1, 1, {PORTAL: 1})


async def test_what_an_alias_holds_back_is_known(ledger):
    """Where an alias keeps an unbound UID from being bound, there is nothing to write: `known` answers as `bind` does."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)
    held_back = claim("2", OTHER_MD5, keys=(EMAIL,), holds_alias=True)

    assert ledger.known(held_back) == Binding(aliases=(Alias(EMAIL, MD5),))
    assert [ledger.known(held_back)] == await ledger.bind([held_back], 2)
    assert ledger.known(claim("2", OTHER_MD5, keys=(PHONE,), holds_alias=True)) is None


async def test_a_conflict_is_told_though_an_alias_would_hold_it_back(bench):
    """A bound UID is answered with its CID by a ledger that has not seen it yet, also where nothing is to be written."""
    await bench.ledger.bind([claim("1", MD5), claim("2", "b", keys=(EMAIL,))], 1)
    fresh = bench.second()
    await fresh.bind([claim("3", "c")], 2)

    answers = await fresh.bind([claim("1", OTHER_MD5, keys=(EMAIL,), holds_alias=True)], 3)

    assert answers == [Binding(MD5, aliases=(Alias(EMAIL, "b"),))]


async def test_an_erased_uid_is_known(ledger):
    """For an erased UID nothing is left to write: `known` answers."""
    await ledger.erase(PORTAL, uid="1", reason="asked", now_ms=1)

    assert ledger.known(claim("1", MD5, keys=(EMAIL,))) == ERASED
    assert ledger.known(claim("1")) == ERASED


# Who is whose


async def test_a_cid_lists_its_uids_oldest_first(ledger):
    """Every UID of a CID is listed in the order of binding, in one portal or in all."""
    await ledger.bind([claim("30", MD5, portal_id="1")], 30)
    await ledger.bind([claim("10", MD5, portal_id="2")], 10)
    await ledger.bind([claim("20", MD5, portal_id="1"), claim("21", OTHER_MD5, portal_id="1")], 20)

    assert [row.uid for row in ledger.uids_of(MD5)] == ["10", "20", "30"]
    assert ledger.uids_of(MD5, "1") == [BoundUid("1", "20", MD5, 20), BoundUid("1", "30", MD5, 30)]
    assert ledger.uids_of(MD5, "no portal") == []


async def test_a_cid_lists_its_uids_among_tens_of_thousands(ledger):
    """The UIDs of a CID are found whenever they were bound: long ago, lately, and by an import."""
    for start in range(0, 24_000, 2_000):
        claims = [claim(str(number), f"c{number % 8_000}") for number in range(start, start + 2_000)]
        await ledger.bind(claims, start)
    await ledger.import_rows([BoundUid(PORTAL, "imported", "c5", 99_999)], 99_999)

    assert [row.uid for row in ledger.uids_of("c5")] == ["5", "8005", "16005", "imported"]
    assert [row.uid for row in ledger.uids_of("c7999", PORTAL)] == ["7999", "15999", "23999"]
    await ledger.erase(PORTAL, uid="8005", reason="asked", now_ms=1)
    assert [row.uid for row in ledger.uids_of("c5")] == ["5", "16005", "imported"]


async def test_address_keys_are_found_by_their_customer_and_by_themselves(ledger):
    """With the CID that each first came with, in one portal or all; of the second customer of an address nothing is known."""
    first, second = "e" * 64, "f" * 64
    await ledger.bind(
        [
            claim("1", "c1", keys=(first, second)),
            claim("2", "c2", keys=(first,)),
            claim("3", "c3", keys=(first,), portal_id="2"),
        ],
        1,
    )

    assert [AddressKey(PORTAL, first, "c1"), AddressKey(PORTAL, second, "c1")] == ledger.known_keys(cid="c1")
    assert {(PORTAL, "c1"), ("2", "c3")} == {
        (each.portal_id, each.cid) for each in ledger.known_keys(key=first)
    }
    assert [AddressKey("2", first, "c3")] == ledger.known_keys(key=first, portal_id="2")
    assert [] == ledger.known_keys(cid="c2")
    assert [] == ledger.known_keys(cid="c1", portal_id="2")
    for wrong in ({}, {"cid": "c1", "key": first}):
        with pytest.raises(ValueError, match="one of both"):
            ledger.known_keys(**wrong)

    await ledger.erase(None, cid="c1", reason="asked", now_ms=2)

    assert [("2", "c3")] == [(each.portal_id, each.cid) for each in ledger.known_keys(key=first)]


async def test_a_uid_is_found_in_all_portals_or_in_one(ledger):
    """`find` gives one row for each portal in which the UID is bound."""
    await ledger.bind([claim("900", MD5, portal_id="1"), claim("900", OTHER_MD5, portal_id="2")], 5)

    assert sorted(row.portal_id for row in ledger.find("900")) == ["1", "2"]
    assert ledger.find("900", "2") == [BoundUid("2", "900", OTHER_MD5, 5)]


# Erasing


async def test_erasing_a_customer_takes_all_its_uids(ledger):
    """Each UID of the CID becomes a tombstone with time and reason; its address keys go; others stay."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL, PHONE)), claim("2", MD5), claim("3", OTHER_MD5)], 1)

    erasure = await ledger.erase(None, cid=MD5, reason="asked by letter", now_ms=9)

    assert erasure == Erasure([(PORTAL, "1"), (PORTAL, "2")], 2)
    assert [ledger.lookup(PORTAL, uid) for uid in "123"] == [ERASED, ERASED, Binding(OTHER_MD5)]
    assert ledger.find("1") == [BoundUid(PORTAL, "1", "", 9, 9, "asked by letter")]
    assert ledger.uids_of(MD5) == []
    assert sizes(ledger) == (1, 2, 0, 5, {PORTAL: 1})


async def test_an_erased_uid_is_never_bound_again(ledger):
    """Neither its own CID nor another, by `bind` or by import, takes a UID with a tombstone; its addresses stay unknown."""
    await ledger.bind([claim("1", MD5)], 1)
    await ledger.erase(None, cid=MD5, reason="asked", now_ms=2)

    assert await ledger.bind([claim("1", MD5, keys=(EMAIL,)), claim("1", "x"), claim("1")], 3) == [ERASED] * 3
    assert await ledger.import_rows([BoundUid(PORTAL, "1", MD5, 1)], 3) == [ERASED]
    assert ledger.lookup(PORTAL, "1") == ERASED
    assert sizes(ledger) == (0, 1, 0, 2, {})


async def test_a_customer_may_come_back_with_another_uid(ledger):
    """Erasing forgets who was here; a CID that comes anew with another UID is bound like any."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 1)
    await ledger.erase(None, cid=MD5, reason="asked", now_ms=2)

    assert await ledger.bind([claim("2", MD5), claim("3", OTHER_MD5, keys=(EMAIL,))], 3) == [
        Binding(MD5, is_new=True),
        Binding(OTHER_MD5, is_new=True),
    ]
    assert [row.uid for row in ledger.uids_of(MD5)] == ["2"]


async def test_erasing_holds_in_the_portal_that_is_named(ledger):
    """With a portal, the same customer in another one stays, with its addresses."""
    for portal_id in ("1", "2"):
        await ledger.bind([claim("900", MD5, keys=(EMAIL,), portal_id=portal_id)], 1)

    assert await ledger.erase("1", cid=MD5, reason="asked", now_ms=2) == Erasure([("1", "900")], 1)
    assert (ledger.lookup("1", "900"), ledger.lookup("2", "900")) == (ERASED, Binding(MD5))
    assert await ledger.erase(None, cid=MD5, reason="asked", now_ms=3) == Erasure([("2", "900")], 1)


async def test_one_uid_can_be_erased(ledger):
    """A UID alone is erased wherever it is bound, or in one portal; its customer keeps the others and the addresses."""
    for portal_id in ("1", "2"):
        await ledger.bind(
            [claim("900", MD5, portal_id=portal_id), claim("901", MD5, keys=(EMAIL,), portal_id=portal_id)], 1
        )

    assert await ledger.erase("1", uid="900", reason="asked", now_ms=2) == Erasure([("1", "900")], 0)
    assert await ledger.erase(None, uid="900", reason="asked", now_ms=3) == Erasure([("2", "900")], 0)
    assert [row.uid for row in ledger.uids_of(MD5)] == ["901", "901"]
    assert ledger.stats().aliases == 2


async def test_a_uid_that_was_never_bound_can_be_erased_in_its_portal(ledger):
    """It gets a tombstone too, in a portal that is new as in a known one; without a portal there is nothing to erase."""
    assert await ledger.erase(None, uid="1", reason="asked", now_ms=1) == Erasure([], 0)
    assert await ledger.erase("new", uid="1", reason="asked", now_ms=2) == Erasure([("new", "1")], 0)

    assert await ledger.bind([claim("1", MD5, portal_id="new")], 3) == [ERASED]
    assert ledger.find("1") == [BoundUid("new", "1", "", 2, 2, "asked")]


async def test_erasing_again_changes_nothing(ledger):
    """A second erasure finds nobody and leaves the first one's time and reason."""
    await ledger.bind([claim("1", MD5)], 1)
    await ledger.erase(None, cid=MD5, reason="first", now_ms=2)

    assert await ledger.erase(None, cid=MD5, reason="second", now_ms=3) == Erasure([], 0)
    assert await ledger.erase(PORTAL, uid="1", reason="third", now_ms=4) == Erasure([], 0)
    assert ledger.find("1") == [BoundUid(PORTAL, "1", "", 2, 2, "first")]
    assert [each[0] for each in told(ledger)] == ["bind", "erase"]


@pytest.mark.parametrize("whom", [{}, {"cid": MD5, "uid": "1"}], ids=["nobody", "both"])
async def test_an_erasure_names_one(ledger, whom):
    """Naming nobody, or a customer and a UID at once, is the caller's mistake."""
    with pytest.raises(ValueError, match="one of both"):
        await ledger.erase(None, reason="asked", now_ms=1, **whom)


async def test_an_erasure_empties_what_was_said_of_the_person(ledger):
    """All entries of their UIDs, and those of others that name their CID, lose the text; the chain holds; others stay whole."""
    await ledger.bind([claim("1", MD5), claim("2", OTHER_MD5), claim("3", "third")], 1)
    notes = [
        note("repair", "1", cid=MD5, other="raw"),
        note("conflict", "2", cid=OTHER_MD5, other=MD5, note="new_uid"),
        note("conflict", "3", cid="third", other=OTHER_MD5),
    ]
    await ledger.record(notes, 2)
    before = list(ledger.audit())

    await ledger.erase(None, cid=MD5, reason="asked", now_ms=3)

    assert told(ledger) == [
        ("bind", PORTAL, "1", "", "", "", True),
        ("bind", PORTAL, "2", OTHER_MD5, "", "", False),
        ("bind", PORTAL, "3", "third", "", "", False),
        ("repair", PORTAL, "1", "", "", "", True),
        ("conflict", PORTAL, "2", "", "", "", True),
        ("conflict", PORTAL, "3", "third", OTHER_MD5, "", False),
        ("erase", PORTAL, "1", "", "", "asked", False),
        ("erase", PORTAL, "2", "", "entries", "asked", False),
    ]
    after = list(ledger.audit())
    assert [(e.digest, e.chain) for e in before] == [(e.digest, e.chain) for e in after[: len(before)]]
    assert [entry.salt == "" for entry in after[:2]] == [True, False]
    assert verify(ledger).problems == []


async def test_what_is_said_of_an_erased_uid_later_can_be_emptied_too(ledger):
    """A second erasure of the UID empties the entries that came since, and says so."""
    await ledger.erase(PORTAL, uid="1", reason="asked", now_ms=1)
    await ledger.record([note("conflict", "1", other=MD5)], 2)

    assert await ledger.erase(PORTAL, uid="1", reason="again", now_ms=3) == Erasure([], 0)

    assert told(ledger)[1:] == [
        ("conflict", PORTAL, "1", "", "", "", True),
        ("erase", PORTAL, "1", "", "entries", "again", False),
    ]
    assert verify(ledger).problems == []


async def test_a_customer_of_thousands_is_erased_whole(ledger):
    """A CID with more UIDs than fit into one transaction is forgotten all the same."""
    for start in range(0, 12_000, 2_000):
        await ledger.bind([claim(str(number), MD5) for number in range(start, start + 2_000)], 1)

    erasure = await ledger.erase(None, cid=MD5, reason="asked", now_ms=2)

    assert len(set(erasure.uids)) == len(erasure.uids) == 12_000
    assert sizes(ledger) == (0, 12_000, 0, 24_000, {})
    assert ledger.uids_of(MD5) == []
    assert verify(ledger).problems == []


# Importing


async def test_an_import_brings_its_own_times(ledger):
    """Rows of another ledger are bound since when they were bound there; the answer says that they were taken."""
    rows = [BoundUid("1", "1", MD5, 10), BoundUid("2", "1", OTHER_MD5, 20)]

    assert await ledger.import_rows(rows, 99) == [Binding(MD5, is_new=True), Binding(OTHER_MD5, is_new=True)]
    assert ledger.find("1") == rows
    assert ledger.lookup("1", "1") == Binding(MD5)
    assert [(entry.kind, entry.at_ms) for entry in ledger.audit()] == [("import", 99), ("import", 99)]
    assert sizes(ledger) == (2, 0, 0, 2, {"1": 1, "2": 1})


async def test_an_import_never_overwrites(ledger):
    """A UID that is bound keeps its CID and its time; the answer says what holds, also within one batch."""
    await ledger.bind([claim("1", MD5)], 5)

    rows = [
        BoundUid(PORTAL, "1", OTHER_MD5, 1),
        BoundUid(PORTAL, "1", MD5, 1),
        BoundUid(PORTAL, "2", "a", 1),
        BoundUid(PORTAL, "2", "b", 1),
    ]
    assert await ledger.import_rows(rows, 9) == [
        Binding(MD5),
        Binding(MD5),
        Binding("a", is_new=True),
        Binding("a"),
    ]
    assert ledger.find("1") == [BoundUid(PORTAL, "1", MD5, 5)]
    assert ledger.stats().audit_entries == 2


async def test_tombstones_are_imported(ledger):
    """A tombstone takes away a binding as an erasure does, keeps its time and reason, and is taken once."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 5)
    stones = [BoundUid(PORTAL, "1", "", 7, 7, "there"), BoundUid(PORTAL, "2", "", 8, 8, "there too")]

    first, second = await ledger.import_rows(stones, 9), await ledger.import_rows(stones, 10)

    taken = [Binding(MD5, is_new=True, is_erased=True), Binding(is_new=True, is_erased=True)]
    assert (first, second) == (taken, [ERASED, ERASED])
    assert ledger.find("1") + ledger.find("2") == stones
    assert await ledger.bind([claim("1", MD5), claim("2", MD5)], 11) == [ERASED, ERASED]
    assert told(ledger) == [
        ("bind", PORTAL, "1", "", "", "", True),
        ("import", PORTAL, "1", "", "erased", "there", False),
        ("import", PORTAL, "2", "", "erased", "there too", False),
    ]
    assert verify(ledger).problems == []


async def test_a_binding_and_its_tombstone_in_one_import(ledger):
    """Of a binding and a tombstone of one UID in one batch the tombstone holds, whichever comes first."""
    rows = [
        BoundUid(PORTAL, "1", MD5, 1),
        BoundUid(PORTAL, "1", "", 7, 7, "x"),
        BoundUid(PORTAL, "2", "", 7, 7, "x"),
        BoundUid(PORTAL, "2", MD5, 1),
    ]

    answers = await ledger.import_rows(rows, 9)

    buried, laid = Binding(MD5, is_new=True, is_erased=True), Binding(is_new=True, is_erased=True)
    assert answers == [Binding(MD5, is_new=True), buried, laid, ERASED]
    assert sizes(ledger) == (0, 2, 0, 3, {})
    assert verify(ledger).problems == []


async def test_the_last_tombstone_of_a_customer_takes_all_that_is_known_of_it(ledger):
    """With the last UID of a CID in a portal go its address keys and its name in others' entries, there and not in other portals."""
    await ledger.bind(
        [
            claim("1", MD5, keys=(EMAIL,)),
            claim("2", MD5, keys=(PHONE,)),
            claim("3", OTHER_MD5, keys=("another",)),
            claim("1", MD5, keys=(EMAIL,), portal_id="2"),
        ],
        5,
    )
    await ledger.record(
        [
            note("conflict", "3", cid=OTHER_MD5, other=MD5),
            note("conflict", "4", cid=MD5, other=OTHER_MD5),
            note("conflict", "5", cid="x", other="y"),
        ],
        6,
    )

    await ledger.import_rows([BoundUid(PORTAL, "1", "", 7, 7, "first")], 8)
    between = sizes(ledger)
    await ledger.import_rows([BoundUid(PORTAL, "2", "", 7, 7, "last")], 9)

    assert between[2] == 4
    assert sizes(ledger) == (2, 2, 2, 11, {PORTAL: 1, "2": 1})
    assert told(ledger) == [
        ("bind", PORTAL, "1", "", "", "", True),
        ("bind", PORTAL, "2", "", "", "", True),
        ("bind", PORTAL, "3", OTHER_MD5, "", "", False),
        ("bind", "2", "1", MD5, "", "", False),
        ("conflict", PORTAL, "3", "", "", "", True),
        ("conflict", PORTAL, "4", "", "", "", True),
        ("conflict", PORTAL, "5", "x", "y", "", False),
        ("import", PORTAL, "1", "", "erased", "first", False),
        ("import", PORTAL, "2", "", "erased", "last", False),
        ("erase", PORTAL, "3", "", "entries", "last", False),
        ("erase", PORTAL, "4", "", "entries", "last", False),
    ]
    assert await ledger.bind([claim("6", "new", keys=(EMAIL,))], 10) == [Binding("new", is_new=True)]
    assert verify(ledger).problems == []


async def test_a_customer_who_still_has_a_uid_keeps_its_addresses(ledger):
    """Also when that UID comes in the same import as the tombstone."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 5)
    await ledger.record([note("conflict", "3", cid=OTHER_MD5, other=MD5)], 6)

    await ledger.import_rows([BoundUid(PORTAL, "1", "", 7, 7, "x"), BoundUid(PORTAL, "2", MD5, 7)], 9)

    assert sizes(ledger)[:3] == (1, 1, 1)
    assert ("conflict", PORTAL, "3", OTHER_MD5, MD5, "", False) in told(ledger)
    assert verify(ledger).problems == []


async def test_an_import_that_may_not_bury_leaves_the_living(ledger):
    """Without leave a tombstone of a bound UID is answered with what holds; one of an unbound UID is laid."""
    await ledger.bind([claim("1", MD5, keys=(EMAIL,))], 5)
    stones = [BoundUid(PORTAL, uid, "", 7, 7, "x") for uid in "123"]
    rows = [*stones[:2], BoundUid(PORTAL, "3", MD5, 6), stones[2]]

    answers = await ledger.import_rows(rows, 9, buries=False)

    laid, living = Binding(is_new=True, is_erased=True), Binding(MD5)
    assert answers == [living, laid, Binding(MD5, is_new=True), living]
    assert sizes(ledger) == (2, 1, 1, 3, {PORTAL: 2})
    assert await ledger.import_rows(stones, 10) == [
        Binding(MD5, is_new=True, is_erased=True),
        ERASED,
        Binding(MD5, is_new=True, is_erased=True),
    ]
    assert sizes(ledger) == (0, 3, 0, 5, {})
    assert verify(ledger).problems == []


async def test_many_customers_are_buried_by_one_import(ledger):
    """Each with its addresses, and nobody else's."""
    numbers = range(1_500)
    await ledger.bind([claim(str(n), f"c{n}", keys=(f"key {n}",)) for n in numbers], 5)

    await ledger.import_rows([BoundUid(PORTAL, str(n), "", 7, 7, f"r{n}") for n in numbers if n % 3], 9)

    assert sizes(ledger) == (500, 1_000, 500, 2_500, {PORTAL: 500})
    assert ledger.uids_of("c3") == [BoundUid(PORTAL, "3", "c3", 5)]
    assert verify(ledger).problems == []


# Exporting


async def test_an_export_gives_all_rows_once(ledger):
    """Bindings and tombstones of all portals or of one come in an order that stays the same."""
    claims = [claim(str(number), f"c{number}", portal_id=str(number % 2)) for number in range(2_500)]
    await ledger.bind(claims, 5)
    await ledger.erase("0", uid="8", reason="asked", now_ms=6)

    rows = list(ledger.export())

    assert len({(row.portal_id, row.uid) for row in rows}) == len(rows) == 2_500
    assert rows == list(ledger.export())
    assert [row for row in rows if row.portal_id == "1"] == list(ledger.export("1"))
    assert [row for row in rows if row.erased_ms] == [BoundUid("0", "8", "", 6, 6, "asked")]
    assert list(ledger.export("no portal")) == []


@pytest.mark.parametrize("portal_id", [None, "1"])
async def test_an_export_goes_on_where_it_was(ledger, portal_id):
    """`after` any row, the export gives exactly the rows behind it."""
    await ledger.bind(
        [claim(uid, "c", portal_id=portal) for portal in "12" for uid in ("0", "10", "2", "b", "a")], 5
    )
    rows = list(ledger.export(portal_id))

    for place, row in enumerate(rows):
        assert list(ledger.export(portal_id, after=(row.portal_id, row.uid))) == rows[place + 1 :]


async def test_an_export_can_be_imported(bench, tmp_path):
    """What one ledger exports makes another ledger the same."""
    await bench.ledger.bind([claim(str(number), f"c{number % 7}") for number in range(50)], 5)
    await bench.ledger.erase(None, cid="c3", reason="asked", now_ms=6)
    other = MemoryLedger()

    await other.import_rows(list(bench.ledger.export()), 9)

    assert sorted(bench.ledger.export(), key=str) == sorted(other.export(), key=str)


# The audit log


async def test_each_binding_is_one_entry(ledger):
    """A new binding is told with time, event and CID; what was bound already, or is nobody's, is not told again."""
    event = "0190a0b1-0000-7000-8000-000000000001"
    await ledger.bind([claim("1", MD5, event_id=event), claim("1", OTHER_MD5, event_id="x"), claim("2")], 5)
    await ledger.bind([claim("1", MD5)], 6)

    (entry,) = ledger.audit()

    assert (entry.seq, entry.at_ms, entry.kind, entry.uid, entry.cid) == (1, 5, "bind", "1", MD5)
    assert (entry.portal_id, entry.event_id, entry.other, entry.note) == (PORTAL, event, "", "")


async def test_notes_are_entries_in_their_words(ledger):
    """Conflicts, repairs, aliases and releases are written as they are told, in order."""
    notes = [
        note("conflict", cid=MD5, other=OTHER_MD5, note="quarantined", event_id="e1"),
        note("repair", cid=MD5, other="raw", event_id="e2"),
        note("alias", cid=MD5, other=OTHER_MD5, note=EMAIL, event_id="e3"),
        note("release", cid=MD5, note="released by hand", event_id="e4"),
    ]

    await ledger.record(notes, 7)

    written = [
        AuditNote(
            kind=each.kind, portal_id=each.portal_id, uid=each.uid, cid=each.cid, other=each.other, note=each.note,
            event_id=each.event_id,
        )
        for each in ledger.audit()
    ]  # fmt: skip
    assert written == notes
    assert {entry.at_ms for entry in ledger.audit()} == {7}


async def test_what_was_said_lately_is_left_out(ledger):
    """A repair or alias that says the same again is one entry; conflicts and releases are each their own."""
    for event_id in ("e1", "e2"):
        same = [
            note(kind, cid=MD5, other="x", event_id=event_id)
            for kind in ("repair", "alias", "conflict", "release")
        ]
        await ledger.record([*same, same[0]], 7)
    await ledger.record([note("repair", cid=MD5, other="y")], 8)

    assert [entry.kind for entry in ledger.audit()] == [
        "repair", "alias", "conflict", "release", "conflict", "release", "repair",
    ]  # fmt: skip


async def test_entries_are_numbered_and_chained(ledger):
    """Each entry's hash follows from its own words, its number and the hash before, as the format says."""
    await asyncio.gather(
        ledger.bind([claim(str(number), f"c{number}") for number in range(5)], 5),
        ledger.record([note("conflict", cid="ä", other="\ud800", note="n", event_id="e")], 5),
        ledger.bind([claim("x", "y")], 5),
    )

    entries = list(ledger.audit())

    assert [entry.seq for entry in entries] == list(range(1, 8))
    previous = FIRST_CHAIN
    for entry in entries:
        made = digest(bytes.fromhex(entry.salt), entry.cid, entry.other, entry.note)
        kind = KIND_CODES[entry.kind]
        previous = link(
            previous, entry.seq, kind, entry.at_ms, entry.portal_id, entry.uid, entry.event_id, made
        )
        assert (made.hex(), previous.hex()) == (entry.digest, entry.chain)
    assert ledger.stats().audit_head == entries[-1].chain
    assert len({entry.salt for entry in entries}) == 7


async def test_the_log_can_be_read_from_any_entry(ledger):
    """`audit` goes on behind any entry; behind the last there is nothing."""
    await ledger.bind([claim(str(number), "c") for number in range(2_100)], 5)

    assert [entry.seq for entry in ledger.audit(2_097)] == [2_098, 2_099, 2_100]
    assert [later.seq - entry.seq for entry, later in pairwise(ledger.audit())] == [1] * 2_099
    assert list(ledger.audit(2_100)) == []


# Several processes


async def test_two_instances_agree(bench):
    """What one instance binds, notes and remembers, the other answers with, whoever writes in between."""
    here, there = bench.ledger, bench.second()
    for number in range(20):
        one, other = (here, there) if number % 2 else (there, here)
        assert (await one.bind([claim(str(number), MD5, keys=(f"k{number}",))], 1))[0].is_new
        assert await other.bind([claim(str(number), OTHER_MD5, keys=(f"k{number}",))], 2) == [
            Binding(MD5, aliases=(Alias(f"k{number}", MD5),))
        ]
        await one.record([note("conflict", str(number))], 3)
    assert [entry.kind for entry in here.audit()] == ["bind", "conflict"] * 20
    assert list(here.audit()) == list(there.audit())
    assert verify(there).problems == []


async def test_an_erasure_elsewhere_is_noticed_on_refresh(bench):
    """Who serves hears of another process's erasure with the next `refresh`, whatever it remembered."""
    here, there = bench.ledger, bench.second()
    await here.bind([claim("1", MD5, keys=(EMAIL,))], 1)
    assert (here.known(claim("1", MD5, keys=(EMAIL,))), here.lookup(PORTAL, "2")) == (Binding(MD5), UNBOUND)

    await there.erase(None, cid=MD5, reason="asked", now_ms=2)
    await there.import_rows([BoundUid(PORTAL, "2", OTHER_MD5, 3)], 3)
    here.refresh()

    assert (here.lookup(PORTAL, "1"), here.lookup(PORTAL, "2")) == (ERASED, Binding(OTHER_MD5))
    assert here.known(claim("2", OTHER_MD5, keys=(EMAIL,))) is None
    assert await here.bind([claim("2", OTHER_MD5, keys=(EMAIL,))], 4) == [Binding(OTHER_MD5)]


async def test_binding_is_right_before_any_refresh(bench):
    """Also before `refresh`, `bind` writes nothing for an erased UID and knows nothing of erased addresses."""
    here, there = bench.ledger, bench.second()
    await here.bind([claim("1", MD5, keys=(EMAIL,)), claim("2", "b")], 1)
    here.known(claim("1", MD5, keys=(EMAIL,)))
    await there.erase(None, cid=MD5, reason="asked", now_ms=2)
    await there.erase(PORTAL, uid="9", reason="asked", now_ms=2)

    answers = await here.bind(
        [claim("3", "c", keys=(EMAIL,), holds_alias=True), claim("9", "d"), claim("1", MD5, keys=(PHONE,))], 3
    )

    assert answers == [Binding("c", is_new=True), ERASED, ERASED]
    assert here.stats().aliases == 1
    assert verify(here).problems == []


async def test_racing_instances_agree(bench):
    """Two instances that claim the same UIDs at once give the same answers; each UID is bound once."""
    here, there = bench.ledger, bench.second()

    async def claim_all(ledger, name: str) -> list[str]:
        answers = []
        for start in range(0, 60, 3):
            batch = [claim(str(number), f"{name}-{number}") for number in range(start, start + 3)]
            answers += [answer.cid for answer in await ledger.bind(batch, 1)]
        return answers

    one, other = await asyncio.gather(claim_all(here, "here"), claim_all(there, "there"))

    assert one == other
    assert sizes(there) == (60, 0, 0, 60, {PORTAL: 60})
    assert verify(here).problems == []


# The end


async def test_a_closed_ledger_says_so(bench):
    """After `close`, which may come twice, every call that needs the store says that it was closed."""
    ledger = bench.ledger
    await ledger.close()
    await ledger.close()

    with pytest.raises(LedgerUnavailable, match="closed") as caught:
        await ledger.bind([claim("1", MD5)], 1)
    assert "again" in caught.value.hint
    for call in (
        lambda: ledger.lookup(PORTAL, "1"),
        lambda: ledger.known(claim("1")),
        lambda: ledger.find("1"),
        lambda: ledger.uids_of("1"),
        lambda: list(ledger.export()),
        lambda: list(ledger.audit()),
        ledger.stats,
        ledger.refresh,
    ):
        with pytest.raises(LedgerUnavailable, match="closed"):
            call()
    for waiting in (
        ledger.record([note("conflict")], 1),
        ledger.import_rows([BoundUid(PORTAL, "1", MD5, 1)], 1),
        ledger.erase(PORTAL, uid="1", reason="asked", now_ms=1),
    ):
        with pytest.raises(LedgerUnavailable, match="closed"):
            await waiting
