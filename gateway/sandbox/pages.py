"""The sandbox's pages and their assets: files inside the package, no other origin, no build step."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_CONTENT_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript"}


def read_asset(name: str) -> str:
    """Give the text of a file in the package's `assets` folder."""
    return resources.files("gateway.sandbox").joinpath("assets", name).read_text(encoding="utf-8")


def asset_routes(names: Iterable[str]) -> list[web.RouteDef]:
    """Serve the named assets under `/assets/`, read once, at the start."""
    return [web.get(f"/assets/{name}", text_handler(name, read_asset(name))) for name in names]


def text_handler(name: str, text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Make a handler that answers with a fixed text, typed by the ending of `name`."""
    content_type = _CONTENT_TYPES[name.rpartition(".")[2]]

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            text=text,
            content_type=content_type,
            charset="utf-8",
            # The pages are for people who edit them and look again.
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    return answer
