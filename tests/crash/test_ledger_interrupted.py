"""An erasure or an import that is killed in the middle leaves a whole ledger, and can be done to its end afterwards.

Looked at from outside, by plain SQL (`ledger_witness`), and by the product's own check.
"""

from __future__ import annotations

import asyncio
import csv
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest

from gateway.events.model import AuditNote, Claim
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify
from tests.builders import PORTAL_ID
from tests.command_line import environment, run
from tests.crash import ledger_witness
from tests.crash.ledger_witness import ERASE, ERASED, IMPORT
from tests.processes import ROOT, Gateway, until

pytestmark = pytest.mark.crash

PERSON = "55a4a290df001173e4100cd0ae031912"
REASON = "request 2026-118"
UIDS = 2_000
OTHERS = 9_000
NOW_MS = 1_790_000_000_000

# Says when it begins and when it is done, so that it can be killed in between.
ERASER = """
import asyncio, sys
from pathlib import Path
from gateway.ledger.sqlite import open_sqlite_ledger

async def main(path, cid, reason):
    ledger = open_sqlite_ledger(Path(path))
    print("begins", flush=True)
    await ledger.erase(None, cid=cid, reason=reason, now_ms=1_790_000_000_001)
    print("done", flush=True)
    await ledger.close()

asyncio.run(main(*sys.argv[1:]))
"""


def cid_of(number: int) -> str:
    return f"{number:032x}"


async def fill(path: Path) -> None:
    """Make a ledger in which the person has UIDs and addresses among others', and is named in conflicts."""
    ledger = open_sqlite_ledger(path)
    claims = []
    for number in range(UIDS + OTHERS):
        cid = PERSON if number % 5 == 0 and number < 5 * UIDS else cid_of(number)
        keys = (f"{number:064x}",) if number % 7 == 0 else ()
        uid = str(number * 0x9E3779B97F4A7C15 % 2**63)
        claims.append(Claim(portal_id=("33167", "41020")[number % 2], uid=uid, cid=cid, keys=keys))
    for start in range(0, len(claims), 2_000):
        await ledger.bind(claims[start : start + 2_000], NOW_MS)
    conflicts = [
        AuditNote(kind="conflict", portal_id=claim.portal_id, uid=claim.uid, cid=claim.cid, other=PERSON)
        for claim in claims
        if claim.cid != PERSON
    ]
    await ledger.record(conflicts[:300], NOW_MS)
    await ledger.close()


def erasure_of(path: Path) -> tuple[str, list[str]]:
    """Say of a file whether the person is `there`, `erased`, or what is `half`; and what is wrong with the file."""
    state, faults = ledger_witness.witness(path)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        entries = list(ledger_witness.entries(connection))
    traces = {
        "bindings": sum(cid == PERSON for cid in state.bound.values()),
        "addresses": sum(cid == PERSON for cid in state.firsts.values()),
        "entries": sum(PERSON in entry.texts for entry in entries),
    }
    stones = {key for key, cid in state.bound.items() if cid == ERASED}
    told = [entry.key for entry in entries if entry.kind == ERASE and entry.is_tombstone]
    if not stones and not told and all(traces.values()):
        return "there", faults
    if not any(traces.values()) and sorted(told) == sorted(stones) and len(stones) == UIDS:
        return "erased", faults
    return f"half: {traces}, {len(stones)} tombstones, {len(told)} entries of them", faults


def is_in_bytes(path: Path, cid: str) -> bool:
    """Tell whether a CID stands anywhere in the file or in the log beside it."""
    beside = path.with_name(path.name + "-wal")
    return any(bytes.fromhex(cid) in each.read_bytes() for each in (path, beside) if each.exists())


async def problems(path: Path) -> list[object]:
    """Let the product check the file, as the next process to open it."""
    ledger = open_sqlite_ledger(path)
    found = verify(ledger).problems
    await ledger.close()
    return list(found)


async def erase_and_kill(path: Path, seconds: float) -> float:
    """Let another process erase the person, and kill it after a time; give how long it erased."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ERASER, str(path), PERSON, REASON,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begins\n"
    started = time.perf_counter()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.stdout.readline(), seconds)
    spent = time.perf_counter() - started
    process.kill()
    await process.wait()
    return spent


async def test_an_erasure_that_is_killed_is_whole_or_not_there(tmp_path):
    """Killed at eight moments of its work: the person is erased or untouched, and a second erasure leaves no byte of the CID."""
    full = tmp_path / "full.db"
    await fill(full)
    assert ("there", []) == erasure_of(full)
    assert is_in_bytes(full, PERSON)
    path = Path(shutil.copy(full, tmp_path / "ledger.db"))
    whole_seconds = await erase_and_kill(path, 60)
    assert ("erased", []) == erasure_of(path)

    seen = []
    for moment in range(8):
        for left in tmp_path.glob("ledger.db*"):
            left.unlink()
        shutil.copy(full, path)
        await erase_and_kill(path, whole_seconds * moment / 7)
        # The next process repairs the log; nothing else is needed.
        assert [] == await problems(path)
        outcome, faults = erasure_of(path)
        assert [] == faults
        assert outcome in {"there", "erased"}
        seen.append(outcome)
        await erase_and_kill(path, 60)
        assert ("erased", []) == erasure_of(path)
        assert [] == await problems(path)
        assert not is_in_bytes(path, PERSON)
        assert is_in_bytes(path, cid_of(1))
    assert "there" == seen[0]


async def test_half_an_erasure_would_be_seen(tmp_path):
    """A file in which one binding of an erased person, or one address, or one entry is left, is told from a whole erasure."""
    full, path = tmp_path / "full.db", tmp_path / "ledger.db"
    await fill(full)
    shutil.copy(full, path)
    await erase_and_kill(path, 60)
    her = bytes([2]) + bytes.fromhex(PERSON)
    for change in (
        "UPDATE binding SET cid = ? WHERE (portal, uid) = (SELECT portal, uid FROM binding WHERE cid = x'03' LIMIT 1)",
        "INSERT INTO alias VALUES (1, x'0161', ?, 1)",
        "UPDATE audit SET other = ?, salt = zeroblob(16), digest = NULL WHERE seq = (SELECT max(seq) FROM audit WHERE salt IS NULL)",
    ):
        copy = Path(shutil.copy(path, tmp_path / "changed.db"))
        with closing(sqlite3.connect(copy)) as connection, connection:
            for (trigger,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            connection.execute(change, (her,))
        outcome, faults = erasure_of(copy)
        assert outcome.startswith("half: ")
        assert [] != faults


async def test_the_command_line_killed_while_it_erases_leaves_a_whole_ledger(tmp_path):
    """`ledger erase` killed as soon as it writes: the person is erased or untouched, and the command can be given again."""
    shop = Gateway(tmp_path, "http://127.0.0.1:1")
    shop.data_dir.mkdir()
    full, path = tmp_path / "full.db", shop.data_dir / "ledger.db"
    await fill(full)
    command = (
        "ledger",
        "erase",
        "--config",
        shop.config,
        "--cid",
        PERSON,
        "--reason",
        REASON,
        "--yes",
        "--json",
    )
    log = path.with_name("ledger.db-wal")
    for most_bytes in (0, 200_000):
        for left in shop.data_dir.glob("ledger.db*"):
            left.unlink()
        shutil.copy(full, path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *map(str, command),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, env=environment(),
        )  # fmt: skip

        async def writes(most_bytes=most_bytes, process=process):
            return process.returncode is not None or (log.exists() and log.stat().st_size > most_bytes)

        await until(writes, "the erasure writes")
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert [] == await problems(path)
        outcome, faults = erasure_of(path)
        assert (True, []) == (outcome in {"there", "erased"}, faults)

        again = await run(*command)
        assert again.code in {0, 1}, again
        assert (UIDS if outcome == "there" else 0) == len(again.json["erased"])
        assert ("erased", []) == erasure_of(path)
        assert not is_in_bytes(path, PERSON)


async def test_an_import_that_is_killed_again_and_again_takes_each_row_once(tmp_path):
    """`ledger import` killed four times, then resumed to its end: one entry for each row, and what was bound before stays."""
    shop = Gateway(tmp_path, "http://127.0.0.1:1")
    shop.data_dir.mkdir()
    path, rows = shop.data_dir / "ledger.db", tmp_path / "rows.csv"
    numbers = range(1, 40_001)
    uids = {number: str(number * 0x9E3779B97F4A7C15 % 2**63) for number in numbers}
    ledger = open_sqlite_ledger(path)
    taken = [
        Claim(portal_id=PORTAL_ID, uid=uids[number], cid=PERSON) for number in numbers if number % 100 == 0
    ]
    await ledger.bind(taken, NOW_MS)
    await ledger.close()
    with rows.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["portal_id", "uid", "cid", "bound_at"])
        writer.writerows(
            [PORTAL_ID, uids[number], cid_of(number), "2026-01-02T03:04:05.678Z"] for number in numbers
        )
    command = ("ledger", "import", rows, "--config", shop.config, "--json")
    place = rows.with_name("rows.csv.progress")

    def offset() -> int:
        return orjson.loads(place.read_bytes())["offset"] if place.exists() else 0

    for kill in range(4):
        before = offset()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *map(str, command), *(["--resume"] if kill else []),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, env=environment(),
        )  # fmt: skip

        async def is_further(before=before, process=process):
            assert process.returncode is None, "the import ended before it was killed"
            return offset() > before

        await until(is_further, "another batch is in")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert [] == await problems(path)
        assert [] == ledger_witness.witness(path)[1]

    end = await run(*command, "--resume")
    assert 1 == end.code
    assert (len(numbers), len(taken)) == (end.json["rows"], end.json["conflicts"])
    state, faults = ledger_witness.witness(path)
    assert [] == faults
    assert [] == await problems(path)
    expected = {(PORTAL_ID, uids[number]): cid_of(number) if number % 100 else PERSON for number in numbers}
    assert expected == state.bound
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        imported = [entry.key for entry in ledger_witness.entries(connection) if entry.kind == IMPORT]
    assert len(numbers) - len(taken) == len(imported) == len(set(imported))
    with rows.with_name("rows.csv.report.csv").open(encoding="utf-8", newline="") as file:
        reported = [row["uid"] for row in csv.DictReader(file)]
    assert sorted(claim.uid for claim in taken) == sorted(reported)
    assert not place.exists()
