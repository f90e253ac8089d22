"""Entries that wait for their collector, first in, first out: a few in memory, the others in files without a name.

They are in the spool until they are acknowledged, so nothing here has to survive anything. What always holds: memory is bounded, and room on the disk
that was read is given back file by file. When the disk takes no more, `is_full` says so, and what was put stays in memory.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from gateway.spool.contract import Entry

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = struct.Struct("<QI")
_MEMORY_BYTES = 8 << 20
_FILE_BYTES = 64 << 20
_AT_ONCE = 256


class _File:
    """A file without a name: written at its end, read from its beginning."""

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.read_bytes = self.size = 0

    def put(self, entry: Entry) -> None:
        data = memoryview(_HEAD.pack(entry.position, len(entry.payload)) + entry.payload)
        at = self.size
        while data:
            written = os.pwrite(self._file.fileno(), data, at)
            data, at = data[written:], at + written
        # Only now: what a full disk took of it does not count.
        self.size = at

    def take(self) -> Entry:
        position, length = _HEAD.unpack(os.pread(self._file.fileno(), _HEAD.size, self.read_bytes))
        payload = os.pread(self._file.fileno(), length, self.read_bytes + _HEAD.size)
        if len(payload) != length:
            raise OSError("a file of events that wait has become shorter")
        self.read_bytes += _HEAD.size + length
        return Entry(position, payload)

    def close(self) -> None:
        self._file.close()


class Backlog:
    """The entries, in order. `folder` is where its files are."""

    def __init__(
        self, folder: Path, memory_bytes: int = _MEMORY_BYTES, file_bytes: int = _FILE_BYTES
    ) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._first: deque[Entry] = deque()
        self._files: deque[_File] = deque()
        # Behind what stands in the files; there only while the disk is full.
        self._last: deque[Entry] = deque()
        self._held = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether the disk takes no more: nothing should be put until it does, or until what is here has become less."""
        return bool(self._last)

    def put(self, entry: Entry) -> None:
        """Add an entry behind the others."""
        self._count += 1
        if not self._files and not self._last and self._held < self._memory_bytes:
            self._held += len(entry.payload)
            self._first.append(entry)
            return
        self._last.append(entry)
        self.write()

    def take(self, limit: int) -> list[Entry]:
        """Give the first entries, at most `limit`. Raises `OSError` when they can't be read back."""
        taken: list[Entry] = []
        while self._count and len(taken) < limit:
            if not self._first:
                try:
                    self._fetch()
                except OSError:
                    if taken:
                        break
                    raise
            entry = self._first.popleft()
            self._held -= len(entry.payload)
            self._count -= 1
            taken.append(entry)
        self.write()
        return taken

    def close(self) -> None:
        """Let go of the files."""
        while self._files:
            self._files.popleft().close()

    def write(self) -> None:
        """Write what the disk did not take before, as far as it does now."""
        try:
            while self._last:
                if not self._files or self._files[-1].size >= self._file_bytes:
                    self._files.append(_File(self._folder))
                self._files[-1].put(self._last[0])
                self._last.popleft()
        except OSError:
            return

    def _fetch(self) -> None:
        while self._files and len(self._first) < _AT_ONCE:
            file = self._files[0]
            if file.read_bytes < file.size:
                entry = file.take()
                self._held += len(entry.payload)
                self._first.append(entry)
            else:
                self._files.popleft().close()
        if not self._first:
            entry = self._last.popleft()
            self._held += len(entry.payload)
            self._first.append(entry)
