"""Where the public port listens: an address of its own or a socket that the supervisor has bound, with or without TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.tls import handshakes

if TYPE_CHECKING:
    import socket
    import ssl

    from gateway.settings_web import Server

_BACKLOG = 1_024
# How long an end of TLS that the client does not answer may hold up stopping.
_GOODBYE_SECONDS = 2.0


async def start_public(
    runner: web.BaseRunner, server: Server, listener: socket.socket | None, tls: ssl.SSLContext | None
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
        self, runner: web.BaseRunner, server: Server, listener: socket.socket | None, tls: ssl.SSLContext
    ) -> None:
        super().__init__(runner, ssl_context=tls, backlog=_BACKLOG)
        self._where = {"host": server.host, "port": server.port} if listener is None else {"sock": listener}

    @property
    def name(self) -> str:
        return "public, TLS"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            **self._where,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=handshakes.SECONDS,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )
