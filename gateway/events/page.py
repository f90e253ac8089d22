"""The page that an event came from, and the visitor's language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_MAX_LANGUAGES = 512
_CACHED = 8_192


def locales() -> Callable[[str], str]:
    """Give a function, with a memory, from an `Accept-Language` header to its first language."""
    return remembered(_CACHED, _first_language)


def add(context: JsonObject, occasion: Occasion, locale_of: Callable[[str], str]) -> None:
    """Add `context.locale` and `context.navigation`, where they are absent and known."""
    head = occasion.head
    if "locale" not in context:
        locale = locale_of(head.accept_language[:_MAX_LANGUAGES])
        if locale:
            context["locale"] = locale
    if head.referer and "navigation" not in context:
        context["navigation"] = {"url": head.referer}


def url_of(context: JsonObject, occasion: Occasion) -> str:
    """Give the page's URL: as the event says, else as the request does; empty when neither does."""
    for holder, key in (("navigation", "url"), ("page", "url"), ("navigation", "href")):
        block = context.get(holder)
        if isinstance(block, dict) and isinstance(block.get(key), str):
            return str(block[key])
    return occasion.head.referer


def _first_language(accept_language: str) -> str:
    language = accept_language.partition(",")[0].partition(";")[0].strip()
    return language if _LANGUAGE.match(language) else ""
