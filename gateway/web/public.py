"""The public port: the gateway's paths, over aiohttp, to plain values and back.

Built on aiohttp's low-level server, because a dictionary of paths needs no router. Plain requests don't even get that
far: `gateway.web.fast` answers them on the connection itself, from the same `answer_plain`. What always holds: no answer carries
a traceback, a header of a client, or a byte of its body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import ClientError, hdrs, web
from multidict import CIMultiDict

from gateway.events.model import Head, Reply, Request
from gateway.web.fast import FastConnection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from gateway.web.endpoints import Endpoint
    from gateway.web.ingest import Ingest

_SERVER = "tracking-gateway"
# Events in a query string are long; beyond this aiohttp answers 400 by itself.
_MAX_LINE_BYTES = 65_536
_MAX_HEADER_BYTES = 32_768
_KEEPALIVE_SECONDS = 75.0


class PublicServer(web.Server):
    """Serves `endpoints`, by path, on the public port; without `is_fast` everything goes through aiohttp."""

    def __init__(self, ingest: Ingest, endpoints: Mapping[str, Endpoint], *, is_fast: bool = True) -> None:
        super().__init__(
            self._handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            # Bodies are unpacked where they are read (`gateway.events.coding`), within bounds of our own, for any transport.
            auto_decompress=False,
        )
        self.ingest = ingest
        self._endpoints = endpoints
        self._is_fast = is_fast

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(self, is_fast=self._is_fast, loop=self._loop, **self._kwargs)

    def takes(self, method: str, target: str, body_bytes: int) -> bool:
        """Tell whether `answer_plain` knows what to do with such a request."""
        endpoint = self._endpoints.get(target.partition("?")[0])
        return endpoint is not None and method in endpoint.methods and body_bytes <= endpoint.max_body_bytes

    def answer_plain(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Answer a complete GET or POST that it takes: calls `answer` once, maybe before this returns."""
        self._endpoints[request.head.path].answer(request, answer)

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
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            reply = _refusal(404)
        elif method not in endpoint.methods:
            reply = _refusal(405, ", ".join(endpoint.methods))
        else:
            reply = await self._answered(request, endpoint, _head(request, method, path, query))
        return _response(reply)

    async def _answered(self, request: web.BaseRequest, endpoint: Endpoint, head: Head) -> Reply:
        body = b""
        if head.method == hdrs.METH_POST:
            if (request.content_length or 0) > endpoint.max_body_bytes:
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
        answered: asyncio.Future[Reply] = self._loop.create_future()
        endpoint.answer(
            Request(head, body), lambda reply: None if answered.done() else answered.set_result(reply)
        )
        return await answered


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
        accept_encoding=_text(get("Accept-Encoding", "")),
        if_none_match=_text(get("If-None-Match", "")),
        content_type=_text(get("Content-Type", "")),
        content_encoding=_text(",".join(request.headers.getall("Content-Encoding", ()))),
        authorization=_text(get("Authorization", "")),
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
