"""A world for the merge of spools without sockets and without waiting: a loop whose time passes by itself, spools and lines stepped by hand."""

from __future__ import annotations

import asyncio
import selectors
import struct
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.spool.contract import Entry, SpoolUnavailable
from gateway.spool.tap import ENTRY_BYTES, Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.spool.branch import Branch

_MOMENT = struct.Struct(">QI")


def payload_of(moment: int, serial: int, size: int = 0) -> bytes:
    """Give a payload that says when it was appended, and which it is."""
    return _MOMENT.pack(moment, serial).ljust(size, b".")


def moment_of(payload: bytes) -> int:
    return _MOMENT.unpack_from(payload)[0]


def serial_of(payload: bytes) -> int:
    return _MOMENT.unpack_from(payload)[1]


class Stall(AssertionError):
    """Everything waits, and nothing will ever come."""


class _Selector(selectors.DefaultSelector):
    passed = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise Stall
        self.passed += timeout
        return super().select(0)


class TimelessLoop(asyncio.SelectorEventLoop):
    """Where it would wait for a timer, the timer's time has come."""

    def __init__(self):
        self._own_selector = _Selector()
        super().__init__(self._own_selector)

    def time(self):
        return 1000.0 + self._own_selector.passed


class FakeSpool:
    """A spool whose groups become durable, or are refused, when the test says so. Its disk remembers acknowledgements as of `flush`.

    It gives two entries at once, as one that lags behind its disk does.
    """

    def __init__(self):
        self.entries: dict[int, bytes] = {}
        self.flushed: set[int] = set()
        self.acknowledged: set[int] = set()
        self.groups: deque[tuple[asyncio.Future[None], list[bytes]]] = deque()
        self.next_position = 1
        self.is_closed = False
        self._unread: deque[Entry] = deque()
        self._is_nudged = False
        self._arrival = asyncio.Event()

    @property
    def pending(self) -> int:
        return len(self.entries) - len(self.acknowledged)

    @property
    def is_exhausted(self) -> bool:
        return not self._unread

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.groups.append((future, list(payloads)))
        return future

    def commit(self) -> list[bytes]:
        """Make the oldest group durable; gives its payloads."""
        future, payloads = self.groups.popleft()
        for payload in payloads:
            entry = Entry(self.next_position, payload)
            self.entries[entry.position] = payload
            self._unread.append(entry)
            self.next_position += 1
        self._arrival.set()
        future.set_result(None)
        return payloads

    def refuse(self) -> None:
        """Refuse the oldest group: its positions are never used."""
        future, payloads = self.groups.popleft()
        self.next_position += len(payloads)
        future.set_exception(SpoolUnavailable("fake", "the disk refuses", "wait"))
        future.exception()

    def flush(self) -> None:
        self.flushed |= self.acknowledged

    def crash(self) -> None:
        """Forget what `kill -9` would make a process forget: groups on their way, and acknowledgements that were not flushed."""
        self.groups.clear()
        self.acknowledged = set(self.flushed)

    async def read(self, limit: int) -> list[Entry]:
        while True:
            if self._unread:
                return [self._unread.popleft() for _ in range(min(limit, 2, len(self._unread)))]
            if self.is_closed:
                raise SpoolUnavailable("fake", "it is closed", "open it")
            if self._is_nudged:
                self._is_nudged = False
                return []
            self._arrival.clear()
            await self._arrival.wait()

    def nudge(self) -> None:
        self._is_nudged = True
        self._arrival.set()

    def rewind(self) -> None:
        self._unread = deque(
            Entry(*item) for item in self.entries.items() if item[0] not in self.acknowledged
        )
        self._arrival.set()

    def barrier(self) -> asyncio.Future[None] | None:
        return self.groups[-1][0] if self.groups else None

    def acknowledge(self, position: int) -> None:
        assert position in self.entries
        self.acknowledged.add(position)

    def close(self) -> None:
        self.is_closed = True
        self._arrival.set()


class Poured(NamedTuple):
    """Entries on their way to the merge."""

    entries: list[Entry]


class Floored(NamedTuple):
    """A floor on its way to the merge."""

    moment: int


class Connection:
    """A line between a spool and a branch; what is sent arrives when the test says so. It is the branch's pipe."""

    def __init__(self, spool: FakeSpool, branch: Branch, clock_ns: Callable[[], int]):
        self.up: deque[Poured | Floored] = deque()
        self.down: deque[tuple[str, int]] = deque()
        self.granted = 0
        self.received = 0
        self._spool = spool
        self._branch = branch
        spool.rewind()
        self.tap = Tap(
            spool,
            lambda entries: self.up.append(Poured(list(entries))),
            lambda moment: self.up.append(Floored(moment)),
            clock_ns=clock_ns,
        )
        self.flow = self.tap.open()
        branch.connect(self)

    @property
    def pending(self) -> int:
        return self._spool.pending

    @property
    def is_quiet(self) -> bool:
        return not self.up and not self.down

    def acknowledge(self, position: int) -> None:
        self.down.append(("settled", position))

    def grant(self, size: int) -> None:
        assert size > 0
        self.granted += size
        self.down.append(("grant", size))

    def ask(self) -> None:
        self.down.append(("ask", 0))

    def deliver_up(self) -> None:
        """Let the oldest message to the merge arrive; one of a line that has been replaced is not heard."""
        message = self.up.popleft()
        if self._branch.pipe is not self:
            return
        if isinstance(message, Poured):
            self.received += sum(len(entry.payload) + ENTRY_BYTES for entry in message.entries)
            self._branch.pour(message.entries)
        else:
            self._branch.floor(message.moment)

    def deliver_down(self) -> None:
        """Let the oldest message to the spool arrive."""
        name, value = self.down.popleft()
        if name == "settled":
            self._spool.acknowledge(value)
        elif name == "grant":
            self.tap.grant(value)
        else:
            self.tap.ask()

    async def lose(self) -> None:
        """Lose the line with everything that is on its way."""
        self.up.clear()
        self.down.clear()
        await self.tap.close()
