"""`spool status`: how much waits and since when, told from the files alone, whatever happens to them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.archive.lines import moment
from gateway.events.model import Record
from gateway.events.packing import pack
from gateway.spool.inspection import inspect
from gateway.spool.segments import open_segment_spool
from tests.archive_builders import NOON_MS, delivery, make_writer
from tests.command_line import both
from tests.integration.test_cli_replay import Machine
from tests.processes import until

SEGMENT_BYTES = 64 << 10


def payloads(count, start=0):
    return [
        pack(Record(f"e{index}", "1", "2", "u", NOON_MS + index, "", b"x" * 900), 1 << 40)
        for index in range(start, start + count)
    ]


async def opened(folder):
    return await open_segment_spool(folder / "000", segment_bytes=SEGMENT_BYTES, max_bytes=1 << 30)


async def has(folder, pending, oldest):
    """Wait until the acknowledgements are on disk."""

    async def is_told():
        waiting = inspect(folder / "000")
        return (pending, oldest) == (waiting.pending, waiting.oldest)

    await until(is_told, f"{pending} wait")


async def test_what_waits_is_counted_beside_the_gateway_that_uses_it(tmp_path):
    """Over several segments, and with acknowledgements that came out of order; closed, killed and opened again it is the same."""
    spool = await opened(tmp_path)
    await has(tmp_path, 0, None)
    given = payloads(300)
    for start in range(0, 300, 50):
        await spool.append(given[start : start + 50])
    waiting = inspect(tmp_path / "000")
    assert (300, given[0], 0) == (waiting.pending, waiting.oldest, waiting.unreadable)
    assert 300 * 900 < waiting.pending_bytes < waiting.file_bytes
    entries = []
    while len(entries) < 300:
        entries += await spool.read(300 - len(entries))
    for entry in (*entries[:70], *entries[100:130]):
        spool.acknowledge(entry.position)
    await has(tmp_path, 200, given[70])
    await spool.close()
    await has(tmp_path, 200, given[70])
    spool = await opened(tmp_path)
    await has(tmp_path, 200, given[70])
    await spool.append(payloads(5, 1_000))
    entries = []
    while len(entries) < 205:
        entries += await spool.read(205)
    for entry in entries:
        spool.acknowledge(entry.position)
    await has(tmp_path, 0, None)
    await spool.close()


async def test_a_look_changes_nothing_and_says_what_it_can_not_read(tmp_path):
    """Neither a torn write nor an unreadable head is touched."""
    spool = await opened(tmp_path)
    await spool.append(payloads(10))
    await spool.close()
    first = min((tmp_path / "000").glob("*.segment"))
    with first.open("r+b") as file:
        file.seek(8192 + 9 * 960)
        file.write(b"\xff" * 100)
    (tmp_path / "000" / "000000000900.segment").write_bytes(b"\1" * 9000)
    before = {each: each.read_bytes() for each in (tmp_path / "000").iterdir()}

    waiting = inspect(tmp_path / "000")

    assert (9, 1) == (waiting.pending, waiting.unreadable)
    assert before == {each: each.read_bytes() for each in (tmp_path / "000").iterdir()}


async def test_a_look_is_whole_while_events_come_and_go(tmp_path):
    """It never fails, never counts more than there were, and ends with nothing."""
    spool = await opened(tmp_path)
    appended, is_over = 0, False

    async def pump():
        nonlocal appended
        while not is_over:
            appended += 50
            await spool.append(payloads(50, appended))
            got = 0
            while got < 50:
                entries = await spool.read(50)
                got += len(entries)
                for entry in entries:
                    spool.acknowledge(entry.position)
            await asyncio.sleep(0)

    pumping = asyncio.create_task(pump())
    for _ in range(40):
        waiting = await asyncio.to_thread(inspect, tmp_path / "000")
        assert 0 <= waiting.pending <= appended
        await asyncio.sleep(0.01)
    is_over = True
    await pumping
    await has(tmp_path, 0, None)
    await spool.close()


@pytest.fixture
async def machine(tmp_path):
    machine = Machine(tmp_path, type("Nobody", (), {"url": "http://127.0.0.1:1"}))
    (machine.gateway.data_dir / "spool").mkdir(0o700)
    return machine


async def test_people_and_programs_are_told(machine):
    """Partitions, the oldest event, sizes, and the archive's span."""
    root = machine.gateway.data_dir / "spool"
    spool = await opened(root)
    await spool.append(payloads(3))
    make_writer(machine.folder).write([delivery("a")])

    text, json = await both("spool", "status", "--config", machine.gateway.config)
    await spool.close()

    assert (0, 0, 3) == (text.code, json.code, json.json["pending"])
    (partition,) = json.json["partitions"]
    assert ("000", 3, moment(NOON_MS), 0) == (
        partition["partition"],
        partition["pending"],
        partition["oldest_accepted_at"],
        partition["unreadable_files"],
    )
    assert {"pending_bytes", "file_bytes", "oldest_seconds"} < set(partition)
    size = machine.folder.parts()[0].size
    since, until_ = "2026-11-30T12:00:00.000Z", "2026-11-30T13:00:00.000Z"
    assert {"days": 7, "files": 1, "bytes": size, "since": since, "until": until_} == json.json["archive"]
    assert "3 events waiting for the collector" in text.out
    assert f"archive: kept for 7 days, 1 file, {size} B, delivered from {since} to {until_}" in text.out
