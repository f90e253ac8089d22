"""Phone numbers in running text: candidates by how people write them, judged by libphonenumber.

International ones (`+84 …`, `0084 …`) from everywhere; national ones with their zero, and those with the country code but no plus, of the regions that
the settings name; in North America those written in groups. What always holds: dates and grouped amounts are no phone numbers, and of an event's numbers at
most `MOST` are judged: behind that, what looks like one counts as one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import msgspec
import phonenumbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST = 64
"""How many numbers of one event libphonenumber is asked about: 30 microseconds each, and more where it knows none."""


MOST_CARDS = 1_024
"""How many numbers with the length and the beginning of a card's have their check digit looked at."""


class Patience(msgspec.Struct):
    """How many numbers of an event may still be judged: phone numbers, and what begins as payment cards do."""

    left: int = MOST
    cards_left: int = MOST_CARDS


_GAP = r"[\s().\u2010-\u2015\u2212-]{0,3}"
# A plus or zeros in front, then the digits with the usual marks between them; longer runs are ids.
_ABROAD = rf"(?:(?<![\d+])\+|(?<![\w.+-])00)[ ]?\(?[1-9](?:[/]?{_GAP}\d){{6,14}}"
_NATIONAL = rf"(?<![\w.+-])0{_GAP}[1-9](?:{_GAP}\d){{7,10}}"
_NANP = r"(?<![\w.+-])\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}"
_END = r"(?![\w]|[-.]\d)"
_ANY = re.compile(rf"(?:(?<![\w.-])(?:\+|00|0)[1-9](?:{_GAP}\d){{7,13}}(?![\w-]))")
_DATE = re.compile(
    r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d|(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2})(?!\d)"
)
_AMOUNT = re.compile(r"\d{1,3}(?:[.,]\d{3})+\Z")
_LAST_GROUP = re.compile(r"[^\d]+\d+\Z")
_THREE = re.compile(r"\d{3}")
_REMEMBERED = 8_192
_LEAST = 8


class PhoneFinder(Protocol):
    """Finds phone numbers in a text: where each begins and ends. `is_id`: only those that are written as no id is."""

    def found(self, text: str, patience: Patience, *, is_id: bool) -> Iterator[tuple[int, int]]:
        """Give the places of the numbers, in order."""
        ...


class AnyPhones:
    """Takes everything for a phone number that is written like one, wherever it may be from."""

    def found(self, text: str, patience: Patience, *, is_id: bool) -> Iterator[tuple[int, int]]:
        """Give the places of numbers with a plus or a zero in front."""
        del patience, is_id
        for found in _ANY.finditer(text):
            yield found.span()


class Phones:
    """Takes for phone numbers what libphonenumber knows as ones, of everywhere and of these regions (ISO 3166-1, two letters)."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)
        codes = sorted({str(phonenumbers.country_code_for_region(region)) for region in regions} - {"1", "0"})
        self.codes = tuple(codes)
        self.is_american = any(phonenumbers.country_code_for_region(region) == 1 for region in regions)
        kinds = [_ABROAD, _NATIONAL]
        if codes:
            kinds.append(rf"(?<![\w.+-])\(?(?:{'|'.join(codes)})\)?[ -]?[1-9](?:[ -]?\d){{6,10}}")
        if self.is_american:
            kinds.append(_NANP)
        self._pattern = re.compile(rf"(?:{'|'.join(kinds)}){_END}")
        self._is_number = lru_cache(_REMEMBERED)(self._judged)

    def found(self, text: str, patience: Patience, *, is_id: bool) -> Iterator[tuple[int, int]]:
        """Give the places of numbers, longest first where several end in one place."""
        at = 0
        while (found := self._pattern.search(text, at)) is not None:
            start, written = found.start(), found[0]
            if is_id and not written.startswith("+") and not _LAST_GROUP.search(written):
                at = found.end()
                continue
            size = 0
            for candidate in _shortened(written):
                patience.left -= 1
                if patience.left < 0 or self._is_number(candidate):
                    size = len(candidate)
                    break
            at = start + (size or 1)
            if size:
                yield start, start + size

    def _judged(self, written: str) -> bool:
        is_abroad = written.startswith("+")
        if _DATE.search(written) or _AMOUNT.match(written) or not (is_abroad or _THREE.search(written)):
            return False
        digits = "".join(mark for mark in written if mark.isdigit())
        if is_abroad:
            number = _parsed(f"+{digits}", None)
            return number is not None and phonenumbers.is_possible_number(number)
        if digits.startswith("00"):
            return _is_valid(f"+{digits[2:]}", None)
        if digits.startswith("0") or self.is_american:
            return any(_is_valid(digits, region) for region in self._regions) or (
                digits.startswith(self.codes) and _is_valid(f"+{digits}", None)
            )
        return _is_valid(f"+{digits}", None)


def _shortened(written: str) -> Iterator[str]:
    """Give what was found, then without its last group: a quantity may stand behind a number."""
    while sum(map(str.isdigit, written)) >= _LEAST:
        yield written
        shorter = _LAST_GROUP.sub("", written)
        if shorter == written:
            return
        written = shorter


def _is_valid(text: str, region: str | None) -> bool:
    number = _parsed(text, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
