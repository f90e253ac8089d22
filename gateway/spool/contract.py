"""What every spool promises.

A payload whose `append` has finished survives `kill -9` and a power cut, and `read` gives it, in the order of appending,
until it is acknowledged. Acknowledging may happen out of order. After a crash, payloads that were delivered but whose
acknowledgement was not yet on disk come again: at least once, never less. A spool that leaves it to the operating system when to
write to the disk says so in its settings: then a payload survives `kill -9`, and a power cut may take those of the last seconds.

A spool is bounded. At its bound it either refuses, or it drops the oldest payloads that wait, whole, one by one, no more than the new
ones need, and hands each of them once to `on_drop`, before the new ones take their room. Which of the two is chosen where it is
opened: whoever gives no `on_drop` is refused, so that nothing goes in silence. A payload that was dropped is given to nobody from
then on; of one that was given already, `is_dropped` tells so, and acknowledging it changes nothing. After a crash, payloads that
were dropped in the last moment may come again, as those do that were acknowledged then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Sequence


class Entry(NamedTuple):
    """A durable payload and its position: positions of a spool rise in the order of appending, also across restarts."""

    position: int
    payload: bytes


class SpoolUnavailable(Exception):
    """The spool can't take more or can't be written: says where, why, and what would mend it."""

    def __init__(self, path: str, cause: str, hint: str) -> None:
        super().__init__(f"the spool at {path} is not available: {cause}; {hint}")
        self.path = path
        self.cause = cause
        self.hint = hint


class Outlet(Protocol):
    """What is read and acknowledged: a spool, or several as one. All calls come from one event loop."""

    @property
    def pending(self) -> int:
        """How many durable payloads are not acknowledged yet."""

    async def read(self, limit: int) -> list[Entry]:
        """Give the next entries that this reader has not given yet, at most `limit`; waits until there is one.

        Starts, after opening, with the oldest entry that is not acknowledged.
        """

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery. Durable soon, not at once."""

    def is_dropped(self, position: int) -> bool:
        """Tell whether an entry that `read` gave, and that was not acknowledged, was dropped to make room since.

        It may be asked to the end of the turn of the loop in which the entry is acknowledged.
        """


class Spool(Outlet, Protocol):
    """A durable first-in, first-out store with acknowledgements."""

    @property
    def damaged(self) -> int:
        """How many payloads that were durable once could not be read any more, since this spool was opened."""

    @property
    def available(self) -> bool:
        """Whether `append` would be taken now."""

    def append(self, payloads: Sequence[bytes]) -> Future[None]:
        """Add payloads as one unit, in order; the future is done when they are durable.

        It fails with `SpoolUnavailable` when they could not be made durable: then they were not promised to anybody.
        """

    async def close(self) -> None:
        """Make durable what was appended and acknowledged, and let go of the files."""
