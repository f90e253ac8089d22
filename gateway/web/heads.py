"""What a request's head says of its framing, read strictly, before anybody else reads it.

Proxies, parsers and servers have read the same bytes differently, and who could make two of them disagree on where a request ends could
smuggle another one behind it. So what always holds: a head that passes here can be read in one way only (RFC 9112); whatever else
it may be is refused, its connection closed and nothing behind it looked at. What clients of the wild send and what harms nobody is made plain
here: raw bytes beyond ASCII in a target are percent-encoded, a fragment is left out, the absolute form becomes a path.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# RFC 9110, section 9, and what llhttp knows besides; any other method is answered like these, with 405.
_METHODS = frozenset(
    b"GET HEAD POST OPTIONS PUT DELETE PATCH TRACE LINK UNLINK PURGE SEARCH REPORT PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK".split()
)
# A body of theirs means nothing, and servers differ on whether it is there.
_WITHOUT_BODY = frozenset({b"GET", b"HEAD", b"TRACE"})
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(
    rb"(?P<method>" + _TOKEN + rb") (?P<target>[^\x00-\x20\x7f]+) HTTP/1\.(?P<minor>[01])"
)
_METHOD = re.compile(_TOKEN)
_FIELD_NAME = re.compile(_TOKEN + rb"\Z")
_ABSOLUTE = re.compile(rb"https?://[^/?#\\@]+(?=[/?#]|\Z)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}\Z")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
# A control character, a line that does not end with CR LF, or a CR that ends none.
STRAY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n)")
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"host", b"expect", b"connection"})
# Of these the first counts, as of a parameter that stands twice; aiohttp would refuse the request, and with it those before it that
# came in the same packet.
_ONCE = frozenset(
    {
        b"content-type",
        b"user-agent",
        b"content-location",
        b"content-range",
        b"etag",
        b"max-forwards",
        b"server",
    }
)
_LONGEST_METHOD = 32
_LONGEST_VERSION = 16


class Bounds(NamedTuple):
    """How large a head may be."""

    head_bytes: int = 98_304
    head_fields: int = 128
    target_bytes: int = 65_536


class Refused(NamedTuple):
    """A request that is not taken: its status, and why, in a word of a closed set (`gateway.telemetry.metrics`)."""

    status: int
    why: str


class Plan(NamedTuple):
    """A head as it may be handed on, and what follows it: `body_bytes`, or chunks; `is_last`: no other request."""

    head: bytes
    body_bytes: int
    is_chunked: bool
    is_last: bool


MALFORMED = Refused(400, "malformed")
FRAMING = Refused(400, "framing")
TOO_LARGE = Refused(431, "head_too_large")
TOO_LONG = Refused(414, "target_too_long")
NO_SUCH_METHOD = Refused(405, "method")
EXPECTATION = Refused(417, "expectation")


def inspect(head: bytes, bounds: Bounds) -> Plan | Refused:
    """Read a complete head, with the blank line that ends it."""
    request_line, *lines = head[:-4].split(b"\r\n")
    excess = _excess(head, request_line, lines, bounds)
    if excess is not None:
        return excess
    parts = _REQUEST_LINE.fullmatch(request_line)
    fields = _framing_fields(lines)
    if parts is None or fields is None or STRAY.search(head):
        return MALFORMED
    method, is_old = parts["method"], parts["minor"] == b"0"
    if method not in _METHODS:
        return NO_SUCH_METHOD
    target = plain_target(method, parts["target"])
    if target is None:
        return MALFORMED
    if len(parts["target"]) > bounds.target_bytes:
        return TOO_LONG
    framing = _framing(method, fields, is_old=is_old)
    if isinstance(framing, Refused):
        return framing
    start = b"%s %s HTTP/1.%s" % (method, target, parts["minor"])
    options = {
        each.strip(b" \t").lower() for line in fields.get(b"connection", []) for each in line.split(b",")
    }
    is_last = b"close" in options or (is_old and b"keep-alive" not in options)
    return Plan(b"\r\n".join([start, *_without_repeats(lines), b"", b""]), *framing, is_last)


def _excess(head: bytes, request_line: bytes, lines: list[bytes], bounds: Bounds) -> Refused | None:
    if len(request_line) > bounds.target_bytes + _LONGEST_METHOD + _LONGEST_VERSION:
        return TOO_LONG
    return TOO_LARGE if len(head) > bounds.head_bytes or len(lines) > bounds.head_fields else None


def may_begin_a_head(begun: bytes | bytearray, bounds: Bounds) -> Refused | None:
    """Tell why the beginning of a head can't become one, so that nobody waits for the rest of what is no request."""
    if len(begun) > bounds.head_bytes:
        return TOO_LARGE
    most = bounds.target_bytes + _LONGEST_METHOD + _LONGEST_VERSION
    end = begun.find(b"\r\n")
    if end > most or (end < 0 and len(begun) > most):
        return TOO_LONG
    if end >= 0:
        return None if _REQUEST_LINE.fullmatch(begun, 0, end) else MALFORMED
    method, blank, _ = bytes(begun[: _LONGEST_METHOD + 1]).removesuffix(b"\r").partition(b" ")
    if len(method) > _LONGEST_METHOD or not _METHOD.fullmatch(method):
        return MALFORMED
    return None if not blank or method in _METHODS else NO_SUCH_METHOD


def plain_target(method: bytes, target: bytes) -> bytes | None:
    """Give a target as a path with its query, or `*`; `None` when it is neither.

    Bytes beyond ASCII, which old browsers and apps send as they are, are percent-encoded: they are read as UTF-8 then. What stands behind
    a `#` was meant for the client alone.
    """
    if target == b"*":
        return target if method == b"OPTIONS" else None
    if not target.startswith(b"/"):
        origin = _ABSOLUTE.match(target)
        if origin is None:
            return None
        target = target[origin.end() :]
        if not target.startswith(b"/"):
            target = b"/" + target
    target = target.partition(b"#")[0]
    return target if target.isascii() else _BEYOND_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), target)


def _framing_fields(lines: list[bytes]) -> dict[bytes, list[bytes]] | None:
    """Give the values of the fields that say where a request ends and whose it is; `None` when a line is no field."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.match(name):
            return None
        lowered = name.lower()
        if lowered in _FRAMING:
            found.setdefault(lowered, []).append(value.strip(b" \t"))
    return found


def _without_repeats(lines: list[bytes]) -> list[bytes]:
    """Give the lines but for those that say again what is said once."""
    seen: set[bytes] = set()
    kept: list[bytes] = []
    for line in lines:
        name = line.partition(b":")[0].lower()
        if name not in seen:
            kept.append(line)
        if name in _ONCE:
            seen.add(name)
    return kept


def _framing(method: bytes, fields: dict[bytes, list[bytes]], *, is_old: bool) -> tuple[int, bool] | Refused:
    """Give how many bytes of body follow, and whether they come in chunks instead (RFC 9112, section 6.3)."""
    hosts = fields.get(b"host", [])
    lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
    if len(hosts) > 1 or not (hosts or is_old):
        return MALFORMED
    if len(lengths) > 1 or (lengths and codings) or not all(map(_LENGTH.match, lengths)):
        return FRAMING
    if codings and (is_old or len(codings) > 1 or codings[0].lower() != b"chunked"):
        return FRAMING
    body_bytes = int(lengths[0]) if lengths else 0
    if method in _WITHOUT_BODY and (body_bytes or codings):
        return FRAMING
    expected = fields.get(b"expect", [])
    if not is_old and expected and [each.lower() for each in expected] != [b"100-continue"]:
        return EXPECTATION
    return body_bytes, bool(codings)
