"""The way out of a segment spool: entries from memory or, beside the loop, from the files.

What always holds: an entry is given once, in order, until `rewind`, which begins again with the oldest that is not acknowledged: for a
consumer that took the place of one that is gone. What a load of before a rewind brings is let go; it is read again.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.spool.reader import Load, Loss, Place, Reader, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.spool.contract import Entry, SpoolUnavailable
    from gateway.spool.disk import Disk
    from gateway.spool.layout import Scan
    from gateway.spool.segment import Segment
    from gateway.spool.tuning import Tuning


class Outlet:
    """Gives the entries of `segments`, the spool's own mapping; `on_loss` is told, on the loop, what a file could not give."""

    def __init__(
        self, disk: Disk, segments: dict[int, Segment], tuning: Tuning, on_loss: Callable[[Loss], None]
    ) -> None:
        self._disk = disk
        self._segments = segments
        self._tuning = tuning
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._loading = ThreadPoolExecutor(1, "spool-reader")
        self._arrival = asyncio.Event()
        self._closed: SpoolUnavailable | None = None
        self._is_nudged = False
        self._reader = self._fresh_reader()

    @property
    def is_exhausted(self) -> bool:
        """Whether everything that is durable was given."""
        return self._reader.is_exhausted

    def offer(self, place: Place, payloads: Sequence[bytes]) -> None:
        """Take note of a group that became durable at this place."""
        self._reader.offer(place, payloads)
        self._arrival.set()

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries, at most `limit`; waits until there is one, or gives none after a `nudge`. Cancelling it loses nothing."""
        while True:
            taken = self._reader.take(limit)
            self._load_ahead(limit)
            if taken:
                return taken
            if self._closed:
                raise self._closed
            if self._is_nudged and self.is_exhausted:
                self._is_nudged = False
                return taken
            self._arrival.clear()
            await self._arrival.wait()

    def nudge(self) -> None:
        """Let whoever waits in `read`, or comes next, have an empty answer as soon as everything durable was given."""
        self._is_nudged = True
        self._arrival.set()

    def rewind(self) -> None:
        """Give again, from the oldest on, what is not acknowledged."""
        self._reader = self._fresh_reader()
        self._arrival.set()

    def close(self, reason: SpoolUnavailable) -> None:
        """Read no more: whoever waits, or asks when nothing is left in memory, gets the reason."""
        self._closed = reason
        self._arrival.set()

    def skip(self, before: int) -> None:
        """Never give the entries whose positions are below this one; all of them are settled."""
        self._reader.skip(before)

    def load(self, wanted: Load) -> asyncio.Future[Scan]:
        """Read a stretch of a file, after those that are being read."""
        return self._loop.run_in_executor(self._loading, load, self._disk, wanted)

    async def finish(self) -> None:
        """Wait for the load that is under way."""
        await asyncio.to_thread(self._loading.shutdown)

    def _fresh_reader(self) -> Reader:
        return Reader(
            self._segments, tail_entries=self._tuning.tail_entries, tail_bytes=self._tuning.tail_bytes
        )

    def _load_ahead(self, limit: int) -> None:
        wanted = None if self._closed else self._reader.next_load(limit)
        if wanted is not None:
            reader = self._reader
            self.load(wanted).add_done_callback(lambda done: self._loaded(reader, wanted, done))

    def _loaded(self, reader: Reader, wanted: Load, done: asyncio.Future[Scan]) -> None:
        error = done.exception()
        if error is not None:
            # Too many open files, for example: nothing is lost, and it passes.
            self._loop.call_exception_handler(
                {"message": "a spool's file can't be read; trying again", "exception": error}
            )
            self._loop.call_later(self._tuning.retry_seconds, self._try_again, reader)
            return
        if reader is not self._reader:
            return
        loss = reader.loaded(wanted, done.result())
        self._arrival.set()
        if loss is not None:
            self._on_loss(loss)

    def _try_again(self, reader: Reader) -> None:
        reader.not_loaded()
        self._arrival.set()
