"""Which collector an event goes to, and that one that is down holds up nobody else's events."""

from __future__ import annotations

import asyncio
import errno
import os

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.backlog import Backlog
from gateway.delivery.regions import RegionalSink, Regions
from gateway.delivery.split import Split
from gateway.events.model import Record
from gateway.events.packing import pack
from gateway.settings import Settings
from gateway.spool.contract import Entry
from tests.unit.delivery_fakes import FakeSpool

USUAL, AP, EU = "https://a.example/event", "https://ap2.example/event", "https://eu.example/event"
REGIONS = {"VN": AP, "SG": AP, "DE": EU}


def record(number, uid="u", country="VN", context=None):
    context = {"geo": {"country": country}} if context is None else context
    body = orjson.dumps({"ec": "pageview", "context": context})
    return Record(f"e{number}", "1", "2", uid, 0, f"request_id=e{number}", body)


def test_an_event_goes_to_its_countrys_collector():
    """Two countries may share one; any other country, and none, goes to the usual one."""
    regions = Regions(USUAL, REGIONS)
    assert (USUAL, AP, EU) == regions.urls
    found = [regions.of(record(0, uid, uid)) for uid in ("VN", "SG", "DE", "US", "")]
    assert [1, 1, 2, 0, 0] == found


@pytest.mark.parametrize(
    "context", [[], "x", None, {"geo": "VN"}, {"geo": {"country": 7}}, {"geo": {"country": "Việt Nam"}}]
)
def test_what_a_page_calls_a_place_may_be_anything(context):
    """It goes to the usual collector."""
    assert 0 == Regions(USUAL, REGIONS).of(record(0, context=context if context is not None else {}))


def test_a_traveller_stays_where_her_first_event_went():
    """As long as this process remembers; events of nobody have no home."""
    regions = Regions(USUAL, REGIONS, most=2)
    assert [1, 1] == [regions.of(record(0, "a", "VN")), regions.of(record(1, "a", "DE"))]
    assert [2, 1] == [regions.of(record(2, "", "DE")), regions.of(record(3, "", "VN"))]
    regions.of(record(4, "b"))
    regions.of(record(5, "c"))
    assert 2 == regions.of(record(6, "a", "DE"))


def entry(number, size=10):
    return Entry(number, bytes([number % 251]) * size)


@given(st.lists(st.one_of(st.integers(1, 40).map(lambda n: ("put", n)), st.integers(1, 30).map(lambda n: ("take", n)))))  # fmt: skip
def test_a_backlog_is_a_queue(tmp_path_factory, steps):
    """First in, first out, whatever stands in memory and whatever in files."""
    backlog = Backlog(tmp_path_factory.getbasetemp(), memory_bytes=100, file_bytes=300)
    put = taken = 0
    for what, count in steps:
        if what == "put":
            for _ in range(count):
                backlog.put(entry(put, put % 60))
                put += 1
        else:
            got = backlog.take(count)
            assert [entry(number, number % 60) for number in range(taken, taken + len(got))] == got
            assert len(got) == min(count, put - taken)
            taken += len(got)
        assert len(backlog) == put - taken
    backlog.close()


def test_a_backlog_survives_a_full_disk(tmp_path, monkeypatch):
    """It says that it is full; nothing is lost, and it goes on by itself when there is room."""
    backlog = Backlog(tmp_path, memory_bytes=1)
    real, room = os.pwrite, [3]

    def pwrite(descriptor, data, at):
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        room[0] -= 1
        return real(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    for number in range(9):
        backlog.put(entry(number))
    assert backlog.is_full
    first = backlog.take(2)
    room[0] = 99
    backlog.put(entry(9))
    assert not backlog.is_full
    assert [entry(number) for number in range(10)] == first + backlog.take(99)
    backlog.close()
    assert [] == list(tmp_path.iterdir())


async def reading(branch, count):
    found = []
    while len(found) < count:
        found += await asyncio.wait_for(branch.read(7), 10)
    return found


async def test_a_branch_that_nobody_reads_holds_up_no_other(tmp_path):
    """Its entries wait, in order; acknowledgements go to the spool by its own positions."""
    records = [record(number, f"u{number % 40}", ("VN", "US")[number % 2]) for number in range(4_000)]
    spool = FakeSpool([pack(each, 1 << 40) for each in records])
    split = Split(spool, Regions(USUAL, {"VN": AP}), tmp_path, lambda *_: None)
    usual, ap = split.branches
    ap.backlog._memory_bytes = 1_000
    split.start()
    others = await reading(usual, 2_000)
    assert list(range(2, 4_001, 2)) == [each.position for each in others]
    for each in others:
        usual.acknowledge(each.position)
    assert {each.position for each in others} == spool.acknowledged
    late = await reading(ap, 2_000)
    assert list(range(1, 4_000, 2)) == [each.position for each in late]
    assert 2_000 == ap.pending
    for each in late:
        ap.acknowledge(each.position)
    assert (4_000, 0, {}, {}) == (len(spool.acknowledged), ap.pending, split._keys, split._under_way)
    await split.close()


async def test_what_waits_of_a_uid_keeps_it_where_it_is(tmp_path):
    """Also when its home is forgotten meanwhile: else two events of one user would be under way together."""
    regions = Regions(USUAL, REGIONS, most=1)
    spool = FakeSpool([pack(each, 1 << 40) for each in (record(1, "a"), record(2, "b", "DE"), record(3, "a", "DE"), record(4, "", "DE"))])  # fmt: skip
    split = Split(spool, regions, tmp_path, lambda *_: None)
    split.start()
    assert [1, 3] == [each.position for each in await reading(split.branches[1], 2)]
    assert [2, 4] == [each.position for each in await reading(split.branches[2], 2)]
    split.branches[1].acknowledge(1)
    split.branches[1].acknowledge(3)
    spool.add(pack(record(5, "a", "US"), 1 << 40), b"no record")
    assert [5, 6] == [each.position for each in await reading(split.branches[0], 2)]
    await split.close()


async def test_a_spool_that_can_not_be_read_is_tried_again(tmp_path, monkeypatch):
    """And that is reported."""
    monkeypatch.setattr("gateway.delivery.split._AGAIN_SECONDS", 0.0)
    spool, reports = FakeSpool([pack(record(1), 1 << 40)]), []
    spool.read_faults.append(OSError("gone"))
    split = Split(spool, Regions(USUAL, REGIONS), tmp_path, lambda *told: reports.append(told))
    split.start()
    assert 1 == len(await reading(split.branches[1], 1))
    assert 1 == len(reports)
    await split.close()


async def test_a_replay_goes_to_the_same_collectors():
    """By one sink over all of them."""
    posted = []

    class Sink:
        def __init__(self, name):
            self.name = name

        def post(self, record, *_):
            posted.append((self.name, record.event_id))

        def abandon(self):
            posted.append((self.name, "abandoned"))

        async def close(self):
            posted.append((self.name, "closed"))

    sink = RegionalSink(Regions(USUAL, {"VN": AP}), [Sink("usual"), Sink("ap")])
    sink.post(record(1, "a"), lambda _: None)
    sink.post(record(2, "b", "US"), lambda _: None)
    sink.abandon()
    await sink.close()
    assert [("ap", "e1"), ("usual", "e2")] == posted[:2]
    assert 6 == len(posted)


@pytest.mark.parametrize("regions", [{"vn": AP}, {"VNM": AP}, {"VN": "ap2.example"}])
def test_a_wrong_region_is_named(regions):
    """A country is two capital letters, a collector a whole URL."""
    with pytest.raises(ValueError, match=r"two capital letters|full http"):
        Settings(collector={"regions": regions})
