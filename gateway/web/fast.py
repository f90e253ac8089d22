"""The fast path: complete requests are answered without aiohttp's machinery, which costs more than all the rest of an event.

A connection begins here. As long as each request on it is of the plainest kind (`gateway.web.plain_heads`) it is read here,
taken by `Ingest.submit`, which needs no task, and answered with one write. The first request of any other kind, and all that
comes after it on its connection, goes to aiohttp, whose behaviour is the reference: `tests/integration/test_fast_path.py` sends
the same bytes both ways.

What always holds: one request is under way at a time, the next waits in `_held` until the answer is written; what aiohttp gets
begins with the first byte of a request; a reply to a peer that has gone is dropped; closing waits for the answer under way; what
waits unread or unwritten is bounded, because reading stops.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.web.gated import GatedConnection, Glance, Phase
from gateway.web.plain_heads import MAX_HEAD_BYTES, PlainHead, may_become_plain, read_head, to_request
from gateway.web.refusals import refusal
from gateway.web.security import secured

if TYPE_CHECKING:
    from gateway.events.model import Reply
    from gateway.events.replies import Headers
    from gateway.web.heads import Refused
    from gateway.web.public import PublicServer

# A head that comes in more pieces is left to the gate, which looks at each byte but once.
_MOST_PIECES = 8
_REASONS = {200: "OK", 204: "No Content", 302: "Found", 304: "Not Modified", 400: "Bad Request",
            401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
            408: "Request Timeout", 413: "Request Entity Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
            503: "Service Unavailable"}  # fmt: skip


class FastConnection(GatedConnection):
    """One client's connection: plain requests are answered here, all others by aiohttp."""

    def __init__(self, manager: PublicServer, *, is_fast: bool, **kwargs: object) -> None:
        super().__init__(manager, **kwargs)
        self._is_fast = is_fast
        self._head: PlainHead | None = None
        self._head_end = 0
        self._held = b""
        # Of a body whose rest is still to come: what there is, and how much is missing.
        self._body_held = bytearray()
        self._missing = 0
        self._pieces = 0
        self._number = 0
        self._is_busy = False
        self._is_closing = False
        self._idle: asyncio.Future[None] | None = None
        self._is_reading_paused = False

    def data_received(self, data: bytes) -> None:
        """Take what has come: answer it here, hold it, or hand it and all that follows to aiohttp."""
        if not self._is_fast:
            super().data_received(data)
            return
        if self._force_close or self._close or self._is_closing:
            return
        if self._missing:
            data = self._rest_of_body(data)
            if not data:
                return
        elif self._held:
            data = self._held + data
        if self._is_busy or self._paused:
            self._held = data
            self._pause_when_full()
            return
        self._held = b""
        self._begin(data)

    def _begin(self, data: bytes) -> None:
        """Look at bytes that begin with a request, while none is under way. What is incomplete is held, and the watch sees for how long."""
        head = self._head
        if head is None:
            end = data.find(b"\r\n\r\n") + 4
            if end == 3 and self._pieces < _MOST_PIECES and may_become_plain(data):
                self._held = data
                self._pieces += 1
                return
            self._pieces = 0
            if end == 3 or end > self._server.plain_head_bytes:
                self._hand_over(data)
                return
            head = read_head(data, end)
            if head is None or not self._server.takes(head.method, head.target, head.body_bytes):
                self._hand_over(data)
                return
            self._head, self._head_end = head, end
        end = self._head_end + head.body_bytes
        if len(data) < end:
            self._body_held += data
            self._missing = end - len(data)
            return
        self._head = None
        body, self._held = data[self._head_end : end], data[end:]
        self._is_busy = True
        self._number += 1
        server = self._server
        server.answer_plain(
            to_request(head, body, self._peer(), server.address_header, server.wanted_headers), self._answer
        )

    def _rest_of_body(self, data: bytes) -> bytes:
        """Take a further piece of a body; give the whole request, with what came behind it, when there is nothing missing any more."""
        self._body_held += data
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        whole = bytes(self._body_held)
        self._body_held.clear()
        self._missing = 0
        return whole

    def _peer(self) -> str:
        peername = self.peername
        return str(peername[0]) if isinstance(peername, tuple) else ""

    def _answer(self, reply: Reply) -> None:
        """Write the reply and go on with what has come meanwhile."""
        self._is_busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            self._held = b""
            return
        transport.write(encode_reply(reply, self._server.always, is_last=self._is_closing))
        if self._is_closing:
            super().close()
            transport.close()
            return
        if self._held:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take the next request that waits, unless the client does not read its answers."""
        if (
            self._is_busy
            or not self._is_fast
            or self.transport is None
            or self._force_close
            or self._is_closing
        ):
            return
        if self._paused:
            return
        data, self._held = self._held, b""
        if data:
            self._begin(data)
        if self._is_reading_paused and not self._is_full():
            self._is_reading_paused = False
            self.transport.resume_reading()

    def resume_writing(self) -> None:
        """Go on with the requests that wait, now that the client reads again."""
        super().resume_writing()
        if self._held:
            self._loop.call_soon(self._go_on)

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp have this connection from here on."""
        self._is_fast = False
        self._held, self._head = b"", None
        if self._is_reading_paused and self.transport is not None:
            self._is_reading_paused = False
            self.transport.resume_reading()
        super().data_received(data)

    def _is_full(self) -> bool:
        return len(self._held) > self._server.ingest.max_body_bytes + MAX_HEAD_BYTES

    def _pause_when_full(self) -> None:
        if not self._is_reading_paused and self._is_full() and self.transport is not None:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def glance(self, transport: asyncio.Transport) -> Glance:
        """Tell what this connection waits for."""
        if not self._is_fast or self._paused or transport.is_closing():
            return super().glance(transport)
        number = self._number
        if self._is_busy:
            return Glance(Phase.ANSWER, number)
        if self._missing:
            return Glance(Phase.BODY, number, len(self._body_held) - self._head_end)
        if self._held:
            return Glance(Phase.HEAD, number)
        return Glance(Phase.IDLE if number else Phase.NEW, number)

    def refuse(self, refused: Refused) -> None:
        """Answer with this status, behind the answers that are due, and close."""
        if not self._is_fast:
            super().refuse(refused)
        elif self.transport is not None:
            self.transport.write(encode_reply(refusal(refused.status), self._server.always, is_last=True))
            self.force_close()

    def close(self) -> None:
        """Close the connection, after the answer that is under way."""
        self._is_closing = True
        if not self._is_busy:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 -- aiohttp's own signature
        """Close the connection for good, after the answer that is under way, or when time is up."""
        self._is_closing = True
        if self._is_busy:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=timeout)
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what was held; the event under way goes on, its reply is dropped."""
        self._held, self._head, self._missing = b"", None, 0
        self._body_held.clear()
        super().connection_lost(exc)
        if self._is_busy:
            self._server.ingest.hung_up(self._answer)


def encode_reply(reply: Reply, always: Headers = (), *, is_last: bool = False) -> bytes:
    """Give the bytes of an answer, with `Date`, `Server`, `Content-Length` and what is `always` there."""
    status, body = reply.status, reply.body
    # Where a redirect leads, the client has said: it may be long, and is not remembered.
    head_of = _head_of.__wrapped__ if status == 302 else _head_of
    length = b"" if status in {204, 304} else b"Content-Length: %d\r\n" % len(body)
    close = b"Connection: close\r\n" if is_last else b""
    return b"".join(
        (head_of(status, reply.headers + always), length, close, _date_and_server(int(time.time())), body)
    )


@lru_cache(256)
def _head_of(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Give the status line and the fields of an answer: but for cookies, they repeat."""
    headers = secured(headers)
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        # A line break in a value would let a client write headers of its own. None can get here; none would get out.
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers if value.isprintable()])
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{fields}".encode("latin-1", "replace")


@lru_cache(2)
def _date_and_server(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: tracking-gateway\r\n\r\n".encode()
