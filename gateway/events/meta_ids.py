"""The ids that Meta's pixel keeps in a browser, `_fbp` and `_fbc`, made where the pixel has not made them.

Forms: `fb.<index>.<milliseconds>.<random>` and `fb.<index>.<milliseconds>.<fbclid>`, where the index says how many dots the cookie's domain has: 1 for `shop.example`.
What always holds: a cookie that is there already is never written, but for a visitor whose UID was erased: nothing leads from it to the next. Source: Meta for Developers, Conversions API, fbp and fbc parameters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.events.cookies import values

if TYPE_CHECKING:
    from gateway.events.decisions import Prepared
    from gateway.events.model import JsonObject

BROWSER, CLICK = "_fbp", "_fbc"
_LIFETIME_S = 90 * 86_400
_ID = re.compile(r"fb\.[0-9]\.[0-9]{10,13}\.[A-Za-z0-9_.-]{1,512}\Z")
_CLICK = re.compile(r"[A-Za-z0-9_.-]{1,500}\Z")
_MOST_RANDOM = 1 << 31


def add(
    extra: JsonObject, prepared: Prepared, fbclid: str, made: dict[str, str], *, is_erased: bool = False
) -> None:
    """Add `extra.fbp`, and `extra.fbc` where a click is known of, unless the event has them; `made` gets those of which cookies are due.

    `is_erased`: the event came with a UID that was erased. An empty text in `made` ends a cookie.
    """
    cookie_header, stamp = prepared.request.head.cookie, prepared.stamp
    if is_erased:
        if values(cookie_header, CLICK):
            made.setdefault(CLICK, "")
        cookie_header = ""
    site = prepared.owner.site if prepared.owner is not None else ""
    index = site.count(".")
    browser = made.get(BROWSER) or _kept(cookie_header, BROWSER)
    if not browser:
        browser = f"fb.{index}.{stamp.now_ms}.{(stamp.entropy >> 40) % _MOST_RANDOM}"
        made[BROWSER] = browser
    extra.setdefault("fbp", browser)
    click = made.get(CLICK) or _kept(cookie_header, CLICK)
    if fbclid and _CLICK.match(fbclid) and not click.endswith(f".{fbclid}"):
        is_absent = not values(cookie_header, CLICK)
        click = f"fb.{index}.{stamp.now_ms}.{fbclid}"
        if is_absent:
            made[CLICK] = click
    if click:
        extra.setdefault("fbc", click)


def lifetime_s() -> int:
    """Give how long the cookies live, as Meta's own do."""
    return _LIFETIME_S


def _kept(cookie_header: str, name: str) -> str:
    return next((text for text in values(cookie_header, name) if _ID.match(text)), "")
