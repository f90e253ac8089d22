"""A file of the archive: zstd frames one behind the other, each whole in itself, with a checksum.

What always holds: a frame is written in one piece and holds whole lines, so a file can be read at any time up to its last whole frame. What
can't be read (the piece of a frame that a crash left, a flipped bit) is told, and reading goes on at the next frame. `zstdcat` reads a file as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 17
_LARGEST = 1 << 28
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}


class Frame(NamedTuple):
    """A frame's bytes in its file, from `start` to before `end`, and what they hold; `fault` says why they can't be read."""

    start: int
    end: int
    data: bytes
    fault: str = ""


def compress(data: bytes) -> bytes:
    """Give the frame of these lines."""
    return zstd.compress(data, options=_OPTIONS)


def read_frames(file: BinaryIO, size: int) -> Iterator[Frame]:
    """Give the frames in the first `size` bytes of a file, in memory for one of them. Raises `OSError`."""
    start, rest = 0, b""
    while start < size:
        try:
            data, end, rest = _read_frame(file, start, rest, size)
        except zstd.ZstdError as error:
            end, rest = _next_start(file, start + 1, size), b""
            file.seek(end)
            yield Frame(start, end, b"", str(error))
        else:
            yield Frame(start, end, data)
        start = end


def _read_frame(file: BinaryIO, start: int, rest: bytes, size: int) -> tuple[bytes, int, bytes]:
    """Give what a frame holds, where it ends, and what was read behind it; `rest` is what was read of it before."""
    decompressor = zstd.ZstdDecompressor()
    parts: list[bytes] = []
    length, end = 0, start
    while not decompressor.eof:
        piece = rest or file.read(min(_PIECE, size - end))
        rest = b""
        if not piece:
            raise zstd.ZstdError("its end is missing")
        end += len(piece)
        parts.append(decompressor.decompress(piece))
        length += len(parts[-1])
        if length > _LARGEST:
            raise zstd.ZstdError("it is too large")
    rest = decompressor.unused_data
    return b"".join(parts), end - len(rest), rest


def _next_start(file: BinaryIO, start: int, size: int) -> int:
    """Give where the next frame may begin, or `size`."""
    file.seek(start)
    kept = b""
    while piece := file.read(min(_PIECE, size - start)):
        found = (kept + piece).find(_MAGIC)
        if found >= 0:
            return start - len(kept) + found
        start += len(piece)
        kept = (kept + piece)[1 - len(_MAGIC) :]
    return size
