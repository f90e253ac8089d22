"""aiohttp's side of a connection, behind the gate, and under the eyes of the watch.

What always holds: aiohttp reads nothing that the gate has not let through; a refusal leaves behind the answers that are due before it,
and the connection ends with it; a client that was cut off in mid-body has sent no event. How long a client may take is looked at from
outside, now and then (`gateway.web.watch`): nothing here asks for the time.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, cast

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.web.gate import Gate

if TYPE_CHECKING:
    import asyncio

    from gateway.web.heads import Refused
    from gateway.web.public import PublicServer


class Phase(Enum):
    """What a connection waits for."""

    NEW = "its first byte"
    IDLE = "another request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ANSWER = "our answer"
    READING = "the client to read what it was sent"
    CLOSING = "its end"


class CutOff(Exception):
    """The rest of a body will not come, or not be read: what the client hears."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.why)
        self.refused = refused


class Glance(NamedTuple):
    """How a connection is at a moment: `number` counts its requests, `moved` the bytes that the phase is about."""

    phase: Phase
    number: int
    moved: int = 0


class GatedConnection(RequestHandler):
    """One client's connection, as aiohttp has it."""

    def __init__(self, manager: PublicServer, **kwargs: object) -> None:
        super().__init__(manager, **kwargs)  # type: ignore[arg-type]
        self._server = manager
        self._gate = Gate(manager.bounds)
        self._body: StreamReader = EMPTY_PAYLOAD
        self.client = ""
        self.is_turned_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there is no room for another connection, or another one of this client."""
        # uvloop's transports are of no class of asyncio's.
        if self._server.watch.enter(self, cast("asyncio.Transport", transport)):
            super().connection_made(transport)
        else:
            self.is_turned_away = self._force_close = True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave."""
        if not self.is_turned_away:
            self._server.watch.leave(self)
            super().connection_lost(exc)

    async def start(self) -> None:
        """Take one request after the other, until the connection ends.

        When it ends in the moment in which a request's turn comes, aiohttp calls what it has let go of (aio-libs/aiohttp#6978): the client
        has hung up, nothing is wrong.
        """
        try:
            await super().start()
        except (TypeError, AttributeError):
            if self._manager is not None:
                raise

    def data_received(self, data: bytes) -> None:
        """Let aiohttp have what passes the gate."""
        if self._force_close or self._close:
            return
        passed, refused = self._gate.feed(data)
        if passed or not data:
            # aiohttp itself comes with nothing, to go on with what it holds.
            before = self._request_count
            super().data_received(passed)
            if self._request_count != before and self._messages:
                self._body = self._messages[-1][1]
        if refused is not None:
            self._server.watch.refused(refused, self)
            self.refuse(refused)

    def refuse(self, refused: Refused) -> None:
        """Answer with this status, behind the answers that are due, and close; what comes from now on is not looked at."""
        self._gate.shut()
        if not self._body.is_eof():
            self._body.set_exception(CutOff(refused))
            # Nobody is to wait for the rest of it either.
            self._body.feed_eof()
            self._close = True
            return
        self._request_count += 1
        self._messages.append((_ErrInfo(refused.status, CutOff(refused), ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def glance(self, transport: asyncio.Transport) -> Glance:
        """Tell what this connection waits for."""
        number = self._request_count
        if transport.is_closing():
            return Glance(Phase.CLOSING, number)
        if self._paused:
            return Glance(Phase.READING, number, -transport.get_write_buffer_size())
        if self._gate.is_in_body:
            return Glance(Phase.BODY, number, self._gate.received)
        if self._current_request is not None or self._messages:
            return Glance(Phase.ANSWER, number)
        if self._gate.is_in_head:
            return Glance(Phase.HEAD, number)
        return Glance(Phase.IDLE if number else Phase.NEW, number)

    def _process_keepalive(self) -> None:
        """Leave it to the watch, which looks at all connections together."""
