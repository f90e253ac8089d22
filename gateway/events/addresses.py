"""E-mail addresses and phone numbers: one spelling for each, and how a hash of another spelling is recognised.

What always holds: the same address gives the same text however it was typed, normalising twice changes nothing, and what can't
be read as an address is not guessed at. `Addresses` is compiled once from the settings; its answers depend on its arguments
alone (they are only cached).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import idna
import phonenumbers

from gateway.events.cards import is_written_card
from gateway.events.hashing import digest, is_hash, keyed_parts
from gateway.events.keyring import Keyring
from gateway.events.spellings import GMAIL, email_spellings, phone_spellings, text_spellings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Addresses",
    "FieldKind",
    "digest",
    "field_kind",
    "is_hash",
    "normalise_email",
    "normalise_phone",
]

FieldKind = Literal["email", "phone", "text"]
Choice = Literal["keep", "drop"]

_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])\Z"
_ASCII_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_DOMAIN}")
_ASCII_DOMAIN = re.compile(_DOMAIN)
_LOCAL_PART = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}\Z")
# Soft hyphens, zero-width blanks and marks of the writing direction: what comes along when an address is copied from a page or
# from a phone's address book.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# Digits of any script and the marks people put between them; anything else in a phone field is not a phone number.
_PHONE_SHAPE = re.compile(r"\+*[\d()\[\]\s.\-/~+\u2010-\u2015\u2212\u30fc]{6,40}\Z")
_SCHEME = re.compile(r"\s*(?:tel|mailto|sms):", re.IGNORECASE)
# `0912345678/9` are two numbers.
_TWO_NUMBERS = re.compile(r"/\s*\d{1,2}\s*\Z")
_MOST_ENCODINGS = 3
_MAX_ADDRESS = 320
# With blanks around. Unicode's normalising takes quadratic time for what nobody has as an address or id.
_MAX_GIVEN = 1_024
_CACHED = 8_192


def field_kind(name: str) -> FieldKind:
    """Tell from a field's name what it holds: `customer_email` an e-mail, `mobile` a phone, anything else text."""
    lowered = name.lower()
    if "mail" in lowered:
        return "email"
    if any(word in lowered for word in ("phone", "mobile", "msisdn")):
        return "phone"
    return "text"


def normalise_email(value: str, *, gmail_dots: Choice = "keep", plus_tags: Choice = "keep") -> str | None:
    """Give the one spelling of an e-mail address, or `None` when it is not one.

    Unicode NFKC, trimmed, lower-cased, invisible characters taken out, the domain in its ASCII form (IDNA 2008 after UTS 46
    mapping) without a final dot. `gmail_dots="drop"` takes the dots out of the local part at gmail.com and googlemail.com, where
    they mean nothing; anywhere else `a.b` and `ab` are two people. `plus_tags="drop"` cuts the local part before its first `+`.
    """
    if len(value) > _MAX_GIVEN:
        return None
    text = value.strip().lower()
    if not _ASCII_EMAIL.match(text) or "xn--" in text:
        read = _unicode_email(text)
        if read is None:
            return None
        text = read
    if plus_tags == "drop" or gmail_dots == "drop":
        local, _, domain = text.rpartition("@")
        if plus_tags == "drop":
            local = local.partition("+")[0] or local
        if gmail_dots == "drop" and domain in GMAIL:
            local = local.replace(".", "") or local
        return f"{local}@{domain}"
    return text


def _unicode_email(text: str) -> str | None:
    if len(text) > _MAX_ADDRESS:
        return None
    # Twice: what NFKC writes in capitals (a mathematical A) is lower-cased, and what lower-casing takes apart is composed again.
    for _ in range(2):
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip().lower()
    local, at, domain = text.rpartition("@")
    if not at or not _LOCAL_PART.match(local):
        return None
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii").lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError):
        return None
    return f"{local}@{ascii_domain}" if _ASCII_DOMAIN.match(ascii_domain) else None


def normalise_phone(value: str, region: str) -> str | None:
    """Give a phone number as E.164 (`+84912345678`), or `None` when it is no valid number.

    `region` (ISO 3166-1, two letters) is assumed for numbers without a country code. `00` begins a country code everywhere (the
    international prefix of ITU-T E.164), also where the carriers of the region use another, unless theirs makes another number of
    it. Source: libphonenumber.
    """
    if len(value) > _MAX_GIVEN:
        return None
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", value)).strip()
    if text[:4].lower() == "tel:":
        text = text[4:]
    if not _PHONE_SHAPE.match(text) or _TWO_NUMBERS.search(text):
        return None
    digits = "".join(str(unicodedata.decimal(mark)) for mark in text if mark.isdecimal())
    if text.lstrip("([ ").startswith("+"):
        return _valid_number(f"+{digits}", region)
    number = _valid_number(digits, region)
    if not digits.startswith("00"):
        return number
    abroad = _valid_number(f"+{digits[2:]}", region)
    # In Thailand `0066…` can be `00` and `66`, or the carrier prefix `006` and `6…`: where both exist, nothing is proved.
    return number or abroad if number is None or abroad is None or number == abroad else None


def _valid_number(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Addresses:
    """Normalises with the property owner's default region and choices, and remembers the last few thousand answers.

    `keyring` are the keys under which sites may have hashed addresses, as `identity.hash_keys` lists them.
    """

    def __init__(
        self,
        default_region: str,
        *,
        gmail_dots: Choice = "keep",
        plus_tags: Choice = "keep",
        keyring: Keyring | None = None,
    ) -> None:
        self._keyring = Keyring(()) if keyring is None else keyring
        email = lru_cache(_CACHED)(
            lambda value: normalise_email(value, gmail_dots=gmail_dots, plus_tags=plus_tags)
        )
        phone = lru_cache(_CACHED)(lambda value: normalise_phone(value, default_region))
        # What is too long to be one is not remembered either: a cache's keys are bounded by more than their number.
        self.email: Callable[[str], str | None] = lambda value: (
            email(value) if len(value) <= _MAX_GIVEN else None
        )
        self.phone: Callable[[str], str | None] = lambda value: (
            phone(value) if len(value) <= _MAX_GIVEN else None
        )
        # A shop whose CIDs are hashes of its own numbers asks the same of every page view of a customer.
        self.is_same: Callable[[str, FieldKind, str], bool] = lru_cache(_CACHED)(self._is_same)
        """Tell whether a text is a hash of an address: (candidate, kind, value) as `_is_same` says it."""

    def normalise(self, kind: FieldKind, value: str) -> str | None:
        """Give the one spelling of a value of that kind, or `None` when it can't be read as one."""
        if kind == "email":
            return self.email(value)
        if kind == "phone":
            return self.phone(value)
        if len(value) > _MAX_GIVEN:
            return None
        return unicodedata.normalize("NFKC", value).strip() or None

    def raw_identity(self, value: str) -> str | None:
        """Give the normalised address when a value that should be an opaque id is a raw e-mail or phone; else `None`.

        A number counts as a phone only where it is written as one, with `+` or a leading zero: any other digits may well be
        a customer's number in the shop's own system. Text with an `@` that is no address is given trimmed: it is no opaque id either, nor is a payment
        card in groups.
        """
        text = value if value.isascii() else unicodedata.normalize("NFKC", _INVISIBLE.sub("", value))
        for _ in range(_MOST_ENCODINGS if "%" in text else 0):
            text = unquote(text)
        if ":" in text:
            text = _SCHEME.sub("", text)
        if "@" in text:
            return self.email(text) or text.strip()
        if is_written_card(text):
            return text.strip()
        if len(text) >= 8 and text.lstrip(" (").startswith(("+", "0")):
            return self.phone(text)
        return None

    def other_spellings(self, kind: FieldKind, value: str) -> tuple[str, ...]:
        """Give the ways in which sites are known to write the same address before they hash it, wrongly; each once.

        The right spelling and the value as given are among them. At most `spellings.MOST`. These are raw addresses: they
        are for hashing, and go nowhere.
        """
        normal = self.normalise(kind, value)
        if normal is None or kind == "text":
            return text_spellings(value)
        if kind == "email":
            return email_spellings(normal, normalise_email(value) or normal, value)
        return phone_spellings(normal, value)

    def _is_same(self, candidate: str, kind: FieldKind, value: str) -> bool:
        """Tell whether `candidate` is a hash of this address: in any of its spellings, by any algorithm, in either case of hex.

        MD5, SHA-1, SHA-256, or keyed with a key of the ring. A keyed hash whose key was taken out proves nothing, nor does what is
        no hash at all, nor the hash of digits that here are somebody else's number. `value` may be the address as given or
        normalised. Slow the first time (a third of a millisecond): ask only where the right hash did not match.
        """
        if not is_hash(candidate):
            return False
        keyed = keyed_parts(candidate)
        if keyed is None:
            wanted, make = candidate.lower(), _MAKERS[len(candidate)]
        else:
            secret = self._keyring.secret(keyed[0])
            if secret is None:
                return False
            wanted, make = keyed[1], lambda data: hmac.digest(secret, data, "sha256").hex()
        return any(
            wanted == make(spelling.encode("utf-8", "surrogatepass"))
            and (kind != "phone" or self.phone(spelling) in {None, self.phone(value)})
            for spelling in self.other_spellings(kind, value)
        )


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# By the number of hex digits.
_MAKERS: dict[int, Callable[[bytes], str]] = {32: _md5, 40: _sha1, 64: _sha256}
