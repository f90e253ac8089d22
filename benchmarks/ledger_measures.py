"""What is measured of a ledger, each in a process of its own that knows nothing yet: no page, no binding.

Single calls are timed by the wall clock, and nothing is subtracted: a call's figure has the clock's own 0.1 µs in it, and
whatever the machine did meanwhile. Texts are made anew for each call, as they come from the network: a text that was looked up
before would know its own hash. What writes is measured on a copy.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec
import uvloop

from benchmarks.ledger_rows import IMPORTED_MS, Population
from gateway.events.model import Claim
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

CACHED_UIDS = 50_000
NOBODY = 1 << 40
"""Numbers from here on are never bound."""


class Timing(msgspec.Struct, frozen=True):
    """How long single calls took, in µs; for what binds also the claims a second, and the CPU µs of each, all threads."""

    p50_us: float
    p99_us: float
    max_us: float
    calls: int
    per_second: float | None = None
    cpu_us: float | None = None


class Style(NamedTuple):
    """How claims are bound: so many in a batch, by so many tasks at once, each with so many address keys; `batches` in a round."""

    name: str
    size: int
    batches: int
    tasks: int = 1
    keys: int = 0


STYLES = (
    Style("bind 1", 1, 300),
    Style("bind 16", 16, 150),
    Style("bind 256", 256, 160),
    Style("bind 256, 4 tasks", 256, 160, tasks=4),
    Style("bind 256 with addresses", 256, 80, keys=1),
    Style("bind 1024", 1024, 40),
)


def in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do something in a process that is started for it alone, and give what it gives."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def reads(path: Path, rows: int, calls: int, seed: int) -> dict[str, Timing]:
    """Time what never writes, first in a process that has read nothing of the file."""
    population, dice = Population(rows), random.Random(seed)
    ledger = open_sqlite_ledger(path, read_only=True)
    numbers = [dice.randrange(rows) for _ in range(calls)]

    def ids(some: Iterable[int]) -> list[tuple[str, str]]:
        return [(population.portal_id(number), population.uid(number)) for number in some]

    found = {
        "look-up, bound": timed(ledger.lookup, ids(numbers)),
        "look-up, unknown": timed(ledger.lookup, ids(NOBODY + dice.randrange(NOBODY) for _ in range(calls))),
        "UIDs of a customer": timed(
            ledger.uids_of, [(population.cid(number),) for number in numbers[: calls // 10]]
        ),
        "refresh": timed(ledger.refresh, [()] * calls),
        "stats": timed(ledger.stats, [()] * (calls // 10)),
    }
    cached = dice.sample(range(rows), min(CACHED_UIDS, rows))
    for each in ids(cached):
        ledger.lookup(*each)
    again = dice.choices(cached, k=10 * calls)
    found["look-up, cached"] = timed(ledger.lookup, ids(again))
    page_views = [(Claim(portal_id=portal_id, uid=uid),) for portal_id, uid in ids(again)]
    found["known, a page view"] = timed(ledger.known, page_views)
    sign_ins = [(population.claim(number),) for number in again]
    found["known, a sign-in"] = timed(ledger.known, sign_ins)
    return found


def cold_look_ups(path: Path, rows: int, calls: int, seed: int) -> dict[str, Timing]:
    """Time look-ups in a file of which the system has no page in memory either."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    population, dice = Population(rows), random.Random(seed)
    ledger = open_sqlite_ledger(path, read_only=True)
    numbers = [dice.randrange(rows) for _ in range(calls)]
    arguments = [(population.portal_id(number), population.uid(number)) for number in numbers]
    return {"look-up, bound, on disk": timed(ledger.lookup, arguments)}


def warm(path: Path) -> None:
    """Let the system read the whole file into its memory, as far as that reaches."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def writes(path: Path, rows: int, first: int, styles: Sequence[Style]) -> dict[str, Timing]:
    """Bind claims that nobody made yet, from number `first` on, in each style."""
    return uvloop.run(_writes(path, Population(rows), first, styles))


async def _writes(
    path: Path, population: Population, first: int, styles: Sequence[Style]
) -> dict[str, Timing]:
    found: dict[str, Timing] = {}
    ledger = open_sqlite_ledger(path)

    def batches(style: Style, count: int) -> list[list[Claim]]:
        nonlocal first
        start, first = first, first + count * style.size
        return [
            [population.claim(number, keys=style.keys) for number in range(begin, begin + style.size)]
            for begin in range(start, first, style.size)
        ]

    async def run(style: Style, waiting: list[list[Claim]]) -> list[int]:
        times: list[int] = []

        async def task() -> None:
            while waiting:
                batch = waiting.pop()
                start = time.perf_counter_ns()
                await ledger.bind(batch, IMPORTED_MS)
                times.append(time.perf_counter_ns() - start)

        await asyncio.gather(*(task() for _ in range(style.tasks)))
        return times

    for style in styles:
        await run(style, batches(style, max(2, style.batches // 10)))
        waiting = batches(style, style.batches)
        with settled():
            start, cpu = time.perf_counter(), time.process_time()
            times = await run(style, waiting)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        claims = style.batches * style.size
        found[style.name] = _timing(times, claims / seconds, cpu * 1e6 / claims)
    await ledger.close()
    return found


def claims_of(styles: Sequence[Style]) -> int:
    """Give how many numbers a run of these styles uses up."""
    return sum((style.batches + max(2, style.batches // 10)) * style.size for style in styles)


def erasure(path: Path, rows: int, number: int, first: int) -> dict[str, Timing]:
    """Forget a customer from another process, as the command line does, and time what a gateway that binds beside it waits."""
    return uvloop.run(_erasure(path, Population(rows), number, first))


async def _erasure(path: Path, population: Population, number: int, first: int) -> dict[str, Timing]:
    ledger = open_sqlite_ledger(path)
    waits: list[int] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        erasing = asyncio.get_running_loop().run_in_executor(pool, _erase, path, population.cid(number))
        while not erasing.done():
            start = time.perf_counter_ns()
            await ledger.bind([population.claim(first)], IMPORTED_MS)
            waits.append(time.perf_counter_ns() - start)
            first += 1
        nanoseconds = await erasing
    await ledger.close()
    return {
        "erase a customer": _timing([nanoseconds]),
        "bind 1 beside an erasure": _timing(waits),
    }


def _erase(path: Path, cid: str) -> int:
    async def erase() -> int:
        ledger = open_sqlite_ledger(path)
        start = time.perf_counter_ns()
        erased = await ledger.erase(None, cid=cid, reason="measured", now_ms=IMPORTED_MS)
        spent = time.perf_counter_ns() - start
        await ledger.close()
        assert erased.uids
        return spent

    return uvloop.run(erase())


class _Enough(Exception):
    """The check was measured for long enough."""


def check_speed(path: Path, seconds: float) -> float:
    """Give how many entries a second `ledger verify` reads of the audit log, measured over so many seconds."""
    ledger = open_sqlite_ledger(path, read_only=True)
    start = time.perf_counter()
    last = (0, start)

    def progress(done: int, _: int) -> None:
        nonlocal last
        last = (done, time.perf_counter())
        if last[1] - start > seconds or done >= entries:
            raise _Enough

    entries = ledger.stats().audit_entries
    with suppress(_Enough):
        verify(ledger, on_progress=progress)
    return last[0] / (last[1] - start)


def cache_bytes(path: Path, rows: int) -> float:
    """Give the bytes of memory that one kept binding takes, by the growth of a process."""
    population, entries = Population(rows), min(100_000, rows // 2)
    ledger = open_sqlite_ledger(path, read_only=True, cache_entries=2 * entries)
    for number in range(entries // 10):
        ledger.lookup(population.portal_id(number), population.uid(number))
    gc.collect()
    before, kept = _resident(), ledger.stats().cache_entries
    for number in range(entries // 10, entries):
        ledger.lookup(population.portal_id(number), population.uid(number))
    gc.collect()
    return (_resident() - before) / (ledger.stats().cache_entries - kept)


class Part(msgspec.Struct, frozen=True):
    """A tree of the file: its bytes, and what of them is content."""

    name: str
    file_bytes: int
    content_bytes: int


def parts(path: Path) -> list[Part]:
    """Give what the trees of a file take, largest first."""
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as connection:
        rows = connection.execute(
            "SELECT name, pgsize, payload FROM dbstat WHERE aggregate = TRUE ORDER BY pgsize DESC"
        ).fetchall()
    return [Part(*row) for row in rows]


def timed(call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Timing:
    """Time each call by itself."""
    clock, times = time.perf_counter_ns, []
    with settled():
        for each in arguments:
            start = clock()
            call(*each)
            times.append(clock() - start)
    return _timing(times)


@contextmanager
def settled() -> Iterator[None]:
    """Keep the garbage collector from looking at what a measurement is given to work on; it stays on, as in the gateway."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _timing(
    nanoseconds: Sequence[int], per_second: float | None = None, cpu_us: float | None = None
) -> Timing:
    ordered = sorted(nanoseconds)
    return Timing(
        statistics.median(ordered) / 1000,
        ordered[len(ordered) * 99 // 100] / 1000,
        ordered[-1] / 1000,
        len(ordered),
        per_second,
        cpu_us,
    )


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
