"""Taking every identity out of an event: what is left says what happened, to which products, on which page and device.

What always holds after `strip`: no field under a name that an id, a customer or an address stands under, at any depth and in any
letter-case; no object of a customer; no text that equals one of the event's own ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.events.places import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.events.model import JsonObject

PEOPLE = frozenset({"customers", "customer", "users", "user"})
"""Names, in lower case, of objects that describe a person."""
IDENTITY_NAMES = ID_NAMES | PEOPLE | {"identify_time", "identify_event", "identify_type"}
"""Names, in lower case, under which an identity stands at any depth."""
# Shorter ones may be a quantity or a price.
_SHORTEST_ID = 6
_GONE = object()


def strip(fields: JsonObject, ids: Collection[str], is_identity: Callable[[str], bool]) -> None:
    """Take every identity out of an event, in place.

    `ids` are the event's UIDs and CIDs, wherever they stand; `is_identity` tells whether a field of a name holds an address.
    """
    known = frozenset(each for each in ids if len(each) >= _SHORTEST_ID)
    kept = {
        name: _clean(value, known, is_identity)
        for name, value in fields.items()
        if not _is_id(name, is_identity)
    }
    fields.clear()
    fields.update((name, value) for name, value in kept.items() if value is not _GONE)


def _clean(value: Any, ids: frozenset[str], is_identity: Callable[[str], bool]) -> Any:
    if isinstance(value, dict):
        if str(value.get("type")).strip().lower() in PEOPLE:
            return _GONE
        parts = (
            (name, _clean(each, ids, is_identity))
            for name, each in value.items()
            if not _is_id(name, is_identity)
        )
        return {name: each for name, each in parts if each is not _GONE}
    if isinstance(value, list):
        return [each for each in (_clean(each, ids, is_identity) for each in value) if each is not _GONE]
    if isinstance(value, str | int) and not isinstance(value, bool):
        return _GONE if str(value).strip() in ids else value
    return value


def _is_id(name: str, is_identity: Callable[[str], bool]) -> bool:
    return name.strip().lower() in IDENTITY_NAMES or is_identity(name)
