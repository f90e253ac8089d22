"""The public port: the gateway's paths, over aiohttp, to plain values and back.

Built on aiohttp's low-level server, because a dictionary of four paths needs no router. Plain requests don't even get that
far: `gateway.web.fast` answers them on the connection itself, from the same `answer_plain`. What always holds: no answer carries
a traceback, a header of a client, or a byte of its body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import ClientError, hdrs, web
from multidict import CIMultiDict

from gateway.events.model import Head, Reply, Request
from gateway.events.ppid import METHODS as PPID_METHODS
from gateway.events.ppid import PATH as PPID_PATH
from gateway.events.replies import PIXEL
from gateway.web.fast import FastConnection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from gateway.web.ingest import Ingest
    from gateway.web.script import Script

COLLECT_PATHS = frozenset({"/event", "/stream_event"})
SCRIPT_PATH = "/insight.js"
_SERVER = "tracking-gateway"
# Events in a query string are long; beyond this aiohttp answers 400 by itself.
_MAX_LINE_BYTES = 65_536
_MAX_HEADER_BYTES = 32_768
_KEEPALIVE_SECONDS = 75.0
_NO_ICON = Reply(200, (("Content-Type", "image/gif"), ("Cache-Control", "public, max-age=86400")), PIXEL)


class PublicServer(web.Server):
    """Serves the collect paths, the script and the PPID on the public port; without `is_fast` everything goes through aiohttp."""

    def __init__(self, ingest: Ingest, script: Script, *, is_fast: bool = True) -> None:
        super().__init__(
            self._handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self.ingest = ingest
        self._script = script
        self._is_fast = is_fast

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(self, is_fast=self._is_fast, loop=self._loop, **self._kwargs)

    def takes(self, method: str, target: str, body_bytes: int) -> bool:
        """Tell whether `answer_plain` knows what to do with such a request."""
        path = target.partition("?")[0]
        if path in COLLECT_PATHS:
            return body_bytes <= self.ingest.max_body_bytes
        return path in {SCRIPT_PATH, PPID_PATH} and method == hdrs.METH_GET

    def answer_plain(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Answer a complete GET or POST that it takes: calls `answer` once, maybe before this returns."""
        head = request.head
        if head.path in COLLECT_PATHS:
            self.ingest.submit(request, answer)
        elif head.path == PPID_PATH:
            answer(self.ingest.ppid(request))
        else:
            answer(self._script.answer(head.accept_encoding, head.if_none_match))

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        limit = self.ingest.max_body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=limit)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = request.raw_path
        if not raw.startswith("/"):
            parts = urlsplit(raw)
            raw = f"{parts.path}?{parts.query}"
        path, _, query = raw.partition("?")
        method = request.method
        if path in COLLECT_PATHS:
            reply = await self._collect(request, method, path, query)
        elif path == SCRIPT_PATH and method in {hdrs.METH_GET, hdrs.METH_HEAD}:
            headers = request.headers
            reply = self._script.answer(headers.get("Accept-Encoding", ""), headers.get("If-None-Match", ""))
        elif path == SCRIPT_PATH:
            reply = _refusal(405, "GET, HEAD")
        elif path == PPID_PATH and method in {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS}:
            reply = self.ingest.ppid(Request(_head(request, method, path, query)))
        elif path == PPID_PATH:
            reply = _refusal(405, PPID_METHODS)
        elif path == "/favicon.ico":
            reply = _NO_ICON
        else:
            reply = _refusal(404)
        return _response(reply)

    async def _collect(self, request: web.BaseRequest, method: str, path: str, query: str) -> Reply:
        if method == hdrs.METH_OPTIONS:
            return self.ingest.preflight(Request(_head(request, method, path, query)))
        if method not in {hdrs.METH_GET, hdrs.METH_POST}:
            # HEAD is asked by link previews and monitors: it must neither count an event nor look broken.
            return Reply(204) if method == hdrs.METH_HEAD else _refusal(405, "GET, HEAD, POST, OPTIONS")
        head = _head(request, method, path, query)
        if method == hdrs.METH_GET:
            return await self.ingest.take(Request(head))
        if (request.content_length or 0) > self.ingest.max_body_bytes:
            return self.ingest.too_large(Request(head))
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self.ingest.too_large(Request(head))
        except ConnectionError:
            # The client hung up in mid-body: no event came in, and nobody hears the answer.
            return _refusal(400)
        except (web.RequestPayloadError, ClientError):
            return self.ingest.broken_body(Request(head))
        return await self.ingest.take(Request(head, body))


class _Connection(FastConnection):
    """One client's connection. What isn't HTTP gets a short answer that repeats nothing of it."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or a fault of ours, without a word of what was sent."""
        del message
        if status >= 500:
            self.log_exception("unexpected", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError
        response = _response(_refusal(status))
        response.force_close()
        return response


def _head(request: web.BaseRequest, method: str, path: str, query: str) -> Head:
    get = request.headers.get
    return Head(
        method=method,
        path=path,
        query=_text(query),
        peer=request.remote or "",
        host=_text(get("Host", "")),
        origin=_text(get("Origin", "")),
        referer=_text(get("Referer", "")),
        user_agent=_text(get("User-Agent", "")),
        accept_language=_text(get("Accept-Language", "")),
        content_type=_text(get("Content-Type", "")),
        # A proxy may add a line of its own instead of extending the visitor's: together they are one list.
        fetch_site=get("Sec-Fetch-Site", ""),
        fetch_mode=get("Sec-Fetch-Mode", ""),
        fetch_dest=get("Sec-Fetch-Dest", ""),
        cookie=_text("; ".join(request.headers.getall("Cookie", ()))),
        forwarded_for=_text(",".join(request.headers.getall("X-Forwarded-For", ()))),
    )


def _text(value: str) -> str:
    """Make valid Unicode of what aiohttp read: it carries invalid UTF-8 as lone surrogates."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _response(reply: Reply) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict(reply.headers)
    headers["Server"] = _SERVER
    return web.Response(body=reply.body, status=reply.status, headers=headers)


def _refusal(status: int, allow: str = "") -> Reply:
    headers: tuple[tuple[str, str], ...] = (
        ("Content-Type", "application/json"),
        ("X-Content-Type-Options", "nosniff"),
    )
    if allow:
        headers += (("Allow", allow),)
    words = {400: "bad request", 404: "not found", 405: "method not allowed"}
    return Reply(status, headers, f'{{"error":"{words.get(status, "error")}"}}'.encode())
