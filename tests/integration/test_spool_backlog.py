"""A long backlog costs disk, and nothing else: neither the opening nor the memory nor the reading grows with it."""

from __future__ import annotations

import asyncio
import tracemalloc

from gateway.spool.layout import DATA_START
from gateway.spool.reader import LOAD_BYTES
from gateway.spool.segments import Tuning, open_segment_spool
from tests.spool_disks import ObservedDisk

RECORDS = 60_000
SEGMENT = 256 << 10
TUNING = Tuning(tail_entries=1_000)


def payload(number: int) -> bytes:
    return b"<%d>" % number + bytes(100)


async def test_sixty_thousand_pending_records_cost_what_a_few_cost(tmp_path):
    """Opening reads the heads and two files, memory is that of a few stretches, each byte is read once, and all come in order."""
    async with asyncio.timeout(100):
        spool = await open_segment_spool(tmp_path, segment_bytes=SEGMENT, tuning=TUNING)
        for first in range(0, RECORDS, 1_000):
            await spool.append([payload(n) for n in range(first, first + 1_000)])
        # Those behind the reader are settled here and there: their bitmaps are in the cursor.
        for entry in await spool.read(500):
            if entry.position % 3:
                spool.acknowledge(entry.position)
        settled = RECORDS - spool.pending
        await spool.close()
        files = sorted(tmp_path.glob("*.segment"))
        used = sum(path.stat().st_size for path in files)

        disk = ObservedDisk()
        tracemalloc.start()
        try:
            spool = await open_segment_spool(tmp_path, segment_bytes=SEGMENT, tuning=TUNING, disk=disk)
            assert RECORDS - settled == spool.pending
            assert disk.bytes_read <= len(files) * DATA_START + 2 * SEGMENT + (1 << 16)
            disk.bytes_read, seen, last = 0, 0, -1
            while spool.pending:
                entries = await spool.read(256)
                for entry in entries:
                    number = int(entry.payload[1 : entry.payload.index(b">")])
                    assert number > last
                    last = number
                    spool.acknowledge(entry.position)
                seen += len(entries)
                if not seen % 10_000:
                    # Behind a long backlog, appending and holding what comes is bounded too.
                    await spool.append([payload(RECORDS + seen + n) for n in range(100)])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert seen >= RECORDS - settled
        assert disk.bytes_read < 1.2 * used
        assert peak < 4 * LOAD_BYTES < used
        await spool.close()
