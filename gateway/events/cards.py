"""Payment card numbers: told from other long numbers by their first digits, their length and their check digit.

Sources: ISO/IEC 7812-1 (the check digit, Luhn's), and the ranges that the schemes publish; 9704 is Napas, of Vietnam. What always holds: a number
without a known beginning, of another length, or whose check digit is wrong, is no card.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.phones import Patience

# What is written as a card: digits alone, or in the groups that are printed on it, with blanks or dashes between them.
_GAP = r"[ \u00a0\u2009\u202f._\u2010-\u2015-]{1,2}"
_END = r"(?![\w]|[.-]\d)"
_CANDIDATE = re.compile(
    rf"(?<![\w.+-])(?:(?P<head>\d{{4}}(?:{_GAP}\d{{4}}){{3}})(?P<tail>{_GAP}\d{{1,3}})?|\d{{4}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}|\d{{14,16}}|(?:62|9704)\d{{15,17}}){_END}"
)
_MARKS = re.compile(r"[\W_]")
GROUPED = re.compile(r"\d{4}\D")
"""Tells of a card where it begins that it is written in groups, as no id is."""

_BRANDS = re.compile(
    r"""
      4\d{15}(?:\d{3})?\Z                                                   # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}\Z     # Mastercard
    | 3[47]\d{13}\Z                                                         # American Express
    | 35(?:2[89]|[3-8]\d)\d{12}\Z                                           # JCB
    | 3(?:0[0-5]|[689]\d)\d{11}\Z                                           # Diners Club
    | (?:6011|64[4-9]\d|65\d\d)\d{12}\Z                                     # Discover
    | 62\d{14,17}\Z                                                         # UnionPay
    | 9704\d{12}(?:\d{3})?\Z                                                # Napas
    | 220[0-4]\d{12}\Z                                                      # Mir
    | (?:50[0-9]{2}|5[6-8]\d\d|6304|67\d\d)\d{12}\Z                         # Maestro
    | (?:60|8[12])\d{14}\Z                                                  # RuPay
    """,
    re.VERBOSE | re.ASCII,
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def cards(text: str, patience: Patience | None = None) -> Iterator[tuple[int, int]]:
    """Give where the cards of a text begin and end; when `patience` is at its end, what looks like one counts as one."""
    at = 0
    while (found := _CANDIDATE.search(text, at)) is not None:
        start, end = found.span()
        at = start + 1
        # Behind the last group may stand a number of its own.
        for last in (end, found.end("head")) if found["tail"] else (end,):
            digits = _MARKS.sub("", text[start:last])
            if _BRANDS.match(digits) is None:
                continue
            if patience is not None:
                patience.cards_left -= 1
            if (patience is not None and patience.cards_left < 0) or has_check_digit(digits):
                yield start, last
                at = last
                break


def is_written_card(text: str) -> bool:
    """Tell whether a text holds a card that is written in groups: as no id is."""
    return GROUPED.search(text) is not None and any(GROUPED.match(text, start) for start, _ in cards(text))


def is_card(digits: str) -> bool:
    """Tell whether digits alone are a payment card number."""
    return _BRANDS.match(digits) is not None and has_check_digit(digits)


def has_check_digit(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others by Luhn's rule."""
    values = [ord(each) - 48 for each in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[each] for each in values[1::2])) % 10 == 0
