"""User-Agent Client Hints: what a browser says of itself in header fields of their own (W3C User-Agent Client Hints; RFC 8941 for their syntax).

Browsers of Chromium's family send the low ones with every request to a secure origin, the high ones only to whom the page lets them go. What always
holds: reading is bounded and never raises; a field that is not of its syntax says nothing; brands that are there to be ignored (GREASE) are; what could be somebody's address or number is no name of a browser, a system or a model, and says nothing.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

LOW = ("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform")
"""What is sent without being asked for."""

HIGH = (
    "sec-ch-ua-platform-version",
    "sec-ch-ua-model",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-form-factors",
)
"""What must be asked for."""

ACCEPT = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Full-Version-List, Sec-CH-UA-Form-Factors"
"""`HIGH` as the value of `Accept-CH`."""

_LONGEST = 1_024
_MOST_ITEMS = 32
_LONGEST_NAME = 64
_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_BARE = re.compile(
    rf"(?P<string>{_STRING})|(?P<boolean>\?[01])|(?P<number>-?[0-9]{{1,15}}(?:\.[0-9]{{1,3}})?)"
    r"|(?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)|(?P<octets>:[A-Za-z0-9+/=]*:)"
)
_KEY = re.compile(r"; *(?P<key>[a-z*][a-z0-9_.*-]*)(?P<has_value>=)?")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,6}){0,3}\Z")
_NAME = re.compile(r"[\w .,()+/&!-]+\Z")
_DIGITS = re.compile(r"[0-9]")
_MOST_DIGITS = 8
_NOT_LETTERS = re.compile(r"[^A-Za-z]+")

Item = tuple[Any, dict[str, Any]]


class Hints(msgspec.Struct, frozen=True):
    """What was said. `brands` are (name, version), the full versions where they were sent; `is_mobile` is `None` where it was not said."""

    brands: tuple[tuple[str, str], ...] = ()
    has_full_versions: bool = False
    is_mobile: bool | None = None
    platform: str = ""
    platform_version: str = ""
    model: str = ""
    forms: tuple[str, ...] = ()


def read(fields: dict[str, str]) -> Hints:
    """Give what these header fields say, by their names in lower case."""
    get = fields.get
    full = _brands(get("sec-ch-ua-full-version-list", ""))
    mobile = _one(get("sec-ch-ua-mobile", ""))
    return Hints(
        full or _brands(get("sec-ch-ua", "")),
        bool(full),
        mobile if isinstance(mobile, bool) else None,
        _name(_one(get("sec-ch-ua-platform", ""))),
        _version(_one(get("sec-ch-ua-platform-version", ""))),
        _name(_one(get("sec-ch-ua-model", ""))),
        tuple(filter(None, [_name(form) for form, _ in items(get("sec-ch-ua-form-factors", "")) or ()])),
    )


def items(text: str) -> list[Item] | None:
    """Read a list of RFC 8941 (section 4.2.1): each item with its parameters; `None` for what is none, or has lists in it, or is too long."""
    text = text.strip(" ")
    if len(text) > _LONGEST:
        return None
    found: list[Item] = []
    at = 0
    while at < len(text):
        item = _item(text, at)
        if item is None or len(found) >= _MOST_ITEMS:
            return None
        value, at = item
        found.append(value)
        if at == len(text):
            return found
        comma = _COMMA.match(text, at)
        if comma is None or comma.end() == len(text):
            return None
        at = comma.end()
    return found


def _item(text: str, at: int) -> tuple[Item, int] | None:
    bare = _BARE.match(text, at)
    if bare is None:
        return None
    value, at = _value(bare), bare.end()
    parameters: dict[str, Any] = {}
    while key := _KEY.match(text, at):
        at = key.end()
        parameters[key["key"]] = True
        if key["has_value"]:
            bare = _BARE.match(text, at)
            if bare is None:
                return None
            parameters[key["key"]], at = _value(bare), bare.end()
    return (value, parameters), at


def _value(bare: re.Match[str]) -> Any:
    text = bare[0]
    if bare.lastgroup == "string":
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if bare.lastgroup == "boolean":
        return text == "?1"
    if bare.lastgroup == "number":
        return float(text) if "." in text else int(text)
    return text


def _one(text: str) -> Any:
    """Read a single item; `None` for anything else."""
    found = items(text)
    return found[0][0] if found is not None and len(found) == 1 else None


def _name(value: Any) -> str:
    """Give a name as it stands, or nothing: neither e-mail addresses nor telephone numbers are names."""
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or not _NAME.match(value):
        return ""
    return value.strip() if len(_DIGITS.findall(value)) <= _MOST_DIGITS else ""


def _version(value: Any) -> str:
    return value if isinstance(value, str) and _VERSION.match(value) else ""


def _brands(text: str) -> tuple[tuple[str, str], ...]:
    found = [(_name(brand), _version(parameters.get("v"))) for brand, parameters in items(text) or ()]
    return tuple(each for each in found if each[0] and not _is_grease(each[0]))


def _is_grease(brand: str) -> bool:
    """Tell whether a brand is there to be ignored: `Not A;Brand` with ever other signs between its letters, so that nobody relies on a fixed list."""
    return _NOT_LETTERS.sub("", brand).lower() == "notabrand"
