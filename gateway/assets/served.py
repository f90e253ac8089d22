"""One version of an asset, ready to leave: compressed once in each coding, with a validator for each.

An answer is a look-up: `Served` remembers what it has answered to each `Accept-Encoding` that browsers send. Making one takes up to a second
for a large script (brotli at its best), so that large ones are made in a thread; the compressors let other threads run.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]

from gateway.assets.negotiation import IDENTITY, chosen_coding, has_tag
from gateway.events.model import Reply
from gateway.events.remembering import remembered

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.events.replies import Headers

JAVASCRIPT = "application/javascript; charset=utf-8"

_BROTLI_QUALITY = 11
# Beyond it a frame would want more memory than browsers give it; 8 MiB, the largest asset, stay within at this level.
_ZSTD_LEVEL = 19
_GZIP_LEVEL = 9
# An image is compressed already.
_LEAST_SAVING = 0.95
_REMEMBERED = 64
_UNACCEPTABLE = Reply(
    406,
    (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), ("Vary", "Accept-Encoding")),
    b"this is sent with br, zstd, gzip or as it is; the request's Accept-Encoding refuses all four\n",
)  # fmt: skip


class Served:
    """One version of an asset, in every coding that is smaller than it is.

    `max_age_seconds` is for how long a browser need not ask again; `extra` are headers of this asset alone. `tag` names the content. One that is
    made `in_haste`, because somebody waits, is there in gzip alone, which takes a twentieth of the time.
    """

    def __init__(
        self,
        content: bytes,
        content_type: str,
        *,
        max_age_seconds: int = 3_600,
        extra: Headers = (),
        in_haste: bool = False,
    ) -> None:
        self.tag = hashlib.sha256(content).hexdigest()[:20]
        self.size = len(content)
        codings = _compressed(content, in_haste=in_haste)
        common: Headers = (
            ("Content-Type", content_type),
            ("Cache-Control", _cache_control(max_age_seconds)),
            *((("Vary", "Accept-Encoding"),) if codings else ()),
            ("X-Content-Type-Options", "nosniff"),
            # A page may load it with crossorigin and integrity attributes; it holds nothing private.
            ("Access-Control-Allow-Origin", "*"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
            *extra,
        )
        # The smallest first: of those that a client takes equally, it gets that.
        self._offered = tuple(sorted(codings, key=lambda coding: len(codings[coding])))
        self._replies = {IDENTITY: Reply(200, (*common, ("ETag", f'"{self.tag}"')), content)}
        for coding in self._offered:
            headers = (*common, ("ETag", f'"{self.tag}-{coding}"'), ("Content-Encoding", coding))
            self._replies[coding] = Reply(200, headers, codings[coding])
        # Strong ones, so one for each sequence of bytes (RFC 9110, section 8.8.3.3).
        tags = [dict(reply.headers)["ETag"] for reply in self._replies.values()]
        self._not_modified = {tag: Reply(304, (*common, ("ETag", tag))) for tag in tags}
        self._chosen = remembered(_REMEMBERED, self._choose)

    def answer(self, accept_encoding: str, if_none_match: str) -> Reply:
        """Give the asset in the coding that the client wants, or 304 when it has this very version in one of them."""
        if if_none_match:
            tag = has_tag(if_none_match, self._not_modified)
            if tag:
                return self._not_modified[tag]
        return self._chosen(accept_encoding)

    def _choose(self, accept_encoding: str) -> Reply:
        coding = chosen_coding(accept_encoding, self._offered)
        return _UNACCEPTABLE if coding is None else self._replies[coding]


def _compressed(content: bytes, *, in_haste: bool) -> Mapping[str, bytes]:
    # The same bytes each time: they have the same validator.
    codings = {"gzip": gzip.compress(content, _GZIP_LEVEL, mtime=0)}
    if not in_haste:
        codings["br"] = brotli.compress(content, quality=_BROTLI_QUALITY)
        codings["zstd"] = zstd.compress(content, _ZSTD_LEVEL)
    return {coding: each for coding, each in codings.items() if len(each) < len(content) * _LEAST_SAVING}


def _cache_control(max_age_seconds: int) -> str:
    if not max_age_seconds:
        return "no-cache"
    # A browser or CDN that can't reach the gateway goes on with what it has.
    return f"public, max-age={max_age_seconds}, stale-while-revalidate=86400, stale-if-error=604800"
