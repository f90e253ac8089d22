"""From acknowledgements on the loop to a journal on disk: collected, written together, off the loop.

One flush is under way at a time. A failed one costs nothing but a repetition after a crash: the next flush writes everything
that is known, and no position has to be remembered for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.spool.cursor import Progress, to_ranges
from gateway.spool.recovery import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from gateway.spool.cursor import Journal
    from gateway.spool.segment import Segment

_JOURNAL_BYTES = 1 << 20


class Acknowledgements:
    """Acknowledged positions on their way to the journal, at most `flush_seconds` or `flush_count` behind.

    `durable()` gives what is certainly on disk of the segment that takes groups now.
    """

    def __init__(
        self,
        journal: Journal,
        background: Executor,
        segments: dict[int, Segment],
        durable: Callable[[], dict[int, tuple[int, int]]],
        *,
        flush_seconds: float,
        flush_count: int,
    ) -> None:
        self.failure: Exception | None = None
        self._journal = journal
        self._background = background
        self._segments = segments
        self._durable = durable
        self._flush_seconds = flush_seconds
        self._flush_count = flush_count
        self._loop = asyncio.get_running_loop()
        self._positions: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Future[None] | None = None
        self._limit = _JOURNAL_BYTES

    def add(self, position: int) -> None:
        """Take a position that was settled just now."""
        self._positions.append(position)
        if self._timer is None:
            self._timer = self._loop.call_later(self._flush_seconds, self._start)
        elif len(self._positions) == self._flush_count:
            self._timer.cancel()
            self._start()

    async def close(self) -> None:
        """Make everything durable that was added. On a broken disk the records come again instead."""
        if self._flush:
            await asyncio.wait([self._flush])
        if self._timer:
            self._timer.cancel()
        # How many records each segment holds is noted once more, beside the fences: should heads become unreadable, it is known.
        self._limit = -1
        self._start()
        assert self._flush is not None
        await asyncio.wait([self._flush])
        if self._timer:
            self._timer.cancel()
        self._journal.close()

    def _start(self) -> None:
        # A timer of its own while the flush runs keeps `add` from asking for another one.
        self._timer = self._loop.call_later(self._flush_seconds, self._start)
        if self._flush:
            return
        positions, self._positions = self._positions, []
        durable = self._durable()
        whole: Progress | None = None
        if self._journal.needs_snapshot or self._journal.size > self._limit:
            whole = snapshot(self._segments)
        self._flush = self._loop.run_in_executor(self._background, self._write, positions, durable, whole)
        self._flush.add_done_callback(self._flushed)

    def _write(
        self, positions: list[int], durable: dict[int, tuple[int, int]], whole: Progress | None
    ) -> None:
        if whole is None:
            self._journal.add(Progress(ranges=to_ranges(positions), durable=durable))
        else:
            self._journal.replace(whole)
            self._limit = max(_JOURNAL_BYTES, 4 * self._journal.size)

    def _flushed(self, flush: asyncio.Future[None]) -> None:
        self._flush = None
        error = flush.exception()
        self.failure = error if isinstance(error, Exception) else None
        if self._timer and not self._positions and self.failure is None:
            self._timer.cancel()
            self._timer = None
