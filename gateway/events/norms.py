"""Hashes of identity fields for the ad platforms, by each platform's own published rules.

The rules differ, and a hash of a value that was normalised otherwise is accepted and matches nobody. What always holds: a hash
is the SHA-256 of the UTF-8 text in lower-case hexadecimal; a field that a platform does not define, takes unhashed or can't
take in this form gives `None`, never a guess; before any rule the text is brought to Unicode NFKC, because the rules speak of
characters and not of how a keyboard encodes them.

Sources, as read in 2026:

- Meta: "Conversions API, customer information parameters", `developers.facebook.com/documentation/ads-commerce/conversions-api/
  parameters/customer-information-parameters`, updated 2026-01-09.
- Google: "Data Manager API, format user data", `developers.google.com/data-manager/api/devguides/concepts/formatting`, and the
  reference of `UserData` there. Google Ads' enhanced conversions and customer match say the same.
- TikTok: "Events API, user parameters", `business-api.tiktok.com/portal/docs?id=1771101151059969`, and its own tag template,
  `github.com/tiktok/gtm-template-eapi`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import TYPE_CHECKING, Literal

from gateway.events.addresses import field_kind, normalise_email, normalise_phone
from gateway.events.geography import country_code, state_code
from gateway.events.hashing import digest, is_hash
from gateway.events.remembering import remembered_together
from gateway.events.spellings import GMAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings_types import NormName

Meaning = Literal[
    "email", "phone", "first_name", "last_name", "gender", "birth_date", "city", "state", "zip", "country", "external_id"
]  # fmt: skip

_NAMES: tuple[tuple[Meaning, tuple[str, ...]], ...] = (
    ("first_name", ("first_name", "firstname", "given_name", "fn")),
    ("last_name", ("last_name", "lastname", "family_name", "surname", "ln")),
    ("gender", ("gender", "sex", "ge")),
    ("birth_date", ("date_of_birth", "birth_date", "birthdate", "birthday", "dob", "db")),
    ("city", ("city", "ct")),
    ("state", ("state", "province", "st")),
    ("zip", ("zip", "zip_code", "zipcode", "postcode", "postal_code", "zp")),
    ("country", ("country", "country_code")),
    ("external_id", ("external_id", "customer_id")),
)
_MEANINGS = {name: meaning for meaning, names in _NAMES for name in names}
# Unicode's normalising takes quadratic time for what nobody has as a name or an id.
_MOST = 1_024
_BLANKS = re.compile(r"\s+")
_DATE = re.compile(r"(\d{1,4})[\s./-](\d{1,2})[\s./-](\d{1,4})(?:[T\s].*)?\Z", re.DOTALL | re.ASCII)
_US_ZIP = re.compile(r"(\d{5})(?:\d{4})?\Z", re.ASCII)
_GENDERS = {"f": "f", "female": "f", "m": "m", "male": "m"}
# The countries that write the month first; everywhere else the day stands before it.
_MONTH_FIRST = ("US", "PH", "FM", "MH", "PW", "PR", "GU", "AS", "MP", "VI")
_PREFIXES = ("mr", "mrs", "ms", "miss", "dr", "prof")
_SUFFIXES = ("jr", "sr", "ii", "iii", "iv")


def meaning_of(field: str) -> Meaning | None:
    """Tell which of the platforms' fields one of ours is, from its name in any case; `None` for one that they do not have."""
    name = field.lower().replace("-", "_")
    if name in _MEANINGS:
        return _MEANINGS[name]
    kind = field_kind(name)
    return kind if kind != "text" else None


def norm_hash(platform: NormName, field: str, value: str, *, region: str) -> str | None:
    """Give the hash of a field as a platform wants it: 64 lower-case hex digits.

    `region` (ISO 3166-1, two letters) is where phones without a country code, dates, states and postcodes are from. `None`
    where the platform does not define the field or takes it unhashed, where the value can't be read, and for a value that is a hash
    already (an external id may be one: it is hashed like any other).
    """
    meaning = meaning_of(field)
    if len(value) > _MOST:
        return None
    if meaning is None or (meaning != "external_id" and is_hash(value.strip())):
        return None
    rule = _RULES[platform].get(meaning)
    normal = rule(unicodedata.normalize("NFKC", value).strip(), region) if rule else None
    return digest(normal, "sha256") if normal else None


def _email(text: str, _: str) -> str | None:
    """Meta, `em`: trim, lower case, nothing else. TikTok, `email`: lower case. The domain stays in its own script."""
    return text.lower() if normalise_email(text) else None


def _google_email(text: str, _: str) -> str | None:
    """Google, `email_address`: lower case, no blanks anywhere; at gmail.com and googlemail.com no dots and no tag, elsewhere both."""
    bare = _BLANKS.sub("", text).lower()
    if not normalise_email(bare):
        return None
    local, _, domain = bare.rpartition("@")
    if domain in GMAIL:
        local = local.partition("+")[0].replace(".", "")
    return f"{local}@{domain}" if local else None


def _e164(text: str, region: str) -> str | None:
    """Google, `phone_number`, and TikTok, `phone`: E.164 with `+` and country code, digits only behind it."""
    return _number(text, region)


# Parsing takes longer than everything else here, and each platform asks for the same number.
_number = remembered_together(4_096, normalise_phone)


def _meta_phone(text: str, region: str) -> str | None:
    """Meta, `ph`: digits alone, without leading zeros, always with the country code: E.164 without its `+`."""
    number = _number(text, region)
    return number[1:] if number else None


def _name(text: str, _: str) -> str | None:
    """Meta, `fn` and `ln`; TikTok, `first_name` and `last_name`: lower case, no punctuation, letters of any script."""
    return _BLANKS.sub(" ", _without(text.lower(), "P")).strip()


def _google_first_name(text: str, region: str) -> str | None:
    """Google, `given_name`: lower case, no punctuation, no prefix such as `Mrs.`, no extra blanks."""
    words = (_name(text, region) or "").split(" ")
    while len(words) > 1 and words[0] in _PREFIXES:
        words.pop(0)
    return " ".join(words)


def _google_last_name(text: str, region: str) -> str | None:
    """Google, `family_name`: lower case, no punctuation, no suffix such as `Jr.`, no extra blanks."""
    words = (_name(text, region) or "").split(" ")
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    return " ".join(words)


def _gender(text: str, _: str) -> str | None:
    """Meta, `ge`: the initial in lower case, `f` or `m`."""
    return _GENDERS.get(text.lower())


def _birth_date(text: str, region: str) -> str | None:
    """Meta, `db`: `YYYYMMDD`, from 1900 on; the order of day and month is the region's where the numbers leave it open."""
    if text.isascii() and text.isdigit() and len(text) == 8:
        parts = (text[:4], text[4:6], text[6:])
    else:
        match = _DATE.match(text)
        if match is None:
            return None
        parts = (match[1], match[2], match[3])
    if len(parts[0]) == 4:
        order = parts
    elif len(parts[2]) == 4:
        is_month_first = (region.upper() in _MONTH_FIRST or int(parts[1]) > 12) and int(parts[0]) <= 12
        order = (parts[2], parts[0], parts[1]) if is_month_first else (parts[2], parts[1], parts[0])
    else:
        return None
    try:
        day = date(*(int(each) for each in order))
    except ValueError:
        return None
    return day.strftime("%Y%m%d") if 1900 <= day.year < 2100 else None


def _city(text: str, _: str) -> str | None:
    """Meta, `ct`: lower case without punctuation, special characters and blanks; letters of any script."""
    return _without(text.lower(), "P", "S", "Z", "C")


def _state(text: str, region: str) -> str | None:
    """Meta, `st`: the two-letter ANSI code in the US; elsewhere lower case without punctuation, special characters and blanks."""
    bare = _without(text.lower(), "P", "S", "Z", "C")
    return state_code(bare) or bare if region.upper() == "US" else bare


def _zip(text: str, region: str) -> str | None:
    """Meta, `zp`; TikTok, `zip_code`: lower case, no blanks, no dashes; in the US the first five digits."""
    bare = _without(text.lower(), "Pd", "Z", "C")
    match = _US_ZIP.match(bare) if region.upper() == "US" else None
    return match[1] if match else bare


def _country(text: str, _: str) -> str | None:
    """Meta, `country`: ISO 3166-1 alpha-2 in lower case."""
    return country_code(_without(text.lower(), "P", "S", "Z", "C"))


def _external_id(text: str, _: str) -> str | None:
    """Meta, `external_id` (hashing recommended); TikTok, `external_id` (required): the id as it is, trimmed, its case kept."""
    return text


def _without(text: str, *categories: str) -> str:
    """Give the text without the characters whose Unicode category begins with one of these."""
    return "".join(mark for mark in text if not unicodedata.category(mark).startswith(categories))


_RULES: dict[NormName, dict[Meaning, Callable[[str, str], str | None]]] = {
    "meta": {
        "email": _email,
        "phone": _meta_phone,
        "first_name": _name,
        "last_name": _name,
        "gender": _gender,
        "birth_date": _birth_date,
        "city": _city,
        "state": _state,
        "zip": _zip,
        "country": _country,
        "external_id": _external_id,
    },
    # City, region, postal code and country are for Google as they are ("Don't hash"); it has no gender, birth date or hashed id.
    "google": {
        "email": _google_email,
        "phone": _e164,
        "first_name": _google_first_name,
        "last_name": _google_last_name,
    },
    # City, state and country are for TikTok as they are; it has no gender and no birth date.
    "tiktok": {
        "email": _email,
        "phone": _e164,
        "first_name": _name,
        "last_name": _name,
        "zip": _zip,
        "external_id": _external_id,
    },
}
