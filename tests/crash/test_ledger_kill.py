"""A binding that was answered outlives the process, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

ROOT = Path(__file__).parents[2]
UIDS = 20_000

BINDER = """
import asyncio, os, random, sys
from pathlib import Path
from gateway.events.model import Claim
from gateway.ledger.sqlite import open_sqlite_ledger

async def main(path, name, uids):
    ledger = open_sqlite_ledger(Path(path))

    async def bind(task):
        while True:
            some = [str(random.randrange(int(uids))) for _ in range(random.randrange(1, 20))]
            bound = await ledger.bind([Claim(portal_id="1", uid=uid, cid=f"cid-{name}-{task}", keys=(f"k{uid}",)) for uid in some], 1)
            os.write(1, "".join(f"{uid} {each.cid}\\n" for uid, each in zip(some, bound)).encode())

    await asyncio.gather(*(bind(task) for task in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.crash
async def test_every_answered_binding_survives_sigkill(tmp_path):
    """Kill -9 in the middle of binding, six times over one file: each answer that ever left still holds."""
    path = tmp_path / "ledger.db"
    answered: dict[str, str] = {}
    for name in range(6):
        binder = subprocess.Popen(
            [sys.executable, "-c", BINDER, str(path), str(name), str(UIDS)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        lines = [binder.stdout.readline() for _ in range(300 + 400 * name)]
        binder.send_signal(signal.SIGKILL)
        rest, _ = binder.communicate(timeout=30)
        assert binder.returncode == -signal.SIGKILL
        for line in [*lines, *rest.splitlines(keepends=True)]:
            uid, cid = line.split()
            # Also: a later process never answers otherwise than an earlier one did.
            assert answered.setdefault(uid, cid) == cid

    ledger = open_sqlite_ledger(path)
    assert {uid: ledger.lookup("1", uid).cid for uid in answered} == answered
    assert ledger.stats().rows >= len(answered)
    # Also what was cut short: there is no binding without its entry, and no entry without its binding.
    assert verify(ledger).problems == []
    assert len({cid.rsplit("-", 1)[0] for cid in answered.values()}) == 6
    await ledger.close()
