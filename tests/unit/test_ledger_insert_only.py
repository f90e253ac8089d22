"""The ledger's file refuses by itself to change a binding, whatever program has it open: here, the standard library's sqlite3."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.events.model import Claim
from gateway.ledger.contract import BoundUid
from gateway.ledger.sqlite import open_sqlite_ledger

KEY = "portal = (SELECT id FROM portal WHERE portal_id = '33167') AND uid = x'0101'"
ROW = "SELECT portal, uid, x'0066', 9 FROM binding WHERE portal = 1"


@pytest.fixture
async def path(tmp_path):
    file = tmp_path / "ledger.db"
    ledger = open_sqlite_ledger(file)
    await ledger.bind([Claim("33167", "1", "first")], 5)
    await ledger.close()
    return file


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE binding SET cid = x'0066' WHERE {KEY}",
        f"UPDATE OR REPLACE binding SET cid = x'0066' WHERE {KEY}",
        f"UPDATE binding SET bound_ms = 6 WHERE {KEY}",
        "UPDATE binding SET uid = x'0102'",
        f"DELETE FROM binding WHERE {KEY}",
        "DELETE FROM binding",
        f"INSERT OR REPLACE INTO binding {ROW}",
        f"REPLACE INTO binding {ROW}",
        f"INSERT OR IGNORE INTO binding {ROW}",
        f"INSERT INTO binding {ROW}",
        f"INSERT INTO binding {ROW} AND true ON CONFLICT (portal, uid) DO UPDATE SET cid = excluded.cid",
        "INSERT OR REPLACE INTO binding VALUES ('1', x'0101', x'0066', '9')",
    ],
)
@pytest.mark.parametrize("recursive_triggers", ["OFF", "ON"])
async def test_a_binding_is_never_changed(path, statement, recursive_triggers):
    """UPDATE, DELETE, REPLACE and upserts of a bound UID are refused with a message that says why."""
    with sqlite3.connect(path) as tool:
        tool.execute(f"PRAGMA recursive_triggers={recursive_triggers}")
        with pytest.raises(sqlite3.IntegrityError, match="a binding never"):
            tool.execute(statement)
    tool.close()

    ledger = open_sqlite_ledger(path)
    assert ledger.find("1") == [BoundUid("33167", "1", "first", 5)]
    await ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE portal SET portal_id = '1'",
        "UPDATE OR REPLACE portal SET id = 2",
        "DELETE FROM portal",
        "INSERT OR REPLACE INTO portal VALUES (1, 'another')",
        "INSERT OR REPLACE INTO portal VALUES (2, '33167')",
        "REPLACE INTO portal (portal_id) VALUES ('33167')",
        "INSERT INTO portal VALUES (1, 'another') ON CONFLICT (id) DO UPDATE SET portal_id = excluded.portal_id",
        "INSERT INTO portal (portal_id) VALUES ('33167') ON CONFLICT DO NOTHING",
    ],
)
async def test_a_portal_is_never_changed(path, statement):
    """Renaming, replacing or deleting a portal would move its bindings; it is refused with a message that says why."""
    with sqlite3.connect(path) as tool, pytest.raises(sqlite3.IntegrityError, match="a portal never"):
        tool.execute(statement)
    tool.close()

    ledger = open_sqlite_ledger(path)
    assert ledger.lookup("33167", "1") == "first"
    await ledger.close()


@pytest.mark.parametrize(
    "values",
    [
        "1, '2', x'0066', 9",
        "1, x'0102', 'cid', 9",
        "1, x'0102', NULL, 9",
        "1, x'', x'0066', 9",
        "1, x'0302', x'0066', 9",
        "1, x'0102', x'0066', 'today'",
    ],
)
async def test_a_row_that_could_not_be_read_back_is_not_taken(path, values):
    """Columns have one type, and a key that no id has is refused."""
    with sqlite3.connect(path) as tool, pytest.raises(sqlite3.IntegrityError):
        tool.execute(f"INSERT INTO binding VALUES ({values})")
    tool.close()


async def test_a_new_uid_may_be_inserted_by_others(path):
    """The guards stop changes alone: a binding that another tool inserts properly is one like the others."""
    with sqlite3.connect(path) as tool:
        tool.execute("INSERT INTO binding VALUES (1, x'0102', x'0066', 9)")
    tool.close()

    ledger = open_sqlite_ledger(path)
    assert ledger.lookup("33167", "2") == "f"
    assert ledger.stats().rows == 2
    await ledger.close()
