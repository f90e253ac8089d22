"""Importing rows into a ledger: what is taken, what is not and why, and how an import that was cut off goes on."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import hashlib
import io
import os

import pytest

from gateway.commands.admission import Admission, holds_address
from gateway.commands.checkpoint import (
    Checkpoint,
    Counts,
    Head,
    WrongCheckpoint,
    fingerprint,
    head_of,
    insist_on_ledger,
    read,
    save,
)
from gateway.commands.exporting import CantResume, last_row, write_rows
from gateway.commands.importing import Import, Rehearsal
from gateway.commands.neighbour import Neighbour
from gateway.commands.report import NotAReport, Report
from gateway.events.model import Claim
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.transfer import Rows
from tests.builders import PORTAL_ID, make_settings

NOW_MS = 1_790_000_000_123
HEAD = "portal_id,uid,cid,bound_at,erased_at,reason\n"
LAN = hashlib.md5(b"lan@example.com").hexdigest()
MINH = hashlib.md5(b"minh@example.com").hexdigest()
NOTHING = hashlib.md5(b"").hexdigest()


def rows_of(text) -> Rows:
    return Rows(io.BytesIO(text.encode()), "csv", lambda: NOW_MS)


class Desk:
    """A ledger in memory, and a report in a folder."""

    def __init__(self, folder) -> None:
        self.ledger = MemoryLedger()
        self.report = folder / "rows.csv.report.csv"
        self.batches = 0

    async def import_(
        self, text, *, taker=None, any_portal=False, shared=False, may_bury=True, **options
    ) -> Counts:
        counts, report = Counts(), Report(self.report)

        def after_batch() -> None:
            self.batches += 1

        try:
            await Import(
                rows_of(text), taker or self.ledger, Admission(make_settings(), any_portal=any_portal), report, counts,
                may_bury=may_bury, after_batch=after_batch, is_shared=lambda: shared, **options,
            ).run()  # fmt: skip
        finally:
            report.close()
        return counts

    def reported(self) -> list[tuple[str, ...]]:
        with self.report.open(encoding="utf-8", newline="") as file:
            header, *entries = csv.reader(file)
        assert ["line", "portal_id", "uid", "reason", "bound_cid", "claimed_cid"] == header
        return [tuple(each) for each in entries]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


async def test_rows_are_taken_with_their_own_times_and_known_the_second_time(desk):
    """Importing again changes nothing; where nothing is wrong there is no report."""
    text = f"{HEAD}{PORTAL_ID},1,{LAN},2026-01-02T03:04:05.678Z,,\n{PORTAL_ID},2,{LAN},,,\n{PORTAL_ID},3,,,2026-02-01T00:00:00Z,ticket 7\n"

    first = await desk.import_(text)
    rows = list(desk.ledger.export())
    second = await desk.import_(text)

    assert (3, 2, 1, 0, 0) == (first.read, first.taken, first.tombstones, first.known, first.not_taken)
    assert (3, 0, 0, 3, 0) == (second.read, second.taken, second.tombstones, second.known, second.not_taken)
    assert [1_767_323_045_678, NOW_MS] == [each.bound_ms for each in desk.ledger.uids_of(LAN)]
    assert ["ticket 7"] == [each.reason for each in desk.ledger.find("3")]
    assert rows == list(desk.ledger.export())
    assert not desk.report.exists()


async def test_a_conflict_is_reported_and_never_overwrites(desk):
    """With the CID that holds and the one that was claimed, also when both stand in the file: the first wins."""
    await desk.ledger.bind([Claim(portal_id=PORTAL_ID, uid="1", cid=LAN)], 5)

    counts = await desk.import_(
        f"{HEAD}{PORTAL_ID},1,{MINH},,,\n{PORTAL_ID},2,{MINH},,,\n{PORTAL_ID},2,{LAN},,,\n"
    )

    assert (1, 2) == (counts.taken, counts.conflicts)
    assert [
        ("2", PORTAL_ID, "1", "conflict", LAN, MINH),
        ("4", PORTAL_ID, "2", "conflict", MINH, LAN),
    ] == desk.reported()
    assert (LAN, MINH) == (desk.ledger.lookup(PORTAL_ID, "1").cid, desk.ledger.lookup(PORTAL_ID, "2").cid)


async def test_an_erased_uid_stays_erased(desk):
    """Its row is reported; a tombstone in the file takes a binding away."""
    await desk.ledger.erase(PORTAL_ID, uid="1", reason="ticket 7", now_ms=5)
    await desk.ledger.bind([Claim(portal_id=PORTAL_ID, uid="2", cid=LAN)], 5)

    counts = await desk.import_(
        f"{HEAD}{PORTAL_ID},1,{LAN},,,\n{PORTAL_ID},2,,,2026-02-01T00:00:00Z,ticket 8\n"
    )

    assert ({"erased": 1}, 0, 0, 1) == (counts.refused, counts.taken, counts.tombstones, counts.buried)
    assert [("2", PORTAL_ID, "1", "erased", "", LAN)] == desk.reported()
    assert desk.ledger.lookup(PORTAL_ID, "2").is_erased


@pytest.mark.parametrize(
    ("row", "reason", "uid", "cid"),
    [
        (f"{PORTAL_ID},1,lan@example.com,,,", "raw_cid", "1", "raw"),
        (f"{PORTAL_ID},1,lan%40example.com,,,", "raw_cid", "1", "raw"),
        (f"{PORTAL_ID},1,+84912345678,,,", "raw_cid", "1", "raw"),
        (f"{PORTAL_ID},0912345678,{LAN},,,", "raw_uid", "raw", LAN),
        (f"{PORTAL_ID},+84912345678,lan@example.com,,,", "raw_uid", "raw", "raw"),
        (f"{PORTAL_ID},lan@example.com,{LAN},,,", "bad:uid", "", ""),
        (f"lan@example.com,1,{LAN},,,", "bad:portal_id", "1", ""),
        (f"{PORTAL_ID},1,undefined,,,", "placeholder_cid", "1", "undefined"),
        (f"{PORTAL_ID},1,{NOTHING},,,", "placeholder_cid", "1", NOTHING),
        (f"{PORTAL_ID},null,{LAN},,,", "placeholder_uid", "null", LAN),
        (f"{PORTAL_ID},1,,,2026-02-01T00:00:00Z,lan@example.com asked", "raw_reason", "1", ""),
        (f"{PORTAL_ID},1,,,2026-02-01T00:00:00Z,call 0912 345 678", "raw_reason", "1", ""),
        (f"99,1,{LAN},,,", "unknown_portal", "1", LAN),
        (f"{PORTAL_ID},1,{LAN},2099-01-01T00:00:00Z,,", "future:bound_at", "1", ""),
        (f"{PORTAL_ID},1,{LAN},soon,,", "bad:bound_at", "1", ""),
    ],
)
async def test_what_may_not_enter_is_reported_without_any_address(desk, row, reason, uid, cid):
    """A word says why, a raw address is the word `raw`; the row behind it is taken."""
    counts = await desk.import_(f"{HEAD}{row}\n{PORTAL_ID},2,{LAN},,,\n")

    assert ({reason: 1}, 1, 2) == (counts.refused, counts.taken, counts.read)
    ((line, _, *rest),) = desk.reported()
    assert ("2", [uid, reason, "", cid]) == (line, rest)
    text = desk.report.read_text()
    for needle in ("@", "%40", "0912", "+84"):
        assert needle not in text
    assert ["2"] == [each.uid for each in desk.ledger.export()]


async def test_rows_of_any_portal_are_counted_when_they_are_wanted(desk):
    """Not refused, but said."""
    counts = await desk.import_(f"{HEAD}99,1,{LAN},,,\n{PORTAL_ID},1,{LAN},,,\n", any_portal=True)

    assert (2, 1, 0) == (counts.taken, counts.unknown_portals, counts.not_taken)


async def test_one_portal_can_be_taken_out_of_a_file_of_many(desk):
    """The rows of others are passed over, without a word."""
    text = f"{HEAD}99,1,{LAN},,,\n{PORTAL_ID},1,{LAN},,,\n"

    counts = await desk.import_(text, portal_id=PORTAL_ID)

    assert (1, 1, 0) == (counts.read, counts.taken, counts.not_taken)


async def test_a_rehearsal_says_the_same_and_changes_nothing(desk):
    """Conflicts, tombstones and rows of the same file among it."""
    await desk.ledger.bind([Claim(portal_id=PORTAL_ID, uid="1", cid=LAN)], 5)
    await desk.ledger.erase(PORTAL_ID, uid="2", reason="ticket 7", now_ms=5)
    before = list(desk.ledger.export())
    text = f"{HEAD}" + "".join(
        f"{PORTAL_ID},{row}\n"
        for row in (
            f"1,{MINH},,,", f"1,{LAN},,,", f"2,{LAN},,,", "2,,,2026-02-01T00:00:00Z,t", f"3,{MINH},,,", f"3,{LAN},,,",
            "1,,,2026-02-01T00:00:00Z,t", f"1,{LAN},,,",
        )
    )  # fmt: skip

    rehearsed = await desk.import_(text, taker=Rehearsal(desk.ledger))
    said = desk.reported()
    assert before == list(desk.ledger.export())

    assert await desk.import_(text) == rehearsed
    assert said == desk.reported()


async def test_a_rehearsal_needs_no_ledger(desk):
    """Before the first start everything would be taken."""
    assert 1 == (await desk.import_(f"{HEAD}{PORTAL_ID},1,{LAN},,,\n", taker=Rehearsal(None))).taken


async def test_many_rows_go_in_batches_in_the_order_of_their_keys(desk):
    """Each batch is bounded, and sorted; the report is in the order of the file."""
    batches = []

    class Watched:
        async def import_rows(self, rows, now_ms, *, buries):
            batches.append([int(row.uid) for row in rows])
            return await desk.ledger.import_rows(rows, now_ms, buries=buries)

    await desk.ledger.bind([Claim(portal_id=PORTAL_ID, uid=str(n), cid=LAN) for n in (4_000, 3_999)], 5)
    uids = [5_000 - number for number in range(4_500)]

    counts = await desk.import_(
        HEAD + "".join(f"{PORTAL_ID},{uid},{MINH},,,\n" for uid in uids), taker=Watched()
    )

    assert (4_498, 2) == (counts.taken, counts.conflicts)
    assert [2_000, 2_000, 500] == [len(each) for each in batches]
    assert 3 == desk.batches
    assert batches == [sorted(each) for each in batches]
    assert ["4000", "3999"] == [each[2] for each in desk.reported()]


async def test_a_gateway_beside_it_is_left_breath(desk, monkeypatch):
    """A quarter of each batch's time passes without any work."""
    pauses = []
    original = asyncio.sleep

    async def remembered(seconds):
        pauses.append(seconds)
        await original(0)

    class Slow:
        async def import_rows(self, rows, now_ms, *, buries):
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(0.08, done.set)
            await done.wait()
            return await desk.ledger.import_rows(rows, now_ms, buries=buries)

    monkeypatch.setattr("gateway.commands.importing.asyncio.sleep", remembered)
    await desk.import_(f"{HEAD}{PORTAL_ID},1,{LAN},,,\n", taker=Slow(), shared=True)

    assert 1 == len(pauses)
    assert pauses[0] >= 0.02


async def test_what_was_taken_before_the_ledger_failed_stays(desk):
    """And is in the report and the place that is kept: the error goes to who called."""

    class Failing:
        async def import_rows(self, rows, now_ms, *, buries):
            if desk.batches:
                raise LedgerUnavailable("x", "the disk is full", "make room")
            return await desk.ledger.import_rows(rows, now_ms, buries=buries)

    text = HEAD + "".join(f"{PORTAL_ID},{uid},{LAN},,,\n" for uid in range(1, 3_000))
    with pytest.raises(LedgerUnavailable):
        await desk.import_(text, taker=Failing())

    assert (1, 2_000) == (desk.batches, len(list(desk.ledger.export())))


def place(source, **fields) -> Checkpoint:
    values = {
        "source": fingerprint(source), "ledger": "/data/ledger.db", "head": Head(1, "ab" * 32), "format": "csv", "portal_id": "",
        "offset": 10, "line": 2, "report": "/r", "report_bytes": 0, "counts": Counts(read=3, refused={"raw_cid": 1}),
    }  # fmt: skip
    return Checkpoint(**{**values, **fields})


def test_a_place_is_read_as_it_was_kept(tmp_path):
    """By its owner alone, and nothing else is left beside it; where there is none there is none."""
    source, kept = tmp_path / "rows.csv", tmp_path / "rows.csv.progress"
    source.write_text(HEAD)
    assert None is read(kept, fingerprint(source), "/data/ledger.db")

    save(kept, place(source))
    save(kept, place(source, offset=20))

    assert place(source, offset=20) == read(kept, fingerprint(source), "/data/ledger.db")
    assert 0o600 == kept.stat().st_mode & 0o777
    assert {"rows.csv", "rows.csv.progress"} == {each.name for each in tmp_path.iterdir()}


def test_a_place_in_another_file_or_ledger_is_refused(tmp_path):
    """The same name with another beginning, a longer file, another data folder, no place at all."""
    source, kept = tmp_path / "rows.csv", tmp_path / "rows.csv.progress"
    source.write_text(HEAD)
    save(kept, place(source))
    print_ = fingerprint(source)
    with pytest.raises(WrongCheckpoint, match="of an import into"):
        read(kept, print_, "/other/ledger.db")
    for text in (HEAD.replace("uid", "iud"), HEAD + "x"):
        source.write_text(text)
        with pytest.raises(WrongCheckpoint, match="another file"):
            read(kept, fingerprint(source), "/data/ledger.db")
    kept.write_text("{}")
    with pytest.raises(WrongCheckpoint, match="no checkpoint"):
        read(kept, print_, "/data/ledger.db")


async def test_a_place_is_of_the_ledger_whose_log_goes_through_it(tmp_path):
    """Told by one entry: of another ledger, of an older copy, of none it is not; of one that has gone on it is."""
    source, kept = tmp_path / "rows.csv", tmp_path / "rows.csv.progress"
    source.write_text(HEAD)
    ledger, other = MemoryLedger(), MemoryLedger()
    for each in (ledger, other):
        await each.bind([Claim(portal_id="1", uid="1", cid=LAN), Claim(portal_id="1", uid="2", cid=LAN)], 5)
    at_start, at_end = place(source, head=head_of(MemoryLedger())), place(source, head=head_of(ledger))
    await ledger.bind([Claim(portal_id="1", uid="3", cid=LAN)], 6)
    await ledger.erase("1", uid="2", reason="x", now_ms=7)

    insist_on_ledger(kept, at_end, ledger)
    for each in (ledger, other, None):
        insist_on_ledger(kept, at_start, each)
    for each in (other, MemoryLedger(), None):
        with pytest.raises(WrongCheckpoint, match="is another one by now") as raised:
            insist_on_ledger(kept, at_end, each)
        assert "leave out --resume to begin again, which is safe" in str(raised.value)


def test_a_report_takes_no_other_files_place(tmp_path):
    """What stands there is left as it is; an earlier report is replaced, or gone on with behind the place that was kept."""
    file = tmp_path / "report.csv"
    file.write_text("somebody's work\n")
    with pytest.raises(NotAReport):
        Report(file)
    assert "somebody's work\n" == file.read_text()
    file.unlink()
    report = Report(file)
    report.add([(2, "1", "7", "conflict", "a", "b")])
    length = report.length
    report.add([(3, "1", "8", "conflict", "a", "b")])
    report.close()

    again = Report(file, length)
    again.add([(4, "1", "9", "conflict", "a", "b")])
    again.close()
    assert [
        "line,portal_id,uid,reason,bound_cid,claimed_cid",
        "2,1,7,conflict,a,b",
        "4,1,9,conflict,a,b",
    ] == file.read_text().splitlines()

    Report(file).close()
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request 2026-118", False),
        ("ticket 912345678 of 01.05.2026", False),
        ("asked by lan@example.com", True),
        ("asked by lan%40example.com", True),
        ("asked by lan\uff20example.com", True),
        ("call +84 912 345 678", True),
        ("call (0912) 345-678", True),
        ("00849123456789", True),
        ("84.912.345.678 called", True),
        ("tel 84912345678", True),
        ("ticket 202611180001 of 2026-11-18", False),
    ],
)
def test_an_address_in_a_text_is_seen(text, expected):
    """E-mail addresses in any writing, phone numbers that are written as such; tickets and days are none."""
    assert expected is holds_address(text)


def test_a_gateway_is_seen_by_the_lock_that_it_holds(tmp_path):
    """As soon as it holds it, for as long as it does."""
    assert False is Neighbour(tmp_path).is_there()
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    assert False is Neighbour(tmp_path).is_there()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert True is Neighbour(tmp_path).is_there()
    os.close(descriptor)
    assert False is Neighbour(tmp_path).is_there()


async def exported(ledger, format_="csv", after=None) -> bytes:
    out = io.BytesIO()
    write_rows(ledger, out, format_, "", after, lambda _: None)
    return out.getvalue()


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
async def test_an_export_goes_on_wherever_it_was_cut(tmp_path, format_):
    """At any byte: what is there and what comes behind it make the whole file."""
    ledger = MemoryLedger()
    await ledger.bind([Claim(portal_id="1", uid=str(n), cid=f"c{n}\n,é") for n in range(6)], NOW_MS)
    await ledger.erase("1", uid="2", reason="ticket 7", now_ms=NOW_MS)
    whole, file = await exported(ledger, format_), tmp_path / "rows"
    for cut in range(len(whole) + 1):
        file.write_bytes(whole[:cut])

        after = last_row(file, format_, "", ledger)

        kept = file.read_bytes() if after else b""
        assert whole == kept + await exported(ledger, format_, after), cut


async def test_an_export_is_not_gone_on_with_in_a_file_of_something_else(tmp_path):
    """Another format, other columns, another ledger, another portal: it stays as it was."""
    ledger, other = MemoryLedger(), MemoryLedger()
    await ledger.bind([Claim(portal_id="1", uid="1", cid="c")], NOW_MS)
    await other.bind([Claim(portal_id="1", uid="2", cid="c")], NOW_MS)
    file = tmp_path / "rows"
    for text, format_, portal_id, of in (
        (await exported(ledger), "jsonl", "", ledger),
        (await exported(ledger, "jsonl"), "csv", "", ledger),
        (b"uid,cid\n1,c\n", "csv", "", ledger),
        (b"notes\n", "jsonl", "", ledger),
        (await exported(ledger), "csv", "", other),
        (await exported(ledger), "csv", "2", ledger),
    ):
        file.write_bytes(text)
        with pytest.raises(CantResume):
            last_row(file, format_, portal_id, of)
        assert text == file.read_bytes()
