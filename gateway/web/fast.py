"""The fast path: complete requests are answered without aiohttp's machinery, which costs more than all the rest of an event.

A connection begins here. As long as each request on it is of the plainest kind (see `read_head`) it is read here,
taken by `Ingest.submit`, which needs no task, and answered with one write. The first request of any other kind, and all that
comes after it on its connection, goes to aiohttp, whose behaviour is the reference: `tests/integration/test_fast_path.py` sends
the same bytes both ways.

What always holds: one request is under way at a time, the next waits in `_held` until the answer is written; what aiohttp gets
begins with the first byte of a request; a reply to a peer that has gone is dropped; closing waits for the answer under way; what
waits unread or unwritten is bounded, because reading stops.
"""

from __future__ import annotations

import asyncio
import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import httptools
from aiohttp.web_protocol import RequestHandler

from gateway.events.model import Head, Reply, Request

if TYPE_CHECKING:
    from gateway.web.public import PublicServer

_MAX_HEAD_BYTES = 32_768
_MAX_HEAD_FIELDS = 100
# Each of these changes how a body is framed, or what a connection is.
_NOT_PLAIN = frozenset({"transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te"})
_NOT_PLAIN_BYTES = frozenset(name.encode() for name in _NOT_PLAIN)
# RFC 9110, section 5.6.2: what a field's name is made of; and section 5.5: what its value is, in any encoding.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_NO_CONTROLS = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
# What stands in a target: visible ASCII without a fragment.
_TARGET = bytes(code for code in range(0x21, 0x7F) if code != ord("#"))
_KNOWN_FIELDS = 4_096
_LONGEST_KNOWN = 256
_REASONS = {200: "OK", 204: "No Content", 302: "Found", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden",
            404: "Not Found", 405: "Method Not Allowed", 413: "Request Entity Too Large", 503: "Service Unavailable"}  # fmt: skip


class PlainHead(NamedTuple):
    """The head of a plain request: `target` as it came, `fields` by lower-case name, and how many bytes of body follow.

    Values are without the blanks around them; invalid UTF-8 in them has become replacement characters.
    """

    method: str
    target: str
    fields: dict[str, str]
    body_bytes: int


class _Names:
    """Collects what llhttp reports of an incomplete head."""

    __slots__ = ("names", "target")

    def __init__(self) -> None:
        self.target = b""
        self.names: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        self.target += url

    def on_header(self, name: bytes, _: bytes) -> None:
        """Take a field's name."""
        self.names.append(name.lower())


def read_head(data: bytes, end: int) -> PlainHead | None:
    """Read the head that ends (with its blank line) at `end`; `None` when the request is not of the plainest kind.

    Plain is: GET without a body or POST with `Content-Length`, HTTP/1.1, kept alive, an ASCII path as target, no field twice, no
    folded lines, no control characters, and nothing that changes the framing. So few heads are plain that cutting them at their line ends
    is enough, in two thirds of the time of a parser that reports each field. What is read here, llhttp reads just so:
    `tests/properties/test_plain_heads.py`.
    """
    request_line, *lines = data[: end - 4].split(b"\r\n")
    fields = dict(map(_field_of, lines))
    method, _, rest = request_line.partition(b" ")
    target, _, version = rest.partition(b" ")
    if (
        # Each a line of its own with a name of its own: else a field stood twice, or on two lines.
        len(fields) != len(lines)
        or "" in fields
        or len(fields) > _MAX_HEAD_FIELDS
        or not fields.keys().isdisjoint(_NOT_PLAIN)
        or version != b"HTTP/1.1"
        or fields.get("connection", "keep-alive").lower() != "keep-alive"
        or "host" not in fields
        or not target.startswith(b"/")
        or target.translate(None, _TARGET)
    ):
        return None
    length = fields.get("content-length")
    if (
        method == b"POST"
        and length is not None
        and length.isascii()
        and length.isdigit()
        and len(length) < 10
    ):
        return PlainHead("POST", target.decode("ascii"), fields, int(length))
    if method == b"GET" and length is None:
        return PlainHead("GET", target.decode("ascii"), fields, 0)
    return None


class _KnownFields(dict[bytes, tuple[str, str]]):
    """What lines of a head say: but for cookies and lengths, a visitor's are those of many others, to the byte.

    Gives a field's name in lower case, and its value; no name for what is no field. Bounded: when it is full, it begins anew.
    """

    def __missing__(self, line: bytes) -> tuple[str, str]:
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon or not _TOKEN.match(name) or line.translate(None, _NO_CONTROLS):
            return "", ""
        field = name.lower(), value.strip(" \t")
        if len(line) <= _LONGEST_KNOWN and field[0] != "cookie":
            if len(self) >= _KNOWN_FIELDS:
                self.clear()
            self[line] = field
        return field


_field_of = _KnownFields().__getitem__


def to_request(head: PlainHead, body: bytes, peer: str) -> Request:
    """Give a plain request as the pipeline takes it."""
    path, _, query = head.target.partition("?")
    get = head.fields.get
    return Request(
        Head(
            method=head.method,
            path=path,
            query=query,
            peer=peer,
            host=get("host", ""),
            origin=get("origin", ""),
            referer=get("referer", ""),
            fetch_site=get("sec-fetch-site", ""),
            fetch_mode=get("sec-fetch-mode", ""),
            fetch_dest=get("sec-fetch-dest", ""),
            user_agent=get("user-agent", ""),
            accept_language=get("accept-language", ""),
            accept_encoding=get("accept-encoding", ""),
            if_none_match=get("if-none-match", ""),
            content_type=get("content-type", ""),
            cookie=get("cookie", ""),
            forwarded_for=get("x-forwarded-for", ""),
        ),
        body,
    )


def may_become_plain(data: bytes) -> bool:
    """Tell whether an incomplete head can be the beginning of a plain request; anything else is answered at once."""
    method = data[:5]
    is_method = (
        method.startswith((b"GET ", b"POST ")) or b"GET ".startswith(method) or b"POST ".startswith(method)
    )
    if not is_method or len(data) > _MAX_HEAD_BYTES or data.count(b"\n") != data.count(b"\r\n"):
        return False
    found = _Names()
    try:
        httptools.HttpRequestParser(found).feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return False
    is_plain = _NOT_PLAIN_BYTES.isdisjoint(found.names)
    return is_plain and found.target.isascii() and (not found.target or found.target.startswith(b"/"))


class FastConnection(RequestHandler):
    """One client's connection: plain requests are answered here, all others by aiohttp."""

    def __init__(self, manager: PublicServer, *, is_fast: bool, **kwargs: object) -> None:
        super().__init__(manager, **kwargs)  # type: ignore[arg-type]
        self._server = manager
        self._is_fast = is_fast
        self._head: PlainHead | None = None
        self._head_end = 0
        self._held = b""
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
        if self._held:
            data = self._held + data
        if self._is_busy or self._paused:
            self._held = data
            self._pause_when_full()
            return
        self._held = b""
        self._begin(data)

    def _begin(self, data: bytes) -> None:
        """Look at bytes that begin with a request, while none is under way.

        What is incomplete is held. The keep-alive timer is running: a client that never sends the rest is cut off by it.
        """
        head = self._head
        if head is None:
            end = data.find(b"\r\n\r\n") + 4
            if end == 3 and may_become_plain(data):
                self._held = data
                return
            if end == 3 or end > _MAX_HEAD_BYTES:
                self._hand_over(data)
                return
            head = read_head(data, end)
            if head is None or not self._server.takes(head.method, head.target, head.body_bytes):
                self._hand_over(data)
                return
            self._head, self._head_end = head, end
        end = self._head_end + head.body_bytes
        if len(data) < end:
            self._held = data
            return
        self._head = None
        body, self._held = data[self._head_end : end], data[end:]
        self._is_busy = True
        self._server.answer_plain(to_request(head, body, self._peer()), self._answer)

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
        transport.write(encode_reply(reply, is_last=self._is_closing))
        if self._is_closing:
            super().close()
            transport.close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
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
        return len(self._held) > self._server.ingest.max_body_bytes + _MAX_HEAD_BYTES

    def _pause_when_full(self) -> None:
        if not self._is_reading_paused and self._is_full() and self.transport is not None:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def _process_keepalive(self) -> None:
        """Close a connection that has been idle for too long; one whose answer is under way is not idle."""
        if self._is_busy:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

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
        self._held, self._head = b"", None
        super().connection_lost(exc)
        if self._is_busy:
            self._server.ingest.hung_up(self._answer)


def encode_reply(reply: Reply, *, is_last: bool = False) -> bytes:
    """Give the bytes of an answer, with `Date`, `Server` and `Content-Length`."""
    status, body = reply.status, reply.body
    length = b"" if status in {204, 304} else b"Content-Length: %d\r\n" % len(body)
    close = b"Connection: close\r\n" if is_last else b""
    return b"".join(
        (_head_of(status, reply.headers), length, close, _date_and_server(int(time.time())), body)
    )


@lru_cache(256)
def _head_of(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Give the status line and the fields of an answer: but for cookies, they repeat."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        # A line break in a value would let a client write headers of its own. None can get here; none would get out.
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers if value.isprintable()])
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{fields}".encode("latin-1", "replace")


@lru_cache(2)
def _date_and_server(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: tracking-gateway\r\n\r\n".encode()
