"""The collector's own cookies, lent the site's name: which go to it with an event, and which of its answer reach the browser.

What always holds: only cookies of the allow-list (`collector.relay_cookies`) pass, in either direction, and never under a name of the
gateway's own, because identity is the ledger's business. Of what the collector sets, name, value, lifetime and `HttpOnly` count; where
it holds and how it travels are the gateway's own attributes, so no answer can set a cookie for another site or for plain HTTP.
No byte of a value can end a line or begin another attribute. A value that is a raw e-mail address or phone number goes to no collector, and so is
kept nowhere: the browser holds what any script of the site wrote into it.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from gateway.events.cookies import values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.cookies import Headers, UidCookie

_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e]*\Z")
_SECONDS = re.compile(r"-?[0-9]{1,12}\Z")
_LONGEST = 4_096


class CollectorCookies:
    """Carries the cookies of these `names`; `own` are the gateway's, which it never touches; `is_raw` knows a raw address."""

    def __init__(self, names: Sequence[str], own: UidCookie, is_raw: Callable[[str], bool]) -> None:
        self._is_raw = is_raw
        self._names = tuple(name for name in dict.fromkeys(names) if name and name not in own.names)
        self._own = own

    def outgoing(self, cookie_header: str) -> str:
        """Give the `Cookie` header for the collector: of each name the first usable value, unless it is a raw address. Empty when there is none."""
        found = ""
        if not cookie_header:
            return found
        for name in self._names:
            value = next(filter(_VALUE.match, values(cookie_header, name)), None)
            if value is None or self._is_raw(value):
                continue
            if len(found) + len(name) + len(value) + 3 <= _LONGEST:
                found = f"{found}; {name}={value}" if found else f"{name}={value}"
        return found

    def incoming(self, answer: Headers, host: str, site: str, now_s: int) -> Headers:
        """Give the `Set-Cookie` headers that an answer's become: one for each name at most, the last that was said.

        `host` is the request's `Host`, as it came; `site` the property's; `now_s` Unix time in seconds.
        """
        found: dict[str, tuple[str, str]] = {}
        for header, text in answer:
            if header == "set-cookie":
                pair, *attributes = text.split(";")
                name, is_pair, value = pair.partition("=")
                name, value = name.strip(" \t"), value.strip(" \t")
                if (
                    is_pair
                    and name in self._names
                    and _VALUE.match(value)
                    and len(name) + len(value) <= _LONGEST
                ):
                    lifetime_s, is_hidden = _lifetime(attributes, now_s), _is_hidden(attributes)
                    found[name] = self._own.lend(
                        name, value, host, site, lifetime_s=lifetime_s, is_hidden=is_hidden
                    )
        return tuple(found.values())


def _lifetime(attributes: Sequence[str], now_s: int) -> int | None:
    """Give how many seconds a cookie is to live, 0 when it is to go; `None`: until the browser is closed (RFC 6265, section 5.3)."""
    until: int | None = None
    for attribute in reversed(attributes):
        name, _, value = attribute.partition("=")
        kind, text = name.strip().lower(), value.strip()
        if kind == "max-age" and _SECONDS.match(text):
            return max(0, int(text))
        if kind == "expires" and until is None:
            until = _seconds_until(text, now_s)
    return until


def _seconds_until(text: str, now_s: int) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp()) - now_s)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _is_hidden(attributes: Sequence[str]) -> bool:
    return any(attribute.strip().lower() == "httponly" for attribute in attributes)
