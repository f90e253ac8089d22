"""Whether compressing what is spooled would pay: bytes saved, and the CPU time that takes, for groups as they really are.

The records are those that the gateway makes of the benchmark's traffic. A group is what is synced together: one event on a quiet site, a
few dozen under load; the hot path would compress each group by itself, since it must be readable when the next one is torn. zstd is
measured where the package `zstandard` is installed.
"""

from __future__ import annotations

import importlib
import time
import zlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROUPS = (1, 8, 32, 100)
_SECONDS = 0.5


class Compression(msgspec.Struct, frozen=True):
    """One way of compressing groups of so many events: the part of the bytes that is left, and CPU microseconds an event."""

    name: str
    group: int
    left: float
    pack_us: float
    unpack_us: float


def measure_compression(payloads: Sequence[bytes]) -> list[Compression]:
    """Measure each way with each size of group."""
    ways: list[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]] = [
        ("zlib 1", lambda data: zlib.compress(data, 1), zlib.decompress),
        ("zlib 6", lambda data: zlib.compress(data, 6), zlib.decompress),
    ]
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        zstandard = None
    if zstandard is not None:
        unpack = zstandard.ZstdDecompressor().decompress
        ways += [(f"zstd {n}", zstandard.ZstdCompressor(level=n).compress, unpack) for n in (1, 3)]
    found = []
    for group in GROUPS:
        chunks = [b"".join(payloads[at : at + group]) for at in range(0, len(payloads) - group + 1, group)]
        events = len(chunks) * group
        for name, pack, unpack in ways:
            packed = [pack(chunk) for chunk in chunks]
            left = sum(map(len, packed)) / sum(map(len, chunks))
            found.append(
                Compression(name, group, left, _each(pack, chunks, events), _each(unpack, packed, events))
            )
    return found


def _each(work: Callable[[bytes], bytes], chunks: Sequence[bytes], events: int) -> float:
    rounds, started = 0, time.process_time()
    while (gone := time.process_time() - started) < _SECONDS:
        for chunk in chunks:
            work(chunk)
        rounds += 1
    return gone / rounds / events * 1e6
