"""Keeps the vendor's assets: asks for them now and then, records what came, and puts on the shelves what may be served.

One process of a gateway, its first worker, asks the vendor; it and all the others follow the index on the disk, so that each serves what is decided
there within a second or two, whoever decided it. What always holds:

- nothing here is on a visitor's path: a shelf is filled beside it, and what is on it stays until something better is ready;
- one fetch of an asset is under way at a time, whoever waits for it; after a failure the next waits longer each time, up to the usual interval;
- a version is recorded before it is served. Where that fails and an older one is recorded, the older one is served on; where none is, because the
  disk is full on the first day, the new one is served from memory, by each process for itself, and the log says so. Where the record is there and
  can't be read, nothing new is served: it may be what a person has rejected, or not approved yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.assets.pinning import Index, Seen, Tracked, confirmed, seen, settled
from gateway.assets.vendor import Failed, Fetched
from gateway.assets.versions import AssetsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.assets.pinning import Policy
    from gateway.assets.rendering import Rendering
    from gateway.assets.shelf import Shelf
    from gateway.assets.vendor import Fetch, Vendor
    from gateway.assets.versions import Stamp, VersionStore
    from gateway.settings_script import Kind
    from gateway.telemetry.scripts import ScriptJournal

_LOOK_SECONDS = 0.5
_FIRST_RETRY_SECONDS = 0.5
# Pages wait: there is nothing to be served.
_LONGEST_RETRY_WITHOUT_COPY = 5.0
# A process that finds no copy on the disk for so long asks for itself.
_PATIENCE_SECONDS = 5.0
_SPREAD = 0.1


class Pace(NamedTuple):
    """How often the vendor is asked, for how long a copy is good that it can't be asked about (0: for ever), and how many versions are kept."""

    refresh_seconds: float
    stale_seconds: float = 0.0
    keep_versions: int = 10


class Unrecorded(NamedTuple):
    """What could not be recorded: what is known of the asset, and the version that is served from memory."""

    tracked: Tracked
    found: Seen
    content: bytes


class Asset:
    """One asset in this process: where it is from, what it is, where it goes, and what of it is on its shelf."""

    def __init__(self, url: str, kind: Kind, shelf: Shelf) -> None:
        self.url = url
        self.kind = kind
        self.shelf = shelf
        self.sha256 = ""
        self.rendering: Rendering | None = None
        self.unrecorded: Unrecorded | None = None

    @property
    def tracked_in_memory(self) -> Tracked | None:
        """What is known of it while nothing is recorded."""
        return self.unrecorded.tracked if self.unrecorded is not None else None


class Keeper:
    """Keeps all assets of one process, by path. To be used in one event loop.

    `rendering` gives how assets are rendered now; `is_first` is true of the process that asks the vendor.
    """

    def __init__(
        self,
        assets: Mapping[str, Asset],
        vendor: Vendor,
        store: VersionStore,
        journal: ScriptJournal,
        rendering: Callable[[], Rendering],
        policy: Policy,
        pace: Pace,
        *,
        is_first: bool,
    ) -> None:
        self._assets = assets
        self._vendor = vendor
        self._store = store
        self._journal = journal
        self._rendering = rendering
        self._policy = policy
        self._pace = pace
        self._is_first = is_first
        self._index = Index()
        self._stamp: Stamp | None = None
        self._trouble = ""
        self._filling = asyncio.Lock()
        self._started = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Put on the shelves what is on the disk, then keep it fresh, beside everything else."""
        if self._is_first and self._store.stamp() is not None:
            await self._change(lambda index: settled(index, self._policy, _now_ms()))
        await self.follow()
        self._tasks = [asyncio.create_task(self._follow_on())]
        self._tasks += [asyncio.create_task(self._refresh_on(path)) for path in self._assets]

    async def stop(self) -> None:
        """End what is under way; the shelves keep what they have, and nobody waits for more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.close()
        await self._vendor.close()

    def close(self) -> None:
        """Let nobody wait for a first copy any more."""
        for asset in self._assets.values():
            asset.shelf.close()

    @property
    def trouble(self) -> str:
        """Say what pages can't get; empty while everything is there."""
        missing = [path for path, asset in self._assets.items() if asset.shelf.is_empty]
        if not missing:
            return ""
        return f"no copy of {', '.join(missing)} to serve{f'; {self._trouble}' if self._trouble else ''}"

    async def follow(self) -> None:
        """Serve what the index says by now."""
        async with self._filling:
            stamp = self._store.stamp()
            if stamp != self._stamp:
                try:
                    self._index = await asyncio.to_thread(self._store.load)
                except AssetsUnavailable as error:
                    self._say(error)
                else:
                    self._stamp = stamp
            for path, asset in self._assets.items():
                tracked = self._index.assets.get(path) or asset.tracked_in_memory
                if tracked is not None:
                    await self._fill(asset, tracked)
                self._journal.state(path, tracked, is_empty=asset.shelf.is_empty)

    async def refresh(self, path: str) -> bool:
        """Ask the vendor for an asset, and serve what may be served; tells whether the vendor was heard."""
        asset, tracked = self._assets[path], self._index.assets.get(path)
        current = (
            tracked.version(tracked.current) if tracked is not None and tracked.url == asset.url else None
        )
        if current is not None and await asyncio.to_thread(self._store.content, current.sha256) is None:
            # Its content is not at hand, so the vendor must not say that it is unchanged.
            current = None
        etag, last_modified = (current.etag, current.last_modified) if current else ("", "")
        fetch = await self._vendor.fetch(asset.url, asset.kind, etag, last_modified)
        if isinstance(fetch, Failed):
            self._trouble = f"{asset.url}: {fetch.cause}"
            self._journal.not_fetched(path, asset.url, fetch.cause, has_copy=not asset.shelf.is_empty)
            return False
        await self._record(asset, fetch)
        await self.follow()
        return True

    async def _record(self, asset: Asset, fetch: Fetch) -> None:
        path, now_ms = asset.shelf.path, _now_ms()
        if not isinstance(fetch, Fetched):
            self._journal.fetched(path, is_changed=False)
            await self._change(lambda index: confirmed(index, path, now_ms))
            return
        found = Seen(
            hashlib.sha256(fetch.content).hexdigest(), len(fetch.content), fetch.etag, fetch.last_modified
        )
        memory = asset.unrecorded
        if memory is not None and memory.found.sha256 != found.sha256:
            # It was there first, and what comes after it is a change.
            await self._note(asset, memory.found, memory.content)
        if not await self._note(asset, found, fetch.content) and path not in self._index.assets:
            await self._serve_unrecorded(asset, found, fetch.content)

    async def _note(self, asset: Asset, found: Seen, content: bytes) -> bool:
        """Record what the vendor has given; tells whether that could be done."""
        path, now_ms = asset.shelf.path, _now_ms()
        before: Tracked | None = None

        def note(index: Index) -> Index:
            nonlocal before
            before = index.assets.get(path)
            return seen(index, path, asset.url, found, self._policy, now_ms)

        index = await self._change(note, content)
        if index is None:
            return False
        asset.unrecorded = None
        is_changed = before is not None and before.current != found.sha256
        self._journal.fetched(path, is_changed=is_changed)
        if is_changed or before is None:
            self._journal.changed(path, before, index.assets[path])
        return True

    async def _serve_unrecorded(self, asset: Asset, found: Seen, content: bytes) -> None:
        """Serve from memory what can't be recorded, if it may be: not where there is a record that can't be read, which may say no."""
        path = asset.shelf.path
        try:
            recorded = await asyncio.to_thread(self._store.load)
        except AssetsUnavailable as error:
            self._say(error)
            return
        if path in recorded.assets:
            return
        known = asset.tracked_in_memory
        index = seen(Index({path: known} if known else {}), path, asset.url, found, self._policy, _now_ms())
        tracked = index.assets[path]
        served = tracked.served
        if served is not None and served.sha256 == found.sha256:
            asset.unrecorded = Unrecorded(tracked, found, content)
            async with self._filling:
                await self._put(asset, found.sha256, content)
        elif asset.unrecorded is not None:
            asset.unrecorded = asset.unrecorded._replace(tracked=tracked)

    async def _change(self, how: Callable[[Index], Index], content: bytes | None = None) -> Index | None:
        try:
            index = await asyncio.to_thread(
                self._store.change, how, content=content, keep_versions=self._pace.keep_versions
            )
        except AssetsUnavailable as error:
            self._say(error)
            return None
        self._journal.recorded(str(self._store.folder))
        return index

    async def _fill(self, asset: Asset, tracked: Tracked) -> None:
        """Put on a shelf what is to be on it, unless it is there."""
        path, stale_ms = asset.shelf.path, self._pace.stale_seconds * 1_000
        is_stale = bool(stale_ms) and _now_ms() - tracked.confirmed_ms > stale_ms
        if is_stale or not tracked.servable:
            self._withdraw(asset, "stale" if is_stale else "rejected")
            return
        for version in tracked.servable:
            if asset.sha256 == version.sha256 and asset.rendering == self._rendering():
                return
            content = await asyncio.to_thread(self._store.content, version.sha256)
            if content is not None:
                await self._put(asset, version.sha256, content)
                return
            if tracked is not asset.tracked_in_memory:
                self._journal.lost(path, version.sha256)
        if asset.sha256 and asset.sha256 not in {version.sha256 for version in tracked.servable}:
            # What could stand in is lost: that makes what was rejected no better.
            self._withdraw(asset, "rejected")

    def _withdraw(self, asset: Asset, cause: str) -> None:
        was_empty = asset.shelf.is_empty
        if cause == "rejected":
            asset.shelf.refuse()
        elif not was_empty:
            asset.shelf.put({})
        asset.sha256 = ""
        if not was_empty:
            self._journal.withdrawn(asset.shelf.path, cause)

    async def _put(self, asset: Asset, sha256: str, content: bytes) -> None:
        """Put a content on a shelf: on an empty one in haste, to be put there at its best with the next look."""
        rendering, in_haste = self._rendering(), asset.shelf.is_empty
        rendered = await asyncio.to_thread(
            rendering.render, asset.shelf.path, asset.kind, content, in_haste=in_haste
        )
        asset.shelf.put(rendered.by_url)
        if asset.sha256 != sha256:
            self._journal.served(asset.shelf.path, sha256, len(content), rendered.left)
        asset.sha256, asset.rendering = sha256, None if in_haste else rendering

    async def _follow_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.follow()
            except Exception as error:  # noqa: BLE001 -- what is on the shelves stays, and the next look may see more
                self._journal.fault(error)

    async def _refresh_on(self, path: str) -> None:
        failures = 0
        while True:
            pause = _LOOK_SECONDS
            if self._asks(path):
                try:
                    is_heard = await self.refresh(path)
                except Exception as error:  # noqa: BLE001 -- see `_follow_on`
                    is_heard = False
                    self._journal.fault(error)
                failures = 0 if is_heard else failures + 1
                pause = self._pause(path, failures)
            # Many gateways that were started together need not ask together.
            await asyncio.sleep(pause * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311 -- no secret

    def _asks(self, path: str) -> bool:
        """Whether this process asks the vendor: the first one, and any while nobody has recorded a copy."""
        is_late = time.monotonic() - self._started > _PATIENCE_SECONDS
        return self._is_first or (is_late and path not in self._index.assets)

    def _pause(self, path: str, failures: int) -> float:
        if not failures:
            return self._pace.refresh_seconds
        pause = min(_FIRST_RETRY_SECONDS * 2.0 ** min(failures, 20), self._pace.refresh_seconds)
        return min(pause, _LONGEST_RETRY_WITHOUT_COPY) if self._assets[path].shelf.is_empty else pause

    def _say(self, error: AssetsUnavailable) -> None:
        self._trouble = f"{error}; {error.hint}"
        self._journal.unrecorded(str(error.path), error.cause, error.hint)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
