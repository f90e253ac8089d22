"""Keeps the database that places are read from: looks every second whether the user's file is another one, and takes it when it can be used.

What always holds: a file that can't be used is refused with one line in the log, and the database from before stays; where there was none, the one that comes
with the gateway stands in. Taking another one is a change of one reference, and what was remembered goes with the old one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.geo.database import Database, GeoUnusable, read_file
from gateway.geo.shipped import open_shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.world import Location
    from gateway.settings_network import Geo
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics

_LOOK_SECONDS = 1.0
_SAY_SECONDS = 86_400
_DAY_SECONDS = 86_400


class GeoKeeper:
    """The database of `[geo]`, now and later. `clock` gives Unix time in seconds."""

    def __init__(
        self, geo: Geo, journal: Journal, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._geo = geo
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._warned = 0.0
        self._refused = ""
        self._seen = self._looked()
        self._database = self._first()
        self._tell_age()

    def locate(self, address: str) -> Location:
        """Give where an address is."""
        return self._database.locate(address)

    def trouble(self) -> str:
        """Say what is wrong with the user's database, or the one that should take its place; empty when nothing is."""
        return self._refused or age_trouble(self._database, self._geo, self._clock())

    async def keep(self) -> None:
        """Go with the file, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the database that stands in the file if it is another one, and usable."""
        if self._geo.database:
            looked = await asyncio.to_thread(self._looked)
            if looked != self._seen:
                self._seen = looked
                try:
                    database = await asyncio.to_thread(read_file, self._geo.database, self._geo)
                except GeoUnusable as error:
                    self._refuse(error, "the one from before stays in use")
                else:
                    self._database, self._refused, self._warned = database, "", 0.0
                    self._say_taken()
        self._tell_age()

    def _first(self) -> Database:
        if self._geo.database:
            try:
                database = read_file(self._geo.database, self._geo)
            except GeoUnusable as error:
                self._refuse(error, "the countries that come with the gateway stand in")
            else:
                return database
        return open_shipped(self._geo)

    def _refuse(self, error: GeoUnusable, instead: str) -> None:
        self._refused = f"{error}; {instead}"
        self._journal.trouble("geo_database_refused", cause=self._refused, hint=error.hint)

    def _say_taken(self) -> None:
        about = self._database.about
        self._journal.changed("geo_database_taken", name=about.name, built=day_of(about.built))

    def _tell_age(self) -> None:
        now = self._clock()
        self._metrics.geo_age(now - self._database.about.built)
        trouble = age_trouble(self._database, self._geo, now)
        if trouble and now - self._warned >= _SAY_SECONDS:
            self._warned = now
            self._journal.warned(
                "geo_database_old", cause=trouble, hint="a new file is taken without a restart"
            )

    def _looked(self) -> object:
        if not self._geo.database:
            return None
        try:
            found = Path(self._geo.database).stat()
        except OSError as error:
            return error.errno
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def age_trouble(database: Database, geo: Geo, now: float) -> str:
    """Say that the user's database is old; empty when it is not, or is the one that comes with the gateway: that is as old as the gateway."""
    days = int((now - database.about.built) // _DAY_SECONDS)
    if database.about.is_shipped or days <= geo.max_age_days:
        return ""
    return (
        f"geo.database was built {days} days ago (geo.max_age_days = {geo.max_age_days}): fetch a newer one"
    )


def day_of(seconds: float) -> str:
    """Give the day of a moment in Unix seconds: `2026-06-17`."""
    return time.strftime("%Y-%m-%d", time.gmtime(min(max(seconds, 0), 253_402_300_799)))
