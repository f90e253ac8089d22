"""What delivery's tests share: a loop whose time is simulated, and working stand-ins for what the forwarder is given.

The stand-ins keep their contracts and check that the forwarder keeps its side: an entry acknowledged twice, or two records
of one user under way together, fail the test where it happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.contract import Delivered, Retry
from gateway.delivery.forwarder import Forwarder
from gateway.events.model import Answer, Record
from gateway.spool.contract import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.delivery.contract import Verdict
    from gateway.events.outcome import Reason

EPOCH = 1_800_000_000


class _LeapingSelector(selectors.SelectSelector):
    """Instead of waiting, moves the time on."""

    now = 0.0

    def select(self, timeout=None):
        events = super().select(0)
        if not events:
            if timeout is None:
                msg = "nothing is left that could happen: the code under test waits for ever"
                raise RuntimeError(msg)
            self.now += max(timeout, 0.0)
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour passes in an instant."""

    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


class HastyLoop(SimulatedLoop):
    """A simulated loop whose timers may fire a little early, as uvloop's do: it counts in milliseconds."""

    def call_at(self, when, callback, *args, context=None):
        return super().call_at(max(when - 0.0003, self.time()), callback, *args, context=context)


def simulate(
    scenario: Callable[[], Awaitable[object]], loop_factory: Callable[[], SimulatedLoop] = SimulatedLoop
) -> None:
    """Run a scenario to its end in simulated time."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())


def wall_clock() -> float:
    """Unix time of a simulated loop."""
    return EPOCH + asyncio.get_running_loop().time()


def record(index: int, uid: str = "u", *, age_seconds: float = 0.0, portal_id: str = "1") -> Record:
    """Give a record, accepted so many seconds before the simulation's beginning."""
    accepted_ms = int((EPOCH - age_seconds) * 1000)
    return Record(f"e{index}", portal_id, "2", uid, accepted_ms, f"request_id=e{index}", b"{}")


class FakeSpool:
    """A spool in memory. `read_faults` are raised, one a call, before anything is read."""

    def __init__(self, records: Sequence[Record | bytes] = (), first: int = 1) -> None:
        self._entries: list[Entry] = []
        self._next = first
        self._cursor = 0
        self._arrived = asyncio.Event()
        self.acknowledged: set[int] = set()
        self.dropped: set[int] = set()
        self.read_faults: list[Exception] = []
        self.add(*records)

    @property
    def pending(self) -> int:
        return len(self._entries) - len(self.acknowledged)

    @property
    def available(self) -> bool:
        return True

    def add(self, *records: Record | bytes) -> None:
        for item in records:
            payload = item if isinstance(item, bytes) else msgspec.msgpack.encode(item)
            self._entries.append(Entry(self._next, payload))
            self._next += 1
        self._arrived.set()

    def append(self, payloads):
        raise NotImplementedError

    async def read(self, limit: int) -> list[Entry]:
        assert limit > 0
        if self.read_faults:
            raise self.read_faults.pop(0)
        while self._cursor >= len(self._entries):
            self._arrived.clear()
            await self._arrived.wait()
        entries = self._entries[self._cursor : self._cursor + limit]
        self._cursor += len(entries)
        return entries

    @property
    def given(self) -> int:
        """How many entries were read so far."""
        return self._cursor

    def acknowledge(self, position: int) -> None:
        assert position not in self.acknowledged
        self.acknowledged.add(position)

    def is_dropped(self, position: int) -> bool:
        return position in self.dropped

    async def close(self) -> None:
        pass


class FakeSink:
    """A sink that does what `behave(record, attempt)` says: so many seconds, then a verdict. Notes every send.

    Whose answer is awaited hears one with the verdict's status and the record's id, or nothing where that is a `Retry`.
    """

    def __init__(self, behave: Callable[[Record, int], tuple[float, Verdict]] | None = None) -> None:
        self._behave = behave or (lambda _record, _attempt: (0.01, Delivered(200, 10.0)))
        self._under_way: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self.attempts: Counter[str] = Counter()
        self.sent: list[tuple[float, Record]] = []
        self.delivered: list[Record] = []
        self.most_at_once = 0

    def post(
        self,
        record: Record,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        user = (record.portal_id, record.uid)
        assert user not in self._under_way, f"two records of {user} are under way together"
        self.attempts[record.event_id] += 1
        self.sent.append((loop.time(), record))
        seconds, verdict = self._behave(record, self.attempts[record.event_id])
        self._under_way[user] = loop.call_later(seconds, self._end, user, record, verdict, done, heard)
        self.most_at_once = max(self.most_at_once, len(self._under_way))

    def _end(
        self,
        user: tuple[str, str],
        record: Record,
        verdict: Verdict,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None,
    ) -> None:
        del self._under_way[user]
        if heard is not None:
            heard(
                None if isinstance(verdict, Retry) else Answer(verdict.status, body=record.event_id.encode())
            )
        if isinstance(verdict, Delivered):
            self.delivered.append(record)
        done(verdict)

    def abandon(self) -> None:
        for timer in self._under_way.values():
            timer.cancel()
        self._under_way.clear()

    async def close(self) -> None:
        pass


class FakeDeadLetters:
    """Dead letters in memory. `faults` are raised, one a call, before anything is kept."""

    def __init__(self) -> None:
        self.kept: list[tuple[Record, Reason, str]] = []
        self.faults: list[Exception] = []

    async def put(self, record: Record, reason: Reason, detail: str) -> None:
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        self.kept.append((record, reason, detail))


class Journal:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.fates: list[tuple[str, str, int]] = []
        self.causes: list[str] = []
        self.durations: list[float] = []
        self.retries: list[tuple[str, int, str, float]] = []
        self.states: list[tuple[str, str]] = []

    def delivered(self, record: Record, attempts: int, duration_ms: float) -> None:
        self.fates.append((record.event_id, "delivered", attempts))
        self.durations.append(duration_ms)

    def retrying(self, record: Record, attempt: int, cause: str, delay_seconds: float) -> None:
        self.retries.append((record.event_id, attempt, cause, delay_seconds))

    def undeliverable(self, record: Record, attempts: int, cause: str) -> None:
        self.fates.append((record.event_id, "undeliverable", attempts))
        self.causes.append(cause)

    def expired(self, record: Record, attempts: int) -> None:
        self.fates.append((record.event_id, "expired", attempts))

    def erased(self, record: Record, attempts: int) -> None:
        self.fates.append((record.event_id, "erased", attempts))

    def state(self, name: str, cause: str) -> None:
        self.states.append((name, cause))

    @property
    def phases(self) -> list[str]:
        """The states of the breaker, without their causes."""
        return [name for name, _ in self.states]


class Post:
    """A forwarder with its stand-ins, running."""

    def __init__(self, *spools: FakeSpool, sink: FakeSink, options: dict) -> None:
        self.spools = spools
        self.sink = sink
        self.dead_letters = FakeDeadLetters()
        self.journal = Journal()
        self.faults: list[str] = []
        self.forgotten: set[tuple[str, str]] = set()
        self._broken_contracts: list[AssertionError] = []
        asyncio.get_running_loop().set_exception_handler(self._hear)
        self.forwarder = Forwarder(
            spools,
            sink,
            self.dead_letters,
            self.journal,
            **{
                "clock": wall_clock,
                "rng": random.Random(7),
                "is_erased": lambda *whom: whom in self.forgotten,
                **options,
            },
        )

    def _hear(self, _loop, told: dict) -> None:
        self.faults.append(told["message"])
        # The forwarder outlives the faults of its parts; what a stand-in asserts must still fail the test.
        if isinstance(told.get("exception"), AssertionError):
            self._broken_contracts.append(told["exception"])

    def check(self) -> None:
        """Raise what a stand-in found wrong with the forwarder."""
        for broken in self._broken_contracts:
            raise broken

    async def until(self, condition: Callable[[], bool], within_seconds: float = 30 * 86_400) -> None:
        """Let simulated time pass until a condition holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_seconds
        while not condition():
            assert loop.time() < end, f"not so within {within_seconds} simulated seconds"
            await asyncio.sleep(0.05 if loop.time() < 600 else 5.0)

    async def until_empty(self, within_seconds: float = 30 * 86_400) -> None:
        """Let simulated time pass until every spool has had all acknowledgements."""
        await self.until(lambda: all(spool.pending == 0 for spool in self.spools), within_seconds)


@contextlib.asynccontextmanager
async def post(*spools: FakeSpool, sink: FakeSink | None = None, **options):
    """Run a forwarder over the spools while the block runs."""
    running = Post(*spools, sink=sink or FakeSink(), options=options)
    running.forwarder.start()
    try:
        yield running
    finally:
        await running.forwarder.stop(0)
        running.check()
