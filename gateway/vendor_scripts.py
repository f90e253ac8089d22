"""Wiring of the vendor's scripts: from the settings to what stands at their paths, kept fresh for as long as the gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import __version__
from gateway.assets.keeper import Asset, Keeper, Pace
from gateway.assets.pinning import Policy
from gateway.assets.rendering import Rendering
from gateway.assets.shelf import Shelf
from gateway.assets.vendor import Vendor
from gateway.assets.versions import VersionStore
from gateway.settings_paths import EVENT, STREAM_EVENT
from gateway.settings_script import MOST_URLS, kind_of
from gateway.telemetry.scripts import ScriptJournal

if TYPE_CHECKING:
    import contextlib

    from gateway.names import Names
    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics

FOLDER = "assets"
"""Where the versions are, in the data folder."""


class TooManyNames(Exception):
    """The gateway has more names of its own than there can be scripts for: how many."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the properties make {count} names for the vendor's scripts, {MOST_URLS} at most can be told apart"
        )
        self.count = count
        self.hint = "list the names that pages load scripts from in script.public_urls"


class VendorScripts:
    """The vendor's scripts of one process: `shelves` by path, and what is in their way."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self.shelves: dict[str, Shelf] = {}
        self._settings = settings
        self._keeper: Keeper | None = None
        self.make_for(names)

    async def start(self, journal: ScriptJournal, *, is_first: bool) -> None:
        """Serve what is on the disk, and keep it fresh."""
        script = self._settings.script
        assets: dict[str, Asset] = {}
        for path, url in script.sources().items():
            journal.expect(path)
            kind = kind_of(path)
            shelf = Shelf(path, kind.content_type, first_wait_seconds=script.first_wait_seconds)
            assets[path] = Asset(url, kind, shelf)
            self.shelves[path] = shelf
        self._keeper = Keeper(
            assets,
            Vendor(
                timeout_seconds=script.timeout_seconds,
                max_bytes=script.max_bytes,
                user_agent=f"tracking-gateway/{__version__}",
            ),
            VersionStore(self._settings.data_dir / FOLDER),
            journal,
            lambda: self._rendering,
            policy_of(self._settings),
            Pace(script.refresh_seconds, script.stale_if_error_hours * 3_600, script.keep_versions),
            is_first=is_first,
        )
        await self._keeper.start()

    async def stop(self) -> None:
        """End what is under way; what is on the shelves is served on."""
        if self._keeper is not None:
            await self._keeper.stop()

    def make_for(self, names: Names) -> None:
        """Put the gateway's names of another time into the scripts, from the next moment on."""
        self._rendering = rendering_of(self._settings, names)

    def trouble(self) -> str:
        """Say what pages can't get; empty while everything is there."""
        return self._keeper.trouble if self._keeper else ""

    def hurry(self) -> None:
        """Let no page wait for a first copy any more."""
        if self._keeper is not None:
            self._keeper.close()


async def start_vendor_scripts(
    settings: Settings,
    journal: Journal,
    metrics: Metrics,
    names: Names,
    stack: contextlib.AsyncExitStack,
    *,
    is_first: bool,
) -> VendorScripts:
    """Serve the vendor's scripts until `stack` is left; nothing where `script.source` is our own.

    `is_first` is true of the one process that asks the vendor. Raises `BadBase` where the gateway's own URL can't stand in a script, and `TooManyNames`.
    """
    vendor = VendorScripts(settings, names)
    if settings.script.sources():
        stack.push_async_callback(vendor.stop)
        await vendor.start(ScriptJournal(journal, metrics.registry), is_first=is_first)
    return vendor


def policy_of(settings: Settings) -> Policy:
    """Give what becomes of a new version."""
    return Policy(settings.script.on_change, settings.script.pins)


def rendering_of(settings: Settings, names: Names) -> Rendering:
    """Give how assets are rendered: with the gateway's own URLs and names as the settings have them, whatever a request says."""
    script = settings.script
    sources = script.sources()
    theirs = {EVENT: EVENT, STREAM_EVENT: STREAM_EVENT} | {
        urlsplit(url).path: path for path, url in reversed(sources.items())
    }
    paths = {path: names.told(own) for path, own in theirs.items()}
    urls = public_urls(settings) if sources else ()
    return Rendering(urls, script.hosts, paths, script.cache_seconds, script.service_workers)


def public_urls(settings: Settings) -> tuple[str, ...]:
    """Give where pages reach the gateway: `script.public_urls`, else `server.public_url`, else `https://track.` and each property's site.

    Raises `TooManyNames`.
    """
    if settings.script.public_urls:
        return settings.script.public_urls
    if settings.server.public_url:
        return (settings.server.public_url.rstrip("/"),)
    sites = (property_.site.removeprefix("*.") for property_ in settings.properties)
    urls = tuple(dict.fromkeys(f"https://track.{site}" for site in sites))
    if len(urls) > MOST_URLS:
        raise TooManyNames(len(urls))
    return urls
