"""One HTTP exchange as somebody beside it saw it, in plain values, and the request that the gateway makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.events.model import Head, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers = tuple[tuple[str, str], ...]
# Fields that a client may send in several lines, and what joins them (RFC 9110, section 5.3; RFC 9113, section 8.2.3 for cookies).
_JOINED = {"cookie": "; ", "content-encoding": ","}
_HEAD_FIELDS = {
    "host": "host",
    "origin": "origin",
    "referer": "referer",
    "user_agent": "user-agent",
    "accept_language": "accept-language",
    "accept_encoding": "accept-encoding",
    "if_none_match": "if-none-match",
    "content_type": "content-type",
    "content_encoding": "content-encoding",
    "authorization": "authorization",
    "asked_headers": "access-control-request-headers",
    "asks_private_network": "access-control-request-private-network",
    "cookie": "cookie",
    "fetch_site": "sec-fetch-site",
    "fetch_mode": "sec-fetch-mode",
    "fetch_dest": "sec-fetch-dest",
}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was seen. `number` counts the calls of a session from 1, `started_ms` is Unix time in milliseconds.

    `path` and `query` are as they came, percent-encoded; header names are in lower case, values in valid Unicode; `body` is as it came, with its codings.
    `host` is in lower case and without a port; `page` is the address of the page that made the call, empty where nobody knows.
    """

    number: int
    started_ms: int
    method: str
    host: str
    path: str
    query: str = ""
    scheme: str = "https"
    port: int = 443
    headers: Headers = ()
    body: bytes = b""
    peer: str = ""
    page: str = ""

    def header(self, name: str) -> str:
        """Give a field's value, all its lines as one list; empty where there is none."""
        return _JOINED.get(name, ",").join(value for key, value in self.headers if key == name)

    @property
    def url(self) -> str:
        """The address that was called, without the port that goes without saying."""
        port = "" if self.port == {"https": 443, "http": 80}.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}{'?' if self.query else ''}{self.query}"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered to a call: `took_ms` from its start to the answer's end; `failure` says why there was no answer (then `status` is 0).

    `body` is decoded; `None` where nobody read it.
    """

    status: int = 0
    headers: Headers = ()
    body: bytes | None = None
    took_ms: float = 0.0
    failure: str = ""


def request_of(call: Call, path: str, address_header: str, wanted: Sequence[str]) -> Request:
    """Give what the gateway gets when this call reaches it under `path`; `address_header` and `wanted` are the fields that its settings ask for."""
    first: dict[str, str] = {}
    lists: dict[str, str] = {}
    for name, value in call.headers:
        first.setdefault(name, value)
        lists[name] = f"{lists[name]}{_JOINED.get(name, ',')}{value}" if name in lists else value
    # Of a field that is no list, the first line counts, as at the public port.
    fields = {**first, **{name: lists[name] for name in _JOINED if name in lists}}
    said = {name: fields[field] for name, field in _HEAD_FIELDS.items() if field in fields}
    head = Head(
        **{
            **said,
            "method": call.method,
            "path": path,
            "query": call.query,
            "peer": call.peer,
            "forwarded_for": lists.get(address_header.lower(), ""),
        },
        named={name: lists[name] for name in wanted if name in lists},
    )
    return Request(head, call.body if call.method == "POST" else b"")
