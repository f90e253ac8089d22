"""One user's long backlog: in order, packed, bounded, and in nobody else's way. In simulated time."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.delivery.contract import Delivered
from gateway.delivery.parking import Lot, Parked, Row
from tests.unit.delivery_fakes import FakeSink, FakeSpool, post, record, simulate


@pytest.mark.parametrize("seed", range(5))
def test_what_is_parked_leaves_in_its_order_byte_for_byte(seed):
    """Through any coming and going, over many chunks; and an empty row weighs nothing."""
    dice, lot = random.Random(seed), Lot(10**9)
    row, expected, given = Row(lot), [], []
    for number in range(2000):
        entry = Parked(None, number, dice.randbytes(dice.choice([0, 1, 300])), dice.random() < 0.3)
        row.push(entry)
        expected.append(entry)
        while row and dice.random() < 0.4:
            given.append(row.pop())
    while row:
        given.append(row.pop())
    assert expected == given
    assert 0 == lot.bytes


def test_one_users_events_are_packed_small():
    """A hundred thousand events of a real size, which resemble each other, take a few megabytes: they fit into the lot."""
    lot = Lot(32 << 20)
    row = Row(lot)
    for number in range(100_000):
        row.push(
            Parked(
                None,
                number,
                b'{"uid":"1234567890","sid":%d,"ec":"pageview"}' % number + b"agent and page " * 40,
                False,
            )
        )
    assert not lot.is_full
    assert lot.bytes < 24 << 20


def test_a_users_long_backlog_is_in_nobody_elses_way():
    """Of 20,000 events of one user, and a thousand users behind them, the thousand are served at once, not after the window has passed."""

    async def scenario():
        sink = FakeSink()
        backlog = [record(number, "long") for number in range(20_000)]
        spool = FakeSpool([*backlog, *(record(50_000 + number, f"u{number}") for number in range(1000))])
        async with post(spool, sink=sink, concurrency=16, window=1024) as running:
            await running.until(
                lambda: sum(item.uid != "long" for item in sink.delivered) == 1000, within_seconds=10.0
            )
            mine = [item.event_id for item in sink.delivered if item.uid == "long"]
            assert [f"e{number}" for number in range(len(mine))] == mine
            assert len(mine) < 1000
            assert running.forwarder.held <= 1 + 16

    simulate(scenario)


@pytest.mark.parametrize("lot_bytes", [0, 20_000, 1 << 20])
def test_a_parked_backlog_is_delivered_whole_and_in_order(lot_bytes):
    """Whether the lot has room for all, for some or for nothing; and memory stays within window and lot."""

    async def scenario():
        sink = FakeSink(lambda *_: (0.001, Delivered(200, 1.0)))
        parts = [
            FakeSpool(
                [record(number, "long" if number % 3 else f"u{number}") for number in range(part, 3000, 2)]
            )
            for part in range(2)
        ]
        async with post(*parts, sink=sink, concurrency=4, window=64, lot_bytes=lot_bytes) as running:
            while any(part.pending for part in parts):
                # A lane of both spools may give one of them more than its share.
                assert running.forwarder.held <= 2 * 64
                assert running.forwarder._lanes._lot.bytes <= lot_bytes + 2 * 64 * 250
                await asyncio.sleep(0.5)
            assert (0, 0) == (running.forwarder.held, running.forwarder._lanes._lot.bytes)
            assert [0, 0] == [source.parked for source in running.forwarder._sources]
        for part in range(2):
            expected = [f"e{number}" for number in range(part, 3000, 2) if number % 3]
            mine = set(expected)
            assert expected == [item.event_id for item in sink.delivered if item.event_id in mine]
        assert 3000 == len(running.journal.fates)

    simulate(scenario)
