"""Who may come in: the bound of a spool, what counts against it, and what is said when there is no room.

What always holds: what is durable in segments that still hold an unacknowledged record, from the first byte that counts on
(`Segment.freed`), and what is on its way to the disk, are together never above `max_bytes`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.layout import RECORD_HEAD_BYTES
from gateway.spool.trouble import unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.spool.commit import GroupCommit
    from gateway.spool.dropping import Dropper
    from gateway.spool.segment import Segment


class Room:
    """The way in of a spool. With a `dropper` it makes room at the bound, without one it refuses.

    `held` is how many bytes of durable records count; a segment takes `capacity` bytes of them.
    """

    def __init__(
        self, directory: Path, commit: GroupCommit, *, held: int, capacity: int, max_bytes: int
    ) -> None:
        self.held = held
        self.dropper: Dropper | None = None
        self.is_closed = False
        self._directory = directory
        self._commit = commit
        self._capacity = capacity
        self._max_bytes = max_bytes

    @property
    def trouble(self) -> SpoolUnavailable | None:
        """Why nothing would be taken now, and what would mend it."""
        if self.is_closed:
            return self.refusal()
        if self.dropper is None and self.missing(1) > 0:
            return self.refusal()
        return self._commit.trouble

    def append(self, payloads: Sequence[bytes]) -> asyncio.Future[None]:
        """Let payloads in as one unit; the future is done when they are durable, or fails with `SpoolUnavailable`."""
        size = sum(map(len, payloads)) + RECORD_HEAD_BYTES * len(payloads)
        dropper = self.dropper
        if self.is_closed or size > self._capacity or size > self._max_bytes:
            return self._refuse(size)
        if dropper is None:
            if self.held + self._commit.queued_bytes + size > self._max_bytes:
                return self._refuse(size)
        elif dropper.is_busy or self.missing(size) > 0:
            return dropper.append(payloads, size)
        return self._commit.add(payloads, size)

    def missing(self, size: int) -> int:
        """Give how many bytes too few there are for so many more; not above 0 when they have room."""
        return self.held + self._commit.queued_bytes + size - self._max_bytes

    def free(self, segment: Segment, end: int) -> None:
        """Say that a segment's bytes before `end` count no more."""
        if end > segment.freed:
            self.held -= end - segment.freed
            segment.freed = end

    def refusal(self, error: BaseException | None = None) -> SpoolUnavailable:
        """Give what to say to whoever gets no room: because of an error of the disk, or as things are."""
        if error is not None:
            return unavailable(self._directory, error)
        if self.is_closed:
            return self.closed("append")
        cause = f"{self.held + self._commit.queued_bytes} of {self._max_bytes} bytes wait for delivery"
        return SpoolUnavailable(
            str(self._directory),
            cause,
            "raise spool.max_bytes, or find out why the collector does not take them",
        )

    def closed(self, verb: str) -> SpoolUnavailable:
        """Give what to say to whoever wants something of a closed spool."""
        return SpoolUnavailable(
            str(self._directory), "it is closed", f"{verb} only while the gateway is serving"
        )

    def _refuse(self, size: int) -> asyncio.Future[None]:
        if not self.is_closed and size > self._capacity:
            cause = f"payloads of {size} bytes do not fit in a segment of {self._capacity}"
            hint = "raise spool.segment_bytes or send fewer events at a time"
            refusal = SpoolUnavailable(str(self._directory), cause, hint)
        else:
            refusal = self.trouble or self.refusal()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(refusal)
        return future
