"""The spool in a directory: its parts, wired together. The package's docstring is its design.

Everything here runs on the event loop. What blocks runs on three threads: the writer's (`commit`), the outlet's loads, and one in the
background for the cursor, the next segment and what is deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from gateway.spool import keeper
from gateway.spool.acknowledgements import Acknowledgements
from gateway.spool.ageing import Ageing
from gateway.spool.commit import GroupCommit
from gateway.spool.contract import SpoolUnavailable
from gateway.spool.cursor import Journal
from gateway.spool.disk import Disk
from gateway.spool.dropping import Dropper
from gateway.spool.layout import DATA_START, INDEX_BITS, INDEX_MASK
from gateway.spool.outlet import Outlet
from gateway.spool.recovery import Recovered, claim
from gateway.spool.room import Room
from gateway.spool.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.spool.contract import Entry
    from gateway.spool.lock import DirectoryLock
    from gateway.spool.reader import Loss, Place
    from gateway.spool.segment import Segment

MIN_SEGMENT_BYTES = 16 << 10
MAX_SEGMENT_BYTES = 256 << 20


class _Opened(NamedTuple):
    directory: Path
    disk: Disk
    lock: DirectoryLock
    journal: Journal
    recovered: Recovered
    segment_bytes: int
    max_bytes: int
    is_synced: bool
    tuning: Tuning
    on_damage: Callable[[Path, int, str], None]
    on_drop: Callable[[list[bytes]], None] | None


class SegmentSpool:
    """A `Spool` in a directory; made by `open_segment_spool`. `damaged` counts durable records that could not be read."""

    def __init__(self, opened: _Opened) -> None:
        recovered, tuning = opened.recovered, opened.tuning
        self._directory = opened.directory
        self._disk = opened.disk
        self._lock = opened.lock
        self.damaged = recovered.damaged
        self._segments = recovered.segments
        self._pending = sum(segment.pending for segment in recovered.segments.values())
        self._on_damage = opened.on_damage
        self._loop = asyncio.get_running_loop()
        self._background = ThreadPoolExecutor(1, "spool-background")
        self._is_closed = False
        self._is_released = False
        self._outlet = Outlet(self._disk, self._segments, tuning, self._lost)
        self._commit = GroupCommit(
            self._disk,
            self._directory,
            self._background,
            recovered,
            segment_bytes=opened.segment_bytes,
            retry_seconds=tuning.retry_seconds,
            gather_seconds=tuning.gather_seconds,
            is_synced=opened.is_synced,
            on_durable=self._durable,
            on_roll=self._discard_settled,
        )
        self._ageing = Ageing(self._commit, tuning.idle_roll_seconds)
        self._acknowledgements = Acknowledgements(
            opened.journal,
            self._background,
            self._segments,
            self._durable_counts,
            flush_seconds=tuning.flush_seconds,
            flush_count=tuning.flush_count,
        )
        self._room = Room(
            self._directory,
            self._commit,
            held=sum(segment.held for segment in recovered.segments.values()),
            capacity=opened.segment_bytes - DATA_START,
            max_bytes=opened.max_bytes,
        )
        self._on_drop = opened.on_drop
        self._when_dropped: Callable[[], None] | None = None
        self._dropper: Dropper | None = None
        if opened.on_drop is not None:
            self._room.dropper = self._dropper = Dropper(
                self._segments,
                self._room,
                self._commit,
                load=self._outlet.load,
                settle=self._drop,
                lose=self._lost,
                on_drop=self._dropped,
            )
        for damage in recovered.damage:
            self._on_damage(*damage)

    @property
    def pending(self) -> int:
        """How many durable payloads are not acknowledged yet. Damage is found, and taken off, when the reader gets there."""
        return self._pending

    @property
    def available(self) -> bool:
        """Whether `append` would be taken now."""
        return self.trouble is None

    @property
    def trouble(self) -> SpoolUnavailable | None:
        """Why `append` would not be taken now, and what would mend it."""
        return self._room.trouble

    @property
    def cursor_failure(self) -> Exception | None:
        """Why acknowledgements can't be made durable at the moment; after a crash they would come again."""
        return self._acknowledgements.failure

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        """Add payloads as one unit, in order; the future is done when they are durable.

        It fails with `SpoolUnavailable` when they could not be made durable. It is shared by everybody in the group and
        can't be cancelled: a task that is cancelled while it waits is told so when the group is settled.
        """
        return self._room.append(payloads)

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries that this reader has not given yet, at most `limit`; waits until there is one.

        Cancelling it loses nothing. Raises `SpoolUnavailable` when the spool is closed.
        """
        return await self._outlet.read(limit)

    @property
    def is_exhausted(self) -> bool:
        """Whether `read` has given everything that is durable."""
        return self._outlet.is_exhausted

    def nudge(self) -> None:
        """Let `read` give an empty answer, once, as soon as it has given everything that is durable."""
        self._outlet.nudge()

    def rewind(self) -> None:
        """Let `read` give again, from the oldest on, what is not acknowledged: for a reader that took another's place."""
        self._outlet.rewind()

    def barrier(self) -> asyncio.Future[None] | None:
        """Give the future that is done, or has failed, when everything appended so far is durable or refused; `None`: it is."""
        waiting = self._dropper.barrier() if self._dropper is not None else None
        return waiting or self._commit.barrier()

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery; saying it again changes nothing. Durable soon, not at once."""
        if self._is_released:
            return
        segment = self._segments.get(position >> INDEX_BITS)
        if segment is not None and segment.settle(position & INDEX_MASK):
            self._settled(segment, position)

    def is_dropped(self, position: int) -> bool:
        """Tell whether an entry that `read` gave, and that was not acknowledged, was dropped to make room since."""
        return position < self.dropped_before

    @property
    def dropped_before(self) -> int:
        """The position below which nothing waits any more because the oldest were dropped."""
        return self._dropper.dropped_before if self._dropper is not None else 0

    def when_dropped(self, tell: Callable[[], None] | None) -> None:
        """Have somebody who holds entries told, after each drop, that `dropped_before` has risen; `None`: nobody any more."""
        self._when_dropped = tell

    async def close(self) -> None:
        """Make durable what was appended and acknowledged, delete what needs no more delivery, and let go of the files."""
        if self._is_closed:
            return
        self._is_closed = self._room.is_closed = True
        self._ageing.stop()
        if self._dropper is not None:
            self._dropper.close()
        self._outlet.close(self._room.closed("read"))
        await self._commit.close()
        await self._outlet.finish()
        self._is_released = True
        await self._acknowledgements.close()
        await asyncio.to_thread(self._background.shutdown)
        self._commit.release_spare()
        if settled := self._take_settled(None):
            # What can't be deleted is settled at the next opening, and deleted then.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(keeper.discard, self._disk, self._directory, settled)
        self._lock.release()

    def _drop(self, segment: Segment, index: int) -> bool:
        is_news = segment.settle(index)
        if is_news:
            self._settled(segment, segment.number << INDEX_BITS | index)
        return is_news

    def _dropped(self, payloads: list[bytes]) -> None:
        assert self._on_drop is not None
        self._outlet.skip(self.dropped_before)
        self._on_drop(payloads)
        if self._when_dropped is not None:
            self._when_dropped()

    def _durable(self, segment: Segment, place: Place, payloads: Sequence[bytes], size: int) -> None:
        del segment
        self._pending += len(payloads)
        self._room.held += size
        self._outlet.offer(place, payloads)
        if not place.nth:
            self._ageing.begin()

    def _durable_counts(self) -> dict[int, tuple[int, int]]:
        active = self._commit.active
        return {active.number: (active.count, active.used)} if active and active.count else {}

    def _settled(self, segment: Segment, position: int) -> None:
        self._pending -= 1
        self._acknowledgements.add(position)
        if not segment.pending:
            self._room.free(segment, segment.used)
            if segment is not self._commit.active:
                self._discard_settled()
            elif self._ageing.is_due:
                self._ageing.roll()

    def _discard_settled(self) -> None:
        settled = self._take_settled(self._commit.active)
        if settled:
            self._background.submit(keeper.discard, self._disk, self._directory, settled)

    def _take_settled(self, active: Segment | None) -> list[Segment]:
        """Let go of the segments of which nothing waits, but for the `active` one and the one with the highest number."""
        newest = self._commit.newest_number
        settled = [
            segment
            for segment in self._segments.values()
            if not segment.pending and segment is not active and segment.number < newest
        ]
        for segment in settled:
            del self._segments[segment.number]
        return settled

    def _lost(self, loss: Loss) -> None:
        segment = loss.segment
        news = [index for index in loss.indices if segment.settle(index)]
        lost = [index for index in news if index < segment.proven]
        self.damaged += len(lost)
        for index in news:
            self._settled(segment, segment.number << INDEX_BITS | index)
        for region in loss.regions:
            what = (
                f"{len(lost)} records lost in this stretch" if lost else "no record that waits is among them"
            )
            reason = f"{region.length} bytes are unreadable, {what}"
            self._on_damage(segment.path, region.offset, reason)


async def open_segment_spool(  # noqa: PLR0913 - its limits and what it tells, all passed in
    directory: Path,
    *,
    segment_bytes: int = 16 << 20,
    max_bytes: int = 4 << 30,
    is_synced: bool = True,
    tuning: Tuning | None = None,
    on_damage: Callable[[Path, int, str], None] = lambda _path, _offset, _reason: None,
    on_drop: Callable[[list[bytes]], None] | None = None,
    hook: Callable[[str], None] | None = None,
    disk: Disk | None = None,
) -> SegmentSpool:
    """Open the spool in a directory, which is made when it does not exist, and recover what a crash left there.

    `max_bytes` bounds the records of all segments that still hold an unacknowledged one: space comes back by whole segments,
    and files take up to two `segment_bytes` more. `on_damage(path, byte, reason)` is called on the loop for bytes that can't
    be read; `hook(step)` on the spool's threads before and after each step on the disk (`gateway.spool.disk`). Raises
    `SpoolUnavailable`, and `ValueError` for a segment size that the layout can't have.
    """
    if not MIN_SEGMENT_BYTES <= segment_bytes <= MAX_SEGMENT_BYTES:
        bounds = f"{MIN_SEGMENT_BYTES} to {MAX_SEGMENT_BYTES}"
        raise ValueError(f"spool.segment_bytes must be {bounds}, not {segment_bytes}")
    disk = disk or Disk(hook)
    journal = Journal(disk, directory)
    try:
        lock, recovered = await asyncio.to_thread(claim, disk, directory, journal, segment_bytes)
    except OSError as error:
        hint = f"make {directory} a directory that the gateway may write, or set spool.directory to one"
        raise SpoolUnavailable(str(directory), str(error), hint) from error
    return SegmentSpool(
        _Opened(
            directory,
            disk,
            lock,
            journal,
            recovered,
            segment_bytes=segment_bytes,
            max_bytes=max_bytes,
            is_synced=is_synced,
            tuning=tuning or Tuning(),
            on_damage=on_damage,
            on_drop=on_drop,
        )
    )
