"""Importing tombstones that would take living bindings away: who is asked, what is counted, what is reported without a yes."""

from __future__ import annotations

import csv
import hashlib
import io

import pytest

from gateway.commands.admission import Admission
from gateway.commands.checkpoint import Counts
from gateway.commands.importing import Import, Rehearsal
from gateway.commands.report import Report
from gateway.events.model import Claim
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.transfer import Rows
from tests.builders import PORTAL_ID, make_settings

HEAD = "portal_id,uid,cid,bound_at,erased_at,reason\n"
LAN = hashlib.md5(b"lan@example.com").hexdigest()
STONE = ",,2026-02-01T00:00:00Z,ticket 7"
# Of 4,500 rows in three batches: each hundredth a tombstone of a bound UID, each hundred-and-first of one that was never bound.
ROWS = [
    f"{PORTAL_ID},{n},{STONE}" if n % 100 in {0, 1} else f"{PORTAL_ID},{n},{LAN},,,"
    for n in range(1_000, 5_500)
]
LIVING = range(1_000, 5_500, 100)


class Asked:
    """Answers a question, and remembers it."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.of: list[list[str]] = []

    def __call__(self, stones) -> bool:
        self.of.append([each.uid for each in stones])
        return self.answer


@pytest.fixture
async def ledger():
    """A ledger in which each hundredth UID is bound to a customer of its own."""
    made = MemoryLedger()
    await made.bind([Claim(portal_id=PORTAL_ID, uid=str(n), cid=f"c{n}", keys=(f"k{n}",)) for n in LIVING], 5)
    return made


async def imported(taker, may_bury, folder) -> tuple[Counts, list[dict[str, str]]]:
    """Import the rows; give the counts and the report."""
    counts, report = Counts(), Report(folder / "report.csv")
    text = HEAD + "".join(f"{row}\n" for row in ROWS)
    rows = Rows(io.BytesIO(text.encode()), "csv", lambda: 1_790_000_000_000)
    await Import(
        rows, taker, Admission(make_settings(), any_portal=False), report, counts,
        may_bury=may_bury, after_batch=lambda: None, is_shared=lambda: False,
    ).run()  # fmt: skip
    report.close()
    if not report.path.exists():
        return counts, []
    with report.path.open(encoding="utf-8", newline="") as file:
        return counts, list(csv.DictReader(file))


@pytest.mark.parametrize("may_bury", [True, Asked(True)], ids=["said before", "asked"])
async def test_with_a_yes_living_bindings_are_buried_and_counted_apart(ledger, tmp_path, may_bury):
    """Tombstones of unbound UIDs, of bound ones and bindings have a count each; a question is asked once, with the first batch."""
    counts, report = await imported(ledger, may_bury, tmp_path)

    assert (4_500, 4_410, 45, 45, 0, 0) == (
        counts.read, counts.taken, counts.tombstones, counts.buried, counts.known, counts.not_taken,
    )  # fmt: skip
    assert [] == report
    stats = ledger.stats()
    assert (4_410, 90, 0) == (stats.rows, stats.erased, stats.aliases)
    if isinstance(may_bury, Asked):
        assert [[str(n) for n in range(1_000, 3_000, 100)]] == may_bury.of


@pytest.mark.parametrize("may_bury", [False, Asked(False)], ids=["said before", "asked"])
async def test_without_a_yes_nothing_is_buried(ledger, tmp_path, may_bury):
    """Each such row is in the report, with the CID that stays; everything else is taken."""
    counts, report = await imported(ledger, may_bury, tmp_path)

    assert (4_410, 45, 0, {"would_bury": 45}) == (
        counts.taken, counts.tombstones, counts.buried, counts.refused,
    )  # fmt: skip
    assert [(str(n), "would_bury", f"c{n}", "") for n in LIVING] == [
        (each["uid"], each["reason"], each["bound_cid"], each["claimed_cid"]) for each in report
    ]
    stats = ledger.stats()
    assert (4_455, 45, 45) == (stats.rows, stats.erased, stats.aliases)
    assert all(ledger.lookup(PORTAL_ID, str(n)).cid == f"c{n}" for n in LIVING)
    if isinstance(may_bury, Asked):
        assert 1 == len(may_bury.of)


@pytest.mark.parametrize("may_bury", [True, False])
async def test_a_rehearsal_counts_what_would_be_buried(ledger, tmp_path, may_bury):
    """As the import itself does afterwards, and the ledger stays as it is."""
    before = (list(ledger.export()), ledger.stats())

    rehearsed = await imported(Rehearsal(ledger), may_bury, tmp_path)

    assert before == (list(ledger.export()), ledger.stats())
    assert rehearsed == await imported(ledger, may_bury, tmp_path)


async def test_nobody_is_asked_where_nothing_living_goes(tmp_path):
    """Tombstones of unbound and of erased UIDs need no yes, also the second time."""
    ledger, asked = MemoryLedger(), Asked(False)
    first, _ = await imported(ledger, asked, tmp_path)
    second, _ = await imported(ledger, asked, tmp_path)

    assert (90, 0, 4_500) == (first.tombstones, second.tombstones, second.known)
    assert [] == asked.of
