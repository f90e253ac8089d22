"""URLs as people write them, made URLs as HTTP takes them (RFC 3987, section 3.1).

A link in a message that was written with `/áo mới` in it arrives here with these letters once its own escapes are undone. What always holds: only
what stands behind the host is changed, so where a URL leads is not decided here.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_ORIGIN = re.compile(r"https?://[!-.0->@-~]+(?=[/?#])", re.IGNORECASE)
_UNWRITTEN = re.compile(r"[^\x00-\x7f]+| +")


def as_uri(text: str) -> str:
    """Give a URL with the letters and blanks behind its host percent-encoded; anything else comes back as it is."""
    if text.isascii() and " " not in text:
        return text
    origin = _ORIGIN.match(text)
    if origin is None:
        return text
    end = origin.end()
    rest = _UNWRITTEN.sub(lambda found: quote(found[0], safe="", errors="replace"), text[end:])
    return text[:end] + rest
