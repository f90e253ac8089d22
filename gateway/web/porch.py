"""Where connections of the public port wait until their handshake of TLS is over.

A client on the porch can't send a request yet, is in no book of `gateway.web.watch`, and costs a descriptor. What always holds: no more than `most`
wait; whoever comes finds room, and it is the client with the most on the porch that loses its oldest one for it, so that nobody who is slow, or
silent, or many keeps the others out; a handshake has `gateway.tls.handshakes.SECONDS`, and one that a client gives up leaves at once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, NamedTuple

from gateway.tls import handshakes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

_BACKLOG = 1_024
_AT_ONCE = 64
# How long an end of TLS that the client does not answer may hold up stopping.
_GOODBYE_SECONDS = 2.0
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SCARCE_SECONDS = 1.0


class Terms(NamedTuple):
    """On which terms TLS is spoken: `client_of` gives the client of an address, `on_too_many` hears of each that had to make room."""

    context: ssl.SSLContext
    most: int = 1_000
    client_of: Callable[[str], str] = str
    on_too_many: Callable[[], None] = lambda: None


class Porch:
    """Takes connections from bound `sockets`, and gives those whose handshake is over to protocols of `factory`."""

    def __init__(
        self, sockets: Sequence[socket.socket], factory: Callable[[], asyncio.BaseProtocol], terms: Terms
    ) -> None:
        self.sockets = tuple(sockets)
        self._factory = factory
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        # The oldest first.
        self._waiting: dict[str, dict[asyncio.Task[None], None]] = {}
        self._count = 0
        self._is_open = True

    def __len__(self) -> int:
        return self._count

    def open(self) -> None:
        """Take connections from now on. Raises `OSError`."""
        for each in self.sockets:
            each.settimeout(0)
            each.listen(_BACKLOG)
            self._look_at(each)

    def close(self) -> None:
        """Take none any more; those whose handshake is not over are gone."""
        if self._is_open:
            self._is_open = False
            for each in self.sockets:
                self._loop.remove_reader(each.fileno())
                each.close()
            for tasks in self._waiting.values():
                for task in tasks:
                    task.cancel()

    def _look_at(self, listener: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                # They wait in the system's queue until somebody has left.
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(_SCARCE_SECONDS, self._look_at, listener)
                return
            self._enter(connection, self._terms.client_of(str(address[0])))

    def _enter(self, connection: socket.socket, client: str) -> None:
        if self._count >= self._terms.most:
            crowded = max(self._waiting, key=lambda each: len(self._waiting[each]))
            oldest = next(iter(self._waiting[crowded]))
            self._leave(oldest, crowded)
            oldest.cancel()
            self._terms.on_too_many()
        task = self._loop.create_task(self._shake_hands(connection))
        self._waiting.setdefault(client, {})[task] = None
        self._count += 1
        task.add_done_callback(lambda done: self._leave(done, client))

    def _leave(self, task: asyncio.Task[None], client: str) -> None:
        same = self._waiting.get(client, {})
        if task in same:
            del same[task]
            self._count -= 1
            if not same:
                del self._waiting[client]

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(0)
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._terms.context,
                ssl_handshake_timeout=handshakes.SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError:
            # Counted where OpenSSL says why; a client that hangs up says nothing. (The errors of TLS and of time are of this kind.)
            connection.close()
        except BaseException:
            connection.close()
            raise


async def bound(host: str, port: int) -> list[socket.socket]:
    """Give sockets that are bound to each address of a host, as asyncio's servers bind them. Raises `OSError`."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    try:
        return [socket.socket(fileno=socket.dup(each.fileno())) for each in server.sockets]
    finally:
        server.close()
