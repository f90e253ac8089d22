"""What every spool promises, asked of every spool we have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.memory import MemorySpool
from gateway.spool.segments import Tuning, open_segment_spool

if TYPE_CHECKING:
    from gateway.spool.contract import Entry, Spool

MAX_BYTES = 100_000


@pytest.fixture(params=["memory", "segments", "segments with a lagging reader"])
async def spool(request, tmp_path):
    if request.param == "memory":
        spool: Spool = MemorySpool(max_bytes=MAX_BYTES)
    else:
        tuning = Tuning(tail_entries=3) if "lagging" in request.param else None
        spool = await open_segment_spool(tmp_path, segment_bytes=16 << 10, max_bytes=MAX_BYTES, tuning=tuning)
    yield spool
    await spool.close()


@pytest.fixture(
    params=["memory", "segments", "segments with a lagging reader", "segments larger than the bound"]
)
async def dropping(request, tmp_path):
    dropped: list[bytes] = []
    if request.param == "memory":
        spool: Spool = MemorySpool(max_bytes=MAX_BYTES, on_drop=dropped.extend)
    else:
        tuning = Tuning(tail_entries=3) if "lagging" in request.param else None
        size = 256 << 10 if "larger" in request.param else 16 << 10
        spool = await open_segment_spool(
            tmp_path, segment_bytes=size, max_bytes=MAX_BYTES, tuning=tuning, on_drop=dropped.extend
        )
    yield spool, dropped
    await spool.close()


async def take(spool: Spool, count: int, limit: int = 100) -> list[Entry]:
    entries: list[Entry] = []
    async with asyncio.timeout(10):
        while len(entries) < count:
            entries += await spool.read(limit)
    return entries


def numbered(*numbers: int) -> list[bytes]:
    return [f"{number:05d}".encode() * 20 for number in numbers]


async def test_entries_come_in_the_order_of_appending(spool: Spool):
    """Payloads of many appends come once each, in order, with positions that rise."""
    await asyncio.gather(*(spool.append(numbered(n, n + 1)) for n in range(0, 200, 2)))
    entries = await take(spool, 200, limit=7)
    assert numbered(*range(200)) == [entry.payload for entry in entries]
    assert sorted({entry.position for entry in entries}) == [entry.position for entry in entries]


async def test_read_gives_no_more_than_its_limit(spool: Spool):
    """A reader that asks for three gets at most three, and the rest afterwards."""
    await spool.append(numbered(*range(5)))
    first = await spool.read(3)
    assert 1 <= len(first) <= 3
    assert numbered(*range(5)) == [entry.payload for entry in first + await take(spool, 5 - len(first))]


async def test_read_waits_until_there_is_an_entry(spool: Spool):
    """A waiting reader gets an entry that is appended later."""
    reading = asyncio.ensure_future(spool.read(10))
    done, _ = await asyncio.wait([reading], timeout=0.02)
    assert set() == done
    await spool.append(numbered(1))
    assert numbered(1) == [entry.payload for entry in await asyncio.wait_for(reading, 5)]


async def test_a_cancelled_read_loses_no_entry(spool: Spool):
    """Whatever the moment at which a waiting read is cancelled, the next one gives every entry."""
    taken: list[Entry] = []
    for n in range(60):
        reading = asyncio.ensure_future(spool.read(100))
        appending = spool.append(numbered(n))
        for _ in range(n % 6):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        if not reading.cancelled():
            taken += reading.result()
        await appending
    taken += await take(spool, 60 - len(taken))
    assert numbered(*range(60)) == [entry.payload for entry in taken]


async def test_pending_counts_what_is_not_acknowledged(spool: Spool):
    """Pending goes up when payloads are durable and down once for each acknowledged one, in any order."""
    assert 0 == spool.pending
    await spool.append(numbered(*range(10)))
    assert 10 == spool.pending
    entries = await take(spool, 10)
    assert 10 == spool.pending
    for entry in reversed(entries[2:]):
        spool.acknowledge(entry.position)
        spool.acknowledge(entry.position)
    assert 2 == spool.pending
    spool.acknowledge(entries[-1].position + 1000)
    assert 2 == spool.pending


async def test_appending_nothing_is_done_at_once(spool: Spool):
    """An append of no payloads succeeds and adds no entry."""
    await asyncio.wait_for(spool.append([]), 5)
    assert 0 == spool.pending


async def test_an_empty_payload_is_an_entry(spool: Spool):
    """A payload may be empty."""
    await spool.append([b"", b"x", b""])
    assert [b"", b"x", b""] == [entry.payload for entry in await take(spool, 3)]


async def test_a_full_spool_refuses_and_takes_again_when_entries_are_acknowledged(spool: Spool):
    """Over its bound a spool says which setting to raise; acknowledging makes room."""
    appended = 0
    while (
        spool.available
        and (await asyncio.gather(spool.append([bytes(5000)]), return_exceptions=True))[0] is None
    ):
        appended += 1
    with pytest.raises(SpoolUnavailable, match=r"spool\.max_bytes"):
        await spool.append([bytes(5000)])
    assert 15 <= appended <= 20
    assert appended == spool.pending
    for entry in await take(spool, appended):
        spool.acknowledge(entry.position)
    assert spool.available
    await spool.append([bytes(5000)])
    assert 1 == spool.pending


async def test_a_spool_that_drops_the_oldest_takes_everything(dropping):
    """Over its bound the oldest go, whole, no more than is needed, each handed over once; the newest come, in order."""
    spool, dropped = dropping
    for n in range(60):
        await asyncio.wait_for(spool.append([b"%d" % n + bytes(4990)]), 5)
        assert spool.available
    assert [b"%d" % n + bytes(4990) for n in range(len(dropped))] == dropped
    assert 60 - len(dropped) == spool.pending
    assert 18 <= spool.pending <= 20
    entries = await take(spool, spool.pending)
    assert [b"%d" % n + bytes(4990) for n in range(len(dropped), 60)] == [entry.payload for entry in entries]
    for entry in entries:
        assert not spool.is_dropped(entry.position)
        spool.acknowledge(entry.position)
    assert 0 == spool.pending


async def test_an_entry_that_was_given_can_be_dropped_too(dropping):
    """Whoever holds it can ask; acknowledging it changes nothing, and what was acknowledged before is not dropped."""
    spool, dropped = dropping
    await asyncio.gather(*(spool.append([b"%d" % n + bytes(4990)]) for n in range(6)))
    entries = await take(spool, 6)
    spool.acknowledge(entries[1].position)
    for n in range(6, 24):
        await asyncio.wait_for(spool.append([b"%d" % n + bytes(4990)]), 5)
    count = len(dropped)
    assert 2 <= count <= 5
    assert [entry.payload for entry in entries if entry is not entries[1]][:count] == dropped
    before = spool.pending
    for entry in entries[: count + 1]:
        assert spool.is_dropped(entry.position) or entry is entries[1]
        spool.acknowledge(entry.position)
    assert before == spool.pending
    assert not spool.is_dropped(entries[count + 1].position)
    rest = await take(spool, 18)
    assert [b"%d" % n + bytes(4990) for n in range(6, 24)] == [entry.payload for entry in rest]


async def test_many_appends_at_once_make_room_for_each_other(dropping):
    """More than fits comes at the same moment: all succeed, order is kept, and each is either dropped or given."""
    spool, dropped = dropping
    await asyncio.wait_for(asyncio.gather(*(spool.append([b"%d" % n + bytes(2990)]) for n in range(100))), 10)
    entries = await take(spool, spool.pending)
    assert [b"%d" % n + bytes(2990) for n in range(100)] == dropped + [entry.payload for entry in entries]


async def test_what_is_larger_than_the_bound_is_refused_and_costs_nobody(dropping):
    """Room that can never be made is not made."""
    spool, dropped = dropping
    await spool.append(numbered(1))
    with pytest.raises(SpoolUnavailable):
        await spool.append([bytes(MAX_BYTES + 1)])
    assert (1, []) == (spool.pending, dropped)


async def test_a_cancelled_client_does_not_cancel_the_others(spool: Spool):
    """When one of the tasks that wait for a group goes away, the others still get their answer."""
    first, second = (asyncio.ensure_future(append(spool, n)) for n in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    assert "durable" == await asyncio.wait_for(second, 5)
    await asyncio.wait([first])
    assert 2 == spool.pending


async def append(spool: Spool, number: int) -> str:
    await spool.append(numbered(number))
    return "durable"


async def test_after_close_append_and_read_say_so(spool: Spool):
    """A closed spool refuses with a reason, also a reader that was waiting, and closing again is harmless."""
    reading = asyncio.ensure_future(spool.read(1))
    await asyncio.sleep(0)
    await spool.close()
    assert not spool.available
    with pytest.raises(SpoolUnavailable, match="closed"):
        await spool.append([b"late"])
    with pytest.raises(SpoolUnavailable, match="closed"):
        await asyncio.wait_for(reading, 5)
    await spool.close()


async def test_close_waits_for_what_was_appended(spool: Spool):
    """An append that was under way when the spool was closed is durable, not lost."""
    appending = spool.append(numbered(1))
    await spool.close()
    assert appending.done()
    assert appending.exception() is None
