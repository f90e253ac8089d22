"""What leaves of the identity in an event: each field's policy, wherever the field stands.

What always holds after `Protection.protect`: no field with a policy other than `pass` or `hash_and_pass` holds a raw address. The
hashes for ad platforms are made here too, because here the raw value is in hand for the last time.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gateway.events.addresses import FieldKind, field_kind
from gateway.events.finding import EMAIL, PHONE, SECRET
from gateway.events.forms import parts_of
from gateway.events.hashing import is_hash
from gateway.events.norms import norm_hash
from gateway.events.places import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.addresses import Addresses
    from gateway.events.hashing import Hasher
    from gateway.events.model import JsonObject
    from gateway.settings import Identity
    from gateway.settings_types import FieldPolicy, NormName

# What may hide an address in a parameter.
_MARKS = re.compile(r"[@\[{]")
# A link may have nothing but an address behind its `?`.
_MAY_BE_ADDRESS = re.compile(r"@|\A[\s(]*[+0]")
_HOLDERS = (dict, list)
_NAMES = 2_048
_LONGEST_NAME = 64
_WORDS: dict[FieldKind, str] = {"email": EMAIL, "phone": PHONE, "text": SECRET}
MOST = 64
"""Addresses of one event that are normalised before they are hashed; libphonenumber takes 30 microseconds for each. Those behind are hashed as they stand."""

MOST_NORMS = 256
"""Hashes for ad platforms that are made of one event's addresses, each as slow; behind them none is."""


class Work(msgspec.Struct):
    """What the fields of one event have come to: the names of those that could be hashed only as they stood, and how many may still be read."""

    unreadable: list[str] = msgspec.field(default_factory=list)
    left: int = MOST
    norms_left: int = MOST_NORMS


class Protection:
    """Applies `[identity.fields]` and `[identity.norms]`; compiled once from the settings."""

    def __init__(
        self,
        identity: Identity,
        addresses: Addresses,
        hasher: Hasher,
        opaque: Callable[[str], str],
        is_placeholder: Callable[[str], bool],
    ) -> None:
        self._policies: dict[str, FieldPolicy] = {
            name.lower(): policy for name, policy in identity.field_policies.items()
        }
        self._norms: dict[str, tuple[NormName, ...]] = {
            name.lower(): platforms for name, platforms in identity.norms.items() if platforms
        }
        names = {*self._policies, *self._norms}
        self._kinds: dict[str, FieldKind] = {name: field_kind(name) for name in names}
        self._made = frozenset(
            {f"{name}_{platform}" for name, platforms in self._norms.items() for platform in platforms}
            | {f"{name}_sha256" for name in self._policies}
        )
        self._region = identity.default_region
        self._addresses = addresses
        self._hasher = hasher
        self._opaque = opaque
        self._is_placeholder = is_placeholder
        # Names, as they are written, of fields with which nothing is to be done: events are made of the same few. Bounded; when it
        # is full, it begins anew.
        self._harmless: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """The names, in lower case, of the fields that something is done with."""
        return frozenset(self._kinds)

    def is_identity(self, name: str) -> bool:
        """Tell whether a field of this name holds identity: one with a policy, or a hash that was made of one."""
        lowered = name.lower()
        return lowered in self._kinds or lowered in self._made

    def protect(self, fields: JsonObject, work: Work | None = None) -> tuple[str, ...]:
        """Apply each field's policy in place, at every depth, and hash raw addresses that stand for an id.

        Gives the names that could be hashed only as they stood. `work` is the event's, where several objects are of one.
        """
        work = Work() if work is None else work
        holders: list[Any] = [fields]
        while holders:
            holder = holders.pop()
            if isinstance(holder, list):
                holders += [child for child in holder if isinstance(child, _HOLDERS)]
                continue
            for key in [each for each in holder if each not in self._harmless]:
                self._protect_field(holder, key, work)
            holders += [child for child in holder.values() if isinstance(child, _HOLDERS)]
        return tuple(work.unreadable)

    def _protect_field(self, holder: JsonObject, key: str, work: Work) -> None:
        lowered, value = key.strip().lower(), holder[key]
        if lowered in self._kinds:
            self._apply(holder, key, work)
        elif lowered in ID_NAMES or lowered == "id":
            if isinstance(value, str) and (lowered != "id" or _is_marked(value)):
                holder[key] = self._opaque(value)
        elif len(key) <= _LONGEST_NAME:
            if len(self._harmless) >= _NAMES:
                self._harmless.clear()
            self._harmless.add(key)

    def protect_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        """Give query parameters with each field's policy applied: a ready-made link may carry `email=…`."""
        if not parameters or (
            not any(name.lower() in self._kinds or self._kind_within(name) for name in parameters)
            and not any(_MARKS.search(text) for pair in parameters.items() for text in pair)
            and not any(_MAY_BE_ADDRESS.search(name) for name in parameters)
        ):
            return parameters
        protected: JsonObject = {
            self._opaque(name) if _MAY_BE_ADDRESS.search(name) else name: self._parameter(name, value)
            for name, value in parameters.items()
        }
        self.protect(protected)
        return {name: str(value) for name, value in protected.items()}

    def _kind_within(self, name: str) -> str | None:
        """Give the field that is a part of a parameter's name, the innermost first."""
        for part in reversed(parts_of(name.lower()) or ()):
            if part in self._kinds:
                return part
        return None

    def _parameter(self, name: str, value: str) -> str:
        """Protect what is written as a part of something larger: `customer[email]=…`, `phone[]=…`, `customer={"email":…}`."""
        inner = self._kind_within(name)
        if inner is not None:
            holder: JsonObject = {inner: value}
            self.protect(holder)
            return str(holder.get(inner, ""))
        if value.lstrip()[:1] in {"{", "["}:
            with contextlib.suppress(orjson.JSONDecodeError):
                parsed: JsonObject = {"": orjson.loads(value)}
                self.protect(parsed)
                return orjson.dumps(parsed[""]).decode()
        return self._opaque(value) if "@" in value and "://" not in value else value

    def _apply(self, holder: JsonObject, key: str, work: Work) -> None:
        name = key.strip().lower()
        value = holder[key]
        for platform in self._norms.get(name, ()):
            work.norms_left -= 1
            if work.norms_left >= 0:
                self._normed(holder, key, platform, value)
        policy = self._policies.get(name, "pass")
        if policy == "drop":
            del holder[key]
        elif policy == "mask":
            if value or value == 0:
                holder[key] = _WORDS[self._kinds[name]]
        elif policy == "hash":
            holder[key] = self._hashed(name, value, work)
        elif policy == "hash_and_pass" and text_of(value) and not self._is_placeholder(str(value)):
            holder.setdefault(f"{key}_sha256", self._hashed(name, value, work))

    def _normed(self, holder: JsonObject, key: str, platform: NormName, value: Any) -> None:
        text = text_of(value)
        if text is None or is_hash(text.strip()) or self._is_placeholder(text):
            return
        kind = self._kinds[key.strip().lower()]
        made = norm_hash(platform, key if kind == "text" else kind, text, region=self._region)
        if made is not None:
            # Never the page's own: what stands there may be anything, a raw address too.
            holder[f"{key}_{platform}"] = made

    def _hashed(self, name: str, value: Any, work: Work) -> Any:
        """Give a value with every text in it hashed: an address may come in a list, or as an object of its parts."""
        if isinstance(value, list):
            return [self._hashed(name, each, work) for each in value]
        if isinstance(value, dict):
            return {
                self._hasher.hash(part) if "@" in part else part: self._hashed(name, each, work)
                for part, each in value.items()
            }
        text = text_of(value)
        if text is None or is_hash(text.strip()):
            return value
        if self._is_placeholder(text):
            # Hashed, `undefined` would be one address of all who gave none.
            return ""
        normal = self._addresses.normalise(self._kinds[name], text) if work.left > 0 else None
        work.left -= 1
        if normal is None:
            work.unreadable.append(name)
            # So a mistyped address still never leaves in the clear.
            normal = text.strip().lower()
        return self._hasher.hash(normal)


def _is_marked(value: str) -> bool:
    """Tell whether an id is written as an address: a product's id may be any number, but has no `@` and no `+` in front."""
    return "@" in value or value.lstrip().startswith("+")


def text_of(value: Any) -> str | None:
    """Give an address field's value as text: numbers (a phone without its zero) as digits, anything else `None`."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) else None
