"""A spool of segment files of our own: durable before the answer leaves, one write and one sync for many clients.

Constraints
    A payload is acknowledged to its client only when it would survive a power cut. Appending is the hot path of the whole
    product. One process owns a directory, one event loop makes all calls. What is on disk after a crash is whatever subset
    of the unsynced writes the disk chose; what was synced may still rot.

Files of a directory
    ============================ ============================================================================
    `lock`                       held with `flock` by the one owner
    `000000000007.segment`       records, in the byte layout of `gateway.spool.layout`; the number rises, for ever
    `cursor`                     the journal of acknowledged positions (`gateway.spool.cursor`)
    `*.tmp`                      a file that is being made; deleted at the next opening
    `000000000005.unreadable`    a segment without a readable head, set aside for a person; nothing waits for it
    ============================ ============================================================================

Positions
    A position is the segment's number times 2^24 plus the record's index in it. Each opening, and each failed group, goes on
    in a segment with a number that no file ever had, and the file with the highest number is not deleted before a higher one
    is durable. So a position is never used twice, whatever a crash tore off.

Operations
    *append*       joins the group that goes next; `call_soon` submits it, later under load (`commit`)
    *group*        head and records in one write, one `fdatasync`, on the writer's thread; then it counts as durable
    *roll*         a group that does not fit goes to the next segment, which was made ahead: zeros really written and synced,
                   so that a group's sync writes no metadata. The first group of a segment is written together with its head,
                   which carries *fences*: how many records of the earlier segments count
    *read*         from memory while the reader keeps up, in stretches of the files when it lags (`reader`, `outlet`)
    *acknowledge*  settles a bit in the segment's bitmap; the journal follows within `flush_seconds`
    *discard*      a segment whose records are all settled, and that takes no more groups, is deleted
    *overwrite*    what was delivered does not wait until the segment is full. A minute (`idle_roll_seconds`) after its first
                   record, as soon as nothing in it waits, the spool goes on in the segment made ahead, and the old file is
                   taken from its name, overwritten with zeros, and given the next number: a blank segment (`ageing`,
                   `keeper.recycle`). That writes as many bytes as were used, not a whole segment. Closing deletes instead
    *recover*      at opening: heads, fences and the cursor; only a segment without a fence is scanned (`recovery`)

What a crash leaves behind
    ============================ ============================================================================
    while a segment is made      a `.tmp` file, or a blank segment: deleted, or used as the next one
    before or in a group's write nothing, or some of its records: a scan ignores the rest. Nobody was told yes
    after the write, before sync the same; after `kill -9` without a power cut usually all of it
    after the sync               the group, whether or not its clients were told
    while rolling                the old segment has no fence yet, so it is scanned
    in a write of the cursor     an entry that can't be read: those records come again
    before the cursor's rename   the old journal: the same
    before a discard is durable  the segment is there again and the cursor settles it, or its records come again
    while one is overwritten     the same until its new name `.tmp` is durable; zeros are written only then, to a file that
                                 the next opening deletes; at last a blank segment
    ============================ ============================================================================
    So nothing acknowledged to a client is lost: its group was synced before, and its segment is deleted only after every
    record in it was acknowledged by the reader. What the reader acknowledged in the last `flush_seconds`, or while the
    background thread was still busy with the flush or the segment before, comes again.

An append that failed
    Its payloads are never given by this process, nor after a restart once any later append has succeeded: then its segment
    is fenced (a head holds the newest 200 fences). Only when the process ends before that may they be found and delivered.

Damage
    Every record has its own CRC, every segment two heads. A record that can't be read is skipped, counted in `damaged` and
    reported; the scan goes on at the next readable one. Because indices are dense, the count is exact. Missing records that
    may belong to the last, unfinished write are reported as that and not counted.
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
from gateway.spool.layout import DATA_START, INDEX_BITS, INDEX_MASK, RECORD_HEAD_BYTES
from gateway.spool.outlet import Outlet
from gateway.spool.recovery import Recovered, claim
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
    tuning: Tuning


class SegmentSpool:
    """A `Spool` in a directory; made by `open_segment_spool`. `damaged` counts durable records that could not be read."""

    def __init__(self, opened: _Opened, on_damage: Callable[[Path, int, str], None]) -> None:
        recovered, tuning = opened.recovered, opened.tuning
        self._directory = opened.directory
        self._disk = opened.disk
        self._lock = opened.lock
        self.damaged = recovered.damaged
        self._segments = recovered.segments
        self._pending = sum(segment.pending for segment in recovered.segments.values())
        self._held = sum(segment.held for segment in recovered.segments.values())
        self._max_bytes = opened.max_bytes
        self._capacity = opened.segment_bytes - DATA_START
        self._on_damage = on_damage
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
        for damage in recovered.damage:
            on_damage(*damage)

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
        if self._is_closed:
            return self._unavailable("it is closed", "append only while the gateway is serving")
        if self._held + self._commit.queued_bytes >= self._max_bytes:
            return self._full()
        return self._commit.trouble

    @property
    def cursor_failure(self) -> Exception | None:
        """Why acknowledgements can't be made durable at the moment; after a crash they would come again."""
        return self._acknowledgements.failure

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        """Add payloads as one unit, in order; the future is done when they are durable.

        It fails with `SpoolUnavailable` when they could not be made durable. It is shared by everybody in the group and
        can't be cancelled: a task that is cancelled while it waits is told so when the group is settled.
        """
        size = sum(map(len, payloads)) + RECORD_HEAD_BYTES * len(payloads)
        if (
            self._is_closed
            or self._held + self._commit.queued_bytes + size > self._max_bytes
            or size > self._capacity
        ):
            return self._refuse(size)
        return self._commit.add(payloads, size)

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
        return self._commit.barrier()

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery; saying it again changes nothing. Durable soon, not at once."""
        if self._is_released:
            return
        segment = self._segments.get(position >> INDEX_BITS)
        if segment is not None and segment.settle(position & INDEX_MASK):
            self._settled(segment, position)

    async def close(self) -> None:
        """Make durable what was appended and acknowledged, delete what needs no more delivery, and let go of the files."""
        if self._is_closed:
            return
        self._is_closed = True
        self._ageing.stop()
        self._outlet.close(self._unavailable("it is closed", "read only while the gateway is serving"))
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

    def _refuse(self, size: int) -> asyncio.Future[None]:
        if not self._is_closed and size > self._capacity:
            cause = f"payloads of {size} bytes do not fit in a segment of {self._capacity}"
            refusal = self._unavailable(cause, "raise spool.segment_bytes or send fewer events at a time")
        else:
            refusal = self.trouble or self._full()
        future: asyncio.Future[None] = self._loop.create_future()
        future.set_exception(refusal)
        return future

    def _full(self) -> SpoolUnavailable:
        held = self._held + self._commit.queued_bytes
        hint = "raise spool.max_bytes, or find out why the collector does not take them"
        return self._unavailable(f"{held} of {self._max_bytes} bytes wait for delivery", hint)

    def _unavailable(self, cause: str, hint: str) -> SpoolUnavailable:
        return SpoolUnavailable(str(self._directory), cause, hint)

    def _durable(self, segment: Segment, place: Place, payloads: Sequence[bytes], size: int) -> None:
        del segment
        self._pending += len(payloads)
        self._held += size
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
            self._held -= segment.held
            segment.held = 0
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
            reason = f"{region.length} bytes are unreadable, {len(lost)} records lost in this stretch"
            if news and not lost:
                reason = f"{region.length} bytes of an unfinished write were ignored"
            self._on_damage(segment.path, region.offset, reason)


async def open_segment_spool(
    directory: Path,
    *,
    segment_bytes: int = 16 << 20,
    max_bytes: int = 4 << 30,
    tuning: Tuning | None = None,
    on_damage: Callable[[Path, int, str], None] = lambda _path, _offset, _reason: None,
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
    opened = _Opened(directory, disk, lock, journal, recovered, segment_bytes, max_bytes, tuning or Tuning())
    return SegmentSpool(opened, on_damage)
