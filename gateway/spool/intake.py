"""The delivering process's end of the lines: workers call, and their partitions join the merge.

Partitions that no worker has any more (a gateway that had more workers once) are opened here and join it too.
"""

from __future__ import annotations

import asyncio
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

    from gateway.spool.merge import Branch, MergedSpool
    from gateway.spool.segments import SegmentSpool


class _RemotePipe:
    """A worker's partition. Acknowledgements of one turn of the loop leave together."""

    def __init__(self, line: Line, branch: Branch) -> None:
        self.branch = branch
        self.pending = 0
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._settled: list[int] = []

    def acknowledge(self, position: int) -> None:
        if not self._settled:
            self._loop.call_soon(self.flush)
        self._settled.append(position)

    def flush(self) -> None:
        if self._settled:
            positions, self._settled = self._settled, []
            self.pending = max(self.pending - len(positions), 0)
            self._line.send(Settled(positions))

    def grant(self, size: int) -> None:
        self._line.send(Grant(size))

    def ask(self) -> None:
        self._line.send(Ask())

    def tell(self, event_id: str, content: bytes) -> None:
        self._line.send(Told(event_id, content))

    def end(self) -> None:
        self.flush()
        self._line.send(Bye())
        self._line.close()


class LocalPipe:
    """A partition that is open in this process."""

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


class Intake:
    """Listens for the workers of the first `workers` partitions of a merge."""

    def __init__(self, merged: MergedSpool, workers: int) -> None:
        self._merged = merged
        self._workers = workers
        self._server: asyncio.Server | None = None
        self._pipes: dict[Line, _RemotePipe] = {}

    async def open(self, path: Path) -> None:
        """Listen at this path. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Line(self._heard, self._lost), sock=listen(path))

    def tell(self, position: int, event_id: str, content: bytes) -> None:
        """Say something about an event to the worker that took it, if it is there."""
        pipe = self._merged.branch_of(position).pipe
        if isinstance(pipe, _RemotePipe):
            pipe.tell(event_id, content)

    async def close(self) -> None:
        """Say that it is over, after the last acknowledgements, and let go."""
        if self._server is not None:
            self._server.close()
        for pipe in list(self._pipes.values()):
            pipe.end()

    def _heard(self, line: Line, message: Message) -> None:
        pipe = self._pipes.get(line)
        if pipe is None:
            if isinstance(message, Hello) and 0 <= message.partition < self._workers:
                branch = self._merged.branches[message.partition]
                pipe = self._pipes[line] = _RemotePipe(line, branch)
                if branch.pipe is not None:
                    # A worker that was started again before the end of the one before it was heard of.
                    branch.disconnect(branch.pipe)
                branch.connect(pipe)
            else:
                line.close()
            return
        if pipe.branch.pipe is not pipe:
            return
        if isinstance(message, Entries):
            pipe.pending = message.pending
            pipe.branch.pour(message.entries)
        elif isinstance(message, Floor):
            pipe.pending = message.pending
            pipe.branch.floor(message.moment)

    def _lost(self, line: Line) -> None:
        pipe = self._pipes.pop(line, None)
        if pipe is not None:
            pipe.branch.disconnect(pipe)
