"""The bodies of a POST: whatever a client calls its own, it becomes JSON, lines of JSON, or the fields of a form.

Nothing here raises on what a client sent. Content codings are undone first (`gateway.events.coding`), then the charset: a body that is UTF-8 is
read as such, whatever it is called; only what is not is taken for what its `Content-Type` says. What begins like JSON is JSON, also in a form's
clothes (`curl -d`), and a form may hold the whole event as JSON in one field.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

import multipart  # type: ignore[import-untyped]

from gateway.events.coding import expand
from gateway.events.forms import joined, parse_query
from gateway.events.outcome import Reason, Rejection
from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from gateway.events.model import Head
    from gateway.events.shapes import Shapes

Kind = Literal["json", "form", "parts", "lines", "text"]

_KINDS: dict[str, Kind] = {
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "parts",
    "application/x-ndjson": "lines",
    "application/ndjson": "lines",
    "application/jsonl": "lines",
    "application/x-jsonlines": "lines",
    "text/plain": "text",
    "": "text",
}
# Labels as the Encoding Standard reads them: Latin-1 is Windows-1252. Vietnamese tills write Windows-1258.
_CHARSETS = {
    **dict.fromkeys(("utf-8", "utf8", "ascii", "us-ascii", ""), "utf-8"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252"), "cp1252"),
    **dict.fromkeys(("windows-1258", "cp1258"), "cp1258"),
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be"), "utf-16"),
}
_PARAMETER = re.compile(r';\s*([A-Za-z]+)\s*=\s*(?:"([^"]*)"|([^\s;"]*))')
_LIKE_A_FORM = re.compile(rb"[A-Za-z_][A-Za-z0-9_.%\[\]-]{0,127}=")
# Under one of these, tag managers, shop platforms and `FormData` send the event as one JSON text.
_WHOLE = ("data", "payload", "event", "events", "json")
_FIELDS = frozenset(
    {*_WHOLE, "items", "dims", "extra", "context", "uid", "aid", "cid", "sid", "ec", "ea", "en", "et"}
)
_MAX_PART_HEAD = 4_096


class Form(NamedTuple):
    """The fields of a form, and the JSON text that one of them held; empty when none did."""

    fields: dict[str, str]
    text: bytes = b""


class Lines(NamedTuple):
    """A JSON text on each line that isn't blank."""

    texts: list[bytes]


class Media(NamedTuple):
    """What a `Content-Type` says: what is read here, the charset in lower case, the boundary of parts."""

    kind: Kind
    charset: str = ""
    boundary: str = ""


def _media_of(content_type: str) -> Media:
    """Read a `Content-Type`; what is not known is JSON, as it always was for this collector."""
    name, _, parameters = content_type.partition(";")
    found = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(f";{parameters}")}
    kind = _KINDS.get(name.strip().lower(), "json")
    charset = found.get("charset", "").strip().lower()
    return Media(kind, charset, found.get("boundary", ""))


media_of = remembered(256, _media_of)


def is_plain(head: Head, body: bytes) -> bool:
    """Tell of nearly all bodies, in no time, that `read` would give them back as they are."""
    return body.startswith(b"{") and not head.content_encoding and _is_as_it_stands(head.content_type)


def _is_known_to_stand(content_type: str) -> bool:
    media = media_of(content_type)
    return media.kind in {"json", "form", "text"} and _CHARSETS.get(media.charset) == "utf-8"


_is_as_it_stands = remembered(256, _is_known_to_stand)


def read(head: Head, body: bytes, shapes: Shapes, max_bytes: int) -> bytes | Lines | Form | Rejection:
    """Give a body's JSON text, its lines or its fields; or say what is wrong with it, and what to send instead.

    `max_bytes` bounds what it may expand to.
    """
    if head.content_encoding:
        expanded = expand(body, head.content_encoding, max_bytes)
        if isinstance(expanded, Rejection):
            return expanded
        body = expanded
    media = media_of(head.content_type)
    if media.kind == "parts" and body.lstrip()[:1] not in {b"{", b"["}:
        return _parts(body, media, shapes)
    text = _in_utf8(body, media.charset, "(body)")
    return text if isinstance(text, Rejection) else _sorted_out(text, media, shapes.max_keys)


def _sorted_out(text: bytes, media: Media, most: int) -> bytes | Lines | Form | Rejection:
    if media.kind == "lines":
        return Lines([line for each in text.split(b"\n") if (line := each.strip())])
    if text.lstrip()[:1] in {b"{", b"["} or media.kind == "json":
        return text
    if media.kind == "text" and not _LIKE_A_FORM.match(text):
        return text
    if text[:3].lower() in {b"%7b", b"%5b"}:
        return unquote_to_bytes(text.replace(b"+", b" "))
    if text.count(b"&") >= most:
        # Compressed, a million of them are a few hundred bytes: they are not so much as read.
        return Rejection(Reason.TOO_LARGE, "(body)", f"more than {most} parameters")
    return _form(parse_query(text.strip().decode("utf-8", "replace")), most)


def _form(fields: dict[str, str], most: int) -> Form:
    fields = joined(fields, most)
    if "ec" not in fields:
        for name in _WHOLE:
            text = fields.get(name, "").lstrip()
            if text[:1] in {"{", "["}:
                del fields[name]
                return Form(fields, text.encode("utf-8", "replace"))
    return Form(fields)


def _in_utf8(body: bytes, charset: str, field: str) -> bytes | Rejection:
    known = _CHARSETS.get(charset)
    if known == "utf-16" or body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _from_utf16(body, charset, field)
    # Many a client calls its UTF-8 Latin-1, because a library does so by default.
    if known == "utf-8" or _is_utf8(body):
        return body.removeprefix(codecs.BOM_UTF8)
    if known is None:
        return Rejection(
            Reason.BAD_BODY, field, "is neither UTF-8 nor of a charset that is taken: send UTF-8"
        )
    return body.decode(known, "replace").encode()


def _from_utf16(body: bytes, charset: str, field: str) -> bytes | Rejection:
    name = charset
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "utf-16"
    elif charset == "utf-16":
        # RFC 2781 has it big-endian, Windows writes it little-endian; the first character is of ASCII and tells.
        name = "utf-16be" if body[:1] == b"\0" else "utf-16le"
    try:
        return body.decode(name).encode()
    except UnicodeError:
        return Rejection(Reason.BAD_BODY, field, "is not the UTF-16 that it is called: send UTF-8")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parts(body: bytes, media: Media, shapes: Shapes) -> Form | Rejection:
    """Read multipart/form-data (RFC 7578), as `FormData` makes it."""
    if not media.boundary:
        detail = "its Content-Type names no boundary: leave that header to FormData, which knows it"
        return Rejection(Reason.BAD_BODY, "(body)", detail)
    fields: dict[str, str] = {}
    part: multipart.MultipartSegment | None = None
    content: list[bytes] = []
    try:
        parser = multipart.PushMultipartParser(
            media.boundary.encode("utf-8", "replace"),
            max_header_size=_MAX_PART_HEAD,
            max_segment_count=shapes.max_keys,
        )
        for event in parser.parse(body or b"\r\n"):
            if isinstance(event, multipart.MultipartSegment):
                part, content = event, []
            elif event is not None:
                content.append(event)
            elif part is not None:
                name = part.name or ""
                text = _part_text(part, name, b"".join(content))
                if isinstance(text, Rejection):
                    return text
                fields.setdefault(name, text)
        parser.close()
    except multipart.ParserLimitReached:
        return Rejection(
            Reason.TOO_LARGE,
            "(body)",
            f"more than {shapes.max_keys} parts, or a part's head of more than {_MAX_PART_HEAD} bytes",
        )
    except multipart.MultipartError:
        return Rejection(
            Reason.BAD_BODY, "(body)", "is not whole, or no multipart/form-data as its Content-Type says"
        )
    fields.pop("", None)
    return _form(fields, shapes.max_keys)


def _part_text(part: multipart.MultipartSegment, name: str, content: bytes) -> str | Rejection:
    # `FormData` gives a Blob the file name `blob`; what is called a field of an event is one.
    if part.filename is not None and name not in _FIELDS:
        return Rejection(
            Reason.BAD_FIELD, name or "(body)", "is a file: an event is made of text fields alone"
        )
    text = _in_utf8(content, (part.charset or "").lower(), name or "(body)")
    if isinstance(text, Rejection):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError:
        return Rejection(Reason.BAD_BODY, name or "(body)", "is not text in UTF-8")
