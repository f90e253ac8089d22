"""What stands in the places of an event that may hold identity, said by kind: a reader sees that an e-mail address became a hash, and neither of them.

Nothing is decided here: what is a raw address, a placeholder, an identity field or a hash is asked of the gateway's own `events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.events.finding import ANYWHERE, WORDS
from gateway.events.hashing import is_hash, keyed_parts
from gateway.events.identity import Identities
from gateway.events.places import ID_NAMES, cid_places, customers
from gateway.qa.reports.model import Change
from gateway.qa.reports.wording import cut, opaque, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.model import JsonObject
    from gateway.settings import Identity

_MOST_VALUES = 500
_MOST_CHANGES = 24
_DEEPEST = 8
_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256"}
_NAMES_OF_VISITS = frozenset({"sid"})
ABSENT, NOT_SENT = "nothing", "not sent"
HASHES = frozenset({"md5", "sha1", "sha256", "hmac-sha256"})
RAW = frozenset({"raw e-mail", "raw phone", "text with an address"})
"""Kinds that are somebody's address, and kinds that are a hash."""

_UIDS = frozenset({"uid", "aid", "extra.reset_uid", "extra.generate_uid"})
_PLAIN = frozenset({ABSENT, NOT_SENT, "number", "text", "empty"})


class Kinds:
    """Tells kinds by the settings of identity."""

    def __init__(self, identity: Identity) -> None:
        self._identities = Identities(identity)

    def changes(self, original: JsonObject, sent: JsonObject | None) -> tuple[Change, ...]:
        """Give what stood in each place that may hold identity, or that was changed by a mask, and what stands there after; at most 24."""
        before, after = dict(_leaves(original)), dict(_leaves(sent or {}))
        named = {place.path for place in _cid_places(original)} | {
            place.path for place in _cid_places(sent or {})
        }
        found = []
        for path in dict.fromkeys((*before, *after)):
            old, new = before.get(path), after.get(path)
            if not self._may_hold(path, named) and not (
                sent is not None and path in before and path in after and old != new and _holds(old)
            ):
                continue
            first = ABSENT if path not in before else self.kind(old)
            then = (ABSENT if path not in after else self.kind(new)) if sent is not None else NOT_SENT
            if path in _UIDS and {first, then} <= _PLAIN:
                # A visitor's number, as it was or written down once more, is no news.
                continue
            found.append(Change(cut(shown(path), 80), first, then))
            if len(found) == _MOST_CHANGES:
                break
        return tuple(found)

    def kind(self, value: Any) -> str:
        """Give a word for a value: `raw e-mail`, `raw phone`, `sha256`, `masked`, `placeholder`, `empty`, `number`, `text`."""
        if value is None or value == "":
            return "empty"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return "text"
        text = str(value).strip()
        if self._identities.is_placeholder(text):
            return "placeholder"
        # A link with an address in it could pass for an address of its own.
        if self._identities.is_raw(text) and "://" not in text:
            return "raw e-mail" if "@" in text else "raw phone"
        return _opaque(text)

    def cid(self, cid: str) -> str:
        """Give a CID as a reader can tell it from others, and nobody can use it: eight digits of a hash."""
        if not cid:
            return ""
        if parts := keyed_parts(cid):
            return f"{shown(parts[0])}:{parts[1][:8]}…"
        hashed = self._identities.opaque_uid(cid)
        return f"{hashed[:8]}…" if is_hash(hashed) else cut(shown(hashed), 16)

    def uid(self, uid: str) -> str:
        """Give a UID; one that is an address is a hash of it."""
        return opaque(self._identities.opaque_uid(uid))

    def _may_hold(self, path: str, named: set[str]) -> bool:
        name = path.rpartition(".")[2].partition("[")[0]
        return (
            path in named
            or self._identities.is_identity(name)
            or (name.lower() in ID_NAMES and name.lower() not in _NAMES_OF_VISITS)
        )


def _opaque(text: str) -> str:
    """Give a word for a text that is no address itself."""
    if is_hash(text):
        return "hmac-sha256" if keyed_parts(text) else _BY_LENGTH[len(text)]
    if text in WORDS:
        return "masked"
    if ANYWHERE.holds(text):
        return "text with an address"
    if any(word in text for word in WORDS):
        return "text, masked"
    return "number" if text.isdecimal() else "text"


def _cid_places(fields: JsonObject) -> Iterator[Any]:
    return cid_places(fields, list(customers(fields)))


def _holds(value: Any) -> bool:
    return isinstance(value, str) and ANYWHERE.holds(value)


def _leaves(fields: JsonObject) -> Iterator[tuple[str, Any]]:
    """Give the values of an event by their paths, in order; the first 500, to a depth of 8."""
    waiting: list[tuple[str, Any, int]] = [("", fields, 0)]
    left = _MOST_VALUES
    while waiting and left:
        path, value, depth = waiting.pop()
        if isinstance(value, dict | list) and depth < _DEEPEST:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [
                (
                    f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key,
                    each,
                    depth + 1,
                )
                for key, each in pairs
            ]
            waiting += reversed(inner)
        elif path:
            left -= 1
            yield path, value
