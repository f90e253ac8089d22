"""The time zones of the IANA database, by name: all of them in memory, because clients name them with each event and a look-up must not wait for a disk.

They are the system's where it has them, else those of the package `tzdata`, which also tells the names. All of them are some 600: 2 MB, read in 50 milliseconds.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import zoneinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo


def time_zones() -> Callable[[str], tzinfo | None]:
    """Read every zone; give a function from a zone's name, in any letter-case, to the zone, `None` for what is none."""
    names = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    zones: dict[str, tzinfo] = {}
    for name in names:
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            zones[name.lower()] = zoneinfo.ZoneInfo(name)
    return lambda name: zones.get(name.lower())
