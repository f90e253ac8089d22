"""The quarantine's file: what is on disk, who may read it, and what is said when it can't be used."""

from __future__ import annotations

import sqlite3
import subprocess

import msgspec
import pytest

from gateway.events.model import QuarantineEntry, Record
from gateway.events.releases import Way
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.quarantine.sqlite import open_quarantine
from tests.unit import quarantine_version_1


def entry(event_id: str, uid: str = "900") -> QuarantineEntry:
    record = Record(event_id, "33167", "565", uid, 1, "portal_id=33167", b'{"ec":"user"}' * 100)
    return QuarantineEntry(
        event_id=event_id,
        portal_id="33167",
        prop_id="565",
        uid=uid,
        reason="cid_conflict",
        detail="The UID belongs to another customer.",
        held_ms=1,
        record=record,
    )


def bytes_of(file) -> bytes:
    # By another process: closing the file in this one would drop the locks of its connections.
    return subprocess.run(["cat", file], check=True, capture_output=True).stdout


async def test_entries_are_there_after_opening_again(tmp_path):
    """What was put is found by the next process that opens the file."""
    path = tmp_path / "quarantine.db"
    first = open_quarantine(path)
    await first.put([entry("e1")])
    await first.close()

    again = open_quarantine(path)

    assert [entry("e1")] == again.list(limit=10)
    await again.close()


async def test_a_reader_sees_what_a_running_writer_puts(tmp_path):
    """A read-only quarantine beside a running one shows its entries, and takes none itself."""
    path = tmp_path / "quarantine.db"
    writer = open_quarantine(path)
    reader = open_quarantine(path, read_only=True)

    await writer.put([entry("e1")])

    assert {"cid_conflict": 1} == reader.count()
    with pytest.raises(QuarantineUnavailable, match="reading only"):
        await reader.put([entry("e2")])
    await reader.close()
    await writer.close()


async def test_more_entries_than_a_statement_takes_are_kept_as_one(tmp_path):
    """A large `put` is one transaction of several statements: all of its entries are there afterwards."""
    store = open_quarantine(tmp_path / "quarantine.db")

    await store.put([entry(f"e{number}") for number in range(1_050)])

    assert {"cid_conflict": 1_050} == store.count()
    await store.close()


async def test_text_that_is_no_unicode_fails_its_caller_alone(tmp_path):
    """An entry that can't be stored is refused before it joins a batch with the entries of others."""
    store = open_quarantine(tmp_path / "quarantine.db")

    with pytest.raises(ValueError, match="surrogates"):
        await store.put([entry("e1"), entry("e2", uid="\ud800")])
    await store.put([entry("e3")])

    assert ["e3"] == [each.event_id for each in store.list(limit=10)]
    await store.close()


async def test_the_file_can_be_read_by_any_sqlite_tool(tmp_path):
    """A person with a standard tool finds the columns to look for, and the record beside them."""
    path = tmp_path / "quarantine.db"
    store = open_quarantine(path)
    await store.put([entry("e1")])
    await store.close()

    with sqlite3.connect(path) as tool:
        row = tool.execute("SELECT event_id, reason, portal_id, uid, typeof(record) FROM held").fetchone()
    tool.close()

    assert ("e1", "cid_conflict", "33167", "900", "blob") == row


async def test_erased_events_leave_no_bytes_behind(tmp_path):
    """Neither in the file nor in its log, while another process has both open; what stays is still there."""
    path = tmp_path / "quarantine.db"
    serving = open_quarantine(path)
    erasing = open_quarantine(path)
    secret = "c" * 32
    await serving.put(
        [msgspec.structs.replace(entry(f"e{n}", uid=f"secret-{n}"), claimed_cid=secret) for n in range(500)]
    )
    await serving.put([entry("e-other")])
    assert any(secret.encode() in bytes_of(file) for file in tmp_path.iterdir())

    assert 500 == await erasing.erase(None, [], [secret])

    assert {"quarantine.db"} <= {file.name for file in tmp_path.iterdir()}
    for file in tmp_path.iterdir():
        assert secret.encode() not in bytes_of(file)
        assert b"secret-" not in bytes_of(file)
    assert ["e-other"] == [each.event_id for each in serving.list(limit=100)]
    await serving.put([entry("e-later")])
    await erasing.close()
    await serving.close()


async def test_a_reader_erases_nothing(tmp_path):
    """A quarantine that was opened for reading says what to do instead."""
    path = tmp_path / "quarantine.db"
    writer = open_quarantine(path)
    await writer.put([entry("e1")])
    reader = open_quarantine(path, read_only=True)

    with pytest.raises(QuarantineUnavailable, match="without read_only"):
        await reader.erase(None, [("33167", "900")])

    assert {"cid_conflict": 1} == writer.count()
    await reader.close()
    await writer.close()


async def test_a_ledger_is_not_taken_for_a_quarantine(tmp_path):
    """A file of another kind is refused with a hint, and stays as it was."""
    path = tmp_path / "ledger.db"
    await open_sqlite_ledger(path).close()
    before = path.read_bytes()

    with pytest.raises(QuarantineUnavailable) as caught:
        open_quarantine(path)

    assert str(path) == caught.value.where
    assert "not a quarantine" in caught.value.cause
    assert "path of its own" in caught.value.hint
    assert before == path.read_bytes()


def test_a_missing_directory_is_named(tmp_path):
    """The error says which directory to make."""
    with pytest.raises(QuarantineUnavailable) as caught:
        open_quarantine(tmp_path / "nowhere" / "quarantine.db")

    assert f"make the directory {tmp_path / 'nowhere'}" in caught.value.hint


async def test_a_file_of_version_1_is_brought_up_to_date_in_place(tmp_path):
    """By who is there to do it: every entry is as it was, counted, and can be released; a command leaves that to the gateway."""
    path = tmp_path / "quarantine.db"
    entries = [msgspec.structs.replace(entry(f"e{number}"), held_ms=number) for number in range(1_050)]
    entries[7] = msgspec.structs.replace(entries[7], reason="too_old", claimed_cid="c1")
    quarantine_version_1.make_file(path, entries)
    for options in ({}, {"read_only": True}):
        with pytest.raises(QuarantineUnavailable, match="start the gateway once"):
            open_quarantine(path, **options)

    heard = []
    store = open_quarantine(path, on_upgrade=lambda done, of: heard.append((done, of)))

    assert heard[-1] == (1, 1)
    assert entries == store.page(limit=2_000)
    assert {"cid_conflict": 1_049, "too_old": 1} == store.count()
    run = await store.open_run(Way.STRIP, 1)
    assert 1 == await store.order(run, ["e7"])
    assert await store.discard(["e8"]) == 1
    assert {"cid_conflict": 1_048, "too_old": 1} == store.count()
    await store.close()


async def test_a_file_that_was_brought_up_to_date_is_like_a_new_one(tmp_path):
    """The same tables, columns, indexes and triggers."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    quarantine_version_1.make_file(old, [])
    for path in (old, new):
        await open_quarantine(path, on_upgrade=lambda *_: None).close()

    def schema(path):
        with sqlite3.connect(path) as tool:
            rows = tool.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        tool.close()
        return rows

    assert schema(new) == schema(old)


async def test_the_bytes_of_discarded_events_are_overwritten(tmp_path):
    """Neither in the file nor in its log, while the gateway has both open."""
    path = tmp_path / "quarantine.db"
    serving, command = open_quarantine(path), open_quarantine(path)
    await serving.put([entry(f"e{number}", uid=f"secret-{number}") for number in range(300)])

    assert 300 == await command.discard([f"e{number}" for number in range(300)])
    await command.overwrite()

    for file in tmp_path.iterdir():
        assert b"secret-" not in bytes_of(file)
    await serving.put([entry("e-later")])
    await command.close()
    await serving.close()
