"""Tombstones that are imported into the ledger's file: nothing of the buried is left in its bytes, whatever others write meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.events.model import AuditNote, Claim
from gateway.ledger.contract import BoundUid
from gateway.ledger.importer import import_rows
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify
from gateway.ledger.versions import LEDGER_FILE
from gateway.storage.sqlite_access import SqliteWriter

PORTAL = "33167"
LAN, MINH = "55a4a290df001173e4100cd0ae031912", "7d793037a0760186574b0282f2f435e7"
EMAIL, PHONE = "e1" * 32, "f1" * 32
STONE = BoundUid(PORTAL, "1", "", 7, 7, "ticket 7")


class BetweenLookAndLock(SqliteWriter):
    """Lets somebody else do something once, behind the first thing that is run."""

    def __init__(self, path, meanwhile) -> None:
        super().__init__(path, LEDGER_FILE, patience_seconds=5)
        self._meanwhile = meanwhile

    def run(self, work):
        result = super().run(work)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            thread = threading.Thread(target=lambda: asyncio.run(meanwhile()))
            thread.start()
            thread.join()
        return result


def stands_in_bytes(path, id_) -> bool:
    """Tell whether an id stands anywhere in the file or in the log beside it."""
    log = path.with_name(path.name + "-wal")
    return any(bytes.fromhex(id_) in each.read_bytes() for each in (path, log) if each.exists())


def claim(uid, cid, *keys) -> Claim:
    return Claim(portal_id=PORTAL, uid=uid, cid=cid, keys=keys)


def conflict(uid, held, claimed) -> AuditNote:
    return AuditNote(kind="conflict", portal_id=PORTAL, uid=uid, cid=held, other=claimed)


@pytest.fixture
async def path(tmp_path):
    """A ledger with Lan, who is named in a conflict of Minh's."""
    file = tmp_path / "ledger.db"
    ledger = open_sqlite_ledger(file)
    await ledger.bind([claim("1", LAN, EMAIL), claim("2", MINH, PHONE)], 5)
    await ledger.record([conflict("2", MINH, LAN)], 6)
    await ledger.close()
    return file


async def test_the_bytes_of_a_buried_customer_are_gone(path):
    """Her CID and address key, in the file and its log; those of others stay."""
    assert all(stands_in_bytes(path, each) for each in (LAN, EMAIL, MINH, PHONE))
    ledger = open_sqlite_ledger(path)

    await ledger.import_rows([STONE], 9)

    assert [False, False, True, True] == [stands_in_bytes(path, each) for each in (LAN, EMAIL, MINH, PHONE)]
    assert [] == verify(ledger).problems
    await ledger.close()


async def bind_her_elsewhere(ledger) -> None:
    """She signs in on another device: she has a UID that is not buried."""
    await ledger.bind([claim("3", LAN, EMAIL)], 8)


async def say_more_of_her(ledger) -> None:
    """Another address, and another conflict that names her."""
    await ledger.bind([claim("1", LAN, PHONE[::-1])], 8)
    await ledger.record([conflict("4", MINH, LAN)], 8)


async def bind_the_free_one(ledger) -> None:
    """A UID that had nobody gets a customer with an address, who is named too."""
    await ledger.bind([claim("9", "9" * 32, "99" * 32)], 8)
    await ledger.record([conflict("4", MINH, "9" * 32)], 8)


@pytest.mark.parametrize(
    ("meanwhile", "gone", "left"),
    [
        (bind_her_elsewhere, [], [LAN, EMAIL]),
        (say_more_of_her, [LAN, EMAIL, PHONE[::-1]], []),
        (bind_the_free_one, [LAN, EMAIL, "9" * 32, "99" * 32], []),
    ],
)
async def test_what_is_said_while_a_burial_is_prepared_goes_too(path, meanwhile, gone, left):
    """Between the look and the lock another process may write; what holds then decides."""

    async def write() -> None:
        other = open_sqlite_ledger(path)
        await meanwhile(other)
        await other.close()

    writer = BetweenLookAndLock(path, write)
    stones = [STONE, BoundUid(PORTAL, "9", "", 7, 7, "ticket 8")]

    answers = await asyncio.to_thread(import_rows, writer, stones, 9, buries=True)

    writer.close()
    ledger = open_sqlite_ledger(path)
    assert [(LAN, True), ("9" * 32 if "99" * 32 in gone else None, True)] == [
        (each.cid, each.is_new) for each in answers
    ]
    assert all(ledger.lookup(PORTAL, uid).is_erased for uid in "19")
    assert [] == verify(ledger).problems
    told = {text for entry in ledger.audit() for text in (entry.cid, entry.other)}
    assert not told & set(gone)
    assert [] == [each for each in gone if stands_in_bytes(path, each)]
    assert left == [each for each in left if stands_in_bytes(path, each)]
    assert (1 + len(left) // 2, 2) == (ledger.stats().aliases, ledger.stats().erased)
    await ledger.close()
