"""The stand-in collector where nginx is not installed: answers everything with `200 {}` and counts, as cheaply as Python can.

It speaks like the sink of `benchmarks.nginx`, down to the text of its status, so a run does not know which one it has.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_STATUS = b"/sink-status"


class _Counter:
    """How many requests came, over all connections."""

    def __init__(self) -> None:
        self.requests = 0


class _Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports have a transport's methods, but not its type.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Keep the target, which may come in parts."""
        self._url += url

    def on_message_complete(self) -> None:
        """Count and answer."""
        self._counter.requests += 1
        assert self._transport is not None
        if self._url != _STATUS:
            self._transport.write(_ANSWER)
            return
        body = f"\nserver accepts handled requests\n 0 0 {self._counter.requests} \n"
        self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


async def _serve(port: int) -> None:
    counter = _Counter()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(counter), "127.0.0.1", port, backlog=1_024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
