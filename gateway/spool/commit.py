"""Group commit, driven by the event loop: what is appended while one group is being made durable is the next group.

What always holds:

- One group is in flight. The next is submitted when it has come back, so a group on disk proves the group before it.
- A group is one write and one sync in one segment, and has one future for all who wait for it.
- While clients come together, groups gather: see below. A client that is alone is never delayed.
- A segment that refused a group is never written again: after a failed sync nobody knows what the disk holds, and a second
  sync would say yes without having written (`fsyncgate`, PostgreSQL wiki: Fsync Errors). Its fence travels in the head of
  the next segment, in the same write and sync as that segment's first group.
- The next segment is made ahead. Only when there is none do groups wait for one, and when it can't be made, they all fail.

Gathering
    A group costs the process two switches of threads and a fight for the interpreter's lock, however little it carries. So
    after a group that several appends shared, the next one is submitted only when a turn of the loop brought no further
    append, when it is full, or when `gather_seconds` have passed. No timer waits while the loop has nothing to do: a timer
    more than halves the rate of two clients. Measured in a gateway on one core, medians of six rounds in turns with one that
    does not gather, under 8, 16, 32 and 64 connections: a group carried 8, 17, 26 and 51 payloads instead of 4, 7, 13 and 22,
    switches of threads fell by 53 to 68 %, system time by 20 to 32 %, all CPU time by 20, 13, -1 and 14 %. The median answer
    came up to 16 % sooner, at 32 connections 1 % later; the slowest in a hundred scattered too much to tell.
    What it costs: while the loop is busy without a gap, an append can wait for `gather_seconds` more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from gateway.spool import keeper
from gateway.spool.layout import DATA_START, Head, encode_group, encode_head
from gateway.spool.reader import Place
from gateway.spool.trouble import unavailable
from gateway.spool.writer import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from gateway.spool.contract import SpoolUnavailable
    from gateway.spool.disk import Disk
    from gateway.spool.recovery import Recovered
    from gateway.spool.segment import Segment

GROUP_BYTES = 4 << 20


class GroupFuture(asyncio.Future[None]):
    """The one future of a group. A task that is cancelled while it waits here is told when the group is settled.

    Otherwise one client that goes away would cancel every other client of its group.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Refuse: the group is on its way."""
        del msg
        return False


class _Group:
    __slots__ = ("appends", "future", "payloads", "size")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future = GroupFuture(loop=loop)
        self.payloads: list[bytes] = []
        self.size = 0
        self.appends = 0


class GroupCommit:
    """The groups that wait, the one in flight, the segment that takes them and the one that comes next.

    `on_durable(segment, place, payloads, size)` is called for each group before its future is done; `on_roll()` after
    another segment took over, or was made ready to. `is_synced` is whether a group is synced before it counts. `trouble` is why the last group failed, `None` while all is well.
    """

    def __init__(  # noqa: PLR0913 - its parts and its limits, all passed in
        self,
        disk: Disk,
        directory: Path,
        background: Executor,
        recovered: Recovered,
        *,
        segment_bytes: int,
        retry_seconds: float,
        gather_seconds: float,
        is_synced: bool,
        on_durable: Callable[[Segment, Place, Sequence[bytes], int], None],
        on_roll: Callable[[], None],
    ) -> None:
        self.active: Segment | None = None
        self.queued_bytes = 0
        self.trouble: SpoolUnavailable | None = None
        self._loop = asyncio.get_running_loop()
        self._writer = GroupWriter(disk, self._loop, is_synced=is_synced)
        self._disk = disk
        self._directory = directory
        self._background = background
        self._segments = recovered.segments
        self._spare = recovered.spare
        self._fences = recovered.fences
        self._next_number = recovered.next_number
        self._segment_bytes = segment_bytes
        self._group_bytes = min(GROUP_BYTES, segment_bytes - DATA_START)
        self._retry_seconds = retry_seconds
        self._gather_seconds = gather_seconds
        self._gather_until = 0.0
        self._is_shared = False
        self._on_durable = on_durable
        self._on_roll = on_roll
        self._queue: deque[_Group] = deque()
        self._in_flight: _Group | None = None
        self._is_busy = False
        self._is_waiting = False
        self._is_preparing = False
        self._is_closed = False
        self._retry: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        if self._spare is None:
            self._prepare()

    @property
    def newest_number(self) -> int:
        """The highest number that a file on disk certainly has, 0 when there is none yet."""
        return self._spare.number if self._spare else next(reversed(self._segments), 0)

    def add(self, payloads: Sequence[bytes], size: int) -> asyncio.Future[None]:
        """Put payloads, whose records take `size` bytes, into the group that goes next."""
        queue = self._queue
        if queue and queue[-1].size + size <= self._group_bytes:
            group = queue[-1]
        else:
            group = _Group(self._loop)
            queue.append(group)
        group.payloads += payloads
        group.size += size
        group.appends += 1
        self.queued_bytes += size
        if not self._is_busy:
            self._is_busy = True
            self._submit_soon()
        return group.future

    def barrier(self) -> asyncio.Future[None] | None:
        """Give the future of the group that comes last of those that wait or are in flight, or `None` when there is none."""
        group = self._queue[-1] if self._queue else self._in_flight
        return group.future if group else None

    def roll(self) -> bool:
        """Go on in the segment made ahead, and overwrite the active one, of which nothing may wait, to be the one after that.

        Tells whether that could be done: not while a record waits, a group is on its way, or the next segment is being made.
        """
        active, spare = self.active, self._spare
        if active is None or active.pending or spare is None or self._is_busy or self._is_closed:
            return False
        # A crash brings it back until its other name is durable: what it holds then counts, as after any roll.
        self._fences.append(active.fence)
        del self._segments[active.number]
        self._segments[spare.number] = spare
        self.active, self._spare = spare, None
        self._in_background(keeper.recycle, self._disk, self._directory, active, self._take_number())
        return True

    async def close(self) -> None:
        """Wait for every group, then end the thread and let go of the files."""
        while self._is_busy:
            self._idle.clear()
            await self._idle.wait()
        self._is_closed = True
        if self._retry:
            self._retry.cancel()
        await asyncio.to_thread(self._writer.stop)
        if self.active:
            keeper.close(self.active)

    def release_spare(self) -> None:
        """Let go of the next segment's file, when nothing runs in the background any more."""
        if self._spare:
            keeper.close(self._spare)

    def _submit_soon(self) -> None:
        if self._is_shared:
            self._gather_until = self._loop.time() + self._gather_seconds
            # Counted from nothing, since this turn is half over: the first whole one decides.
            self._loop.call_soon(self._gather, 0)
        else:
            self._loop.call_soon(self._submit)

    def _gather(self, appends: int) -> None:
        """Submit, unless the loop's last turn brought more to the group that had so many `appends`, and it may wait."""
        queue = self._queue
        # Empty when the disk refused a new segment in the meantime.
        if len(queue) != 1 or queue[0].appends == appends or self._loop.time() >= self._gather_until:
            self._submit()
        else:
            self._loop.call_soon(self._gather, queue[0].appends)

    def _submit(self) -> None:
        if not self._queue:
            self._is_busy = False
            self._idle.set()
            return
        segment = self._segment_for(self._queue[0].size)
        if segment is None:
            self._is_waiting = True
            return
        group = self._in_flight = self._queue.popleft()
        data = encode_group(group.payloads, segment.salt, segment.count)
        offset = segment.used
        if not segment.is_open:
            head = Head(segment.number, segment.size, segment.salt, is_open=True, fences=tuple(self._fences))
            data, offset = encode_head(head) + data, 0
        self._writer.submit(segment.descriptor, data, offset, self._written)

    def _segment_for(self, size: int) -> Segment | None:
        """Give the segment that takes the next group, rolling to the one made ahead; `None`: it is being made."""
        active = self.active
        if active and active.used + size <= active.size:
            return active
        if self._spare is None:
            self._prepare()
            return None
        if active:
            self._seal(active)
        self.active, self._spare = self._spare, None
        self._segments[self.active.number] = self.active
        self._prepare()
        self._on_roll()
        return self.active

    def _seal(self, segment: Segment) -> None:
        self._fences.append(segment.fence)
        self.active = None
        self._background.submit(keeper.close, segment)

    def _written(self, refusal: Exception | None) -> None:
        group, segment = self._in_flight, self.active
        assert group is not None
        assert segment is not None
        self._in_flight = None
        if refusal is None:
            if not segment.is_open:
                self._fences.clear()
            self.trouble = None
            place = Place(segment.number, segment.used, segment.count)
            segment.extend(len(group.payloads), group.size)
            self._on_durable(segment, place, group.payloads, group.size)
            self.queued_bytes -= group.size
            group.future.set_result(None)
        else:
            self._seal(segment)
            self._fail(group, refusal)
            self._retry_later()
        self._is_shared = group.appends > 1 and self._gather_seconds > 0
        if self._is_shared and self._queue:
            self._submit_soon()
        else:
            self._submit()

    def _fail(self, group: _Group, error: BaseException) -> None:
        self.trouble = unavailable(self._directory, error)
        self.queued_bytes -= group.size
        group.future.set_exception(self.trouble)
        # Whoever was cancelled while waiting does not look; that it failed is told by `trouble`.
        group.future.exception()

    def _prepare(self) -> None:
        if self._is_preparing:
            return
        number = self._take_number()
        self._in_background(keeper.make_segment, self._disk, self._directory, number, self._segment_bytes)

    def _take_number(self) -> int:
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def _in_background(self, function: Callable[..., Segment], *arguments: Any) -> None:
        self._is_preparing = True
        future = self._loop.run_in_executor(self._background, function, *arguments)
        future.add_done_callback(self._prepared)

    def _prepared(self, future: asyncio.Future[Segment]) -> None:
        self._is_preparing = False
        error = future.exception()
        if error is None:
            self._spare = future.result()
            self.trouble = None
            if not self._is_closed:
                self._on_roll()
        elif self._is_waiting or self.active is None:
            self.trouble = unavailable(self._directory, error)
            while self._queue:
                self._fail(self._queue.popleft(), error)
        if error is not None:
            self._retry_later()
        if self._is_waiting:
            self._is_waiting = False
            self._submit()

    def _retry_later(self) -> None:
        if self._retry is None and not self._is_closed:
            self._retry = self._loop.call_later(self._retry_seconds, self._try_again)

    def _try_again(self) -> None:
        """Find out whether the disk is well again, without waiting for somebody's append to find out."""
        self._retry = None
        if self._is_preparing:
            self._retry_later()
        elif self._spare is None:
            self._prepare()
        elif self.trouble:
            # Out of reach while it is probed: a group must not be written to it at the same time.
            spare, self._spare = self._spare, None
            self._in_background(keeper.probe, self._disk, spare)
