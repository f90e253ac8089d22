"""Which page a call comes from, and which pages were loaded: a browser that nobody has seen must have loaded the page that it sends from.

What always holds: what is remembered is bounded; a page whose path nobody tells (browsers send other hosts the origin alone) is any page of its host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.qa.calls import Call

_MOST_PAGES = 4_096
_READ = 1_024
_LONGEST_URL = 2_048
# What a page is made of, and what is no page.
_PAGE_SUFFIXES = frozenset({"html", "htm", "php", "asp", "aspx", "jsp", "do"})


class Page(NamedTuple):
    """A page of a site: its host, and its path where it is known, else empty; `url` is its whole address without a fragment."""

    host: str = ""
    path: str = ""
    url: str = ""


NOWHERE = Page()
"""The page of a call that no page has made, or of which nothing tells."""


def page_of(call: Call, fields: JsonObject) -> Page:
    """Give the page on which an event was tracked: as the event has it, else as the request says."""
    context = fields.get("context")
    navigation = context.get("navigation") if isinstance(context, dict) else None
    told = navigation.get("url") if isinstance(navigation, dict) else None
    for text in (told, call.page, call.header("referer"), call.header("origin")):
        if isinstance(text, str) and (page := read(text)).host:
            # Browsers cut the address for other hosts to its origin; an event says it whole.
            return page if text is told or page.path != "/" else page._replace(path="", url="")
    return NOWHERE


def came_from(fields: JsonObject) -> Page:
    """Give the page before, as an event has it; `NOWHERE` where it says none."""
    context = fields.get("context")
    told = context.get("referrer") if isinstance(context, dict) else None
    if isinstance(told, dict):
        told = told.get("url")
    return read(told) if isinstance(told, str) else NOWHERE


def _read(url: str) -> Page:
    if not url.startswith(("http://", "https://")) or len(url) > _LONGEST_URL:
        return NOWHERE
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return NOWHERE
    path = parts.path or "/"
    return Page(host, path, f"{host}{path}{'?' if parts.query else ''}{parts.query}")


read = remembered(_READ, _read)
"""Read an address; `NOWHERE` for what is none."""


class Loads:
    """Remembers when pages were asked for, by the numbers of calls."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}

    def passed(self, call: Call) -> None:
        """Hear of a call that is not tracking."""
        name = call.path.rpartition("/")[2]
        suffix = name.rpartition(".")[2].lower() if "." in name else "html"
        if call.method != "GET" or suffix not in _PAGE_SUFFIXES or len(call.path) > _LONGEST_URL:
            return
        if len(self._last) >= _MOST_PAGES:
            # What was forgotten proves nothing.
            self._last.clear()
        self._last[call.host, call.path] = self._last[call.host, ""] = call.number

    def since(self, page: Page, number: int) -> bool | None:
        """Tell whether a page was asked for after this call; `None` where it was never seen to be."""
        last = self._last.get((page.host, page.path))
        return None if last is None else last > number
