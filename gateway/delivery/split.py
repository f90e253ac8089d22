"""One spool's entries, given to several forwarders: one for each collector, so that one that is down holds up nobody else's events.

What always holds: each entry goes to one branch, in the spool's order; all that waits of one UID is in one branch, so its order is kept. It is read on while any
branch has nothing, and what the others do not take yet waits in their backlogs, on disk where it is much. Positions are the spool's own,
acknowledgements go straight to it: after a crash whatever was not acknowledged is read again, and split again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.backlog import Backlog
from gateway.events.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.delivery.regions import Regions
    from gateway.spool.contract import Entry, Outlet

_READ_AT_ONCE = 256
_AGAIN_SECONDS = 1.0


class Branch:
    """An `Outlet`: the entries of one collector."""

    def __init__(self, split: Split, backlog: Backlog) -> None:
        self.backlog = backlog
        self.is_hungry = False
        self._split = split
        self._given = 0
        self._arrival = asyncio.Event()
        self.is_dropped = split.outlet.is_dropped

    @property
    def pending(self) -> int:
        """How many of its entries are not acknowledged, as far as they were read."""
        return len(self.backlog) + self._given

    async def read(self, limit: int) -> list[Entry]:
        """Give its next entries, at most `limit`; waits until there is one. Cancelling it loses nothing."""
        while not len(self.backlog):
            self._arrival.clear()
            self.is_hungry = True
            self._split.wake()
            await self._arrival.wait()
        taken = self.backlog.take(limit)
        self._given += len(taken)
        # Where the disk was full, there may be room again.
        self._split.wake()
        return taken

    def acknowledge(self, position: int) -> None:
        """Say that an entry needs no more delivery."""
        self._given -= 1
        self._split.settled(position)

    def put(self, entry: Entry) -> None:
        """Take an entry that was read."""
        self.backlog.put(entry)
        self.is_hungry = False
        self._arrival.set()


class Split:
    """Reads `outlet`, from `start` to `close`. `folder` is where backlogs that are long stand; `report` takes what can't be read."""

    def __init__(
        self, outlet: Outlet, regions: Regions, folder: Path, report: Callable[[str, Exception], None]
    ) -> None:
        self.outlet = outlet
        self._regions = regions
        self._report = report
        self.branches = [Branch(self, Backlog(folder)) for _ in regions.urls]
        # Of each UID that has entries under way: where, and how many. Its home may have been forgotten meanwhile.
        self._under_way: dict[tuple[str, str], list[int]] = {}
        self._keys: dict[int, tuple[str, str]] = {}
        self._wanted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        """Read no more; to be called when the forwarders have stopped."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        for branch in self.branches:
            branch.backlog.close()

    def wake(self) -> None:
        """Look whether to read on."""
        self._wanted.set()

    def settled(self, position: int) -> None:
        """Pass an acknowledgement on."""
        key = self._keys.pop(position, None)
        if key is not None:
            where = self._under_way[key]
            where[1] -= 1
            if not where[1]:
                del self._under_way[key]
        self.outlet.acknowledge(position)

    async def _read(self) -> None:
        while True:
            while not self._wants_more():
                self._wanted.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), self._patience())
            try:
                entries = await self.outlet.read(_READ_AT_ONCE)
            except Exception as error:  # noqa: BLE001 - whatever the disk does, reading goes on later
                self._report("a spool can't be read; trying again", error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for entry in entries:
                self.branches[self._where(entry)].put(entry)
            # A spool in memory never suspends: let the others of this loop live.
            await asyncio.sleep(0)

    def _wants_more(self) -> bool:
        return any(branch.is_hungry for branch in self.branches) and not any(
            branch.backlog.is_full for branch in self.branches
        )

    def _patience(self) -> float | None:
        """Give how long to wait until a disk that was full is tried again; for ever when none is."""
        full = [branch.backlog for branch in self.branches if branch.backlog.is_full]
        for backlog in full:
            backlog.write()
        return _AGAIN_SECONDS if full else None

    def _where(self, entry: Entry) -> int:
        try:
            record = unpack(entry.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The forwarder says what is wrong with it.
            return 0
        if not record.uid:
            return self._regions.of(record)
        key = (record.portal_id, record.uid)
        where = self._under_way.get(key)
        if where is None:
            where = self._under_way[key] = [self._regions.of(record), 0]
        where[1] += 1
        self._keys[entry.position] = key
        return where[0]
