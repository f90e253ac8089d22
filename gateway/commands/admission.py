"""Which rows of a file may enter the ledger: the rules that hold for events, asked of an import.

A row names its UID and its CID by opaque ids: never by a raw address, never by a placeholder that stands for nobody. Its portal is one
that the settings know. What is refused is told by a word; a value that may be an address is told as `raw`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gateway.events.addresses import normalise_phone
from gateway.events.identity import Identities

if TYPE_CHECKING:
    from gateway.ledger.contract import BoundUid
    from gateway.settings import Settings

RAW = "raw"

# A number that is written as a phone's: `+` or a zero in front, then the digits with the usual marks between them.
_PHONE = re.compile(r"(?<![\w.-])(?:\+|00|0)[1-9](?:[\s().-]{0,3}\d){7,13}(?![\w-])")

# Ten digits or more with such marks between them: a phone's where they are one with its country in front, as in `84 912…`.
_DIGITS = re.compile(r"(?<![\w.-])[1-9](?:[\s().-]{0,3}\d){9,14}(?![\w-])")

_MOST_ENCODINGS = 4


class Admission:
    """The rules, compiled once from the settings; `any_portal` takes rows of unknown portals as well."""

    def __init__(self, settings: Settings, *, any_portal: bool) -> None:
        self._identities = Identities(settings.identity)
        self._portals = frozenset(each.portal_id for each in settings.properties)
        self._any_portal = any_portal

    def refusal(self, row: BoundUid) -> str:
        """Say why a row can't be taken, in a word; empty when it can."""
        if self.is_raw(row.uid):
            return "raw_uid"
        if self._identities.is_placeholder(row.uid):
            return "placeholder_uid"
        if row.erased_ms is None:
            if self.is_raw(row.cid):
                return "raw_cid"
            if self._identities.is_placeholder(row.cid):
                return "placeholder_cid"
        elif holds_address(row.reason):
            return "raw_reason"
        if not self._any_portal and not self.knows(row.portal_id):
            return "unknown_portal"
        return ""

    def knows(self, portal_id: str) -> bool:
        """Tell whether the settings have a property in this portal."""
        return portal_id in self._portals

    def is_raw(self, id_: str) -> bool:
        """Tell whether an id is a raw e-mail address or phone number."""
        return self._identities.is_raw(id_)

    def shown(self, id_: str) -> str:
        """Give an id as it may be written down: a raw address only as the word `raw`."""
        return RAW if id_ and self.is_raw(id_) else id_


def holds_address(text: str) -> bool:
    """Tell whether a free text has an e-mail address or a phone number in it."""
    for _ in range(_MOST_ENCODINGS):
        text = unquote(text)
    plain = unicodedata.normalize("NFKC", text)
    return (
        "@" in plain
        or _PHONE.search(plain) is not None
        or any(normalise_phone(f"+{run[0]}", "") is not None for run in _DIGITS.finditer(plain))
    )
