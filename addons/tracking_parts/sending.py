"""The gateway's request to a collector, put into a flow: rendered by the gateway's own client, to the last byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy.http import Headers

from gateway.delivery.target import Target
from gateway.events.model import Answer

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

    from gateway.events.model import Record
    from gateway.qa.session import Examined


def put_record(flow: HTTPFlow, examined: Examined, record: Record) -> None:
    """Make a flow's request the one that the gateway sends for a record, to the host and the path that the page has called."""
    call, request = examined.call, flow.request
    name = f"[{call.host}]" if ":" in call.host else call.host
    head, _, body = (
        Target.of(f"{call.scheme}://{name}:{call.port}{call.path}").render(record).partition(b"\r\n\r\n")
    )
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.split(b" ")
    fields = [(field, value) for field, _, value in (line.partition(b": ") for line in lines)]
    if request.is_http2 or request.is_http3:
        # There names are in lower case, and the host is `:authority`, which stays.
        fields = [(field.lower(), value) for field, value in fields if field != b"Host"]
    # Between the page and the proxy it stays as it was said: whether the connection ends.
    fields += [pair for pair in request.headers.fields if pair[0].lower() == b"connection"]
    request.data.method, request.data.path = method, target
    request.headers = Headers(fields)
    request.trailers = None
    request.raw_content = body


def collectors_answer(flow: HTTPFlow) -> Answer | None:
    """Give what the collector has answered, as the gateway's client would; `None` for no answer."""
    response = flow.response
    if response is None:
        return None
    fields = tuple(
        (name.decode("latin-1").lower(), value.decode("utf-8", "replace"))
        for name, value in response.headers.fields
    )
    return Answer(
        response.status_code, response.headers.get("retry-after", ""), fields, response.raw_content or b""
    )
