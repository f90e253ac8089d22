"""One of several processes that bind the same UIDs in one ledger, and write down what they were told.

``python ledger_racer.py LEDGER JOURNAL RACER SEED BINDS ERASES``

What a racer claims follows from the seed and its number alone, in rounds of 500 claims: so one that was killed goes on with the
batches of which its journal does not say that they were answered. All racers draw from the same UIDs, mostly from those that are new
at that part of the race. They claim several customers for one UID, in three portals, with address keys, spellings of one CID, keys of
before a rotation, and neighbours who share a phone. Beside that, each batch claims a UID that is named after the moment, for a customer
of this racer's own: all racers find it unbound at once, however far apart they are. With ERASES the first racer forgets three
customers of the newest after each of its rounds.

A line of the journal is written straight to the system, as soon as `bind` returned; `Line` says what is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import sys
import time
import uuid
from collections import deque
from pathlib import Path

import msgspec

from gateway.events.model import AuditNote, Binding, Claim
from gateway.ledger.contract import Ledger, LedgerUnavailable
from gateway.ledger.sqlite import open_sqlite_ledger

PORTALS = ("33167", "41020", "cửa hàng")
ROUND_CLAIMS = 500
# The first and last size of a batch of a round, and the tasks that work on its batches at the same time.
STYLES = ((1, 2, 8), (1, 20, 1), (1, 20, 4), (10, 60, 2), (50, 200, 3), (500, 500, 1))
NOW_MS = 1_790_000_000_000
MOMENT_NS = 10_000_000


class Line(msgspec.Struct, array_like=True):
    """A batch that was answered: which one, of how many claims, and what was told.

    `told` are [portal_id, uid, cid, event id] of each claim that got a CID, the event id only where it was told to be new; `firsts` are
    [portal_id, address key, cid] of each alias. `claims` are without the one of the moment, which `raced` counts when it was unbound just before and another
    racer's after. `again` is how often the ledger was not available. `odd` are answers that no ledger may give.
    """

    round: int
    batch: int
    claims: int
    told: list[tuple[str, str, str, str]]
    firsts: list[tuple[str, str, str]]
    raced: int
    again: int
    odd: list[str]


class Customer:
    """Somebody with a CID in two spellings and an address under two keys."""

    def __init__(self, number: int) -> None:
        name = b"customer %d" % number
        self.cid = f"customer-{number}" if number % 10 == 0 else hashlib.md5(name).hexdigest()
        self.other_cid = hashlib.sha256(name).hexdigest()
        self.key = hashlib.sha256(b"new" + name).hexdigest()
        self.older_key = hashlib.sha256(b"old" + name).hexdigest()


def claims_of(racer: int, seed: int, round_: int, binds: int) -> list[Claim]:
    """Give the claims of one round of one racer."""
    dice = random.Random(f"{seed} {racer} {round_}")
    claims = []
    for index in range(min(ROUND_CLAIMS, binds - round_ * ROUND_CLAIMS)):
        # Half as many UIDs as one racer makes claims.
        newest = (round_ * ROUND_CLAIMS + index) // 2
        visitor = (
            max(0, newest - int(dice.expovariate(0.02)))
            if dice.random() < 0.8
            else dice.randrange(newest + 1)
        )
        portal_id = PORTALS[visitor % len(PORTALS)]
        event_id = str(uuid.UUID(int=dice.getrandbits(128)))
        if dice.random() < 0.1:
            claims.append(Claim(portal_id=portal_id, uid=uid_of(visitor), event_id=event_id))
            continue
        # Of the few who use this device; neighbours have neighbouring numbers.
        customer = Customer(visitor // 3 + dice.choice((0, 0, 0, 1, 2)))
        cid, same = customer.cid, ()
        if dice.random() < 0.2:
            cid, same = customer.other_cid, (customer.cid,)
        keys, older_keys = (), ()
        if dice.random() < 0.5:
            keys = (customer.older_key,) if dice.random() < 0.2 else (customer.key,)
            older_keys = (customer.older_key,) if keys == (customer.key,) else ()
            if dice.random() < 0.2:
                keys += (Customer(visitor // 3 + 3).key,)
        claims.append(
            Claim(
                portal_id=portal_id,
                uid=uid_of(visitor),
                cid=cid,
                same=same,
                keys=keys,
                older_keys=older_keys,
                holds_alias=dice.random() < 0.1,
                event_id=event_id,
            )
        )
    return claims


def uid_of(visitor: int) -> str:
    """Give the UID of a visitor: nearly all are numbers."""
    if visitor % 20 == 7:
        return str(uuid.UUID(int=visitor * 0x9E3779B97F4A7C15))
    if visitor % 20 == 13:
        return f"khách {visitor}"
    return str((visitor * 0x9E3779B97F4A7C15) % 2**63)


def batches_of(racer: int, seed: int, round_: int, binds: int) -> tuple[list[list[Claim]], int]:
    """Give the batches of one round, and how many tasks work on them at the same time."""
    dice = random.Random(f"{seed} {racer} {round_} batches")
    smallest, largest, tasks = dice.choice(STYLES)
    claims, batches = claims_of(racer, seed, round_, binds), []
    while claims:
        size = dice.randint(smallest, largest)
        batches.append(claims[:size])
        claims = claims[size:]
    return batches, tasks


def read_journal(path: Path) -> list[Line]:
    """Give the whole lines of a journal; the last one may have been cut off by a kill."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [msgspec.json.decode(line, type=Line) for line in whole.splitlines()]


class Racer:
    """Goes through the rounds, and writes each answer down."""

    def __init__(self, ledger: Ledger, journal: int, racer: int, *, erases: bool) -> None:
        self._ledger = ledger
        self._journal = journal
        self._erases = erases
        self._cid = f"racer-{racer}"

    async def run(
        self, round_: int, batches: list[list[Claim]], tasks: int, done: set[tuple[int, int]]
    ) -> None:
        """Bind the batches of a round that are not done."""
        waiting = deque(
            (number, batch) for number, batch in enumerate(batches) if (round_, number) not in done
        )

        async def work() -> None:
            while waiting:
                number, batch = waiting.popleft()
                line = await self._bind(round_, number, batch)
                os.write(self._journal, msgspec.json.encode(line) + b"\n")

        await asyncio.gather(*(work() for _ in range(tasks)))

    async def erase(self, dice: random.Random, round_: int) -> None:
        """Forget three customers who came lately."""
        newest = round_ * ROUND_CLAIMS // 6
        for _ in range(3):
            cid = Customer(dice.randrange(newest // 2, newest + 1)).cid
            for _ in range(50):
                # It may be said not to be available because another one reads, when all is done but the cutting of the log.
                with contextlib.suppress(LedgerUnavailable):
                    await self._ledger.erase(None, cid=cid, reason="race", now_ms=NOW_MS + round_)
                    break
                await asyncio.sleep(0.02)

    async def _bind(self, round_: int, number: int, batch: list[Claim]) -> Line:
        line = Line(round_, number, len(batch), [], [], 0, 0, [])
        moment = time.time_ns() // MOMENT_NS
        batch = [*batch, Claim(portal_id=PORTALS[0], uid=f"moment {moment}", cid=self._cid)]
        while True:
            try:
                self._ledger.refresh()
                was_unbound = [self._ledger.lookup(claim.portal_id, claim.uid).cid is None for claim in batch]
                answers = await self._ledger.bind(batch, NOW_MS + round_)
                notes = [
                    AuditNote(
                        kind="conflict", portal_id=claim.portal_id, uid=claim.uid, cid=answer.cid, other=claim.cid,
                        note="quarantine", event_id=claim.event_id,
                    )
                    for claim, answer in zip(batch, answers, strict=True)
                    if answer.cid and claim.cid and answer.cid not in (claim.cid, *claim.same) and number % 4 == 0
                ]  # fmt: skip
                await self._ledger.record(notes, NOW_MS + round_)
                # Erasures of others are heard of here, so that what the answers told holds for the look-ups.
                self._ledger.refresh()
                held = [self._ledger.lookup(claim.portal_id, claim.uid) for claim in batch]
                break
            except LedgerUnavailable as error:
                # A kill leaves a log that has to be repaired first. Binding again is safe; for ever it would not be.
                line.again += 1
                if line.again > 50:
                    raise
                sys.stderr.write(f"{error}\n")
                await asyncio.sleep(0.02)
        for claim, unbound, answer, now in zip(batch, was_unbound, answers, held, strict=True):
            key = (claim.portal_id, claim.uid)
            if answer.cid is not None:
                line.told.append((*key, answer.cid, claim.event_id if answer.is_new else ""))
                line.raced += unbound and claim.cid == self._cid != answer.cid
            line.firsts += [(claim.portal_id, alias.key, alias.cid) for alias in answer.aliases]
            line.odd += [f"{key}: {what}" for what in _oddities(claim, answer, now, erases=self._erases)]
        return line


def _oddities(claim: Claim, answer: Binding, now: Binding, *, erases: bool) -> list[str]:
    """Say what no ledger may answer to a claim, nor to a look-up right afterwards."""
    odd = []
    if answer.is_erased and not now.is_erased:
        odd.append("erased, and then not")
    if erases and (answer.is_erased or now.is_erased):
        # It may have been erased between the answer and the look-up.
        return odd
    if answer.is_erased or now.is_erased:
        odd.append("erased, and nobody was")
    if answer.is_new and answer.cid not in (claim.cid, *claim.same):
        odd.append("bound to somebody who was not claimed")
    if answer.cid is None and claim.cid is not None and not (answer.aliases and claim.holds_alias):
        odd.append("not bound without a reason")
    if answer.cid is not None and now.cid != answer.cid:
        odd.append("looked up otherwise than it was answered")
    if any(alias.cid in (claim.cid, *claim.same) for alias in answer.aliases):
        odd.append("an alias of the claim's own customer")
    return odd


async def race(path: Path, journal: Path, racer: int, seed: int, binds: int, erases: int) -> None:
    """Make this racer's claims that its journal does not have yet."""
    descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    lines = read_journal(journal)
    # A line that was cut off was never read by anybody: its batch is done again.
    os.ftruncate(descriptor, journal.read_bytes().rfind(b"\n") + 1)
    done = {(line.round, line.batch) for line in lines}
    # A small cache, so that most look-ups ask the file.
    ledger = open_sqlite_ledger(path, cache_entries=2_000)
    runner = Racer(ledger, descriptor, racer, erases=bool(erases))
    # Rounds come one after the other: those before the last one are whole.
    for round_ in range(max((line.round for line in lines), default=0), -(-binds // ROUND_CLAIMS)):
        batches, tasks = batches_of(racer, seed, round_, binds)
        await runner.run(round_, batches, tasks, done)
        if erases and racer == 0:
            await runner.erase(random.Random(f"{seed} {round_} erasure"), round_)
    await ledger.close()
    os.close(descriptor)


if __name__ == "__main__":
    asyncio.run(race(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])))
