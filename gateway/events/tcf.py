"""Transparency and Consent strings of version 2, as consent platforms write them: what a visitor has allowed, to whom, on which basis.

Source: IAB Europe Transparency & Consent Framework, "Transparency and Consent String with Global Vendor & CMP List Formats", up to TCF v2.3 (core, disclosed
vendors, allowed vendors and publisher TC; names of fields as there). The parsers that can be had for Python read no more than was specified in 2020, raise on what they
can't read, and spell out ranges: a string of a few hundred bytes may stand for tens of millions of vendors.

What always holds: `parse` raises nothing, whatever it is given; what it does and keeps is bounded by the length of the text, which is bounded; a text of which
anything that belongs to it is missing or impossible is no string at all (`None`), because half of one might grant what the whole does not.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import NamedTuple

LONGEST = 4_096
"""In characters. Real strings have 40 to 2,000, and a cookie holds no more than this."""

VERSION = 2
NOT_ALLOWED, REQUIRE_CONSENT, REQUIRE_LEGITIMATE_INTEREST = 0, 1, 2
"""Restriction types of a publisher."""

_PURPOSES = 24
_SPECIAL_FEATURES = 12
_DISCLOSED, _ALLOWED, _PUBLISHER = 1, 2, 3
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_MOST_SEGMENTS = 4


class Ids(NamedTuple):
    """A set of ids, as it was written: a field of bits, the first of which is id 1, or ranges, both ends included."""

    most: int = 0
    bits: int = 0
    ranges: tuple[tuple[int, int], ...] = ()

    def has(self, id_: int) -> bool:
        """Tell whether an id is in the set."""
        if not 0 < id_ <= self.most:
            return False
        if self.ranges:
            return any(start <= id_ <= end for start, end in self.ranges)
        return bool(self.bits >> (self.most - id_) & 1)


class Restriction(NamedTuple):
    """What a publisher restricts: one purpose, in one way, for these vendors."""

    purpose: int
    kind: int
    vendors: Ids


class Publisher(NamedTuple):
    """What the visitor has allowed the publisher itself: the segment "Publisher TC"."""

    consents: Ids
    interests: Ids
    custom_consents: Ids
    custom_interests: Ids


class TcString(NamedTuple):
    """What a string says. Moments are Unix time in tenths of a second; `disclosed`, `allowed` and `publisher` are `None` where the segment is absent."""

    created_ds: int
    updated_ds: int
    cmp_id: int
    cmp_version: int
    consent_screen: int
    language: str
    vendor_list_version: int
    policy_version: int
    is_service_specific: bool
    uses_non_standard_texts: bool
    special_features: Ids
    purpose_consents: Ids
    purpose_interests: Ids
    hides_purpose_one: bool
    publisher_country: str
    vendor_consents: Ids
    vendor_interests: Ids
    restrictions: tuple[Restriction, ...]
    disclosed: Ids | None = None
    allowed: Ids | None = None
    publisher: Publisher | None = None


def parse(text: str) -> TcString | None:
    """Read a string; `None` for whatever is none of version 2."""
    if not 0 < len(text) <= LONGEST:
        return None
    core_text, *others = text.split(".")
    if len(others) >= _MOST_SEGMENTS:
        return None
    try:
        core = _core(_Bits(core_text))
        if core is None:
            return None
        for each in others:
            core = _with_segment(core, _Bits(each))
    except _UnreadableError:
        return None
    return core


class _UnreadableError(Exception):
    """A segment ends too early, or holds what can't be."""


class _Bits:
    """The bits of a segment, most significant first."""

    def __init__(self, text: str) -> None:
        # Some encoders fill up with signs of equality.
        bare = text.rstrip("=")
        if not bare or not _ALPHABET.issuperset(bare):
            raise _UnreadableError
        # Whole sixes of bits count, also those that make no whole byte.
        self._data = urlsafe_b64decode(bare + "A" * (-len(bare) % 4))
        self._left = 6 * len(bare)
        self._at = 0

    def number(self, bits: int) -> int:
        at, behind = self._at, self._at + bits
        if behind > self._left:
            raise _UnreadableError
        self._at = behind
        last = (behind + 7) >> 3
        held = int.from_bytes(self._data[at >> 3 : last], "big")
        return held >> ((last << 3) - behind) & ((1 << bits) - 1)

    def flag(self) -> bool:
        return self.number(1) == 1

    def letters(self) -> str:
        """Read two letters of six bits, a = 0."""
        codes = self.number(6), self.number(6)
        return "".join(chr(65 + code) if code < 26 else "?" for code in codes)

    def field(self, count: int) -> Ids:
        return Ids(count, self.number(count) if count else 0)

    def vendors(self) -> Ids:
        """Read a section of vendors: the largest id, the way of writing, and the ids."""
        largest = self.number(16)
        return self.ranges(largest) if self.flag() else self.field(largest)

    def ranges(self, largest: int) -> Ids:
        found = []
        for _ in range(self.number(12)):
            is_range, start = self.flag(), self.number(16)
            end = self.number(16) if is_range else start
            if not 0 < start <= end:
                raise _UnreadableError
            found.append((start, end))
        return Ids(largest, 0, tuple(found))


def _core(bits: _Bits) -> TcString | None:
    if bits.number(6) != VERSION:
        return None
    return TcString(
        created_ds=bits.number(36),
        updated_ds=bits.number(36),
        cmp_id=bits.number(12),
        cmp_version=bits.number(12),
        consent_screen=bits.number(6),
        language=bits.letters(),
        vendor_list_version=bits.number(12),
        policy_version=bits.number(6),
        is_service_specific=bits.flag(),
        uses_non_standard_texts=bits.flag(),
        special_features=bits.field(_SPECIAL_FEATURES),
        purpose_consents=bits.field(_PURPOSES),
        purpose_interests=bits.field(_PURPOSES),
        hides_purpose_one=bits.flag(),
        publisher_country=bits.letters(),
        vendor_consents=bits.vendors(),
        vendor_interests=bits.vendors(),
        restrictions=_restrictions(bits),
    )


def _restrictions(bits: _Bits) -> tuple[Restriction, ...]:
    return tuple(
        Restriction(bits.number(6), bits.number(2), bits.ranges(0xFFFF)) for _ in range(bits.number(12))
    )


def _with_segment(core: TcString, bits: _Bits) -> TcString:
    """Give a string with what stands behind its core, in any order; of several of one kind the first counts, of unknown kinds nothing."""
    kind = bits.number(3)
    if kind == _DISCLOSED and core.disclosed is None:
        return core._replace(disclosed=bits.vendors())
    if kind == _ALLOWED and core.allowed is None:
        return core._replace(allowed=bits.vendors())
    if kind == _PUBLISHER and core.publisher is None:
        consents, interests, custom = bits.field(_PURPOSES), bits.field(_PURPOSES), bits.number(6)
        publisher = Publisher(consents, interests, bits.field(custom), bits.field(custom))
        return core._replace(publisher=publisher)
    return core


def allows(
    string: TcString, purposes: tuple[int, ...], vendor: int, legitimate_interests: frozenset[int]
) -> bool:
    """Tell whether a string is a basis for all of these purposes.

    `vendor` is an id of the Global Vendor List; 0 is the publisher itself, for whom its own segment counts, or, without one, the purposes that the visitor
    allows to anybody. For a purpose of `legitimate_interests` it is enough that the visitor was told and has not objected. A restriction of the publisher's
    goes before both, and a vendor that was not disclosed, where the string says who was, has no basis.
    """
    if not vendor:
        consents, interests = string.purpose_consents, string.purpose_interests
        if string.publisher is not None:
            consents, interests = string.publisher.consents, string.publisher.interests
        return all(
            consents.has(each) or (each in legitimate_interests and interests.has(each)) for each in purposes
        )
    if string.disclosed is not None and not string.disclosed.has(vendor):
        return False
    is_agreed, is_told = string.vendor_consents.has(vendor), string.vendor_interests.has(vendor)
    for each in purposes:
        kinds = {
            rule.kind for rule in string.restrictions if rule.purpose == each and rule.vendors.has(vendor)
        }
        by_consent = is_agreed and string.purpose_consents.has(each)
        by_interest = each in legitimate_interests and is_told and string.purpose_interests.has(each)
        if (
            NOT_ALLOWED in kinds
            or not (by_consent or by_interest)
            or (REQUIRE_CONSENT in kinds and not by_consent)
            or (REQUIRE_LEGITIMATE_INTEREST in kinds and not by_interest)
        ):
            return False
    return True
