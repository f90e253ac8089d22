"""Heads of the plainest requests, which the fast path reads by itself; whatever is not one of these is left to aiohttp.

What always holds: a head that is read here is one that llhttp reads, to the same method, target and fields
(`tests/properties/test_plain_heads.py`); nothing in it changes how a body is framed or what a connection is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.model import Head, Request
from gateway.web.heads import STRAY

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HEAD_BYTES = 32_768
_MAX_HEAD_FIELDS = 100
# Each of these changes how a body is framed, or what a connection is.
_NOT_PLAIN = frozenset({"transfer-encoding", "expect", "upgrade", "trailer", "te"})
# RFC 9110, section 5.6.2: what a field's name is made of; and section 5.5: what its value is, in any encoding.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_NO_CONTROLS = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
# What stands in a target: visible ASCII without a fragment.
_TARGET = bytes(code for code in range(0x21, 0x7F) if code != ord("#"))
_KNOWN_FIELDS = 4_096
_LONGEST_KNOWN = 256


class PlainHead(NamedTuple):
    """The head of a plain request: `target` as it came, `fields` by lower-case name, and how many bytes of body follow.

    Values are without the blanks around them; invalid UTF-8 in them has become replacement characters.
    """

    method: str
    target: str
    fields: dict[str, str]
    body_bytes: int


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


def to_request(
    head: PlainHead,
    body: bytes,
    peer: str,
    address_header: str = "x-forwarded-for",
    wanted: Sequence[str] = (),
) -> Request:
    """Give a plain request as the pipeline takes it; `address_header` tells the visitor's address, `wanted` are headers that are handed on by name.

    Both are in lower case.
    """
    path, _, query = head.target.partition("?")
    fields = head.fields
    get = fields.get
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
            content_encoding=get("content-encoding", ""),
            authorization=get("authorization", ""),
            cookie=get("cookie", ""),
            forwarded_for=get(address_header, ""),
            named={name: fields[name] for name in wanted if name in fields} if wanted else {},
        ),
        body,
    )


def may_become_plain(data: bytes) -> bool:
    """Tell whether an incomplete head may be the beginning of a plain request; anything else is not waited for here."""
    is_method = data.startswith((b"GET ", b"POST ")) or b"GET ".startswith(data) or b"POST ".startswith(data)
    return (
        is_method
        and len(data) <= MAX_HEAD_BYTES
        and not STRAY.search(data, 0, len(data) - data.endswith(b"\r"))
    )
