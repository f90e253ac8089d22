"""What texts and values of consent mean: of a banner's cookie, a header, a field of an event.

What always holds: a word that is not known says nothing, neither yes nor no; where a value says both, it is a no; nothing raises, and nothing longer than
a cookie is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.consent import State

LONGEST = 8_192


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YES = _words(
    "granted grant true yes y on 1 accepted accept all allow allowed allow_all opt_in optin opted_in agreed"
)
_NO = _words(
    "denied deny false no n off 0 rejected reject refused refuse decline declined disallow deny_all opt_out optout "
    "opted_out withdrawn revoked objected"
)
# Where platforms put the categories, or the answer, inside an object.
_INNER = ("categories", "purposes", "consents", "consent", "choices", "default")
_STATE = ("state", "status", "value", "granted")


def of_word(text: str) -> State:
    """Give what one word says: `granted`, `denied`, `1`, `no`, … in any letter-case."""
    word = text.strip().strip("\"'").lower().replace("-", "_").replace(" ", "_")
    return "granted" if word in _YES else "denied" if word in _NO else "unknown"


def of_text(text: str, granted: Sequence[str], denied: Sequence[str], categories: Sequence[str]) -> State:
    """Give what a cookie or a header says; it may be percent-encoded, once or twice.

    `granted` and `denied` are texts to look for in it (OneTrust's `C0002:1`); where there are any, nothing else counts. Else it is a word, or JSON.
    """
    if len(text) > LONGEST:
        return "unknown"
    plain = unquote(unquote(text)) if "%" in text else text
    if granted or denied:
        if any(each in plain for each in denied):
            return "denied"
        return "granted" if any(each in plain for each in granted) else "unknown"
    stripped = plain.strip()
    if stripped[:1] in {"{", "["}:
        try:
            return of_value(orjson.loads(stripped), categories)
        except orjson.JSONDecodeError:
            return "unknown"
    return of_word(stripped)


def of_value(value: Any, categories: Sequence[str]) -> State:
    """Give what a field says: a boolean, 1 or 0, a word, an object by category (`{"analytics_storage": "denied"}`), or a list of what was granted."""
    if isinstance(value, bool):
        return "granted" if value else "denied"
    if isinstance(value, str):
        return of_word(value) if len(value) <= LONGEST else "unknown"
    if isinstance(value, int | float):
        return "granted" if value == 1 else "denied" if value == 0 else "unknown"
    if isinstance(value, list):
        return _of_list(value, categories)
    return _of_object(value, categories) if isinstance(value, dict) else "unknown"


def _of_list(value: list[Any], categories: Sequence[str]) -> State:
    """Tell of a list of granted categories whether one of ours is among them. One of other things says nothing."""
    if not all(isinstance(each, str) for each in value):
        return "unknown"
    return "granted" if any(each in categories for each in value) else "denied"


def _of_object(value: dict[str, Any], categories: Sequence[str]) -> State:
    """Tell of an object by its categories, all of which must be granted that are there; else by its state, else by the object in it."""
    found = {
        of_value(value[name], ())
        for name in categories
        if name in value and not isinstance(value[name], list)
    }
    if not found:
        found = {
            of_value(value[name], ()) for name in _STATE if isinstance(value.get(name), str | bool | int)
        }
    if not found:
        inner = [value[name] for name in _INNER if isinstance(value.get(name), dict | list)]
        # One level: what lies deeper is no platform's that anybody knows.
        found = {
            _of_list(each, categories) if isinstance(each, list) else _of_flat(each, categories)
            for each in inner
        }
    if "denied" in found:
        return "denied"
    return "granted" if found == {"granted"} else "unknown"


def _of_flat(value: dict[str, Any], categories: Sequence[str]) -> State:
    found = {
        of_word(str(value[name])) for name in categories if isinstance(value.get(name), str | bool | int)
    }
    if "denied" in found:
        return "denied"
    return "granted" if found == {"granted"} else "unknown"
