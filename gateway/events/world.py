"""What the pure core asks of the world: functions that are handed in, because it has no files, no clock and no chance of its own.

What always holds: each of them answers at once, from memory, and raises nothing. The defaults know nothing; who composes the gateway gives the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from gateway.events.seen import Seen

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.tracking_plan import Violation


class Location(msgspec.Struct, frozen=True):
    """Where an address is: `country` as ISO 3166-1 alpha-2 in capitals, `region` and `city` by name; what is not known is empty text.

    `block` is the same as `context.geo`, with what else is to be told; it is shared between events: to be written out, not changed.
    """

    country: str = ""
    region: str = ""
    city: str = ""
    block: dict[str, Any] = {}


NOWHERE = Location()
"""The place of an address of which none is known: this very one."""


def _nowhere(address: str) -> Location:
    del address
    return NOWHERE


def _no_salt(now_ms: int) -> bytes | bytearray:
    del now_ms
    return b""


def _no_zone(name: str) -> tzinfo | None:
    del name
    return None


class Judge(Protocol):
    """The tracking plan of now: gives what an event of a property has not kept; `is_held`: it has what the gateway adds."""

    def __call__(
        self, portal_id: str, prop_id: str, fields: JsonObject, *, is_held: bool = False
    ) -> Sequence[Violation]:
        """Judge."""


class Hooked(NamedTuple):
    """What the site's own functions have made of an event: the event, `None` where it is as it came, and what became of each call, in closed words."""

    fields: JsonObject | None
    results: tuple[str, ...] = ()


class Hook(Protocol):
    """The site's own functions: they change neither the event that they are given nor whose it is."""

    def __call__(
        self, portal_id: str, prop_id: str, fields: JsonObject, now_ms: int, *, is_server: bool
    ) -> Hooked:
        """Call them."""


class World(msgspec.Struct, frozen=True):
    """The functions.

    `locate` gives where an address is; `zone` a time zone by its name, `None` for what is none; `salt` the secret of the day of a moment in Unix milliseconds, empty where there is none;
    `judge` what an event has not kept of the tracking plan, `None` where there is no plan; `hook` what the
    site's own functions make of it, `None` where there are none.
    `seen` knows the events that came before, where duplicates are looked for.
    `proof` tells whether an address is the crawler's whose name it uses, `None` where that is not known (yet), and is itself `None` where nobody looks.
    """

    locate: Callable[[str], Location] = _nowhere
    zone: Callable[[str], tzinfo | None] = _no_zone
    salt: Callable[[int], bytes | bytearray] = _no_salt
    judge: Judge | None = None
    hook: Hook | None = None
    seen: Seen | None = None
    proof: Callable[[str, str], bool | None] | None = None


NO_WORLD = World()
"""A world that knows nothing."""
