"""The ledger's file refuses by itself to change what it holds, whatever program has it open: here, the standard library's sqlite3.

What an erasure may change, it may change once, in the one way that erases.
"""

from __future__ import annotations

import sqlite3

import pytest

from gateway.events.model import AuditNote, Binding, Claim
from gateway.ledger.contract import BoundUid
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

PORTAL = "33167"
# UID 1 is bound to `first`, UID 2 was erased; entry 1 tells of 1, 2 of 2, 3 is a conflict of 1, 4 the erasure.
ONE = "portal = 1 AND uid = x'0101'"
ERASED = "portal = 1 AND uid = x'0102'"
ROW = "SELECT portal, uid, x'0066', 9 FROM binding WHERE uid = x'0101'"
SALT, HASH = "zeroblob(16)", "zeroblob(32)"
ENTRY = f"5, 2, 1, x'0109', x'0066', NULL, NULL, NULL, {SALT}, NULL, {HASH}"


@pytest.fixture
async def path(tmp_path):
    file = tmp_path / "ledger.db"
    ledger = open_sqlite_ledger(file)
    await ledger.bind([Claim(portal_id=PORTAL, uid="1", cid="first", keys=("address",))], 5)
    await ledger.bind([Claim(portal_id=PORTAL, uid="2", cid="second", keys=("forgotten",))], 5)
    await ledger.record([AuditNote(kind="conflict", portal_id=PORTAL, uid="1", cid="first", other="x")], 5)
    await ledger.erase(None, cid="second", reason="asked", now_ms=6)
    await ledger.close()
    return file


async def state(path) -> list:
    """Everything that the ledger holds."""
    ledger = open_sqlite_ledger(path)
    known = ledger.known(Claim(portal_id=PORTAL, uid="1", cid="first", keys=("address",)))
    held = [list(ledger.export()), list(ledger.audit()), ledger.stats().aliases, known]
    await ledger.close()
    return held


CHANGES = {
    "binding: update": f"UPDATE binding SET cid = x'0066' WHERE {ONE}",
    "binding: update or replace": f"UPDATE OR REPLACE binding SET cid = x'0066' WHERE {ONE}",
    "binding: update or ignore": f"UPDATE OR IGNORE binding SET cid = x'0066' WHERE {ONE}",
    "binding: another time": f"UPDATE binding SET bound_ms = 6 WHERE {ONE}",
    "binding: another uid": f"UPDATE binding SET uid = x'0103' WHERE {ONE}",
    "binding: another portal": f"UPDATE binding SET portal = 2 WHERE {ONE}",
    "binding: tombstone without an erasure": f"UPDATE binding SET cid = x'03', bound_ms = 6 WHERE {ONE}",
    "binding: delete": f"DELETE FROM binding WHERE {ONE}",
    "binding: delete all": "DELETE FROM binding",
    "binding: insert or replace": f"INSERT OR REPLACE INTO binding {ROW}",
    "binding: replace": f"REPLACE INTO binding {ROW}",
    "binding: insert or ignore": f"INSERT OR IGNORE INTO binding {ROW}",
    "binding: insert": f"INSERT INTO binding {ROW}",
    "binding: upsert": f"INSERT INTO binding {ROW} AND true ON CONFLICT (portal, uid) DO UPDATE SET cid = excluded.cid",
    "binding: replace, converted": "INSERT OR REPLACE INTO binding VALUES ('1', x'0101', x'0066', '9')",
    "binding: insert a tombstone": "INSERT INTO binding VALUES (1, x'0109', x'03', 9)",
    "erased: another cid": f"UPDATE binding SET cid = x'0066' WHERE {ERASED}",
    "erased: another time": f"UPDATE binding SET bound_ms = 9 WHERE {ERASED}",
    "erased: the same again": f"UPDATE binding SET cid = x'03', bound_ms = 6 WHERE {ERASED}",
    "erased: delete": f"DELETE FROM binding WHERE {ERASED}",
    "erased: replace": "REPLACE INTO binding VALUES (1, x'0102', x'0066', 9)",
    "erased: insert": "INSERT INTO binding VALUES (1, x'0102', x'0066', 9)",
    "erased: upsert": "INSERT INTO binding VALUES (1, x'0102', x'0066', 9) ON CONFLICT DO UPDATE SET cid = excluded.cid",
    "erasure: update": "UPDATE erasure SET reason = 'another'",
    "erasure: delete": "DELETE FROM erasure",
    "erasure: replace": "REPLACE INTO erasure VALUES (1, x'0102', 9, 'another')",
    "erasure: upsert": "INSERT INTO erasure VALUES (1, x'0102', 9, 'x') ON CONFLICT DO UPDATE SET erased_ms = 9",
    "alias: update": "UPDATE alias SET cid = x'0066'",
    "alias: delete": "DELETE FROM alias",
    "alias: replace": "REPLACE INTO alias SELECT portal, key, x'0066', 9 FROM alias",
    "alias: upsert": "INSERT INTO alias SELECT portal, key, x'0066', 9 FROM alias WHERE true ON CONFLICT DO UPDATE SET cid = x'0066'",
    "forgotten: update": "UPDATE forgotten SET reason = 'another'",
    "forgotten: a key comes back": "UPDATE forgotten SET key = x'0061'",
    "forgotten: delete": "DELETE FROM forgotten",
    "forgotten: replace": "REPLACE INTO forgotten SELECT id, portal, NULL, 9, 'x' FROM forgotten",
    "audit: update": "UPDATE audit SET cid = x'0066' WHERE seq = 1",
    "audit: another chain": f"UPDATE audit SET chain = {HASH} WHERE seq = 1",
    "audit: empty a living one": f"UPDATE audit SET cid = NULL, salt = NULL, digest = {HASH} WHERE seq = 1",
    "audit: empty with another event": f"UPDATE audit SET cid = NULL, event = x'0061', digest = {HASH} WHERE seq = 2",
    "audit: fill an emptied one": f"UPDATE audit SET cid = x'0066', salt = {SALT}, digest = NULL WHERE seq = 2",
    "audit: another digest of an emptied one": f"UPDATE audit SET digest = {HASH} WHERE seq = 2",
    "audit: delete": "DELETE FROM audit WHERE seq = 4",
    "audit: delete all": "DELETE FROM audit",
    "audit: replace": f"REPLACE INTO audit VALUES (4, {ENTRY})",
    "audit: upsert": f"INSERT INTO audit VALUES (4, {ENTRY}) ON CONFLICT DO UPDATE SET cid = excluded.cid",
    "audit: insert between": f"INSERT INTO audit VALUES (0, {ENTRY})",
    "audit: insert with a gap": f"INSERT INTO audit VALUES (9, {ENTRY})",
    "emptied: a binding's entry": "INSERT INTO emptied VALUES (1, 6, 'x')",
    "emptied: an erasure's entry": "INSERT INTO emptied VALUES (4, 6, 'x')",
    "emptied: no entry": "INSERT INTO emptied VALUES (77, 6, 'x')",
    "customer: update": "UPDATE customer SET cid = x'0066'",
    "customer: delete": "DELETE FROM customer",
    "run: update": "UPDATE customer_run SET to_seq = 1",
    "run: delete": "DELETE FROM customer_run",
    "run: replace": "REPLACE INTO customer_run VALUES (1, 99)",
    "run: one that goes back": "INSERT INTO customer_run VALUES (2, 1)",
    "state: back": "UPDATE state SET generation = 0",
    "state: delete": "DELETE FROM state",
    "state: replace": "REPLACE INTO state VALUES (1, 0)",
    "portal: rename": "UPDATE portal SET portal_id = '1'",
    "portal: move": "UPDATE OR REPLACE portal SET id = 2",
    "portal: delete": "DELETE FROM portal",
    "portal: replace": "INSERT OR REPLACE INTO portal VALUES (1, 'another')",
    "portal: replace by name": "INSERT OR REPLACE INTO portal VALUES (2, '33167')",
    "portal: upsert": "INSERT INTO portal VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET portal_id = excluded.portal_id",
    "portal: do nothing": "INSERT INTO portal (portal_id) VALUES ('33167') ON CONFLICT DO NOTHING",
    "intake: replace": f"INSERT OR REPLACE INTO intake VALUES (1, 5, 9, 1, 1, x'0101', x'0066', NULL, NULL, NULL, {SALT}, {HASH})",
    "intake: replace an entry": f"INSERT OR REPLACE INTO intake VALUES (2, 4, 9, 1, 1, x'0101', NULL, NULL, NULL, NULL, {SALT}, {HASH})",
    "intake: replace an address": "INSERT OR REPLACE INTO intake SELECT 3, 0, 9, 0, 1, key, x'0066', NULL, NULL, NULL, NULL, NULL FROM alias",
    "intake: ignore": f"INSERT OR IGNORE INTO intake VALUES (1, 5, 9, 1, 1, x'0102', x'0066', NULL, NULL, NULL, {SALT}, {HASH})",
}


@pytest.mark.parametrize("recursive_triggers", ["OFF", "ON"])
@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_that_is_held_is_ever_changed(path, change, recursive_triggers):
    """UPDATE, DELETE, REPLACE and upserts are refused in every table, with a message that says why, and change nothing."""
    tool = sqlite3.connect(path)
    # A run of customers and an emptied entry, so that each table has a row to lose.
    with tool:
        tool.execute("INSERT INTO customer_run VALUES (1, 4)")
        tool.execute("INSERT INTO customer SELECT 1, portal, cid, uid FROM binding WHERE uid = x'0101'")
        tool.execute("INSERT INTO emptied VALUES (3, 6, 'x')")
    before = await state(path)

    tool.execute(f"PRAGMA recursive_triggers={recursive_triggers}")
    with pytest.raises(sqlite3.IntegrityError, match=r"never|refused"):
        tool.execute(CHANGES[change])
    tool.close()

    assert before == await state(path)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE emptied SET reason = 'y'", "DELETE FROM emptied", "REPLACE INTO emptied VALUES (3, 9, 'y')"],
)
async def test_what_was_emptied_stays_noted(path, statement):
    """The table of emptied entries only grows."""
    tool = sqlite3.connect(path)
    tool.execute("INSERT INTO emptied VALUES (3, 6, 'x')")
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        tool.execute(statement)
    tool.close()


@pytest.mark.parametrize(
    "values",
    [
        "1, '2', x'0066', 9",
        "1, x'0103', 'cid', 9",
        "1, x'0103', NULL, 9",
        "1, x'', x'0066', 9",
        "1, x'0302', x'0066', 9",
        "1, x'0103', x'0366', 9",
        "1, x'0103', x'0566', 9",
        "1, x'0103', x'0066', 'today'",
    ],
)
async def test_a_row_that_could_not_be_read_back_is_not_taken(path, values):
    """Columns have one type, and a key that no id has is refused."""
    with sqlite3.connect(path) as tool, pytest.raises(sqlite3.IntegrityError):
        tool.execute(f"INSERT INTO binding VALUES ({values})")
    tool.close()


async def test_a_binding_that_another_program_makes_is_found_out(path):
    """A free UID can be bound by who may write the file; since no entry of the log tells of it, `verify` names it."""
    with sqlite3.connect(path) as tool:
        tool.execute("INSERT INTO binding VALUES (1, x'0103', x'0066', 9)")
    tool.close()

    ledger = open_sqlite_ledger(path)
    assert ledger.lookup(PORTAL, "3") == Binding("f")
    assert any("UID 3 of portal 33167 is bound as no entry" in each.what for each in verify(ledger).problems)
    await ledger.close()


async def test_a_proper_erasure_is_allowed_once(path):
    """Told first, a binding may become a tombstone of that time, and nothing else afterwards."""
    tool = sqlite3.connect(path)
    with tool:
        tool.execute("INSERT INTO erasure VALUES (1, x'0101', 8, 'by hand')")
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            tool.execute(f"UPDATE binding SET cid = x'03', bound_ms = 9 WHERE {ONE}")
        tool.execute(f"UPDATE binding SET cid = x'03', bound_ms = 8 WHERE {ONE}")
    for statement in (f"UPDATE binding SET cid = x'0066' WHERE {ONE}", f"REPLACE INTO binding {ROW}"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            tool.execute(statement)
    tool.close()

    ledger = open_sqlite_ledger(path)
    assert ledger.find("1") == [BoundUid(PORTAL, "1", "", 8, 8, "by hand")]
    assert await ledger.bind([Claim(portal_id=PORTAL, uid="1", cid="first")], 9) == [Binding(is_erased=True)]
    await ledger.close()
