"""One ledger's file, several real processes: they agree on every CID, and a person may look in while they run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.events.model import Claim
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

ROOT = Path(__file__).parents[2]

RACER = """
import asyncio, json, random, sys
from pathlib import Path
from gateway.events.model import Claim
from gateway.ledger.sqlite import open_sqlite_ledger

async def main(path, name):
    ledger = open_sqlite_ledger(Path(path), cache_entries=16)
    print("ready", flush=True)
    sys.stdin.readline()

    async def claim_all(cid):
        uids = [str(number) for number in range(60)]
        random.shuffle(uids)
        answers = {}
        for start in range(0, 60, 3):
            some = uids[start:start + 3]
            for uid, bound in zip(some, await ledger.bind([Claim(portal_id="1", uid=uid, cid=cid) for uid in some], 1)):
                answers[uid] = (bound.cid, bound.is_new)
        return answers

    answers = await asyncio.gather(*(claim_all(f"cid-{name}-{task}") for task in range(5)))
    await ledger.close()
    print(json.dumps(answers), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""

READER = """
import os, sys
from pathlib import Path
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.contract import LedgerUnavailable

if os.getuid() == 0:
    os.setuid(65534)
path = Path(sys.argv[1])
print(open_sqlite_ledger(path, read_only=True).lookup("1", "900").cid)
try:
    open_sqlite_ledger(path)
except LedgerUnavailable as error:
    print(error.hint)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def test_processes_that_race_for_the_same_uids_agree_on_one_cid_each(tmp_path):
    """Four processes open a new file at once and claim 60 UIDs for 20 CIDs: each UID has one winner, all are told it."""
    path = tmp_path / "ledger.db"
    racers = [start(RACER, path, name) for name in range(4)]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 4
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [answers for racer in racers for answers in json.loads(racer.communicate(timeout=60)[0])]

    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(told) == 20
    ledger = open_sqlite_ledger(path, read_only=True)
    held = {str(uid): ledger.lookup("1", str(uid)).cid for uid in range(60)}
    assert [{uid: cid for uid, (cid, _) in answers.items()} for answers in told] == [held] * 20
    winners = {uid: [cid for answers in told for cid, is_new in [answers[uid]] if is_new] for uid in held}
    assert winners == {uid: [cid] for uid, cid in held.items()}
    assert ledger.stats().rows == 60
    assert verify(ledger).problems == []
    await ledger.close()


@pytest.fixture
def folder():
    # Not pytest's own: others than its owner may not even pass through that one.
    made = Path(tempfile.mkdtemp(prefix="ledger-"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


async def test_a_ledger_can_be_read_by_somebody_who_may_not_write(folder):
    """Without a running server, a user who can neither write the file nor its directory may still look up."""
    path = folder / "ledger.db"
    ledger = open_sqlite_ledger(path)
    await ledger.bind([Claim(portal_id="1", uid="900", cid="c900")], 1)
    await ledger.close()
    path.chmod(0o444)
    folder.chmod(0o555)

    told, _ = start(READER, path).communicate(timeout=60)

    assert told.splitlines()[0] == "c900"
    assert f"let the gateway's user write {path}" in told.splitlines()[1]
    assert [file.name for file in folder.iterdir()] == ["ledger.db"]


async def test_a_running_ledger_can_be_read_by_somebody_who_may_not_write(folder):
    """Beside a running server, a user whose group was let in sees what was bound a moment ago."""
    path = folder / "ledger.db"
    await open_sqlite_ledger(path).close()
    path.chmod(0o640)
    ledger = open_sqlite_ledger(path)
    await ledger.bind([Claim(portal_id="1", uid="900", cid="c900")], 1)

    told, _ = start(READER, path).communicate(timeout=60)

    assert told.splitlines()[0] == "c900"
    await ledger.close()
