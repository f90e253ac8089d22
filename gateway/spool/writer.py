"""The thread that makes groups durable: it does only write and sync, one group at a time.

Where a spool leaves the syncing to the kernel (`is_synced` is false), a group counts once it is written. Only the first of a segment
is synced also then: it carries the segment's head, so that after a power cut the segment is known to have been in use, and the
counts of the segments before it, so that what the cut took of them is counted.

The event loop hands it a group's bytes and is called back, on the loop, when they are durable or refused. There is no lock
and no future here: one queue in, one `call_soon_threadsafe` out.
"""

from __future__ import annotations

import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from gateway.spool.disk import Disk


class _Job(NamedTuple):
    descriptor: int
    data: bytes
    offset: int
    done: Callable[[Exception | None], None]


class GroupWriter:
    """One dedicated thread, from construction to `stop`."""

    def __init__(self, disk: Disk, loop: AbstractEventLoop, *, is_synced: bool) -> None:
        self._disk = disk
        self._is_synced = is_synced
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def submit(
        self, descriptor: int, data: bytes, offset: int, done: Callable[[Exception | None], None]
    ) -> None:
        """Write `data` at byte `offset` and sync, where that is asked for; then call `done` on the loop with what went wrong, or `None`."""
        self._jobs.put(_Job(descriptor, data, offset, done))

    def stop(self) -> None:
        """End the thread after what was submitted; blocks until it has ended."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while job := self._jobs.get():
            refusal: Exception | None = None
            try:
                self._disk.write(job.descriptor, job.data, job.offset, "group")
                if self._is_synced or not job.offset:
                    self._disk.sync(job.descriptor, "group")
            except Exception as error:  # noqa: BLE001 - whoever waits for the group must get an answer, whatever broke
                refusal = error
            # A loop that is closed already has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(job.done, refusal)
