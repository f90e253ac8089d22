"""The cursor: which records were acknowledged, in a journal beside the segments.

::

    journal   magic 8 | entry | entry | ...
    entry     length u32 | CRC32 of the payload u32 | payload: msgpack of `Progress`

The first entry is a snapshot, the following ones add to it. What always holds:

- An entry that can't be read ends the journal, and what stood behind it counts as not acknowledged: records come again, they
  never get lost.
- A journal is replaced as a whole (write, sync, rename, sync of the directory) at every opening, when it has grown, and
  after any failed write; so nothing is ever appended behind bytes that are in doubt.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.spool.disk import Disk

_MAGIC = b"TGCURSR\n"
_ENTRY = struct.Struct("<II")


class Progress(msgspec.Struct, array_like=True):
    """What became known since the entry before: acknowledged positions and durable counts.

    `ranges` are (first position, how many); `bitmaps` are whole segments by number, bit `i & 7` of byte `i >> 3` for index
    `i`; `durable` says of a segment how many records it certainly holds and at which byte they end.
    """

    ranges: list[tuple[int, int]] = []
    bitmaps: dict[int, bytes] = {}
    durable: dict[int, tuple[int, int]] = {}


def to_ranges(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Give positions, in any order, as ascending (first, how many)."""
    ranges: list[tuple[int, int]] = []
    first, following = 0, -1
    for position in sorted(positions):
        if position == following:
            following += 1
            continue
        if following > first:
            ranges.append((first, following - first))
        first, following = position, position + 1
    if following > first:
        ranges.append((first, following - first))
    return ranges


def decode_journal(data: bytes) -> tuple[list[Progress], int]:
    """Give the entries of a journal and how many of its bytes were readable."""
    if not data.startswith(_MAGIC):
        return [], 0
    entries: list[Progress] = []
    decoder = msgspec.msgpack.Decoder(Progress)
    at = len(_MAGIC)
    while at + _ENTRY.size <= len(data):
        length, crc = _ENTRY.unpack_from(data, at)
        payload = data[at + _ENTRY.size : at + _ENTRY.size + length]
        if len(payload) < length or crc32(payload) != crc or not payload:
            break
        try:
            entries.append(decoder.decode(payload))
        except msgspec.DecodeError:
            break
        at += _ENTRY.size + length
    return entries, at


def _encode_entry(progress: Progress) -> bytes:
    payload = msgspec.msgpack.encode(progress)
    return _ENTRY.pack(len(payload), crc32(payload)) + payload


class Journal:
    """The journal on disk. Its methods block, belong on one thread, and raise `OSError`."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self.path = directory / "cursor"
        self.size = 0
        self._disk = disk
        self._directory = directory
        self._descriptor = -1

    @property
    def needs_snapshot(self) -> bool:
        """Whether nothing may be added: there is no journal yet, or its last write failed."""
        return self._descriptor < 0

    def load(self) -> tuple[list[Progress], str]:
        """Give the entries on disk, and what was wrong with the rest (empty: nothing)."""
        try:
            data = self._disk.read(self.path, 0, self.path.stat().st_size)
        except FileNotFoundError:
            return [], ""
        entries, readable = decode_journal(data)
        rest = len(data) - readable
        return entries, f"{rest} bytes of the cursor are unreadable from byte {readable} on" if rest else ""

    def replace(self, snapshot: Progress) -> None:
        """Start a new journal with this entry; durable on return."""
        self.close()
        temporary = self._directory / "cursor.tmp"
        data = _MAGIC + _encode_entry(snapshot)
        descriptor = self._disk.create(temporary)
        try:
            self._disk.write(descriptor, data, 0, "cursor")
            self._disk.sync(descriptor, "cursor")
            self._disk.rename(temporary, self.path, "cursor")
            self._disk.sync_directory(self._directory)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self.size = len(data)

    def add(self, progress: Progress) -> None:
        """Add an entry; durable on return."""
        data = _encode_entry(progress)
        try:
            self._disk.write(self._descriptor, data, self.size, "cursor")
            self._disk.sync(self._descriptor, "cursor")
        except BaseException:
            self.close()
            raise
        self.size += len(data)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1
