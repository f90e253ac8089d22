"""The demo shop: a small page that tracks like a customer's site would, and shows what becomes of it.

It loads the script from the gateway with the snippet that customers paste and sends addresses the way people type them. Beside the
shop the page lays what the browser sent next to what the collector received. It knows only three public things: the
gateway's script, the collector's `GET /events`, and the first-party cookie.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from aiohttp import web

from gateway.sandbox.pages import asset_routes, read_asset, text_handler
from gateway.sdk import snippet

_CONFLICT = {
    "quarantine": "The gateway holds the event instead.",
    "new_uid": "The gateway gives the second person a UID of their own instead.",
    "strip": "The gateway sends the event on as nobody's instead.",
}
_ASSETS = ("theme.css", "shop.css", "wire.css", "values.js", "wiretap.js", "wire.js", "shop.js", "goods.js")


class BadUrl(ValueError):
    """An address the shop can't be built with: says which one, and what it should look like."""

    def __init__(self, name: str, got: str) -> None:
        super().__init__(f"{name} must be an origin such as http://localhost:8080, got {got!r}")
        self.name = name
        self.got = got


def build_shop(
    gateway_url: str, collector_url: str, portal_id: str, prop_id: str, *, on_conflict: str = "quarantine"
) -> web.Application:
    """Build the shop's application: `GET /` is the page, `/assets/` its files.

    Both URLs are origins as the visitor's browser reaches them. For the first-party cookie to work the shop and the
    gateway must share a host name (ports don't matter). `on_conflict` is the gateway's policy, for the text. Raises `BadUrl`.
    """
    gateway_origin, collector_origin = (
        _origin("gateway_url", gateway_url),
        _origin("collector_url", collector_url),
    )
    page = (
        read_asset("shop.html")
        .replace("{{gateway_url}}", escape(gateway_origin))
        .replace("{{collector_url}}", escape(collector_origin))
        .replace("{{conflict}}", _CONFLICT[on_conflict])
        # Last, and as it is: the very snippet that customers paste.
        .replace("{{snippet}}", snippet(gateway_origin, portal_id, prop_id))
    )
    app = web.Application()
    app.add_routes([web.get("/", text_handler("shop.html", page)), *asset_routes(_ASSETS)])
    return app


def _origin(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise BadUrl(name, url)
    return url.rstrip("/")
