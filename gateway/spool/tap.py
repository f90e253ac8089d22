"""What flows out of one spool into a merge: entries, and floors: moments before which nothing more can come.

A merge of several spools may give an entry only when no other spool can still bring an earlier one. Of a spool with an entry at hand that is
known; of one that has none at the moment it is *asked*, and answers with a floor: the moment of the question, told after everything that
was appended before it has become durable and has flowed out. So nothing is sent to and fro while nothing waits.

What always holds: entries flow in the spool's order, and never more of them than there is room for at the other end, in bytes (but always
one). A floor is told behind the entries that it speaks of.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from gateway.spool.contract import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.spool.contract import Entry

ENTRY_BYTES = 32
"""What an entry takes of the room beside its payload."""

_AT_ONCE = 256
_AT_ONCE_BYTES = 1 << 20


class Tappable(Protocol):
    """A spool that can be tapped: `gateway.spool.segments.SegmentSpool` says what each does."""

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries; none after a nudge."""

    @property
    def is_exhausted(self) -> bool:
        """Whether everything durable was given."""

    def nudge(self) -> None:
        """Let `read` come back."""

    def barrier(self) -> asyncio.Future[None] | None:
        """Give what is done when everything appended so far is durable."""


class Tap:
    """Lets a spool flow, from `open` to `close`, into `pour(entries)` and `floor(moment)`; both are called on the loop."""

    def __init__(
        self,
        spool: Tappable,
        pour: Callable[[Sequence[Entry]], None],
        floor: Callable[[int], None],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._spool = spool
        self._pour = pour
        self._floor = floor
        self._clock_ns = clock_ns
        self._loop = asyncio.get_running_loop()
        self._room = 0
        self._has_room = asyncio.Event()
        self._asked_at = 0
        self._reached = 0
        self._task: asyncio.Task[None] | None = None

    def open(self) -> asyncio.Task[None]:
        """Begin to flow, as far as there is room; gives the task that ends when the spool is closed, or at a fault, which is reported."""
        self._task = self._loop.create_task(self._flow())
        self._task.add_done_callback(self._ended)
        return self._task

    def grant(self, size: int) -> None:
        """Make room for so many bytes more."""
        self._room += size
        if self._room > 0:
            self._has_room.set()

    def ask(self) -> None:
        """Ask for a floor: it comes when what was appended so far has flowed out."""
        moment = self._asked_at = self._clock_ns()
        barrier = self._spool.barrier()
        if barrier is None or barrier.done():
            self._pass(moment)
        else:
            # Also when the group was refused: what is not durable will never come.
            barrier.add_done_callback(lambda _: self._pass(moment))

    async def close(self) -> None:
        """Stop: what has not flowed out stays where it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._loop.call_exception_handler(
                {"message": "a spool does not flow any more", "exception": error}
            )

    def _pass(self, moment: int) -> None:
        if moment == self._asked_at:
            self._reached = moment
            self._spool.nudge()

    async def _flow(self) -> None:
        while True:
            while self._room <= 0:
                self._has_room.clear()
                await self._has_room.wait()
            try:
                entries = await self._spool.read(_AT_ONCE)
            except SpoolUnavailable:
                # It was closed: nothing flows any more.
                return
            while entries:
                count, size = self._portion(entries)
                self._room -= size
                self._pour(entries[:count])
                entries = entries[count:]
                while entries and self._room <= 0:
                    self._has_room.clear()
                    await self._has_room.wait()
            if self._reached and self._spool.is_exhausted:
                moment, self._reached = self._reached, 0
                self._floor(moment)

    def _portion(self, entries: Sequence[Entry]) -> tuple[int, int]:
        """Give how many of the entries there is room for, at least one, and what they take."""
        size, most = 0, min(self._room, _AT_ONCE_BYTES)
        whole = sum([len(payload) for _, payload in entries]) + ENTRY_BYTES * len(entries)
        if whole <= most:
            return len(entries), whole
        for count, entry in enumerate(entries, 1):
            size += len(entry.payload) + ENTRY_BYTES
            if size >= most:
                return count, size
        return len(entries), size
