"""How an address was written before it was hashed, where that was not its one spelling: in words that tell a web engineer what to mend, and nothing of the address."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING

from gateway.events.addresses import Addresses, field_kind
from gateway.events.hashing import digest
from gateway.events.keyring import Keyring
from gateway.events.places import customers
from gateway.events.protection import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.addresses import FieldKind
    from gateway.events.model import JsonObject
    from gateway.settings import Identity


class Misspellings:
    """Knows the ways in which sites write addresses, from the gateway's own list of them."""

    def __init__(self, identity: Identity) -> None:
        self._addresses = Addresses(
            identity.default_region,
            gmail_dots=identity.gmail_dots,
            plus_tags=identity.plus_tags,
            keyring=Keyring(()),
        )
        names = dict.fromkeys((*identity.derive_cid_from, *identity.field_policies))
        self._fields = tuple((name, kind) for name in names if (kind := field_kind(name)) != "text")

    def of(self, fields: JsonObject, hashed: str) -> str:
        """Say how the address of an event's customer was written of which this is a hash: `not in lower case`; empty where nothing tells."""
        wanted = hashed.lower()
        for kind, given in self._given(fields):
            normal = self._addresses.normalise(kind, given)
            if normal is None:
                continue
            for spelling in self._addresses.other_spellings(kind, given):
                if wanted in _hashes(spelling):
                    return _words(kind, spelling, normal)
        return ""

    def _given(self, fields: JsonObject) -> Iterator[tuple[FieldKind, str]]:
        for place in customers(fields):
            for name, kind in self._fields:
                text = text_of(place.holder.get(name))
                if text is not None:
                    yield kind, text


def _hashes(text: str) -> tuple[str, ...]:
    data = text.encode("utf-8", "surrogatepass")
    return digest(text, "md5"), digest(text, "sha256"), sha1(data, usedforsecurity=False).hexdigest()


def _words(kind: FieldKind, spelling: str, normal: str) -> str:
    """Say in which way a spelling differs from the one spelling."""
    trimmed = spelling.strip()
    blanks = "with blanks around it" if trimmed != spelling else ""
    if trimmed == normal:
        return blanks
    if kind == "email":
        how = "not in lower case" if trimmed.lower() == normal else "in another form"
    elif trimmed == normal[1:]:
        how = "without its +"
    elif trimmed.isdecimal():
        how = "in the form of its own country" if not trimmed.startswith("00") else "with 00 for its +"
    else:
        how = "with blanks or marks between its digits"
    return f"{how} and {blanks}" if blanks else how
