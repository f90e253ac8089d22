"""Our own script at all of its names: at each one that says where it is itself, and under which names events are taken.

What always holds: what pages are told is made before they can ask for it, beside the loop where names change while the gateway runs; only a
name that nobody has been told for long is made when somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.assets.served import JAVASCRIPT, Served
from gateway.names import OLDER
from gateway.settings_paths import EVENT, SCRIPT, SOURCE_MAP, STREAM_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.names import Names


class OwnScript:
    """Gives the script for each of its paths; `source(script, event, stream_event, source_map)` are its bytes for four paths.

    The last is empty where the map is not served. Browsers keep the script for `max_age_seconds`.
    """

    def __init__(
        self, source: Callable[[str, str, str, str], bytes], names: Names, max_age_seconds: int = 3_600
    ) -> None:
        self._source = source
        self._max_age_seconds = max_age_seconds
        self.make_for(names)

    def make_for(self, names: Names) -> None:
        """Make the script anew for the names of another time, and serve that from then on. May run in a thread."""
        paths = [name.path for name in names.of(SCRIPT) if name.counted_as != OLDER]
        made = {path: self._make(path, names) for path in paths}
        self._names, self._made = names, made

    def at(self, path: str) -> Served:
        """Give the script for one of its paths; for whatever else leads there, by a slash too many, the one that is told to pages."""
        served = self._made.get(path)
        if served is None:
            names = self._names
            # Only a name of ours is made and kept: a client can write a path in any number of ways.
            if path not in {name.path for name in names.of(SCRIPT)}:
                return self._made[names.told(SCRIPT)]
            served = self._made[path] = self._make(path, names)
        return served

    def _make(self, path: str, names: Names) -> Served:
        source_map = next((name.path for name in names.of(SOURCE_MAP)), "")
        source = self._source(path, names.told(EVENT), names.told(STREAM_EVENT), source_map)
        return Served(source, JAVASCRIPT, max_age_seconds=self._max_age_seconds)
