"""The ways in which sites are known to write an address before they hash it, wrongly.

Each list begins with the right spelling and the value as it was given. What always holds: every spelling of an e-mail address
reaches the same mailbox (dots are taken out or put in at Gmail alone), none stands twice, and there are never more than `MOST`:
a forged address can't make a long list. Some spellings of a phone number are another number in another country; who uses them
has to look. Nothing here is on the path of an event whose hash is right.
"""

from __future__ import annotations

import unicodedata
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

import idna
import phonenumbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GMAIL = ("gmail.com", "googlemail.com")
"""The domains whose mailboxes ignore dots, and are one: `a.b@gmail.com` and `ab@googlemail.com` reach the same person."""

MOST = 512

# How people group the digits of a number of that length, national or without its trunk prefix.
_GROUPS: dict[int, tuple[tuple[int, ...], ...]] = {
    7: ((3, 4),),
    8: ((4, 4), (2, 3, 3), (2, 2, 2, 2)),
    9: ((3, 3, 3), (2, 3, 4), (2, 4, 3), (1, 4, 4), (3, 2, 2, 2)),
    10: ((4, 3, 3), (3, 3, 4), (3, 4, 3), (4, 2, 2, 2), (4, 6), (2, 4, 4)),
    11: ((3, 4, 4), (4, 4, 3), (4, 3, 4), (3, 3, 5)),
    12: ((4, 4, 4), (3, 4, 5), (4, 3, 5)),
    13: ((4, 4, 5), (4, 5, 4), (3, 5, 5)),
}
_FORMATS = (
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
)


def email_spellings(normal: str, full: str, given: str) -> tuple[str, ...]:
    """Give the spellings of an e-mail address: `normal` as the settings have it, `full` with its dots and tags, and as given.

    Upper case and capitals, blanks around and beside the `@`, percent-encoded, decomposed Unicode, the domain in its own script,
    without the tag, and at Gmail without the dots, with one dot more and under its other domain.
    """
    return _bounded(_emails(normal, full, given))


def phone_spellings(normal: str, given: str) -> tuple[str, ...]:
    """Give the spellings of a phone number in E.164 (`normal`), and as given.

    With and without `+`, `00` or `011` before the country code, with the trunk `0` where it belongs and behind the country code
    where it does not, bare, and each grouped by blanks, dots and dashes as people do.
    """
    return _bounded(_phones(normal, given))


def text_spellings(given: str) -> tuple[str, ...]:
    """Give the spellings of any other text: blanks and Unicode forms. Not its case: ids that differ in it are two ids."""
    return _bounded(_forms((given, given.strip())))


def _bounded(spellings: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(islice(spellings, 4 * MOST)), MOST))


def _forms(texts: Iterable[str]) -> Iterator[str]:
    """Give each text as it is, with blanks around, and in the other normal forms of Unicode."""
    for text in texts:
        yield from (text, f" {text}", f"{text} ", f" {text} ", f"{text}\n", f"{text}\r\n")
        if not text.isascii():
            yield from (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD"))


def _emails(normal: str, full: str, given: str) -> Iterator[str]:
    stripped = given.strip()
    yield from (normal, given, full)
    yield from _forms((normal, full, stripped, stripped.lower(), stripped.upper()))
    local, _, domain = full.rpartition("@")
    bases = dict.fromkeys((normal, full, *_same_mailbox(local, domain)))
    for base in tuple(bases):
        user, _, host = base.rpartition("@")
        bases[f"{user}@{idna.decode(host) if 'xn--' in host else host}"] = None
    for base in bases:
        user, _, host = base.rpartition("@")
        for name in (user, user.capitalize(), user.title(), user.upper()):
            yield from (f"{name}@{there}" for there in (host, host.capitalize(), host.title(), host.upper()))
        yield from _forms((base, base.upper()))
        yield from (f"{user} @{host}", f"{user}@ {host}", f"{user} @ {host}", f'"{base}"', f"mailto:{base}")
        yield from _encoded(base)
    if domain in GMAIL:
        bare = local.partition("+")[0].replace(".", "")
        yield from (f"{bare[:at]}.{bare[at:]}@{domain}" for at in range(1, len(bare)))


def _same_mailbox(local: str, domain: str) -> Iterator[str]:
    if domain not in GMAIL:
        # Elsewhere `sales+lan` may be another mailbox than `sales`.
        return
    untagged = local.partition("+")[0] or local
    for user in dict.fromkeys((local, untagged, local.replace(".", ""), untagged.replace(".", ""))):
        yield from (f"{user}@{host}" for host in GMAIL if user)


def _phones(normal: str, given: str) -> Iterator[str]:
    stripped = given.strip()
    yield from (normal, given, stripped)
    number = phonenumbers.parse(normal)
    country = str(number.country_code)
    national = phonenumbers.national_significant_number(number)
    plain = [
        normal,
        f"{country}{national}",
        f"00{country}{national}",
        f"0{national}",
        national,
        f"+{country}0{national}",
        f"{country}0{national}",
        f"00{country}0{national}",
        f"011{country}{national}",
        f"0{country}{national}",
        f"+0{national}",
        "".join(mark for mark in given if mark.isdecimal()),
    ]
    yield from _forms(plain)
    for text in plain:
        yield from _encoded(text)
    yield from (phonenumbers.format_number(number, form) for form in _FORMATS)
    yield f"tel:{normal}"
    for blank in (" ", "-", "."):
        for groups in (*_grouped(f"0{national}"), *_grouped(national)):
            joined = blank.join(groups)
            yield from (joined, f"({groups[0]}) {blank.join(groups[1:])}")
            for prefix in (f"+{country}", country, f"(+{country})"):
                yield from (f"{prefix}{blank}{joined}", f"{prefix} {joined}")
        for groups in _grouped(national):
            yield from (f"+{country} (0){blank.join(groups)}", f"+{country} (0) {blank.join(groups)}")


def _grouped(digits: str) -> Iterator[list[str]]:
    for sizes in _GROUPS.get(len(digits), ()):
        marks = iter(digits)
        yield ["".join(islice(marks, size)) for size in sizes]


def _encoded(text: str) -> Iterator[str]:
    """Give a text as `encodeURIComponent` writes it, and what is left when a `+` in a query string was read as a blank."""
    yield quote(text, safe="!'()*~", errors="replace")
    if "+" in text:
        yield text.replace("+", " ")
