"""A spool without a disk, for tests and the demo: everything the contract says, except outliving the process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from gateway.spool.contract import Entry, SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MemorySpool:
    """Entries in a queue, and the payloads of those that are not acknowledged. `max_bytes` bounds the sum of their sizes.

    At the bound it refuses, or, with `on_drop`, drops the oldest ones and hands them over.
    """

    def __init__(
        self, *, max_bytes: int = 1 << 30, on_drop: Callable[[list[bytes]], None] | None = None
    ) -> None:
        self.damaged = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._on_drop = on_drop
        self._dropped_before = 0
        self._waiting: dict[int, bytes] = {}
        self._unread: deque[Entry] = deque()
        self._next = 1
        self._arrival = asyncio.Event()
        self._is_closed = False

    @property
    def pending(self) -> int:
        """How many payloads are not acknowledged yet."""
        return len(self._waiting)

    @property
    def available(self) -> bool:
        """Whether `append` would be taken now."""
        return not self._is_closed and (self._on_drop is not None or self._bytes < self._max_bytes)

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        """Add payloads as one unit, in order; the future is done already."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        size = sum(map(len, payloads))
        if self._is_closed:
            future.set_exception(_closed())
            return future
        if self._on_drop is not None and size <= self._max_bytes:
            self._make_room(size, self._on_drop)
        if self._bytes + size > self._max_bytes:
            cause = f"{self._bytes} of {self._max_bytes} bytes wait for delivery"
            future.set_exception(SpoolUnavailable("memory", cause, "raise spool.max_bytes"))
        else:
            for payload in payloads:
                self._unread.append(Entry(self._next, payload))
                self._waiting[self._next] = payload
                self._next += 1
            self._bytes += size
            self._arrival.set()
            future.set_result(None)
        return future

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries that were not given yet, at most `limit`; waits until there is one."""
        while not self._unread:
            if self._is_closed:
                raise _closed()
            self._arrival.clear()
            await self._arrival.wait()
        return [self._unread.popleft() for _ in range(min(limit, len(self._unread)))]

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery; saying it again changes nothing."""
        self._bytes -= len(self._waiting.pop(position, b""))

    def is_dropped(self, position: int) -> bool:
        """Tell whether an entry that was given, and not acknowledged, was dropped to make room since."""
        return position < self._dropped_before

    async def close(self) -> None:
        """Take nothing more; whoever waits in `read` is told."""
        self._is_closed = True
        self._arrival.set()

    def _make_room(self, size: int, on_drop: Callable[[list[bytes]], None]) -> None:
        dropped = []
        while self._waiting and self._bytes + size > self._max_bytes:
            position = next(iter(self._waiting))
            dropped.append(self._waiting.pop(position))
            self._bytes -= len(dropped[-1])
            self._dropped_before = position + 1
        while self._unread and self._unread[0].position < self._dropped_before:
            self._unread.popleft()
        if dropped:
            on_drop(dropped)


def _closed() -> SpoolUnavailable:
    return SpoolUnavailable("memory", "it is closed", "append only while the gateway is serving")
