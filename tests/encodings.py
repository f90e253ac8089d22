"""One event in the clothes of many clients: content types, charsets and codings, for tests."""

from __future__ import annotations

import gzip
import zlib
from typing import Any
from urllib.parse import quote_plus, urlencode

import brotli
import orjson

try:
    from compression import zstd
except ImportError:
    from backports import zstd

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def _deflated(body: bytes) -> bytes:
    bare = zlib.compressobj(wbits=-15)
    return bare.compress(body) + bare.flush()


CODINGS = {
    "": lambda body: body,
    "identity": lambda body: body,
    "UTF-8": lambda body: body,
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:]),
    "deflate": zlib.compress,
    "Deflate": _deflated,
    "br": brotli.compress,
    "zstd": zstd.compress,
    " ZSTD ": lambda body: zstd.compress(body[:7]) + zstd.compress(body[7:]),
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
    "identity,deflate,,gzip,zstd": lambda body: zstd.compress(gzip.compress(zlib.compress(body))),
}
"""`Content-Encoding` → how a body comes to have it."""


def parameters(fields: dict[str, Any]) -> dict[str, str]:
    """Give an event's fields as a form or a query string carries them: objects as JSON."""
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in fields.items()
    }


def multipart(fields: dict[str, str], *, as_file: bool = False) -> bytes:
    """Give the body that `FormData` makes; `as_file`: of Blobs."""
    name = '; filename="blob"' if as_file else ""
    kind = "\r\nContent-Type: application/json" if as_file else ""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"{name}{kind}\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    return f"{''.join(parts)}--{BOUNDARY}--\r\n".encode()


def clothes(fields: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Give every way to send one event, by a name for it: its `Content-Type` and body."""
    text = orjson.dumps(fields)
    words = text.decode()
    return {
        "json": ("application/json", text),
        "json, charset": ('application/json; charset="UTF-8"', text),
        "json, pretty": ("application/json", b"\r\n\t " + orjson.dumps(fields, option=orjson.OPT_INDENT_2)),
        "json, byte order mark": ("application/json", b"\xef\xbb\xbf" + text),
        "json, utf-16": ("application/json; charset=utf-16", words.encode("utf-16")),
        "json, utf-16 without mark": ("application/json;charset=UTF-16", words.encode("utf-16-be")),
        "json, utf-16le": ("text/json; charset=UTF-16LE", words.encode("utf-16-le")),
        "json, called latin-1": ("application/json; charset=ISO-8859-1", text),
        "json, vendor": ("application/vnd.shop+json", text),
        "beacon": ("text/plain;charset=UTF-8", text),
        "blob without a type": ("", text),
        "binary": ("application/octet-stream", text),
        "json called a form": (FORM, text),
        "json called multipart": ("multipart/form-data", b"\n" + text),
        "form": (FORM, urlencode(parameters(fields)).encode()),
        "form, charset": (f"{FORM}; charset=UTF-8", urlencode(parameters(fields)).encode()),
        "form called text": ("text/plain;charset=UTF-8", urlencode(parameters(fields)).encode()),
        "form of one field": (FORM, urlencode({"data": words}).encode()),
        "form that is escaped JSON": (FORM, quote_plus(words).encode()),
        "multipart": (MULTIPART, multipart(parameters(fields))),
        "multipart of one field": (MULTIPART, multipart({"payload": words})),
        "multipart of a Blob": (MULTIPART, multipart({"event": words}, as_file=True)),
    }
