"""The collector's address, and how a record becomes the bytes of a request to it.

What is the same for every record is made once. What comes from a visitor (the query, the user agent, the address, cookies) is made
harmless on its way into the head: no byte of it can end a line, so no event can smuggle a header or a second request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from gateway.events.model import Record

_QUERY_BYTES = bytes({0x21, 0x22, *range(0x24, 0x7F)})
_QUERY_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BadCollectorUrl(ValueError):
    """The collector's url can't be used: says what is wrong with it, never the url itself (it may hold a secret)."""


class Target(NamedTuple):
    """Where to connect, and the constant parts of a request's head."""

    host: str
    port: int
    is_tls: bool
    start: str
    constant: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Read an `http` or `https` url, which may have a path and a query; raises `BadCollectorUrl`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadCollectorUrl(f"the collector's url can't be read: {error}") from error
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise BadCollectorUrl("the collector's url must read https://host/path")
        if parts.username is not None or parts.fragment:
            raise BadCollectorUrl("the collector's url must have no user, password or fragment")
        host = parts.hostname
        if not host.isascii():
            host = host.encode("idna").decode()
        name = f"[{host}]" if ":" in host else host
        default = _DEFAULT_PORTS[parts.scheme]
        port = default if port is None else port
        path = quote(parts.path or "/", safe="/%!$&'()*+,;=:@~")
        query = f"{_harmless_query(parts.query)}&" if parts.query else ""
        return cls(
            host=host,
            port=port,
            is_tls=parts.scheme == "https",
            start=f"POST {path}?{query}",
            constant=(
                f" HTTP/1.1\r\nHost: {name if port == default else f'{name}:{port}'}\r\n"
                "Content-Type: application/json\r\nAccept: */*\r\n"
            ),
        )

    def render(self, record: Record) -> bytes:
        """Give the bytes of a record's request, head and body.

        The visitor's user agent, address and cookies go along where the record has them: the collector derives device and place
        from them, and knows its own cookies again, as it would had the browser come by itself.
        """
        agent = record.user_agent and _agent_line(record.user_agent)
        address = record.client_ip
        if address:
            address = f"X-Forwarded-For: {_harmless(address)}\r\n"
        cookie = record.cookie
        if cookie:
            cookie = f"Cookie: {_harmless(cookie)}\r\n"
        head = (
            f"{self.start}{_harmless_query(record.query)}{self.constant}{agent}{address}{cookie}"
            f"Content-Length: {len(record.body)}\r\n\r\n"
        )
        try:
            return head.encode("utf-8", "surrogateescape") + record.body
        except UnicodeEncodeError:
            return head.encode("utf-8", "replace") + record.body


# A few browsers send nearly all events.
_agent_line = remembered(1_024, lambda agent: f"User-Agent: {_harmless(agent)}\r\n")


def _harmless(text: str) -> str:
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", text).strip()


def _harmless_query(text: str) -> str:
    if text.isascii() and not text.encode().translate(None, _QUERY_BYTES):
        return text
    return quote(text, safe=_QUERY_SAFE, errors="surrogateescape" if _encodes(text) else "replace")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
