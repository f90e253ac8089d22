"""The delivering process's end of the lines: workers call, and their partitions join the merge.

Partitions that no worker has any more (a gateway that had more workers once) are opened here and join it too.

What always holds: a partition has one pipe, that of the worker which called last. Acknowledgements leave before the `Bye`, and the worker
closes the line, so that none is lost because it was still sending.
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
    listen,
)
from gateway.spool.tap import Tap

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.spool.branch import Branch
    from gateway.spool.merge import MergedSpool
    from gateway.spool.segments import SegmentSpool


class _RemotePipe:
    """A worker's partition. Acknowledgements of one turn of the loop leave together."""

    def __init__(self, line: Line, branch: Branch) -> None:
        self.branch = branch
        self.pending = 0
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._settled: list[int] = []
        self._sent = 0

    def acknowledge(self, position: int) -> None:
        if not self._settled:
            self._loop.call_soon(self.flush)
        self._settled.append(position)

    def flush(self) -> None:
        if self._settled:
            positions, self._settled = self._settled, []
            self._sent += len(positions)
            self.pending = max(self.pending - len(positions), 0)
            self._line.send(Settled(positions))

    def count(self, pending: int, heard: int) -> None:
        """Hear how many were pending when so many acknowledgements had arrived: the others are on their way."""
        self.pending = max(pending - (self._sent - heard), 0)

    def grant(self, size: int) -> None:
        self._line.send(Grant(size))

    def ask(self) -> None:
        self._line.send(Ask())

    def tell(self, event_id: str, content: bytes) -> None:
        self._line.send(Told(event_id, content))

    def end(self) -> None:
        self.flush()
        self._line.send(Bye())
        self.branch.disconnect(self)


class LocalPipe:
    """A partition that is open in this process, from `open` to `close`, once."""

    def __init__(self, spool: SegmentSpool, branch: Branch) -> None:
        self._spool = spool
        self._branch = branch
        self._tap = Tap(spool, branch.pour, branch.floor)
        self.grant = self._tap.grant
        self.ask = self._tap.ask
        self.acknowledge = spool.acknowledge

    @property
    def pending(self) -> int:
        """How many of its entries are not acknowledged."""
        return self._spool.pending

    def open(self) -> None:
        """Let it join the merge."""
        self._branch.connect(self)
        self._tap.open()

    async def close(self) -> None:
        """Let nothing more flow."""
        await self._tap.close()
        self._branch.disconnect(self)


class Intake:
    """Listens for the workers of the first `workers` partitions of a merge."""

    def __init__(self, merged: MergedSpool, workers: int) -> None:
        self._merged = merged
        self._workers = workers
        self._server: asyncio.Server | None = None
        # `None`: it has not said yet which partition it has.
        self._pipes: dict[Line, _RemotePipe | None] = {}
        self._all_gone = asyncio.Event()
        self._is_closing = False

    async def open(self, path: Path) -> None:
        """Listen at this path. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._make_line, sock=listen(path))

    def tell(self, position: int, event_id: str, content: bytes) -> None:
        """Say something about an event to the worker that took it, if it is there."""
        pipe = self._merged.branch_of(position).pipe
        if isinstance(pipe, _RemotePipe):
            pipe.tell(event_id, content)

    async def close(self, seconds: float = 1.0) -> None:
        """Say that it is over, after the last acknowledgements, wait so long until the workers have let go, and let go."""
        self._is_closing = True
        self._all_gone.clear()
        if self._server is not None:
            self._server.close()
        for line, pipe in list(self._pipes.items()):
            if pipe is None:
                line.close()
            else:
                pipe.end()
        if self._pipes:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), seconds)
        for line in list(self._pipes):
            line.close()

    def _make_line(self) -> Line:
        line = Line(self._heard, self._lost)
        self._pipes[line] = None
        return line

    def _heard(self, line: Line, message: Message) -> None:
        pipe = self._pipes.get(line)
        if pipe is None:
            self._greet(line, message)
        elif pipe.branch.pipe is not pipe:
            return
        elif isinstance(message, Entries):
            pipe.count(message.pending, message.heard)
            pipe.branch.dropped_before = max(pipe.branch.dropped_before, message.dropped_before)
            pipe.branch.pour(message.entries)
        elif isinstance(message, Floor):
            pipe.count(message.pending, message.heard)
            pipe.branch.floor(message.moment)

    def _greet(self, line: Line, message: Message) -> None:
        if self._is_closing or not isinstance(message, Hello) or not 0 <= message.partition < self._workers:
            line.close()
            return
        branch = self._merged.branches[message.partition]
        for other, pipe in self._pipes.items():
            if pipe is not None and pipe.branch is branch:
                # A worker that was started again before the end of the one before it was heard of.
                other.close()
        pipe = self._pipes[line] = _RemotePipe(line, branch)
        branch.connect(pipe)

    def _lost(self, line: Line) -> None:
        pipe = self._pipes.pop(line, None)
        if pipe is not None:
            pipe.branch.disconnect(pipe)
        if not self._pipes:
            self._all_gone.set()
