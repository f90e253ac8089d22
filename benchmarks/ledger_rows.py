"""The bindings that the ledger is measured with: as many as wanted, each computed from its number.

So a process that was not there when the file was made knows what is in it, and what is not. UIDs look like those of our script (19
digits, spread evenly), CIDs like MD5, in no order: as in a ledger that grew for years, each lies on a page of its own. A customer
has one UID and a half on average, three of four rows are one portal's.

The file is built by the product's own way in, `import_rows`, audit log included, in batches that are each one run of the index of
customers, as binding leaves them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import uvloop

from benchmarks.machine import CannotMeasure
from gateway.events.model import Claim
from gateway.ledger.contract import BoundUid
from gateway.ledger.customers import RUN_ENTRIES
from gateway.ledger.sqlite import open_sqlite_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Told = Callable[[int], None]

PORTALS = ("33167", "33167", "33167", "41020")
FIRST_MS = 1_700_000_000_000
IMPORTED_MS = 1_790_000_000_000

_MASK = (1 << 64) - 1


def _mixed(number: int) -> int:
    """Give another integer of 64 bits for each (SplitMix64, Steele, Lea and Flood 2014): no two numbers share one."""
    value = (number * 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Population:
    """The rows of a ledger of this size, by their numbers from 0; numbers from `rows` on are in nobody's ledger yet."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._customers = max(1, rows * 2 // 3)

    def portal_id(self, number: int) -> str:
        """Give the portal of a row."""
        return PORTALS[number % len(PORTALS)]

    def uid(self, number: int) -> str:
        """Give the UID of a row: 63 bits as decimal text."""
        return str(_mixed(number) >> 1)

    def cid(self, number: int) -> str:
        """Give the CID of a row: an MD5 in hexadecimal."""
        customer = _mixed(number ^ 0x5EED_0000_0000) % self._customers
        return hashlib.md5(b"customer %d" % customer, usedforsecurity=False).hexdigest()

    def row(self, number: int) -> BoundUid:
        """Give a row as it is imported."""
        return BoundUid(self.portal_id(number), self.uid(number), self.cid(number), FIRST_MS + 1_000 * number)

    def claim(self, number: int, *, keys: int = 0) -> Claim:
        """Give the claim that a sign-in would make, with so many address keys."""
        return Claim(
            portal_id=self.portal_id(number),
            uid=self.uid(number),
            cid=self.cid(number),
            keys=tuple(
                hashlib.sha256(b"address %d of %d" % (key, number)).hexdigest() for key in range(keys)
            ),
            event_id=f"01890000-0000-7000-8000-{number:012x}",
        )


def build(path: Path, population: Population, tell: Told) -> None:
    """Fill a ledger up to the size of the population, going on where an earlier run stopped; `tell` hears of each row's number.

    Raises `CannotMeasure` when the file holds other rows than these.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    uvloop.run(_build(path, population, tell))
    check(path, population)


def check(path: Path, population: Population) -> None:
    """Make sure that the file holds this population and nothing else. Raises `CannotMeasure`."""
    ledger = open_sqlite_ledger(path, read_only=True)
    try:
        stats = ledger.stats()
        last = population.rows - 1
        held = [ledger.lookup(population.portal_id(n), population.uid(n)).cid for n in (0, last // 2, last)]
    finally:
        uvloop.run(ledger.close())
    expected = [population.cid(n) for n in (0, last // 2, last)]
    if (stats.rows, stats.audit_entries, held) != (population.rows, population.rows, expected):
        raise CannotMeasure(
            f"{path} holds {stats.rows:,} bindings and {stats.audit_entries:,} entries, not the {population.rows:,} that are measured; "
            "name another file with --file, or remove it"
        )


async def _build(path: Path, population: Population, tell: Told) -> None:
    ledger = open_sqlite_ledger(path, cache_entries=0)
    try:
        # Rows come in the order of their numbers, in whole batches.
        number = ledger.stats().rows
        tell(number)
        while number < population.rows:
            end = min(number + RUN_ENTRIES, population.rows)
            batch = sorted((population.row(each) for each in range(number, end)), key=_place)
            answers = await ledger.import_rows(batch, IMPORTED_MS)
            if not all(answer.is_new for answer in answers):
                raise CannotMeasure(
                    f"{path} holds other rows than those of this benchmark: name another with --file"
                )
            number = end
            tell(number)
    finally:
        await ledger.close()


def _place(row: BoundUid) -> tuple[str, int]:
    return row.portal_id, int(row.uid)
