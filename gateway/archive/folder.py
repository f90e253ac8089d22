"""The archive's folder: its files by the hour, the lock beside them, and every system call that touches them.

::

    2026-11-30T16.jsonl.zst      what was delivered in that hour (UTC), in the order of delivery
    2026-11-30T16.1.jsonl.zst    the same hour's next part
    lock                         held while a part is added to, and while parts are listed; holds the *generation*
    erasing                      held by the one erasure that is under way

The hour is that of the delivery: so files are only ever added to at the end of the archive, an event that waited for days does not
change a file of last week, and what is gone after so many days is what was delivered so long ago.

What always holds:

- Who adds to a part holds the lock, began that part itself in the generation that the lock's file says, and finds it still under its name. Else a new
  part is begun. So whoever raises the generation, under the lock, knows that no part which is there at that moment is ever added to again.
- Files and folder are for their owner alone, whatever the umask.

All of it blocks, belongs on a thread, and raises `OSError`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from calendar import timegm
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR_MS = 3_600_000

_NAME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d)(?:\.(\d{1,9}))?\.jsonl\.zst")
_LOCK_POLL_SECONDS = 0.02
_ZEROS = 1 << 20


class Part(NamedTuple):
    """A file: its hour, counted from the epoch, its number within the hour, and how large it is."""

    hour: int
    number: int
    path: Path
    size: int

    @property
    def key(self) -> tuple[int, int]:
        """What orders parts, and names one for good."""
        return self.hour, self.number

    @property
    def begin_ms(self) -> int:
        """When its hour began, as Unix time in milliseconds."""
        return self.hour * HOUR_MS


class ArchiveBusy(Exception):
    """Somebody else holds the archive's lock, and there is no time to wait."""


def part_name(hour: int, number: int) -> str:
    """Give the name of a part."""
    at = time.gmtime(hour * 3_600)
    suffix = f".{number}" if number else ""
    return f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}T{at.tm_hour:02d}{suffix}.jsonl.zst"


def _parse(name: str) -> tuple[int, int] | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year, month, day, hour, number = (int(each or 0) for each in match.groups())
    return timegm((year, month, day, hour, 0, 0)) // 3_600, number


class Folder:
    """The archive in `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether anything was ever archived here."""
        return self.path.is_dir()

    def make(self) -> None:
        """Make the folder where there is none."""
        self.path.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def locked(self, goes_on: Callable[[], bool] | None = None) -> Iterator[Lock]:
        """Hold the lock; waits for its turn, or as long as `goes_on` says, and then raises `ArchiveBusy`."""
        with self._flocked("lock", goes_on) as descriptor:
            yield Lock(descriptor)

    @contextlib.contextmanager
    def erasing(self) -> Iterator[None]:
        """Be the only erasure; waits for another one. What a killed one left goes."""
        with self._flocked("erasing"):
            for leftover in self.path.glob("*.erased"):
                leftover.unlink(missing_ok=True)
            yield

    @contextlib.contextmanager
    def _flocked(self, name: str, goes_on: Callable[[], bool] | None = None) -> Iterator[int]:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if goes_on is None:
                # In the system's queue, so that somebody who takes it again and again can't keep others off.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            else:
                _try_for(descriptor, goes_on)
            yield descriptor
        finally:
            os.close(descriptor)

    def parts(self) -> list[Part]:
        """Give every part, the oldest first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                key = _parse(entry.name)
                if key is not None:
                    # One that was removed in this moment.
                    with contextlib.suppress(FileNotFoundError):
                        found.append(Part(*key, self.path / entry.name, entry.stat().st_size))
        return sorted(found)

    def begin(self, hour: int) -> tuple[Part, int]:
        """Make the next part of an hour and give it with its descriptor; the lock must be held."""
        number = max((each.number for each in self.parts() if each.hour == hour), default=-1) + 1
        path = self.path / part_name(hour, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return Part(hour, number, path, 0), os.open(path, flags, 0o600)

    def append(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at byte `offset`."""
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)

    def cut(self, descriptor: int, size: int) -> None:
        """Cut a part to `size` bytes."""
        os.ftruncate(descriptor, size)

    def free(self) -> tuple[int, int]:
        """Give how many bytes may still be written to this disk, and how many it has."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize

    def remove(self, part: Part) -> None:
        """Delete a part; that it is gone already is fine."""
        part.path.unlink(missing_ok=True)

    def is_named(self, part: Part, descriptor: int) -> bool:
        """Tell whether a part's name still leads to this file."""
        try:
            named = part.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    @contextlib.contextmanager
    def reading(self, part: Part) -> Iterator[tuple[BinaryIO, int]]:
        """Open a part and give it with its size, which ends with a frame unless a crash tore it.

        It stays whole while it is read, also when it is replaced meanwhile. Raises `FileNotFoundError`.
        """
        while True:
            with part.path.open("rb") as file:
                # Whoever replaces a part overwrites the old file, unless this lock keeps it from that.
                fcntl.flock(file.fileno(), fcntl.LOCK_SH)
                if not self.is_named(part, file.fileno()):
                    continue
                with self.locked():
                    size = os.fstat(file.fileno()).st_size
                yield file, size
                return

    def replace(self, part: Part, descriptor: int, new: Path) -> None:
        """Put `new` in the place of a part whose file `descriptor` is, if that is still there; durable on return.

        The old bytes are overwritten, unless somebody reads them.
        """
        with self.locked():
            if self.is_named(part, descriptor):
                new.rename(part.path)
            else:
                new.unlink(missing_ok=True)
        self.sync()
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(descriptor).st_size
            for offset in range(0, size, _ZEROS):
                self.append(descriptor, bytes(min(_ZEROS, size - offset)), offset)
            os.fdatasync(descriptor)

    def sync(self) -> None:
        """Make durable which files there are."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _try_for(descriptor: int, goes_on: Callable[[], bool]) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not goes_on():
                raise ArchiveBusy from None
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


class Lock:
    """The archive's lock while it is held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def generation(self) -> int:
        """How many erasures have begun here."""
        text = os.pread(self._descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0

    def raise_generation(self) -> None:
        """Have every part that is there left alone from now on by those who write."""
        os.pwrite(self._descriptor, f"{self.generation + 1:020d}\n".encode(), 0)
