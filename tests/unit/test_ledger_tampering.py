"""Somebody who may write the file can drop its guards; the check of the audit log says where they were."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import struct

import pytest

from gateway.events.model import AuditNote, Claim
from gateway.ledger import verify as module
from gateway.ledger.chain import FIRST_CHAIN, digest, link
from gateway.ledger.contract import BoundUid
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import Problem, verify

PORTAL = "33167"
LAST = 9


async def filled(ledger):
    """Entries: 1-5 bind, 6 conflict, 7 alias, 8 erase of UID 5 (entry 5 emptied), 9 bind."""
    await ledger.bind([Claim(portal_id=PORTAL, uid=str(uid), cid=f"c{uid}") for uid in range(1, 6)], 5)
    notes = [
        AuditNote(kind="conflict", portal_id=PORTAL, uid="1", cid="c1", other="c2", note="quarantine"),
        AuditNote(kind="alias", portal_id=PORTAL, uid="2", cid="c1", other="c2", note="e" * 64),
    ]
    await ledger.record(notes, 6)
    await ledger.erase(None, cid="c5", reason="asked", now_ms=7)
    await ledger.bind([Claim(portal_id=PORTAL, uid="9", cid="c9")], 8)
    return ledger


@pytest.fixture
async def path(tmp_path):
    file = tmp_path / "ledger.db"
    await (await filled(open_sqlite_ledger(file))).close()
    return file


def tamper(path, *statements: str) -> None:
    """Change the file as its owner can: without its guards."""
    with sqlite3.connect(path) as tool:
        guards = tool.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            tool.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert tool.execute(statement).rowcount != 0
        for _, sql in guards:
            tool.execute(sql)
    tool.close()


async def checked(path, **options):
    ledger = open_sqlite_ledger(path, read_only=True)
    try:
        return verify(ledger, **options)
    finally:
        await ledger.close()


async def test_a_whole_ledger_has_no_problem(path):
    """A ledger that was only used has nothing to tell; the check gives its sizes and its head."""
    found = await checked(path)

    assert (found.problems, found.is_whole, found.first_broken) == ([], True, None)
    assert (found.entries, found.rows, found.erased, found.head[0]) == (LAST, 5, 1, LAST)
    assert len(found.head[1]) == 64


WRONG = {
    "at_ms": "at_ms + 1", "kind": "4", "uid": "x'010b'", "cid": "x'007a'", "other": "x'007a'", "note": "x'007a'",
    "event": "x'007a'", "salt": "zeroblob(16)", "digest": "zeroblob(32)", "chain": "zeroblob(32)",
}  # fmt: skip
EMPTIED = 5
CHANGES = [
    (seq, column)
    for seq in range(1, LAST + 1)
    for column in WRONG
    # The digest of a living entry follows from its words; an emptied one has no words.
    if (column not in {"cid", "other", "note", "salt"} if seq == EMPTIED else column != "digest")
]


@pytest.mark.parametrize(("seq", "column"), CHANGES)
async def test_a_changed_entry_is_named(path, seq, column):
    """Whatever of an entry is changed, the first problem is that entry; also of one that was emptied by an erasure."""
    tamper(path, f"UPDATE audit SET {column} = {WRONG[column]} WHERE seq = {seq}")

    found = await checked(path)

    assert found.first_broken is not None
    assert (seq, True) == (found.first_broken.seq, "was changed" in found.first_broken.what)


async def test_one_byte_of_the_file_is_enough(path):
    """A single byte of an entry, changed in the file's pages, is found and named."""
    content = path.read_bytes()
    (place,) = [found.start() for found in re.finditer(b"\x00quarantine", content)]
    path.write_bytes(content[: place + 3] + b"A" + content[place + 4 :])

    assert (await checked(path)).problems == [
        Problem(6, "was changed: its hash does not follow from what it says")
    ]


@pytest.mark.parametrize("byte", [0x03, 0x05, 0xFF])
async def test_bytes_that_are_no_id_any_more_are_named_too(path, byte):
    """An entry whose words can't be read is a changed one, and stops nothing."""
    tamper(path, f"UPDATE audit SET uid = x'{byte:02x}61' WHERE seq = 3")

    assert (await checked(path)).first_broken == Problem(
        3, "was changed: its hash does not follow from what it says"
    )


@pytest.mark.parametrize("seq", range(1, LAST))
async def test_a_missing_entry_is_named(path, seq):
    """An entry that was deleted is named by its number."""
    tamper(path, f"DELETE FROM audit WHERE seq = {seq}")

    assert (await checked(path)).first_broken == Problem(seq, "is missing")


async def test_a_log_that_was_cut_is_found_by_its_head(path):
    """When the last entry goes, only who knows the head of before can tell; then it is named."""
    head = (await checked(path)).head
    tamper(
        path,
        f"DELETE FROM audit WHERE seq = {LAST}",
        "DELETE FROM binding WHERE uid = x'0109'",
        "UPDATE tally SET bindings = 4",
    )

    assert (await checked(path)).problems == []
    found = await checked(path, expected_head=head)
    assert found.first_broken == Problem(
        LAST, f"is missing: the log reached to {LAST} when it was seen before"
    )


async def test_a_log_that_was_written_anew_is_found_by_its_head(path):
    """A log that fits in itself but is another one does not have the head that was seen before."""
    ledger = open_sqlite_ledger(path, read_only=True)
    heads = {entry.seq: entry.chain for entry in ledger.audit()}
    await ledger.close()
    for seq, chain in heads.items():
        assert (await checked(path, expected_head=(seq, chain.upper()))).is_whole

    found = await checked(path, expected_head=(4, "0" * 64))

    assert found.problems == [
        Problem(4, "is not the entry that was seen there before: the log was written anew")
    ]


async def test_swapped_entries_are_named(path):
    """Two entries that changed places are wrong at the first of both, with their hashes or without."""
    # With the hashes of both moved along, the entry behind them stands behind another one, too.
    for columns, broken in (("uid, cid, salt", [2, 3]), ("uid, cid, salt, chain", [2, 3, 4])):
        swap = (
            "CREATE TABLE copy AS SELECT * FROM audit WHERE seq IN (2, 3)",
            f"UPDATE audit SET ({columns}) = (SELECT {columns} FROM copy WHERE copy.seq = 5 - audit.seq) WHERE seq IN (2, 3)",
            "DROP TABLE copy",
        )
        tamper(path, *swap)
        found = await checked(path)
        assert broken == [problem.seq for problem in found.problems]
        tamper(path, *swap)
        assert (await checked(path)).is_whole


async def test_an_inserted_entry_is_named(path):
    """An entry that was put behind the last one without the right hash is named."""
    tamper(
        path,
        "INSERT INTO audit SELECT seq + 1, at_ms, 3, portal, uid, cid, other, note, event, salt, digest, chain FROM audit WHERE seq = 9",
    )

    assert (await checked(path)).first_broken.seq == LAST + 1


async def test_an_entry_emptied_without_an_erasure_is_named(path):
    """Emptying keeps the chain whole, so it must be covered by an erasure of that UID further on."""
    with sqlite3.connect(path) as tool:
        rows = tool.execute("SELECT salt FROM audit WHERE seq IN (1, 6) ORDER BY seq").fetchall()
    tool.close()
    bind, conflict = (
        digest(rows[0][0], "c1", "", "").hex(),
        digest(rows[1][0], "c1", "c2", "quarantine").hex(),
    )
    empty = (
        "UPDATE audit SET cid = NULL, other = NULL, note = NULL, salt = NULL, digest = x'{}' WHERE seq = {}"
    )

    tamper(path, empty.format(conflict, 6))
    assert (await checked(path)).problems == [
        Problem(6, "was emptied, but no erasure of its UID stands behind it")
    ]

    tamper(path, empty.format(bind, 1))
    found = await checked(path)
    assert found.problems[0] == Problem(1, "was emptied, but no erasure of its UID stands behind it")
    assert any("UID 1 of portal 33167 is bound as no entry" in each.what for each in found.problems)


@pytest.mark.parametrize(
    ("change", "seq", "what"),
    [
        ("UPDATE binding SET cid = x'0066' WHERE uid = x'0103'", 3, "tells of a binding that does not hold"),
        ("DELETE FROM binding WHERE uid = x'0103'", 3, "tells of a binding that does not hold"),
        (
            "UPDATE binding SET cid = x'0066' WHERE uid = x'0105'",
            8,
            "tells of an erasure, but its UID has no tombstone",
        ),
        ("DELETE FROM binding WHERE uid = x'0105'", 8, "tells of an erasure, but its UID has no tombstone"),
        ("UPDATE binding SET cid = x'03' WHERE uid = x'0103'", 3, "tells of a binding that does not hold"),
    ],
)
async def test_a_changed_binding_is_named_by_its_entry(path, change, seq, what):
    """The log is whole, but the ledger holds something else: the entry that told it is named, and what stands there."""
    tamper(path, change)

    found = await checked(path)

    assert found.first_broken == Problem(seq, what)


async def test_a_made_up_binding_and_tombstone_are_named(path):
    """Rows that no entry tells of are named by UID and portal."""
    tamper(
        path,
        "INSERT INTO binding VALUES (1, x'0163', x'0066', 9)",
        "INSERT INTO binding VALUES (1, x'0164', x'03', 9)",
    )

    what = [problem.what for problem in (await checked(path)).problems]

    assert "UID 99 of portal 33167 is bound as no entry of the log tells" in what
    assert "UID 100 of portal 33167 is erased as no entry of the log tells" in what


async def test_wrong_counts_are_named(path):
    """The ledger's own counts are held against what it holds."""
    tamper(path, "UPDATE tally SET bindings = bindings + 1")

    assert [problem.what for problem in (await checked(path)).problems] == [
        "the ledger's own counts of bindings and tombstones are not what it holds"
    ]


async def test_a_binding_that_is_told_twice_is_named():
    """Two entries that bind the same UID can't both be right."""
    ledger = await filled(MemoryLedger())
    ledger._append("bind", BoundUid(PORTAL, "1", "c1", 9), 9)

    assert verify(ledger).problems == [Problem(1, "tells what another entry tells again")]


async def test_the_check_sees_one_state_while_others_write(path, monkeypatch):
    """What is bound, erased and imported during a check is not held against it."""
    monkeypatch.setattr(module, "_PROGRESS_EVERY", 1)
    checking, writing = open_sqlite_ledger(path, read_only=True), open_sqlite_ledger(path)
    done: list[tuple[int, int]] = []
    found = []

    class Running(Exception):
        """Raised to leave the check; a generator can't be awaited in it."""

    # The writer is another connection: what it commits in between must not show.
    tool = sqlite3.connect(path, isolation_level=None)
    tool.execute("PRAGMA busy_timeout = 2000")

    def on_progress(read: int, of: int) -> None:
        done.append((read, of))
        tool.execute(f"INSERT INTO binding VALUES (1, x'02{read:032x}', x'0066', 9)")

    found.append(verify(checking, on_progress=on_progress))

    assert found[0].problems == []
    assert done == [(number, 15) for number in range(1, 16)]
    assert not verify(checking).is_whole
    tool.close()
    await checking.close()
    await writing.close()


async def test_many_problems_are_cut_short(path):
    """At most twenty problems are named, the first entries first."""
    ledger = open_sqlite_ledger(path)
    await ledger.bind([Claim(portal_id=PORTAL, uid=f"u{uid}", cid="c") for uid in range(300)], 5)
    await ledger.close()
    tamper(path, "UPDATE audit SET at_ms = at_ms + 1 WHERE seq > 9")

    found = await checked(path)

    assert [problem.seq for problem in found.problems] == list(range(10, 30))


def test_the_format_is_as_it_is_in_the_files():
    """These hashes are in the logs of those who run the gateway: computed here from the bytes that the format names."""
    salt = bytes(range(16))
    words, rest = [b"\xc3\xa4", b"\xed\xa0\x80", b""], [b"33167", b"123", b"e"]

    made = digest(salt, "ä", "\ud800", "")
    chained = link(FIRST_CHAIN, 1, 5, -7, "33167", "123", "e", made)

    digested = b"TGA1" + struct.pack(">3I", *map(len, words)) + salt + b"".join(words)
    assert hashlib.sha256(digested).digest() == made
    linked = bytes(32) + struct.pack(">QBq3I", 1, 5, -7, *map(len, rest)) + made + b"".join(rest)
    assert hashlib.sha256(linked).digest() == chained
    odd = link(FIRST_CHAIN, 1, 5, -7, "33167", "ä", "", made)
    linked = bytes(32) + struct.pack(">QBq3I", 1, 5, -7, 5, 2, 0) + made + "33167ä".encode()
    assert hashlib.sha256(linked).digest() == odd
    assert [
        digest(salt, "1", "2", "3").hex(),
        link(FIRST_CHAIN, 2**40, 1, 2**41, "1", "2", "3", made).hex(),
    ] == VECTORS


VECTORS = [
    "c8716edede5daaf30db2e3460aac2db80e6b73ab89937c35d2391214271c5043",
    "ac7ad58a0767a85605caddd6f371c16a76dc05b967dab889c929043c2ac92581",
]
