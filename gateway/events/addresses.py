"""E-mail addresses and phone numbers: one spelling for each, and the hashes of it.

What always holds: the same address gives the same text however it was typed, and what can't be read as an address is not
guessed at. `Addresses` is compiled once from the settings; its answers depend on its arguments alone (they are only cached).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import idna
import phonenumbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings_types import HashName

FieldKind = Literal["email", "phone", "text"]

_HASH = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\Z", re.IGNORECASE)
_HASH_LENGTH: dict[HashName, int] = {"md5": 32, "sha256": 64}
_ASCII_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\Z"
)
_LOCAL_PART = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}\Z")
# Digits and the marks people put between them; anything else in a phone field is not a phone number.
_PHONE_SHAPE = re.compile(r"\+?[0-9\uff10-\uff19()\s.\-/\u00a0\u2010-\u2015+]{6,32}\Z")
_MAX_ADDRESS = 320
_CACHED = 8_192


def is_hash(value: str) -> bool:
    """Tell whether a value is already an MD5, SHA-1 or SHA-256 in hexadecimal."""
    return len(value) in {32, 40, 64} and _HASH.match(value) is not None


def field_kind(name: str) -> FieldKind:
    """Tell from a field's name what it holds: `customer_email` an e-mail, `mobile` a phone, anything else text."""
    lowered = name.lower()
    if "mail" in lowered:
        return "email"
    if any(word in lowered for word in ("phone", "mobile", "msisdn")):
        return "phone"
    return "text"


def digest(value: str, algorithm: HashName) -> str:
    """Give the lower-case hexadecimal hash of the UTF-8 text."""
    data = value.encode("utf-8", "surrogatepass")
    if algorithm == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest()


def normalise_email(value: str) -> str | None:
    """Give the one spelling of an e-mail address, or `None` when it is not one.

    Unicode NFKC, trimmed, lower-cased, the domain in its ASCII form (IDNA 2008 after UTS 46 mapping); nothing else changes:
    dots and plus-tags of the local part stay.
    """
    text = value.strip().lower()
    if _ASCII_EMAIL.match(text):
        return text
    if len(text) > _MAX_ADDRESS:
        return None
    text = unicodedata.normalize("NFKC", text).strip().lower()
    local, at, domain = text.rpartition("@")
    if not at or "." not in domain or not _LOCAL_PART.match(local):
        return None
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return None
    return f"{local}@{ascii_domain}"


def normalise_phone(value: str, region: str) -> str | None:
    """Give a phone number as E.164 (`+84912345678`), or `None` when it is no valid number.

    `region` (ISO 3166-1, two letters) is assumed for numbers without a country code. Source: libphonenumber.
    """
    text = value.strip()
    if not _PHONE_SHAPE.match(text):
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Addresses:
    """Normalises with the property owner's default region, and remembers the last few thousand answers."""

    def __init__(self, default_region: str) -> None:
        self.email = lru_cache(_CACHED)(normalise_email)
        self.phone = lru_cache(_CACHED)(lambda value: normalise_phone(value, default_region))

    def normalise(self, kind: FieldKind, value: str) -> str | None:
        """Give the one spelling of a value of that kind, or `None` when it can't be read as one."""
        if kind == "email":
            return self.email(value)
        if kind == "phone":
            return self.phone(value)
        return unicodedata.normalize("NFKC", value).strip() or None

    def raw_identity(self, value: str) -> str | None:
        """Give the normalised address when a value that should be an opaque id is a raw e-mail or phone; else `None`.

        A number counts as a phone only where it is written as one, with `+` or a leading zero: any other digits may well be
        a customer's number in the shop's own system.
        """
        text = value if value.isascii() else unicodedata.normalize("NFKC", value)
        if "%" in text:
            text = unquote(text)
        if "@" in text:
            return self.email(text) or text.strip().lower()
        if len(text) >= 8 and text.lstrip(" (").startswith(("+", "0")):
            return self.phone(text)
        return None

    def hashed(self, kind: FieldKind, value: str, algorithm: HashName) -> str:
        """Give the hash of the normalised value; of the trimmed, lower-cased text when it can't be normalised.

        So a mistyped address still never leaves in the clear.
        """
        return digest(self.normalise(kind, value) or value.strip().lower(), algorithm)

    def other_spellings(self, kind: FieldKind, value: str) -> Iterator[str]:
        """Give the ways in which sites are known to write the same address before they hash it, wrongly."""
        stripped = value.strip()
        yield from (
            value,
            stripped,
            value.lower(),
            stripped.lower(),
            stripped.upper(),
            f" {stripped}",
            f"{stripped} ",
        )
        normal = self.normalise(kind, value)
        if normal is None:
            return
        yield normal
        if kind == "email":
            yield normal.upper()
            local, _, domain = normal.partition("@")
            plain = local.partition("+")[0]
            yield from (
                f"{plain}@{domain}",
                f"{plain.replace('.', '')}@{domain}",
                f"{local.replace('.', '')}@{domain}",
            )
        elif kind == "phone":
            parsed = phonenumbers.parse(normal)
            national = phonenumbers.national_significant_number(parsed)
            yield from (normal[1:], f"00{normal[1:]}", f"0{national}", national, re.sub(r"\D", "", value))
            for form in (
                phonenumbers.PhoneNumberFormat.INTERNATIONAL,
                phonenumbers.PhoneNumberFormat.NATIONAL,
            ):
                yield phonenumbers.format_number(parsed, form)

    def is_hash_of(self, candidate: str, kind: FieldKind, value: str) -> bool:
        """Tell whether `candidate` (lower-case hex) is a hash of the same address in another spelling or by another hash."""
        spellings = {
            spelling.encode("utf-8", "surrogatepass") for spelling in self.other_spellings(kind, value)
        }
        if len(candidate) == 32:
            return any(
                hashlib.md5(text, usedforsecurity=False).hexdigest() == candidate for text in spellings
            )
        if len(candidate) == 40:
            return any(
                hashlib.sha1(text, usedforsecurity=False).hexdigest() == candidate for text in spellings
            )
        return any(hashlib.sha256(text).hexdigest() == candidate for text in spellings)


def hash_of_kind(value: str, algorithm: HashName) -> bool:
    """Tell whether a value is a hash as `algorithm` writes it."""
    return len(value) == _HASH_LENGTH[algorithm] and is_hash(value)
