"""One HTTP/1.1 connection to the collector: a request goes out, one answer comes back.

Written on `asyncio.Protocol` and httptools because a general client costs ten times as much an event. What always holds:

- one exchange at a time; its result, an `Answer` or a `Fault`, is told exactly once, unless it was dropped. It is told from
  within the call that brought the last byte, as its last act: the next request may leave before that call returns;
- an answer is one only when it is whole: a body that breaks off is a fault, however good its status looked;
- whatever comes unasked (bytes on an idle connection, more than the answer) spoils the connection: it is not used again,
  so no answer can ever be taken for that of another record;
- head and body are bounded: a longer head is a fault, of a longer body the rest is not waited for;
- headers and body are let go as they come, but for an exchange that wants to hear them: and then they are those of the final
  answer, never of an interim one or of a trailer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, cast

import httptools
import msgspec

from gateway.delivery.answers import Fault
from gateway.delivery.contract import Verdict
from gateway.events.model import Answer

if TYPE_CHECKING:
    from gateway.delivery.heads import KnownHeads

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 65_536
MAX_KEPT_BYTES = 262_144


class Exchange(msgspec.Struct, eq=False):
    """A request, and who waits for its verdict; `deadline` is in the loop's time, `start` a `perf_counter`, in seconds.

    With `heard`, which gets the answer, its headers and body are kept.
    """

    request: bytes
    done: Callable[[Verdict], None]
    start: float
    deadline: float
    heard: Callable[[Answer | None], None] | None = None


class Connection(asyncio.Protocol):
    """A connection that can be used again and again, as long as `is_usable`.

    `finished` is told the result of each exchange, `lost` when the connection is no more; `heads` is for all connections to
    the same server.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_exchange",
        "_finished",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_heads",
        "_heard",
        "_is_whole",
        "_keeps",
        "_keeps_alive",
        "_lost",
        "_parser",
        "_retry_after",
        "_sized",
        "_status",
        "_transport",
        "_uses",
        "idle_since",
    )
    _body: bytearray
    _body_bytes: int
    _head_bytes: int
    _head_done: bool
    _headers: list[tuple[str, str]]
    _is_whole: bool
    _retry_after: str
    _sized: bool
    _status: int

    def __init__(
        self,
        finished: Callable[[Connection, Exchange, Answer | Fault], None],
        lost: Callable[[Connection], None],
        heads: KnownHeads,
    ) -> None:
        self._finished = finished
        self._lost = lost
        self._heads = heads
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._uses = 0
        self._keeps_alive = True
        self._heard = False
        self._keeps = False
        self.idle_since = 0.0
        self._clear()

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._keeps_alive and self._transport is not None and not self._transport.is_closing()

    @property
    def deadline(self) -> float:
        """When what is under way must be over, in the loop's time; infinity when nothing is."""
        return inf if self._exchange is None else self._exchange.deadline

    @property
    def is_busy(self) -> bool:
        """Whether an exchange is under way."""
        return self._exchange is not None

    def begin(self, exchange: Exchange) -> None:
        """Send a request; `finished` will be told its answer, or what went wrong."""
        self._keeps = exchange.heard is not None
        self._clear()
        self._heard = False
        self._uses += 1
        self._exchange = exchange
        cast("asyncio.Transport", self._transport).write(exchange.request)

    def abort(self, cause: str = "aborted") -> None:
        """Close at once; what is under way ends as a fault."""
        self._keeps_alive = False
        if self._transport is not None:
            self._transport.abort()
        self._settle(Fault(cause))

    def drop(self) -> None:
        """Close at once; the result of what is under way is never told, and an answer that still comes is not heard."""
        self._exchange = None
        self.abort()

    def close(self) -> None:
        """Close an idle connection as the protocols under it want it."""
        self._keeps_alive = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and settle the answer when it is whole."""
        if self._exchange is None:
            self.abort()
            return
        is_first = not self._heard
        if is_first:
            self._heard = True
            known = None if self._keeps else self._heads.answer(data)
            if known is not None:
                # The parser stays where it is: between two messages.
                self._settle(known)
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps_alive = False
            if not self._is_whole:
                self.abort(f"not an HTTP answer: {type(error).__name__}")
                return
        if self._is_whole:
            answer = self._answer()
            if is_first and self._keeps_alive and not self._keeps:
                self._heads.learn(data, self._body_bytes, answer)
            self._settle(answer)
        elif self._head_bytes > MAX_HEAD_BYTES:
            self.abort("the answer's head is too long")
        elif self._body_bytes > (MAX_KEPT_BYTES if self._keeps else MAX_BODY_BYTES):
            self._keeps_alive = False
            self._settle(self._answer())
        elif not self._head_done:
            # A header that does not end is not seen by the parser's callbacks: count what was fed.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.abort("the answer's head is too long")

    def eof_received(self) -> None:
        """The end of the stream ends a body that has no other end (RFC 9112, section 6.3); the transport closes itself."""
        self._keeps_alive = False
        if self._exchange is not None and self._head_done and not self._sized:
            self._settle(self._answer())

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what was under way: nobody will answer any more."""
        self._keeps_alive = False
        self._transport = None
        cause = "connection closed" if exc is None else f"connection lost: {type(exc).__name__}"
        if self._heard:
            cause += " inside the answer"
        self._settle(Fault(cause, is_stale=self._uses > 1 and not self._heard))
        self._lost(self)

    # The parser's calls.

    def on_message_begin(self) -> None:
        """A second message that nobody asked for spoils the connection."""
        if self._is_whole:
            self._keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that matter, or all that somebody waits for."""
        if self._is_whole:
            return
        if self._keeps and not self._head_done:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        size = len(name)
        self._head_bytes += size + len(value)
        if size == 14 or size == 17:  # noqa: PLR1714 - runs for each header; a tuple would cost more
            if name.lower() in {b"content-length", b"transfer-encoding"}:
                self._sized = True
        elif size == 11 and name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The status is known now."""
        if not self._is_whole:
            self._status = self._parser.get_status_code()
            self._head_done = True

    def on_body(self, body: bytes) -> None:
        """Count the body, and let it go where nobody waits for it."""
        self._body_bytes += len(body)
        if self._keeps and not self._is_whole and self._body_bytes <= MAX_KEPT_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one (1xx), which another follows."""
        if self._is_whole:
            return
        if self._status < 200:
            # Its bytes stay counted, so that endless interim answers reach the bound.
            heard = self._head_bytes
            self._clear()
            self._head_bytes = heard + 16
            return
        self._is_whole = True
        self._keeps_alive = self._keeps_alive and self._parser.should_keep_alive()

    def _clear(self) -> None:
        self._status = 0
        self._retry_after = ""
        self._head_bytes = 0
        self._head_done = False
        self._sized = False
        self._body_bytes = 0
        self._is_whole = False
        if self._keeps:
            self._headers = []
            self._body = bytearray()

    def _answer(self) -> Answer:
        if self._keeps and self._body_bytes <= MAX_KEPT_BYTES:
            return Answer(self._status, self._retry_after, tuple(self._headers), bytes(self._body))
        return Answer(self._status, self._retry_after)

    def _settle(self, result: Answer | Fault) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            self._finished(self, exchange, result)
