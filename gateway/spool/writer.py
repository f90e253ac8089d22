"""The thread that makes groups durable: it does only write and sync, one group at a time.

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

    def __init__(self, disk: Disk, loop: AbstractEventLoop) -> None:
        self._disk = disk
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def submit(
        self, descriptor: int, data: bytes, offset: int, done: Callable[[Exception | None], None]
    ) -> None:
        """Write `data` at byte `offset` and sync; then call `done` on the loop with what went wrong, or `None`."""
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
                self._disk.sync(job.descriptor, "group")
            except Exception as error:  # noqa: BLE001 - whoever waits for the group must get an answer, whatever broke
                refusal = error
            # A loop that is closed already has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(job.done, refusal)
