"""A worker's end of the line: its spool flows to the delivering process, and what was delivered comes back.

What always holds: the spool is the worker's own; the other process only hears of it. Each connection begins with the oldest entry that is not
acknowledged. When the delivering process is gone, in order or not, the worker goes on taking events, and calls until somebody listens again.
What the full spool drops is told at once. How many events wait is told with what flows, and where nothing flows soon after it has changed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway.spool.lines import (
    Ask,
    Bye,
    Entries,
    Floor,
    Grant,
    Hello,
    Line,
    Message,
    Settled,
    Told,
    connect,
)
from gateway.spool.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.spool.contract import Entry
    from gateway.spool.segments import SegmentSpool

_AGAIN_SECONDS = 0.1
_NEWS_SECONDS = 1.0


class Feed:
    """Keeps partition `partition` connected, from `start` to `finish`; `on_told(event_id, content)` hears what is said of an event."""

    def __init__(
        self,
        spool: SegmentSpool,
        partition: int,
        path: Path,
        *,
        on_told: Callable[[str, bytes], None] = lambda _event_id, _content: None,
    ) -> None:
        self._spool = spool
        self._partition = partition
        self._path = path
        self._on_told = on_told
        self._loop = asyncio.get_running_loop()
        self._line: Line | None = None
        self._over: asyncio.Future[None] | None = None
        self._tap: Tap | None = None
        self._dropping: asyncio.Handle | None = None
        self._told = self._heard_count = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Call the delivering process, again whenever it is gone."""
        self._task = self._loop.create_task(self._run())

    async def finish(self, seconds: float) -> None:
        """Wait so long for the delivering process, if it is there, to say that it has ended, so that its last words are heard; then let go."""
        if self._task is None:
            return
        try:
            if self._line is not None and self._over is not None:
                await asyncio.wait((self._over,), timeout=max(seconds, 0.0))
        finally:
            self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while True:
            over = self._over = self._loop.create_future()
            try:
                line = await connect(self._path, partial(Line, self._heard, partial(self._end, over)))
            except OSError:
                pass
            else:
                self._line = line
                try:
                    await self._serve(line, over)
                finally:
                    self._line = None
                    line.close()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _serve(self, line: Line, over: asyncio.Future[None]) -> None:
        """Let the spool flow into this line until it is lost, or the other end has said that it is over."""
        self._heard_count = 0
        self._spool.rewind()
        self._spool.when_dropped(self._tell_dropped)
        tap = self._tap = Tap(self._spool, self._pour, self._floor)
        line.send(Hello(self._partition))
        flow = tap.open()
        try:
            while not over.done() and not (flow.done() and flow.exception()):
                waits = (over,) if flow.done() else (over, flow)
                await asyncio.wait(waits, timeout=_NEWS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if self._told != self._spool.pending:
                    self._pour([])
        finally:
            self._tap = None
            self._spool.when_dropped(None)
            await tap.close()

    def _pour(self, entries: Sequence[Entry]) -> None:
        if self._line is not None:
            self._told = self._spool.pending
            dropped_before = self._spool.dropped_before
            self._line.send(Entries(list(entries), self._told, self._heard_count, dropped_before))

    def _tell_dropped(self) -> None:
        """Say at once, and once in a turn of the loop, that entries were dropped: the other process may hold them."""
        if self._dropping is None:
            self._dropping = self._loop.call_soon(self._dropped)

    def _dropped(self) -> None:
        self._dropping = None
        self._pour([])

    def _floor(self, moment: int) -> None:
        if self._line is not None:
            self._told = self._spool.pending
            self._line.send(Floor(moment, self._told, self._heard_count))

    def _heard(self, line: Line, message: Message) -> None:
        if line is not self._line:
            return
        if isinstance(message, Settled):
            self._heard_count += len(message.positions)
            for position in message.positions:
                self._spool.acknowledge(position)
        elif isinstance(message, Told):
            self._on_told(message.event_id, message.content)
        elif isinstance(message, Bye) and self._over is not None:
            self._end(self._over, line)
        elif self._tap is not None:
            if isinstance(message, Grant):
                self._tap.grant(message.size)
            elif isinstance(message, Ask):
                self._tap.ask()

    def _end(self, over: asyncio.Future[None], line: Line) -> None:
        del line
        if not over.done():
            over.set_result(None)
