"""Where the public port listens: an address of its own or a socket that the supervisor has bound, with or without TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import web

from gateway.web.porch import Porch, bound

if TYPE_CHECKING:
    import asyncio
    import socket

    from gateway.settings_web import Server
    from gateway.web.porch import Terms

_BACKLOG = 1_024


async def start_public(
    runner: web.BaseRunner, server: Server, listener: socket.socket | None, tls: Terms | None
) -> str:
    """Take connections until `runner` is cleaned up; gives where, as a URL. Raises `OSError` for an address that can't be bound."""
    site: web.BaseSite
    if tls is not None:
        site = _TlsSite(runner, server, listener, tls)
    elif listener is not None:
        site = web.SockSite(runner, listener, backlog=_BACKLOG)
    else:
        site = web.TCPSite(runner, server.host, server.port, backlog=_BACKLOG)
    await site.start()
    return url_of(runner, "http" if tls is None else "https")


def url_of(runner: web.BaseRunner, scheme: str = "http") -> str:
    """Give the URL of the first address that a runner listens on."""
    address = runner.addresses[0]
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{scheme}://{host}:{address[1]}"


class _TlsSite(web.BaseSite):
    """A site whose handshakes and goodbyes are bounded, for which aiohttp's own have no words."""

    def __init__(
        self, runner: web.BaseRunner, server: Server, listener: socket.socket | None, terms: Terms
    ) -> None:
        super().__init__(runner, ssl_context=terms.context)
        self._where = server.host, server.port
        self._listener = listener
        self._terms = terms

    @property
    def name(self) -> str:
        return "public, TLS"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        sockets = await bound(*self._where) if self._listener is None else [self._listener]
        porch = Porch(sockets, self._runner.server, self._terms)
        # aiohttp asks it for its sockets and closes it, no more.
        self._server = cast("asyncio.AbstractServer", porch)
        porch.open()
