"""A worker's end of the line: its spool flows to the delivering process, and what was delivered comes back.

What always holds: the spool is the worker's own; the other process only hears of it. Each connection begins with the oldest entry that is not
acknowledged. When the delivering process is gone the worker goes on taking events, and calls until somebody listens again.
"""

from __future__ import annotations

import asyncio
import contextlib
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
    from collections.abc import Callable
    from pathlib import Path

    from gateway.spool.segments import SegmentSpool

_AGAIN_SECONDS = 0.1


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
        self._lost: asyncio.Future[None] | None = None
        self._tap: Tap | None = None
        self._has_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Call the delivering process, again whenever it is gone."""
        self._task = self._loop.create_task(self._run())

    async def finish(self, seconds: float) -> None:
        """Wait so long for the delivering process to say that it has ended, so that its last words are heard; then let go."""
        if self._task is None:
            return
        if self._lost is not None and not self._lost.done():
            ending = self._loop.create_task(self._has_ended.wait())
            waits = (ending, self._lost)
            await asyncio.wait(waits, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not self._has_ended.is_set():
            try:
                line = await connect(self._path, lambda: Line(self._heard, self._gone))
            except OSError:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            try:
                await self._serve(line)
            finally:
                line.close()

    async def _serve(self, line: Line) -> None:
        self._lost = self._loop.create_future()
        spool = self._spool
        spool.rewind()
        tap = self._tap = Tap(
            spool,
            lambda entries: line.send(Entries(list(entries), spool.pending)),
            lambda moment: line.send(Floor(moment, spool.pending)),
        )
        line.send(Hello(self._partition))
        tap.open()
        try:
            await self._lost
        finally:
            self._tap = None
            await tap.close()

    def _heard(self, line: Line, message: Message) -> None:
        del line
        if isinstance(message, Settled):
            for position in message.positions:
                self._spool.acknowledge(position)
        elif isinstance(message, Told):
            self._on_told(message.event_id, message.content)
        elif isinstance(message, Bye):
            self._has_ended.set()
        elif self._tap is not None:
            if isinstance(message, Grant):
                self._tap.grant(message.size)
            elif isinstance(message, Ask):
                self._tap.ask()

    def _gone(self, line: Line) -> None:
        del line
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)
