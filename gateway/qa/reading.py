"""An event as it came, read by the gateway's own parts: whom it names, what of it is identity, and what would be masked.

What always holds: the event itself is left as it is; what is said to be raw is what the gateway would not send on as it stands. Two of its settings are not
asked, because they say what the gateway does and not what the site does: `identity.verify` and `privacy.url_scrubbing` are on here.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.events.finding import EMAIL, NATIONAL_ID, PAYMENT_CARD, PHONE, SECRET, Finder, Parameters
from gateway.events.hashing import is_hash
from gateway.events.identity import Identified, Identities
from gateway.events.masking import Masking
from gateway.events.mentions import FirstLook
from gateway.events.phones import Phones
from gateway.events.remembering import remembered_together
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.qa.session import Sight
    from gateway.settings import Identity, Settings

_LONGEST_NAME = 64
_PARAMETERS = 1_024
# What may be a hash, a keyed one too, within a text.
_WORD = re.compile(r"[\w:-]{32,}")
_NAMES = {
    EMAIL: "an e-mail address",
    PHONE: "a phone number",
    PAYMENT_CARD: "a payment card's number",
    NATIONAL_ID: "a national id",
    SECRET: "a token with an address in it",
}


def copied(fields: JsonObject) -> JsonObject:
    """Give an event of its own, to be changed."""
    try:
        given: JsonObject = orjson.loads(orjson.dumps(fields))
    except orjson.JSONEncodeError:
        # Numbers beyond 64 bits.
        return copy.deepcopy(fields)
    return given


class Reading(NamedTuple):
    """An event read: as it came, with its identity protected, and with all else masked too."""

    original: JsonObject
    protected: JsonObject
    masked: JsonObject
    identified: Identified


class Reader:
    """Reads events by the settings; compiled once for a session."""

    def __init__(self, settings: Settings) -> None:
        self.identity: Identity = settings.identity.model_copy(update={"verify": True})
        privacy = settings.privacy.model_copy(update={"url_scrubbing": True})
        self.identities = Identities(self.identity)
        self.masking = Masking(privacy, self.identity, self.identities.protect)
        self._parameters = Parameters(
            privacy.mask_parameters, privacy.drop_parameters, privacy.keep_parameters
        )
        self._finder = Finder(
            Phones(privacy.phone_regions or (self.identity.default_region,)),
            ids=privacy.national_ids,
            patterns=privacy.id_patterns,
        )
        self._policies = {name.lower(): policy for name, policy in self.identity.field_policies.items()}
        self._first_look = FirstLook(self.identities.mentions_fields, self.masking.may_hold)
        # Of one site nearly all calls have the same parameters but for one.
        self.parameter = remembered_together(_PARAMETERS, self._parameter)
        """Name what a parameter of a call, by its name and its value, holds of somebody in the clear, as `kinds` does."""
        self._last: tuple[Sight, Reading] | None = None

    def read(self, sight: Sight) -> Reading | None:
        """Read an event; `None` for one that can't be read. Each of several checks may ask: it is done once."""
        if self._last is not None and self._last[0] is sight:
            return self._last[1]
        if not isinstance(sight.original, dict):
            return None
        protected = copied(sight.original)
        may_hold, may_mask = self._look(sight.original)
        identified = self.identities.identify(protected, may_hold_fields=may_hold)
        masked = protected
        if may_hold or may_mask:
            masked = copied(protected)
            self.masking.mask(masked)
        reading = Reading(sight.original, protected, masked, identified)
        self._last = sight, reading
        return reading

    def policy(self, name: str) -> str:
        """Give an identity field's policy; empty for a field that has none."""
        return self._policies.get(name.strip().lower(), "")

    def shown(self, name: str) -> str:
        """Give a field's or a parameter's name as it may be shown: cut, and what an event's own masking finds in it masked."""
        return redact(self._finder.masked(name))[:_LONGEST_NAME]

    def is_raw(self, text: str) -> bool:
        """Tell of an identity field's text whether it is neither a hash nor one of the words that name nobody."""
        return bool(text.strip()) and not is_hash(text.strip()) and not self.identities.is_placeholder(text)

    def kinds(self, text: str) -> tuple[str, ...]:
        """Name what a text holds of somebody in the clear, each kind once. Hashes hold nothing, under whatever name they stand in a link."""
        bare = _WORD.sub(lambda found: "" if is_hash(found[0]) else found[0], text)
        words = [each.word for each in self._finder.finds(bare)]
        words += [
            each.word
            for each in self._parameters.found(bare)
            if each.word in {EMAIL, PHONE} and self.is_raw(bare[each.start : each.end])
        ]
        return tuple(dict.fromkeys(_NAMES[word] for word in words if word in _NAMES))

    def _look(self, fields: JsonObject) -> tuple[bool, bool]:
        """Tell whether an event may hold identity, and what is to be masked: nearly all are left after this."""
        try:
            return self._first_look(orjson.dumps(fields))
        except orjson.JSONEncodeError:
            return True, True

    def _parameter(self, name: str, value: str) -> tuple[str, ...]:
        given = {name: value}
        protected = self.identities.protect_parameters(dict(given))
        if protected.get(name) != value:
            if not self.is_raw(value):
                return ()
            return self.kinds(value) or (("an identity field in the clear",) if self.is_raw(value) else ())
        if self.masking.parameters(protected) == protected:
            return ()
        if self._parameters.word(name) in {EMAIL, PHONE} and self.is_raw(value):
            return self.kinds(value) or (_NAMES[str(self._parameters.word(name))],)
        return self.kinds(value)
