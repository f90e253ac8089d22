"""The public port: the gateway's paths, over aiohttp, to plain values and back.

Built on aiohttp's low-level server, because a dictionary of paths needs no router. Plain requests don't even get that
far: `gateway.web.fast` answers them on the connection itself, from the same `answer_plain`. What always holds: no answer carries
a traceback, a header of a client, or a byte of its body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import ClientError, HttpVersion11, hdrs, web
from multidict import CIMultiDict

from gateway.events.model import Head, Reply, Request
from gateway.settings_web import Limits
from gateway.web.fast import FastConnection
from gateway.web.gated import CutOff
from gateway.web.heads import MALFORMED, Bounds
from gateway.web.plain_heads import MAX_HEAD_BYTES
from gateway.web.refusals import refusal
from gateway.web.security import secured
from gateway.web.watch import Watch
from gateway.web.ways import way

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from gateway.events.replies import Headers
    from gateway.web.endpoints import Endpoint
    from gateway.web.ingest import Ingest
    from gateway.web.watch import Door

SERVER = "tracking-gateway"
# So long what is left of a body is read and thrown away behind an answer, so that its client hears it.
_LINGERING_SECONDS = 2.0
# Never reached: the watch closes idle connections.
_KEEPALIVE_SECONDS = 7 * 86_400.0


class PublicServer(web.Server):
    """Serves `endpoints`, by path, on the public port; without `is_fast` everything goes through aiohttp.

    `client_of` gives what an address is counted as, `""` for one that is not bounded; `most` is how many connections this process can hold;
    `always` are header fields of every answer, beside those of `gateway.web.security`.
    """

    def __init__(
        self,
        ingest: Ingest,
        endpoints: Mapping[str, Endpoint],
        *,
        is_fast: bool = True,
        limits: Limits | None = None,
        client_of: Callable[[str], str] = lambda _: "",
        most: int | None = None,
        door: Door | None = None,
        always: Headers = (),
    ) -> None:
        limits = limits or Limits()
        super().__init__(
            self._handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            # The gate holds the bounds; percent-encoded, a target of raw bytes is three times as long.
            max_line_size=3 * limits.target_bytes,
            max_field_size=limits.head_bytes,
            max_headers=limits.head_fields,
            lingering_time=_LINGERING_SECONDS,
            # Bodies are unpacked where they are read (`gateway.events.coding`), within bounds of our own, for any transport.
            auto_decompress=False,
        )
        self.ingest = ingest
        self.bounds = Bounds(limits.head_bytes, limits.head_fields, limits.target_bytes)
        self.plain_head_bytes = min(MAX_HEAD_BYTES, limits.head_bytes, limits.target_bytes)
        self.watch = Watch(
            limits, client_of, most or limits.connections, door, max_body_bytes=ingest.max_body_bytes
        )
        self.address_header = ingest.address_header
        self.wanted_headers = ingest.wanted_headers
        self.always = always
        self._endpoints = endpoints
        self._is_fast = is_fast

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(self, is_fast=self._is_fast, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- aiohttp's own signature
        """Close all connections, after the answers that are under way, or when time is up."""
        await super().shutdown(timeout)
        self.watch.stop()

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
        try:
            reply = await self._reply(request)
        except CutOff as cut:
            reply = refusal(cut.refused.status)
            is_last = True
        else:
            # What was not read of a body is read and thrown away, and the connection ends.
            is_last = not request.content.is_eof()
        response = _response(reply, self.always, is_head=request.method == hdrs.METH_HEAD)
        if is_last:
            response.force_close()
        return response

    async def _reply(self, request: web.BaseRequest) -> Reply:
        path, _, query = request.raw_path.partition("?")
        found = way(self._endpoints, request.method, path)
        if isinstance(found, Reply):
            return found
        head = _head(request, request.method, found.path, query, self.address_header, self.wanted_headers)
        return await self._answered(request, found.endpoint, head)

    async def _answered(self, request: web.BaseRequest, endpoint: Endpoint, head: Head) -> Reply:
        body = b""
        if head.method == hdrs.METH_POST:
            if (request.content_length or 0) > endpoint.max_body_bytes:
                return self.ingest.too_large(Request(head))
            _ask_for_body(request)
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return self.ingest.too_large(Request(head))
            except ConnectionError:
                # The client hung up in mid-body: no event came in, and nobody hears the answer.
                return refusal(400)
            except (web.RequestPayloadError, ClientError):
                return self.ingest.broken_body(Request(head))
        answered: asyncio.Future[Reply] = self._loop.create_future()
        endpoint.answer(
            Request(head, body), lambda reply: None if answered.done() else answered.set_result(reply)
        )
        return await answered


def _ask_for_body(request: web.BaseRequest) -> None:
    """Tell a client that waits to hear whether its body is wanted (RFC 9110, section 10.1.1) that it is."""
    if (
        request.headers.get("Expect", "").lower() == "100-continue"
        and request.version >= HttpVersion11
        and not request.content.is_eof()
        and request.transport is not None
    ):
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


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
        if isinstance(exc, CutOff):
            status = exc.refused.status
        elif status < 500:
            # The gate lets nothing through that aiohttp's parser refuses, as far as anybody knows.
            self._server.watch.refused(MALFORMED, self)
        if status >= 500:
            self.log_exception("unexpected", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError
        response = _response(refusal(status), self._server.always)
        response.force_close()
        return response


def _head(
    request: web.BaseRequest, method: str, path: str, query: str, address_header: str, wanted: Sequence[str]
) -> Head:
    headers = request.headers
    get = headers.get
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
        # Of preflights, which are never plain (`gateway.web.plain_heads`).
        asked_headers=_text(get("Access-Control-Request-Headers", "")),
        asks_private_network=_text(get("Access-Control-Request-Private-Network", "")),
        # A proxy may add a line of its own instead of extending the visitor's: together they are one list.
        fetch_site=get("Sec-Fetch-Site", ""),
        fetch_mode=get("Sec-Fetch-Mode", ""),
        fetch_dest=get("Sec-Fetch-Dest", ""),
        cookie=_text("; ".join(request.headers.getall("Cookie", ()))),
        forwarded_for=_text(",".join(headers.getall(address_header, ()))),
        named={name: _text(",".join(headers.getall(name))) for name in wanted if name in headers},
    )


def _text(value: str) -> str:
    """Make valid Unicode of what aiohttp read: it carries invalid UTF-8 as lone surrogates."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _response(reply: Reply, always: Headers, *, is_head: bool = False) -> web.StreamResponse:
    headers: CIMultiDict[str] = CIMultiDict((*secured(reply.headers), *always))
    headers["Server"] = SERVER
    if is_head and reply.status == 200 and not reply.body:
        # How long the body of a GET would be is not known: no length is said.
        return web.StreamResponse(status=reply.status, headers=headers)
    return web.Response(body=reply.body, status=reply.status, headers=headers)
