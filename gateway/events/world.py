"""What the pure core asks of the world: functions that are handed in, because it has no files, no clock and no chance of its own.

What always holds: each of them answers at once, from memory, and raises nothing. The defaults know nothing; who composes the gateway gives the real ones.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Location(msgspec.Struct, frozen=True):
    """Where an address is: `country` as ISO 3166-1 alpha-2 in capitals; what is not known is empty text."""

    country: str = ""
    region: str = ""
    city: str = ""


NOWHERE = Location()


def _nowhere(address: str) -> Location:
    del address
    return NOWHERE


class World(msgspec.Struct, frozen=True):
    """The functions. `locate` gives where an address is."""

    locate: Callable[[str], Location] = _nowhere


NO_WORLD = World()
"""A world that knows nothing."""
