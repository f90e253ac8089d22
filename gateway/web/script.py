"""The tracking script, ready to leave: compressed once, with a validator, so that a request costs a look-up."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

from gateway.events.model import Reply

if TYPE_CHECKING:
    from gateway.events.replies import Headers


class Script:
    """One asset of the gateway's own, as bytes in memory."""

    def __init__(self, source: bytes) -> None:
        etag = f'"{hashlib.sha256(source).hexdigest()[:20]}"'
        common: Headers = (
            ("Content-Type", "application/javascript; charset=utf-8"),
            # An hour: short enough that a mended script reaches the pages the same day, and a 304 is cheap.
            ("Cache-Control", "public, max-age=3600, stale-while-revalidate=86400"),
            ("Vary", "Accept-Encoding"),
            ("X-Content-Type-Options", "nosniff"),
            # A page may load the script with crossorigin and integrity attributes; it holds nothing private.
            ("Access-Control-Allow-Origin", "*"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
            ("ETag", etag),
        )
        self._etag = etag
        self._plain = Reply(200, common, source)
        compressed = gzip.compress(source, 9, mtime=0)
        self._gzip = Reply(200, (*common, ("Content-Encoding", "gzip")), compressed)
        self._unchanged = Reply(304, common)

    def answer(self, accept_encoding: str, if_none_match: str) -> Reply:
        """Give the script, compressed where the client takes that, or 304 when it has this very version."""
        if if_none_match and (if_none_match.strip() == "*" or self._etag in if_none_match):
            return self._unchanged
        return self._gzip if _accepts_gzip(accept_encoding) else self._plain


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
