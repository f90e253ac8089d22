"""The thread that archives: what was delivered is handed over on the event loop, and costs it no more than an append to a list.

What always holds: the buffer is bounded, and what does not fit is counted as lost, never waited for. What could not be written is kept and tried
again as long as there is room. A crash loses what was delivered within the last second or two.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.lines import Delivery
from gateway.archive.writer import ArchiveStopped, Written
from gateway.ledger.contract import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.archive.writer import Writer
    from gateway.events.model import Record

_FLUSH_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_FRAME_BYTES = 2 << 20
_FRAME_EVENTS = 2_000
_BUFFER_BYTES = 64 << 20
_CLOSE_SECONDS = 5.0
_LEAST_CLOSE_SECONDS = 0.25
# A record's own size in memory, besides its texts.
_OVERHEAD_BYTES = 600
_BACK_MS = 60_000


class Trouble(NamedTuple):
    """Why nothing is archived now, and what would mend it."""

    cause: str
    hint: str


class Keeper:
    """Archives what is added to it. `close` writes what is left, in the time that it is given.

    `clock` gives Unix time in seconds. `kept`, `erased`, `lost` and `removed` are counts, `trouble` is why it stands still, if it does.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        clock: Callable[[], float] = time.time,
        finish: Callable[[], None] = lambda: None,
        flush_seconds: float = _FLUSH_SECONDS,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        """Begin; `finish` is called in the thread as its last act."""
        self.trouble: Trouble | None = None
        self.kept = self.erased = self.removed = 0
        # Counted on the loop, and in the thread: no count has two owners.
        self._refused = self._unwritten = 0
        self._writer = writer
        self._clock = clock
        self._finish = finish
        self._flush_seconds = flush_seconds
        self._buffer_bytes = buffer_bytes
        self._last_ms = 0
        self._waiting: deque[tuple[Delivery, int]] = deque()
        self._added = self._taken = 0
        self._batch: list[Delivery] = []
        self._batch_bytes = 0
        self._next_tidy = 0.0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many delivered events the archive could not take."""
        return self._refused + self._unwritten

    @property
    def total_bytes(self) -> int:
        """How large the archive is, as far as is known."""
        return self._writer.total_bytes

    def add(self, record: Record, attempts: int) -> None:
        """Take a record that was delivered just now."""
        size = len(record.body) + len(record.query) + _OVERHEAD_BYTES
        waiting = self._added - self._taken
        if waiting + size > self._buffer_bytes:
            self._refused += 1
            return
        now_ms = int(self._clock() * 1000)
        # A clock that is set back a little must not change the order of the moments; one that is set right must not be held up.
        if self._last_ms - _BACK_MS < now_ms < self._last_ms:
            now_ms = self._last_ms
        self._last_ms = now_ms
        self._added += size
        self._waiting.append((Delivery(record, now_ms, attempts), size))
        if waiting + size > _FRAME_BYTES:
            self._wake.set()

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what is left, as far as that can be done in so many seconds, and end."""
        seconds = max(seconds, _LEAST_CLOSE_SECONDS)
        self._deadline = time.monotonic() + seconds
        self._closing.set()
        self._wake.set()
        # A disk that hangs must not hold the gateway.
        await asyncio.to_thread(self._thread.join, seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._tidy()
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            while self._flush():
                pass
        while self._flush():
            if time.monotonic() > self._deadline:
                break
        self._unwritten += len(self._batch) + len(self._waiting)
        self._writer.close()
        self._finish()

    def _flush(self) -> bool:
        """Write a frame, and tell whether there is more to write now."""
        if not self._batch:
            self._fill()
            if not self._batch:
                return False
        try:
            written = self._writer.write(self._batch)
        except ArchiveStopped as error:
            self.trouble = Trouble(error.cause, error.hint)
            return False
        except OSError as error:
            hint = "free or mend the disk of data_dir/archive; it goes on by itself"
            self.trouble = Trouble(error.strerror or type(error).__name__, hint)
            return False
        except LedgerUnavailable as error:
            cause = f"the ledger can't be asked who was erased: {error.cause}"
            self.trouble = Trouble(cause, error.hint or "it goes on by itself")
            return False
        except Exception as error:  # noqa: BLE001 - whatever is wrong with these events, those that come next are archived
            self.trouble = Trouble(
                f"a fault: {type(error).__name__}", "report it; events go on being delivered"
            )
            written = Written(len(self._batch), 0, 0, len(self._batch))
        else:
            self.trouble = None
        self.kept += written.kept
        self.erased += written.erased
        self._unwritten += written.unwritable
        del self._batch[: written.taken]
        if not self._batch:
            self._taken += self._batch_bytes
            self._batch_bytes = 0
        if self._writer.is_too_large:
            self._next_tidy = 0.0
            self._tidy()
        return bool(self._batch or self._waiting)

    def _fill(self) -> None:
        waiting = self._waiting
        while waiting and self._batch_bytes < _FRAME_BYTES and len(self._batch) < _FRAME_EVENTS:
            delivery, size = waiting.popleft()
            self._batch.append(delivery)
            self._batch_bytes += size

    def _tidy(self) -> None:
        if time.monotonic() < self._next_tidy:
            return
        self._next_tidy = time.monotonic() + _TIDY_SECONDS
        try:
            self.removed += self._writer.tidy()
        except OSError as error:
            # The next write says it where that matters; what is too old must go.
            self.trouble = Trouble(error.strerror or type(error).__name__, "look at data_dir/archive")
