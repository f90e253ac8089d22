"""Whether what came from the vendor can be what was asked for: an error page with status 200 must not take a good copy's place. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings_script import Kind

_BLANK = b" \t\r\n\f\v"
_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    "application/wasm": (b"\0asm",),
    "image/png": (b"\x89PNG",),
    "image/gif": (b"GIF8",),
    "image/jpeg": (b"\xff\xd8",),
    "image/webp": (b"RIFF",),
    "image/x-icon": (b"\0\0\1\0", b"\x89PNG"),
    "font/woff2": (b"wOF2",),
}
# What servers say of their error pages; that they call a script text/plain or nothing at all is their way.
_NEVER_CODE = (
    "text/html",
    "application/xhtml",
    "application/json",
    "application/problem",
    "image/",
    "video/",
    "audio/",
)
# A sentence has no mark without which code says nothing: `404 page not found`, `upstream connect error: connection failure`.
_WORDS = re.compile(rb"[A-Za-z0-9 \t\r\n.,:!?/-]{1,1000}\Z")


def fault_of(content: bytes, content_type: str, kind: Kind) -> str:
    """Say why a content can't be an asset of this kind; empty when it may be one. `content_type` is what the vendor calls it."""
    text = content.removeprefix(_BOM).strip(_BLANK)
    own = kind.content_type.partition(";")[0]
    if not text:
        return "an empty body"
    if own in _MAGIC:
        return "" if content.startswith(_MAGIC[own]) else f"no {own}"
    if own == "image/svg+xml":
        return "" if b"<svg" in text[:4_096].lower() and b"<html" not in text[:256].lower() else "no SVG"
    if text.startswith(b"<"):
        return "a page of HTML or XML"
    return _fault_of_json(text) if own == "application/json" else _fault_of_code(text, content_type, own)


def _fault_of_code(text: bytes, content_type: str, own: str) -> str:
    called = content_type.strip().lower()
    if called.startswith(_NEVER_CODE):
        return f"called {called.partition(';')[0]}"
    if b"\0" in text:
        return "not a text"
    if _WORDS.match(text) and b"//" not in text:
        return "a text without code"
    if own == "application/javascript" and text.startswith((b'{"', b'[{"')):
        return "JSON, no script"
    return ""


def _fault_of_json(text: bytes) -> str:
    try:
        json.loads(text)
    except ValueError:
        return "no JSON"
    return ""
