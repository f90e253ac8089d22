"""Four processes bind the same UIDs in one file and are killed in the middle of it: the first CID wins, whoever dies.

What is right is decided from outside, by what each process wrote down when it was told and by the file itself
(`ledger_witness`). That the outsider sees a change is shown too: here is a file in which somebody changes what the ledger would never.
`TRACKING_GATEWAY_RACE_BINDS` sets how many claims each process makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify
from tests.crash import ledger_witness
from tests.crash.ledger_racer import read_journal
from tests.crash.ledger_witness import faults_of

ROOT = Path(__file__).parents[2]
RACERS = 4
SEED = 20_261_123
BINDS = int(os.environ.get("TRACKING_GATEWAY_RACE_BINDS", "5000"))
KILLS = 8 + BINDS // 2_500
SECONDS = 90 + BINDS // 100

pytestmark = pytest.mark.crash


class Field:
    """The racers' processes and journals; one that was killed is started again at once."""

    def __init__(self, folder: Path, binds: int, *, erases: bool) -> None:
        self.ledger = folder / "ledger.db"
        self.journals = [folder / f"journal-{racer}" for racer in range(RACERS)]
        self._binds = binds
        self._erases = erases
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._read = [0] * RACERS
        self._lines = [0] * RACERS

    async def start(self, racer: int) -> None:
        """Let a racer begin, or go on where its journal ends."""
        arguments = (self.ledger, self.journals[racer], racer, SEED, self._binds, int(self._erases))
        self._running[racer] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.ledger_racer", *map(str, arguments),
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def running(self) -> list[int]:
        """Give the racers that still run; one that ended by itself must have come to its end."""
        for racer, process in list(self._running.items()):
            if process.returncode is not None:
                assert process.returncode == 0, f"racer {racer} failed, see its error above"
                del self._running[racer]
        return sorted(self._running)

    def answered(self) -> int:
        """Give how many batches were answered so far, by all."""
        for racer, journal in enumerate(self.journals):
            with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
                file.seek(self._read[racer])
                more = file.read()
                self._read[racer] += len(more)
                self._lines[racer] += more.count(b"\n")
        return sum(self._lines)

    async def kill(self, racer: int) -> None:
        """End one as a crash would, in the middle of whatever it does, and start it again."""
        process = self._running.pop(racer)
        process.kill()
        assert await process.wait() in {-signal.SIGKILL, 0}
        # A line that was cut off is cut away by the next process, so what was counted of it is counted again.
        self._read[racer] = self._lines[racer] = 0
        await self.start(racer)

    async def end(self) -> None:
        """Let nobody run on."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def race(folder: Path, binds: int, kills: int, *, erases: bool = False) -> tuple[Field, float, int]:
    """Run a race to its end; give the field, its seconds, and how often somebody was killed."""
    field, dice, killed = Field(folder, binds, erases=erases), random.Random(SEED), 0
    started = time.monotonic()
    try:
        for racer in range(RACERS):
            await field.start(racer)
        goal = dice.randrange(20)
        while running := field.running():
            assert time.monotonic() - started < SECONDS, "the race did not end in time"
            if killed < kills and field.answered() >= goal:
                await field.kill(dice.choice(running))
                killed += 1
                # Sometimes right after the last one, so that somebody dies while starting or while the log is repaired.
                goal = field.answered() + dice.choice((0, dice.randrange(1, 2 + binds // (2 * kills))))
            await asyncio.sleep(dice.random() * 0.01)
    finally:
        await field.end()
    return field, time.monotonic() - started, killed


@pytest.mark.timeout(SECONDS + 120)
async def test_racing_processes_that_are_killed_never_change_a_binding(tmp_path, capsys):
    """Whatever 4 racing processes were told still holds, for all of them, however often one was killed: 0 bindings changed."""
    field, seconds, killed = await race(tmp_path, BINDS, KILLS)

    journals = [read_journal(journal) for journal in field.journals]
    assert [] == faults_of(field.ledger, journals)
    assert [BINDS] * RACERS == [sum(line.claims for line in journal) for journal in journals]
    assert killed == KILLS
    raced = sum(line.raced for journal in journals for line in journal)
    told = sum(len(line.told) for journal in journals for line in journal)
    again = sum(line.again for journal in journals for line in journal)
    assert raced > 0, "nobody was ever overtaken: this was no race"

    state, _ = ledger_witness.witness(field.ledger)
    ledger = open_sqlite_ledger(field.ledger)
    stats = ledger.stats()
    assert (len(state.bound), len(state.firsts)) == (stats.rows, stats.aliases)
    assert state.bound == {(row.portal_id, row.uid): row.cid for row in ledger.export()}
    by_cid = sorted(set(state.bound.values()))
    for cid in random.Random(SEED).sample(by_cid, min(500, len(by_cid))):
        expected = {key for key, bound in state.bound.items() if bound == cid}
        assert expected == {(row.portal_id, row.uid) for row in ledger.uids_of(cid)}
    found = verify(ledger)
    assert [] == found.problems
    assert (stats.rows, stats.audit_entries) == (found.rows, found.entries)
    await ledger.close()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{RACERS} x {BINDS:,} claims in {seconds:.1f} s: {RACERS * BINDS / seconds:,.0f} a second; {killed} kills; "
            f"{told:,} answers with a CID, {stats.rows:,} bindings, {stats.aliases:,} address keys, {stats.audit_entries:,} entries; "
            f"overtaken {raced:,} times, {again} batches tried again; 0 bindings changed\n"
        )


@pytest.mark.timeout(SECONDS + 120)
async def test_who_is_forgotten_in_the_middle_of_a_race_is_never_bound_again(tmp_path):
    """One racer erases customers while all bind their UIDs and are killed: tombstones stay, all others keep what they were told."""
    field, _, killed = await race(tmp_path, 3_000, 6, erases=True)

    assert [] == faults_of(field.ledger, map(read_journal, field.journals), erases=True)
    state, _ = ledger_witness.witness(field.ledger)
    stones = {key for key, cid in state.bound.items() if cid == ledger_witness.ERASED}
    assert (6, True) == (killed, len(stones) > 10)
    ledger = open_sqlite_ledger(field.ledger)
    assert [] == verify(ledger).problems
    assert stones == {(row.portal_id, row.uid) for row in ledger.export() if row.erased_ms is not None}
    await ledger.close()


def rewritten(connection: sqlite3.Connection, cid: bytes) -> None:
    """Give the first binding of a file another CID and write the whole log anew, so that nothing in the file contradicts it."""
    portal, uid = connection.execute("SELECT portal, uid FROM audit WHERE seq = 1").fetchone()
    connection.execute("UPDATE binding SET cid = ? WHERE portal = ? AND uid = ?", (cid, portal, uid))
    connection.execute("UPDATE audit SET cid = ? WHERE seq = 1", (cid,))
    chain = bytes(32)
    for entry in ledger_witness.entries(connection):
        chain = entry.link(chain)
        connection.execute("UPDATE audit SET chain = ? WHERE seq = ?", (chain, entry.seq))


def bound_twice(connection: sqlite3.Connection, cid: bytes) -> None:
    """Append an entry, chained as it must be, that binds the first UID to another CID."""
    last, chain = connection.execute("SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    connection.execute(
        "INSERT INTO audit SELECT ?, at_ms, 1, portal, uid, ?, NULL, NULL, NULL, salt, NULL, ? FROM audit WHERE seq = 1",
        (last + 1, cid, bytes(32)),
    )
    *_, entry = ledger_witness.entries(connection)
    connection.execute("UPDATE audit SET chain = ? WHERE seq = ?", (entry.link(chain), entry.seq))


CHANGES = {
    "a binding is overwritten": (
        "UPDATE binding SET cid = ? WHERE (portal, uid) = (SELECT portal, uid FROM audit WHERE seq = 1)",
        {"is stored", "was told"},
    ),
    "a binding goes away": (
        "DELETE FROM binding WHERE (portal, uid) = (SELECT portal, uid FROM audit WHERE seq = 1 AND ? IS NOT NULL)",
        {"None is stored", "counts"},
    ),
    "a binding comes from nowhere": (
        "INSERT INTO binding VALUES (1, x'0161', ?, 1)",
        {"nothing tells of it", "counts"},
    ),
    "an entry is changed": ("UPDATE audit SET cid = ? WHERE seq = 1", {"the chain is broken", "is stored"}),
    "an entry is left out": ("DELETE FROM audit WHERE seq = 2 AND ? IS NOT NULL", {"follows 1"}),
    "an address changes hands": ("UPDATE alias SET cid = ?", {"was told"}),
    "a UID is bound a second time": (bound_twice, {"a second time"}),
    "all of history is written anew": (rewritten, {"was told"}),
}


@pytest.mark.timeout(SECONDS + 120)
async def test_whoever_breaks_the_first_binding_is_seen(tmp_path):
    """A file that was changed behind the ledger's back, even with its log written anew, is not taken for the one of the race."""
    field, _, _ = await race(tmp_path, 600, 0)
    journals = [read_journal(journal) for journal in field.journals]
    assert [] == faults_of(field.ledger, journals)
    for name, (change, words) in CHANGES.items():
        copy = shutil.copy(field.ledger, tmp_path / "changed.db")
        with closing(sqlite3.connect(copy)) as connection, connection:
            for (trigger,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            if callable(change):
                change(connection, b"\x00somebody")
            else:
                connection.execute(change, (b"\x00somebody",))
        faults = faults_of(copy, journals)
        assert words == {word for word in words if any(word in fault for fault in faults)}, (name, faults[:5])

    # And a racer who was told something else than all others.
    line = next(line for line in journals[0] if line.told)
    portal_id, uid, _, event_id = line.told[0]
    line.told[0] = (portal_id, uid, "somebody", event_id)
    assert any("somebody was told" in fault for fault in faults_of(field.ledger, journals))
