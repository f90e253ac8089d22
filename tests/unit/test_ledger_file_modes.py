"""The stores' files are their owner's alone: the ledger's and the quarantine's, and what SQLite keeps beside them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.events.model import Claim, QuarantineEntry, Record
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.sqlite import open_quarantine
from tests.processes import ROOT


@pytest.fixture(params=["ledger", "quarantine"])
def store(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    """Give a folder that everybody may enter and read, as `mkdir` or a container's volume makes it."""
    made = tmp_path / "data"
    made.mkdir()
    made.chmod(0o755)
    return made


@pytest.fixture(params=["000", "022", "277"])
def umask(request):
    before = os.umask(int(request.param, 8))
    yield
    os.umask(before)


async def written(folder, store):
    """Open a store and write something, so that its log and its shared memory are there; give it, still open."""
    path = folder / f"{store}.db"
    if store == "ledger":
        ledger = open_sqlite_ledger(path)
        await ledger.bind([Claim(portal_id="1", uid=os.urandom(8).hex(), cid="c")], 1)
        return ledger
    quarantine = open_quarantine(path)
    record = Record("e1", "1", "2", "3", 1, "portal_id=1", b"{}")
    held = {"event_id": "e1", "portal_id": "1", "prop_id": "2", "uid": "3", "reason": "cid_conflict"}
    await quarantine.put([QuarantineEntry(**held, detail="", held_ms=1, record=record)])
    return quarantine


def modes(folder) -> dict[str, str]:
    return {file.name: f"{file.stat().st_mode & 0o777:o}" for file in sorted(folder.iterdir())}


async def test_new_files_are_their_owners_alone(folder, store, umask):
    """Whatever the umask and the folder allow, nobody else may read or write the file, its log or its shared memory."""
    opened = await written(folder, store)

    assert {f"{store}.db": "600", f"{store}.db-shm": "600", f"{store}.db-wal": "600"} == modes(folder)
    await opened.close()


async def test_files_that_were_open_to_others_are_closed_to_them(folder, store):
    """A file of an earlier version, and what a killed gateway left beside it, is tightened when it is opened for writing."""
    opened = await written(folder, store)
    for file in folder.iterdir():
        file.chmod(0o644)

    again = await written(folder, store)

    assert {"600"} == set(modes(folder).values())
    await again.close()
    await opened.close()


async def test_a_group_that_was_let_in_stays(folder, store):
    """What somebody has decided for the file holds at the next start, for what stands beside it, too."""
    await (await written(folder, store)).close()
    (folder / f"{store}.db").chmod(0o640)

    opened = await written(folder, store)

    assert {"640"} == set(modes(folder).values())
    await opened.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_files_of_somebody_else_are_left_as_they_are(folder, store):
    """Root's command on the gateway's file does not decide who may read that."""
    await (await written(folder, store)).close()
    path = folder / f"{store}.db"
    path.chmod(0o640)
    os.chown(path, 4_711, 4_711)

    opened = await written(folder, store)

    assert "640" == modes(folder)[path.name]
    await opened.close()


async def test_opening_a_file_again_keeps_the_locks_of_this_process(folder):
    """A second store over one file in the same process takes no lock away: another process still can't write in between."""
    ledger = await written(folder, "ledger")
    path = folder / "ledger.db"
    ledger._writer._connection.execute("BEGIN IMMEDIATE")
    other = open_sqlite_ledger(path)
    intruder = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('BEGIN IMMEDIATE')"

    ended = subprocess.run(
        [sys.executable, "-c", intruder, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "database is locked" in ended.stderr
    ledger._writer._connection.execute("ROLLBACK")
    await other.close()
    await ledger.close()


async def test_reading_changes_no_mode(folder, store):
    """Who only reads leaves the file as it is."""
    await (await written(folder, store)).close()
    (folder / f"{store}.db").chmod(0o644)

    read = open_sqlite_ledger if store == "ledger" else open_quarantine
    await read(folder / f"{store}.db", read_only=True).close()

    assert "644" == modes(folder)[f"{store}.db"]
