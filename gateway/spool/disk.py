"""The spool's system calls, and nothing else: the one place where it touches the disk.

It exists so that a test can stand between the spool and the disk: a hook is told each step before and after it happens (to
kill the process there), and a subclass can refuse a write or forget what was not synced. Every method blocks, belongs on a
thread, and raises `OSError`.

A step's name is `before_` or `after_`, what is touched (`group`, `segment`, `recycled`, `cursor`, `directory`) and the operation:
`before_group_sync`, `after_cursor_write`, `before_segment_rename`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BLOCK = 4096


class Disk:
    """The disk as the operating system gives it."""

    def __init__(self, hook: Callable[[str], None] | None = None) -> None:
        self._hook = hook or (lambda _step: None)

    def create(self, path: Path) -> int:
        """Create or empty a file that only its owner may read, and give its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """Open a file for reading and writing, and give its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes, offset: int, what: str) -> None:
        """Write all of `data` at byte `offset`."""
        self._hook(f"before_{what}_write")
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)
        self._hook(f"after_{what}_write")

    def sync(self, descriptor: int, what: str) -> None:
        """Make durable what was written to a file. After a failure nothing of it may be trusted, nor tried again."""
        self._hook(f"before_{what}_sync")
        os.fdatasync(descriptor)
        self._hook(f"after_{what}_sync")

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to `size` bytes."""
        os.truncate(path, size)

    def rename(self, old: Path, new: Path, what: str) -> None:
        """Give a file another name in the same directory, replacing what had it."""
        self._hook(f"before_{what}_rename")
        old.rename(new)
        self._hook(f"after_{what}_rename")

    def remove(self, path: Path, what: str) -> None:
        """Delete a file; that it is gone already is fine."""
        self._hook(f"before_{what}_remove")
        path.unlink(missing_ok=True)
        self._hook(f"after_{what}_remove")

    def sync_directory(self, path: Path) -> None:
        """Make durable the names in a directory."""
        self._hook("before_directory_sync")
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._hook("after_directory_sync")

    def free_bytes(self, path: Path) -> int:
        """Give how many bytes this user may still write to the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at byte `offset`; blocks that the disk can't read come back as zeros."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read(descriptor, offset, length)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b"".join(
                _read_or_zeros(descriptor, start, min(_BLOCK, offset + length - start))
                for start in range(offset, offset + length, _BLOCK)
            )
        finally:
            os.close(descriptor)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _read_or_zeros(descriptor: int, offset: int, length: int) -> bytes:
    try:
        return _read(descriptor, offset, length)
    except OSError:
        return bytes(length)
