"""A spool's files at rest, damaged at random: whatever was not touched is delivered, the rest is counted, and opening never refuses.

`TRACKING_GATEWAY_SPOOL_RUNS` says how many times more than usual, `TRACKING_GATEWAY_SPOOL_SEED` where to begin.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from gateway.spool.layout import DATA_START, INDEX_BITS, decode_head, scan
from gateway.spool.segments import Tuning, open_segment_spool
from tests.spool_disks import MORE, first_seed

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.spool.contract import Entry

SEGMENT = 16 << 10
TUNING = Tuning(tail_entries=6, tail_bytes=6000, flush_seconds=0.001)
RUNS = 60 * MORE


class Place:
    """Where a record is, or was, on the disk."""

    def __init__(self, path: Path, start: int, end: int):
        self.path, self.start, self.end = path, start, end


async def make(directory: Path, dice: random.Random) -> tuple[list[bytes], set[bytes]]:
    """Fill a spool, give what still waits in order and what was acknowledged."""
    spool = await open_segment_spool(directory, segment_bytes=SEGMENT, tuning=TUNING)
    payloads = [
        b"<%d>" % n + dice.randbytes(dice.choice([0, 30, 300, 1200])) for n in range(dice.randint(1, 90))
    ]
    for payload in payloads:
        await spool.append([payload])
    entries = []
    while len(entries) < len(payloads):
        entries += await spool.read(100)
    acknowledged = dice.sample(entries, dice.randint(0, len(entries) * 2 // 3))
    for entry in acknowledged:
        spool.acknowledge(entry.position)
    await spool.close()
    done = {entry.payload for entry in acknowledged}
    return [payload for payload in payloads if payload not in done], done


def places(directory: Path) -> dict[bytes, Place]:
    """Give where each record is."""
    found = {}
    for path in sorted(directory.glob("*.segment")):
        data = path.read_bytes()
        head = decode_head(data[:DATA_START])
        for record in scan(data[DATA_START:], DATA_START, head.salt, 0, final=True).records:
            start = record.end - len(record.payload) - 16
            found[record.payload] = Place(path, start, record.end)
    return found


def damage(path: Path, dice: random.Random) -> list[tuple[int, int]]:
    """Damage a file, and give which of its bytes (first, behind the last) were touched."""
    data = bytearray(path.read_bytes())
    size = len(data)
    if not size:
        return []
    at = dice.choice([dice.randrange(size), dice.randrange(min(size, 200))])
    length = dice.choice([1, 1, 4, 200, 5000])
    kind = dice.choice(["flip", "flip", "zero", "noise", "truncate", "grow"])
    touched = [(at, min(size, at + length))]
    if kind == "flip":
        data[at] ^= 1 << dice.randrange(8)
        touched = [(at, at + 1)]
    elif kind == "zero":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "noise":
        data[at : at + length] = dice.randbytes(len(data[at : at + length]))
    elif kind == "truncate":
        del data[at:]
        touched = [(at, size)]
    else:
        data += dice.randbytes(length)
        touched = []
    path.write_bytes(data)
    return touched


async def all_of(spool) -> list[Entry]:
    """Read all that waits. What can't be read is found to be missing only in the course of it."""
    entries: list[Entry] = []
    while len(entries) < spool.pending:
        reading = asyncio.ensure_future(spool.read(50))
        while not reading.done() and len(entries) < spool.pending:
            await asyncio.sleep(0.001)
        if reading.cancel():
            break
        entries += reading.result()
    return entries


def has_head(path: Path, touched: list[tuple[int, int]]) -> bool:
    """Tell whether one of a segment's two heads is untouched."""
    return any(all(end <= start or first >= start + 4096 for first, end in touched) for start in (0, 4096))


@pytest.mark.parametrize("seed", range(first_seed(), first_seed() + RUNS))
async def test_damage_at_rest_costs_what_it_touches(tmp_path, seed):
    """Every untouched record comes, once, in order; every lost one is counted; then the spool goes on as ever."""
    dice = random.Random(seed)
    waiting, acknowledged = await make(tmp_path, dice)
    where = places(tmp_path)
    touched: dict[Path, list[tuple[int, int]]] = {}
    is_cursor_whole = True
    for _ in range(dice.randint(1, 6)):
        path = dice.choice([*sorted(tmp_path.glob("*.segment")), tmp_path / "cursor"])
        marks = damage(path, dice)
        touched.setdefault(path, []).extend(marks)
        is_cursor_whole = is_cursor_whole and path.name != "cursor"

    def is_whole(payload: bytes) -> bool:
        place = where[payload]
        return all(end <= place.start or first >= place.end for first, end in touched.get(place.path, []))

    readable = {}
    for path in {place.path for place in where.values()}:
        whole = [payload for payload, place in where.items() if place.path == path and is_whole(payload)]
        readable[path] = len(whole) >= 2 or has_head(path, touched.get(path, []))
    must_come = [payload for payload in waiting if is_whole(payload) and readable[where[payload].path]]

    async with asyncio.timeout(30):
        spool = await open_segment_spool(tmp_path, segment_bytes=SEGMENT, tuning=TUNING)
        entries = await all_of(spool)
        given = [entry.payload for entry in entries]
        assert set() == set(must_come) - set(given)
        assert set(given) <= set(waiting) | (set() if is_cursor_whole else acknowledged)
        assert len(set(given)) == len(given)
        assert sorted(given, key=lambda payload: int(payload[1 : payload.index(b">")])) == given
        if is_cursor_whole:
            assert len(waiting) == len(given) + spool.damaged
        await spool.append([b"after"])
        (after,) = await spool.read(1)
        assert b"after" == after.payload
        assert after.position >> INDEX_BITS > max(
            [entry.position >> INDEX_BITS for entry in entries], default=0
        )
        await spool.close()
        spool = await open_segment_spool(tmp_path, segment_bytes=SEGMENT, tuning=TUNING)
        assert len(given) + 1 == spool.pending
        assert 0 == spool.damaged
        await spool.close()
