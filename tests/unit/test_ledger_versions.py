"""A file of the version before becomes one of the present: wholly or not at all, with every binding as it was."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from itertools import pairwise

import apsw
import pytest

from gateway.events.model import Binding, Claim
from gateway.ledger.contract import BoundUid, LedgerUnavailable
from gateway.ledger.keys import encode_key
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify
from tests.processes import ROOT
from tests.unit import ledger_version_1

UUID = "0193e9c2-7f6b-7c3a-9d5e-0a1b2c3d4e5f"
MD5 = "55a4a290df001173e4100cd0ae031912"
# One of each kind of key, for UIDs and CIDs, and what looks like one and is none.
IDS = [
    "0",
    "7",
    "18446744073709551615",
    "18446744073709551616",
    "007",
    UUID,
    UUID.upper(),
    "x" * 36,
    MD5,
    MD5.upper(),
    "a" * 40,
    "b" * 64,
    "",
    "người-dùng",
    "\ud800",
]
SCHEMA = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_auto%' ORDER BY type, name"

UPGRADER = """
import sys
from pathlib import Path
from gateway.ledger.sqlite import open_sqlite_ledger

def hear(done, of):
    print(done, of, flush=True)
    if done >= int(sys.argv[2]):
        sys.stdin.read()

open_sqlite_ledger(Path(sys.argv[1]), on_upgrade=hear)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def rows_of_all_kinds() -> list[tuple[str, str, str, int]]:
    pairs = [(uid, IDS[(place + 4) % len(IDS)]) for place, uid in enumerate(IDS)]
    return [
        (portal_id, uid, cid, place - 5)
        for portal_id in ("33167", "cửa hàng")
        for place, (uid, cid) in enumerate(pairs)
    ]


def many_rows(count: int) -> list[tuple[str, str, str, int]]:
    rng = random.Random(26)
    uids = [
        str(rng.getrandbits(63)) if n % 3 else str(uuid.UUID(int=rng.getrandbits(128))) for n in range(count)
    ]
    return [("33167", uid, f"{n // 2:032x}", n) for n, uid in enumerate(uids)]


def upgraded(path, heard=None, **options):
    heard = [] if heard is None else heard
    return open_sqlite_ledger(path, on_upgrade=lambda *step: heard.append(step), **options)


def exported(ledger) -> list[BoundUid]:
    return sorted(ledger.export(), key=lambda row: (row.portal_id, row.uid))


def bound(rows) -> list[BoundUid]:
    return sorted((BoundUid(*row) for row in rows), key=lambda row: (row.portal_id, row.uid))


def version_and_counts(path) -> tuple[int, int, list[str]]:
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return (
            connection.pragma("user_version"),
            connection.execute("SELECT count(*) FROM binding").get,
            sorted(tables),
        )


async def test_every_binding_of_version_1_is_kept(path):
    """Each binding has its CID and its time, an entry that says where it is from, its customer, its count; the check finds nothing wrong."""
    rows = rows_of_all_kinds()
    ledger_version_1.make_file(path, rows)
    began_ms = time.time_ns() // 1_000_000

    ledger = upgraded(path)

    assert bound(rows) == exported(ledger)
    assert [cid for _, _, cid, _ in rows] == [ledger.lookup(portal, uid).cid for portal, uid, _, _ in rows]
    told = {(entry.portal_id, entry.uid, entry.cid): entry for entry in ledger.audit()}
    assert {row[:3] for row in rows} == set(told)
    assert {("import", "version 1", "")} == {(each.kind, each.note, each.other) for each in told.values()}
    assert all(began_ms <= each.at_ms <= time.time_ns() // 1_000_000 for each in told.values())
    for portal_id, _, cid, _ in rows:
        own = [row for row in bound(rows) if (row.portal_id, row.cid) == (portal_id, cid)]
        assert own == ledger.uids_of(cid, portal_id)
    assert {"33167": len(IDS), "cửa hàng": len(IDS)} == ledger.stats().portals
    assert [] == verify(ledger).problems
    await ledger.close()


async def test_an_upgraded_file_is_as_a_new_one(path, tmp_path):
    """It has the tables and guards of a file that was made today, nothing of the old ones, and its number."""
    ledger_version_1.make_file(path, rows_of_all_kinds())
    await upgraded(path).close()
    await open_sqlite_ledger(tmp_path / "new.db").close()

    with (
        closing(apsw.Connection(str(path))) as old,
        closing(apsw.Connection(str(tmp_path / "new.db"))) as new,
    ):
        assert new.execute(SCHEMA).fetchall() == old.execute(SCHEMA).fetchall()
        assert (2, 2) == (new.pragma("user_version"), old.pragma("user_version"))
        assert [("ok",)] == old.execute("PRAGMA integrity_check").fetchall()


async def test_an_upgraded_ledger_goes_on(path):
    """What was bound stays, also under a UUID; new ones are bound, a customer is erased, and the log stays whole."""
    ledger_version_1.make_file(path, rows_of_all_kinds())
    ledger = upgraded(path)
    before = ledger.lookup("33167", UUID)

    claims = [Claim(portal_id="33167", uid=uid, cid="9") for uid in (UUID, "new")]
    assert [before, Binding("9", is_new=True)] == await ledger.bind(claims, 1)
    erasure = await ledger.erase("33167", cid=before.cid, reason="asked", now_ms=2)

    assert [("33167", UUID)] == list(erasure.uids)
    assert ledger.lookup("33167", UUID).is_erased
    assert [] == verify(ledger).problems
    await ledger.close()


async def test_an_erasure_leaves_no_copy_of_before_the_upgrade(path):
    """The tables of version 1 are overwritten: once a customer is erased, neither the file nor its log holds the CID."""
    ledger_version_1.make_file(path, many_rows(5_000))
    cids = [f"{n:032x}" for n in (700, 1_400, 2_100)]
    assert all(bytes.fromhex(cid) in path.read_bytes() for cid in cids)

    ledger = upgraded(path)
    for cid in cids:
        assert 2 == len((await ledger.erase(None, cid=cid, reason="asked", now_ms=2)).uids)
    await ledger.close()

    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [] == [cid for cid in cids if bytes.fromhex(cid) in content]


async def test_an_empty_ledger_of_version_1_becomes_an_empty_one(path):
    """A file without bindings is brought up to date as well."""
    ledger_version_1.make_file(path, [])

    ledger = upgraded(path)

    assert (0, 0, {}) == (ledger.stats().rows, ledger.stats().audit_entries, ledger.stats().portals)
    assert (await ledger.bind([Claim(portal_id="1", uid="1", cid="c")], 1))[0].is_new
    assert [] == verify(ledger).problems
    await ledger.close()


async def test_the_upgrade_says_how_far_it_is(path):
    """It is heard from the start to the last row, some rows at a time; a file that is up to date says nothing."""
    ledger_version_1.make_file(path, many_rows(6_500))
    heard: list[tuple[int, int]] = []

    await upgraded(path, heard).close()
    again: list[tuple[int, int]] = []
    await upgraded(path, again).close()

    assert ((0, 13_000), (13_000, 13_000)) == (heard[0], heard[-1])
    assert sorted(heard) == heard
    assert max(after[0] - before[0] for before, after in pairwise(heard)) <= 2_000
    assert [] == again


@pytest.mark.parametrize("reached", [0, 4_000, 13_000])
async def test_a_killed_upgrade_has_changed_nothing(path, reached):
    """After SIGKILL, wherever it is, the file is wholly of version 1, and the next start brings it up to date."""
    rows = many_rows(6_500)
    ledger_version_1.make_file(path, rows)
    before = version_and_counts(path)
    with subprocess.Popen(
        [sys.executable, "-c", UPGRADER, str(path), str(reached)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as upgrader:
        for line in upgrader.stdout:
            if int(line.split()[0]) >= reached:
                break
        # It waits there for a word on its standard input, within the transaction.
        upgrader.kill()

    assert (1, 6_500, ["binding", "portal", "tally"]) == before == version_and_counts(path)
    ledger = upgraded(path)
    assert bound(rows) == exported(ledger)
    assert 6_500 == ledger.stats().audit_entries
    assert [] == verify(ledger).problems
    await ledger.close()


async def test_of_two_workers_one_brings_it_up_to_date_and_the_other_waits(path):
    """Gateways that start together on an old file write each binding once, and both can use it."""
    ledger_version_1.make_file(path, many_rows(3_000))
    ledgers = []
    by_the_other: list[tuple[int, int]] = []
    other = threading.Thread(
        target=lambda: ledgers.append(upgraded(path, by_the_other, patience_seconds=0.01))
    )

    def hear(done: int, _: int) -> None:
        if not done:
            other.start()

    ledgers.append(open_sqlite_ledger(path, on_upgrade=hear))
    other.join(30)

    assert [] == by_the_other
    assert [3_000, 3_000] == [ledger.stats().audit_entries for ledger in ledgers]
    for ledger in ledgers:
        await ledger.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_command_leaves_an_old_file_to_the_gateway(path, read_only):
    """Who does not ask for an upgrade is told to start the gateway, and the file stays byte for byte as it was."""
    ledger_version_1.make_file(path, rows_of_all_kinds())
    before = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match="of version 1, this program reads version 2") as caught:
        open_sqlite_ledger(path, read_only=read_only)

    assert "start the gateway once: it brings the file up to date" == caught.value.hint
    assert before == path.read_bytes()


async def test_a_file_with_these_tables_and_the_number_1_only_gets_its_number(path):
    """A ledger that was made while version 2 had no number of its own keeps everything, its log included."""
    ledger = open_sqlite_ledger(path)
    await ledger.bind([Claim(portal_id="1", uid=UUID, cid="c", keys=("k",))], 1)
    head = ledger.stats().audit_head
    await ledger.close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 1)
    heard: list[tuple[int, int]] = []

    ledger = upgraded(path, heard)

    assert (head, Binding("c")) == (ledger.stats().audit_head, ledger.lookup("1", UUID))
    assert [] == heard
    assert [] == verify(ledger).problems
    await ledger.close()


def test_a_draft_is_refused_and_left_alone(path):
    """Tables that no release had are not guessed at."""
    ledger_version_1.make_file(path, rows_of_all_kinds())
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE audit (seq INTEGER PRIMARY KEY) STRICT")
    before = version_and_counts(path)

    with pytest.raises(LedgerUnavailable, match="a draft that was never released") as caught:
        upgraded(path)

    assert str(path) == caught.value.where
    assert before == version_and_counts(path)


def test_bytes_that_are_no_id_stop_the_upgrade(path):
    """A file that somebody changed is not brought up to date in part: it is named, and left alone."""
    ledger_version_1.make_file(path, rows_of_all_kinds())
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("INSERT INTO binding VALUES (1, ?, ?, 1)", (b"\x00\xff\xfe", encode_key("c")))
    before = version_and_counts(path)

    with pytest.raises(LedgerUnavailable, match="bytes that are no id") as caught:
        upgraded(path)

    assert "backup" in caught.value.hint
    assert before == version_and_counts(path)
