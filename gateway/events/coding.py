"""Content codings: a compressed body back to its bytes, bounded while it grows.

What always holds: no more than `max_bytes` and one chunk of what a body expands to is ever in memory, at each of its codings; what is cut
short, damaged or followed by something else is not taken in part. Facts: RFC 9110, section 8.4 (codings, in the order in which they were
applied), RFC 1950 to 1952 (zlib, deflate, gzip), RFC 7932 (brotli), RFC 8878 and RFC 9659 (zstd, and the window that a decoder
must have room for).
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]

from gateway.events.outcome import Reason, Rejection

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    # A compressed body and a bound, to the body; more than the bound says that there is more.
    Decoder = Callable[[bytes, int], bytes]

ACCEPTED = "gzip, deflate, br, zstd"
"""The codings that are taken, for `Accept-Encoding`."""

_MOST_CODINGS = 3
# Many a client takes this header for the charset's.
_NONE = frozenset({"", "identity", "utf-8", "utf8"})
# Each piece of a gzip or zstd body leaves a copy of the rest behind it: many small ones would cost the square of its size.
_MOST_PIECES = 16
_LITTLE = 16
_CHUNK_BYTES = 65_536
_GZIP = 16 + zlib.MAX_WBITS
# RFC 9659: a decoder has to have room for a window of 8 MB, and nobody may ask for more.
_ZSTD: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
_BROKEN = "can't be unpacked: it is not whole, or not compressed as its Content-Encoding says"


class _BrokenError(Exception):
    """A body is not what its coding says."""


def expand(body: bytes, codings: str, max_bytes: int) -> bytes | Rejection:
    """Undo the codings of a `Content-Encoding` header, the last one first, as long as the body stays within `max_bytes`.

    An empty body stays empty, whatever the header says.
    """
    names = [name for each in codings.split(",") if (name := each.strip().lower()) not in _NONE]
    unknown = [name for name in names if name not in _DECODERS]
    if unknown or len(names) > _MOST_CODINGS:
        what = "names a coding that is not taken" if unknown else f"names more than {_MOST_CODINGS} codings"
        return Rejection(
            Reason.UNKNOWN_CODING,
            "Content-Encoding",
            f"{what}: compress with one of {ACCEPTED}, or not at all",
        )
    for index, name in reversed(list(enumerate(names))):
        if not body:
            return body
        # What can't be compressed is a little longer in its inner codings than as it is.
        bound = max_bytes + (max_bytes // 256 + 256 if index else 0)
        try:
            body = _DECODERS[name](body, bound)
        except (_BrokenError, zlib.error, zstd.ZstdError, brotli.error):
            return Rejection(Reason.BAD_BODY, "(body)", _BROKEN)
        if len(body) > bound:
            return Rejection(Reason.TOO_LARGE, "(body)", f"expands to more than {max_bytes} bytes")
    return body


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    return _inflate_all(body, max_bytes, _GZIP)


def _inflate(body: bytes, max_bytes: int) -> bytes:
    # Section 8.4.1.2 means zlib's format, but some clients send bare deflate. Which of them it is, the first two bytes only hint at.
    if len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0:
        try:
            return _inflate_all(body, max_bytes, zlib.MAX_WBITS)
        except (_BrokenError, zlib.error):
            pass
    return _inflate_all(body, max_bytes, -zlib.MAX_WBITS)


def _inflate_all(body: bytes, max_bytes: int, window_bits: int) -> bytes:
    """Give the content of a stream; of gzip, which may be several behind each other, that of all."""
    pieces: list[bytes] = []
    room = max_bytes + 1
    for _ in range(_MOST_PIECES if window_bits == _GZIP else 1):
        stream = zlib.decompressobj(window_bits)
        pieces.append(stream.decompress(body, room))
        room -= len(pieces[-1])
        if not room:
            break
        if not stream.eof:
            raise _BrokenError
        body = stream.unused_data
        if not body:
            break
    else:
        raise _BrokenError
    return b"".join(pieces)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    room = max_bytes + 1
    for _ in range(_MOST_PIECES):
        frame = zstd.ZstdDecompressor(options=_ZSTD)
        pieces.append(frame.decompress(body, room))
        room -= len(pieces[-1])
        if not room:
            break
        if not frame.eof:
            raise _BrokenError
        body = frame.unused_data
        if not body:
            break
    else:
        raise _BrokenError
    return b"".join(pieces)


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        return _unbrotli_by_pieces(body, max_bytes)
    stream = brotli.Decompressor()
    # It exceeds the limit of a call by half, so the calls are small.
    pieces = [stream.process(body, output_buffer_limit=_CHUNK_BYTES)]
    room = max_bytes - len(pieces[0])
    while room >= 0 and not stream.is_finished():
        # It may have read all and still hold much of what it expands to; only when nothing comes any more is there nothing.
        pieces.append(stream.process(b"", output_buffer_limit=_CHUNK_BYTES))
        if not pieces[-1]:
            raise _BrokenError
        room -= len(pieces[-1])
    return b"".join(pieces)


def _unbrotli_by_pieces(body: bytes, max_bytes: int) -> bytes:
    """Do it with brotli 1.1, which can't be told where to stop; mitmproxy 11 has no newer one beside it. A piece of a bomb expands to some megabytes."""
    stream = brotli.Decompressor()
    pieces: list[bytes] = []
    room = max_bytes
    for start in range(0, len(body), _LITTLE):
        pieces.append(stream.process(body[start : start + _LITTLE]))
        room -= len(pieces[-1])
        if room < 0:
            return b"".join(pieces)
    if not stream.is_finished():
        raise _BrokenError
    return b"".join(pieces)


_DECODERS: dict[str, Decoder] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
