"""Raw identity in the texts of an event, masked before anything is kept: URLs, titles, search terms, free fields, names of fields, JSON within texts.

What always holds after `Masking.mask`: outside the fields whose policy is `pass` or `hash_and_pass`, no text of the event, and no name of a field, holds
anything that the finder finds (`gateway.events.finding`); all else is as it came, to the character. What the request's head tells of the visitor is
masked in the same way, before any step reads it. Masking twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gateway.events.cards import is_card
from gateway.events.fieldnames import is_id_name
from gateway.events.finding import PAYMENT_CARD, Finder, Parameters
from gateway.events.forms import parts_of
from gateway.events.hints import hints
from gateway.events.phones import Patience, Phones
from gateway.events.protection import Work
from gateway.events.remembering import remembered, remembered_together

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import JsonObject, Request
    from gateway.settings import Identity
    from gateway.settings_privacy import Privacy

_NAMES = 2_048
_LONGEST_NAME = 64
_HEADS = 4_096
_DEEPEST = 4
_LONGEST_JSON = 65_536
_SMALLEST_CARD = 10**13
# What a name says of its value.
_FREE, _ID, _PASSED = 0, 1, 2


class _Looks(Patience):
    """What an event's texts together may still have looked at; `work` is that of the identity fields in JSON within them."""

    work: Work = msgspec.field(default_factory=Work)


class Masking:
    """Masks by the compiled `[privacy]` and `[identity]`; `protect` applies the identity fields' policies to an object in place."""

    def __init__(
        self, privacy: Privacy, identity: Identity, protect: Callable[[JsonObject, Work], object]
    ) -> None:
        phones = Phones(privacy.phone_regions or (identity.default_region,))
        scrubs = privacy.url_scrubbing
        self._parameters = Parameters(
            privacy.mask_parameters if scrubs else (),
            privacy.drop_parameters if scrubs else (),
            privacy.keep_parameters,
        )
        self._finder = Finder(
            phones,
            ids=privacy.national_ids,
            patterns=privacy.id_patterns,
            has_addresses=scrubs,
            parameters=self._parameters if scrubs else None,
        )
        self._protect = protect
        self._passed = frozenset(
            name.lower()
            for name, policy in identity.field_policies.items()
            if policy in {"pass", "hash_and_pass"}
        )
        self._policed = frozenset(name.lower() for name in identity.field_policies)
        self._own_ids = frozenset(name.strip().lower() for name in privacy.id_fields)
        self.may_hold = hints(
            codes=phones.codes,
            is_american=phones.is_american,
            ids=privacy.national_ids,
            patterns=tuple(privacy.id_patterns.values()),
            parameters=self._parameters.names,
            has_addresses=scrubs,
        )
        # What the names say that events are made of. Bounded; when it is full, it begins anew.
        self._names: dict[str, int] = {}
        self._header = remembered(_HEADS, self._finder.masked)
        self._of_visitor = remembered_together(_HEADS, self._masked_visitor)

    def request(self, request: Request) -> Request:
        """Give a request whose head tells nothing raw of the visitor: page, program, languages and all that the settings ask for are masked."""
        head, masked = request.head, self._header
        changed: dict[str, Any] = self._of_visitor(head.referer, head.user_agent, head.accept_language)
        if head.named:
            named = {name: masked(value) for name, value in head.named.items()}
            if named != head.named:
                changed = {**changed, "named": named}
        if not changed:
            return request
        return msgspec.structs.replace(request, head=msgspec.structs.replace(head, **changed))

    def _masked_visitor(self, referer: str, agent: str, languages: str) -> dict[str, str]:
        """Give those of three fields of the head in which something is masked, by name; nearly always none."""
        masked = self._finder.masked
        given = {"referer": referer, "user_agent": agent, "accept_language": languages}
        return {name: found for name, text in given.items() if (found := masked(text)) != text}

    def holds(self, text: str) -> bool:
        """Tell whether a text that stands alone, such as a cookie's value, holds something to mask."""
        return self._finder.holds(text)

    def parameters(self, carried: dict[str, str]) -> dict[str, str]:
        """Give the query parameters that are handed on, masked as those of links are; those of identity fields have their own policy."""
        found: dict[str, str] = {}
        for name, given in carried.items():
            value = given
            word = self._parameters.word(name)
            if word == "":
                continue
            meaning = self._meaning(name)
            if (
                word
                and value
                and not self._policed.intersection((name.lower(), *(parts_of(name.lower()) or ())))
            ):
                value = word
            elif meaning != _PASSED:
                value = self._text(value, meaning, _Looks(), _DEEPEST)
            found[self._finder.masked(name)] = value
        return found if found != carried else carried

    def mask(self, fields: JsonObject) -> bool:
        """Mask an event in place; `True` where something was masked. Nearly all are left after one look at them."""
        if not self.may_hold(orjson.dumps(fields)):
            return False
        return self._object(fields, _Looks(), _DEEPEST)

    def _object(self, holder: JsonObject, patience: _Looks, depth: int) -> bool:
        changed = False
        renamed: dict[str, str] = {}
        for key, value in holder.items():
            meaning = self._names.get(key)
            if meaning is None:
                meaning, name = self._named(key, patience)
                if name is not key:
                    renamed[key] = name
            if meaning == _PASSED:
                continue
            changed |= self._value(holder, key, value, meaning, patience, depth)
        if renamed:
            _rename(holder, renamed)
        return changed or bool(renamed)

    def _array(self, values: list[Any], meaning: int, patience: _Looks, depth: int) -> bool:
        changed = False
        for place, value in enumerate(values):
            changed |= self._value(values, place, value, meaning, patience, depth)
        return changed

    def _value(self, holder: Any, place: Any, value: Any, meaning: int, patience: _Looks, depth: int) -> bool:
        """Mask what stands at a place of an object or an array, in place; `True` where something was masked."""
        kind = value.__class__
        if kind is str:
            masked = self._text(value, meaning, patience, depth)
            if masked is value:
                return False
            holder[place] = masked
            return True
        if kind is dict:
            return self._object(value, patience, depth)
        if kind is list:
            return self._array(value, meaning, patience, depth)
        if meaning == _FREE and _is_card_number(value):
            holder[place] = PAYMENT_CARD
            return True
        return False

    def _text(self, text: str, meaning: int, patience: _Looks, depth: int) -> str:
        # An escape within a text within a text hides nothing from the finder; but the fields in it have policies of their own.
        if depth and len(text) <= _LONGEST_JSON and text.lstrip()[:1] in {"{", "["}:
            masked = self._json(text, patience, depth - 1)
            if masked is not None:
                return masked
        return self._finder.masked(text, patience, is_id=meaning == _ID)

    def _json(self, text: str, patience: _Looks, depth: int) -> str | None:
        """Give a text that is JSON with its values masked, and the fields' policies applied; `None` where it is none."""
        try:
            value = orjson.loads(text)
            if not isinstance(value, dict | list):
                return None
            before = orjson.dumps(value)
            holder: JsonObject = {"": value}
            self._protect(holder, patience.work)
            self._array([value], _FREE, patience, depth)
            after = orjson.dumps(value)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            # No JSON, or deeper than anybody nests it.
            return None
        return text if after == before else after.decode()

    def _named(self, key: str, patience: _Looks) -> tuple[int, str]:
        name = self._finder.masked(key, patience)
        meaning = self._meaning(key)
        if name is key and len(key) <= _LONGEST_NAME:
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[key] = meaning
        return meaning, name

    def _meaning(self, key: str) -> int:
        lowered = key.strip().lower()
        if lowered in self._passed:
            return _PASSED
        return _ID if lowered in self._own_ids or is_id_name(key) else _FREE


def _is_card_number(value: Any) -> bool:
    return value.__class__ is int and value > _SMALLEST_CARD and is_card(str(value))


def _rename(holder: JsonObject, renamed: dict[str, str]) -> None:
    """Give fields other names, in place and in their order; names that become the same are numbered."""
    entries = list(holder.items())
    holder.clear()
    for key, value in entries:
        name = renamed.get(key, key)
        number = 2
        while name in holder:
            name = f"{renamed.get(key, key)}_{number}"
            number += 1
        holder[name] = value
