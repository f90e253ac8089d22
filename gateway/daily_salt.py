"""The salt under which addresses are hashed: random, of one day, the same for every process of a machine, and gone when the day is over (UTC).

It stands in `data_dir/address.salt`, for its owner alone, so that a restart within a day keeps it. What always holds:

- whoever finds a salt of an earlier day, or none, makes the new one while it holds the lock file; the first one's is everybody's;
- the old one is overwritten with zeros and synced before the new one takes its place: a crash in between leaves a file that is no salt, and the next
  who looks makes one;
- a process holds one salt, in memory that it overwrites: `keep` looks every few seconds, so that it is gone there too, without any event;
- without a salt (a full disk, a folder that can't be written) nothing is hashed: `current` gives nothing, and addresses are dropped.

A file system that keeps old blocks (snapshots, copy on write, the spare blocks of a flash disk) may keep what was overwritten. A gateway that does not run at
midnight puts the old one away at its next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE_NAME = "address.salt"
_SALT_BYTES = 32
_DAY_MS = 86_400_000
_LOOK_SECONDS = 5.0
_AGAIN_MS = 5_000
_LINE = re.compile(rb"(\d{4}-\d\d-\d\d) ([0-9a-f]{64})\n\Z")
_NONE = b""


class DailySalt:
    """The salt of the day in `folder`. `report` hears, once, of a file that can't be read or made; `clock_ms` gives Unix time in milliseconds."""

    def __init__(self, folder: Path, clock_ms: Callable[[], int], report: Callable[[OSError], None]) -> None:
        self._path = folder / FILE_NAME
        self._clock_ms = clock_ms
        self._report = report
        self._day = -1
        self._salt = bytearray()
        self._failed_ms: int | None = None

    @property
    def has_failed(self) -> bool:
        """Whether there is none because its file can't be read or made."""
        return self._failed_ms is not None

    def current(self, now_ms: int) -> bytes | bytearray:
        """Give the salt of the day of `now_ms`; nothing where there is none. From memory, but for the first time of a day.

        For a moment that is a little before the day's beginning, as another process's clock may have it, the day's: the one before is gone.
        """
        if 0 <= self._day - now_ms // _DAY_MS <= 1:
            return self._salt
        self._take(now_ms)
        return self._salt if self._day >= 0 else _NONE

    async def keep(self) -> None:
        """Let each day's salt go in time, for ever."""
        while True:
            self.current(self._clock_ms())
            await asyncio.sleep(_LOOK_SECONDS)

    def forget(self) -> None:
        """Overwrite what is in memory."""
        self._salt[:] = bytes(len(self._salt))
        self._salt = bytearray()
        self._day = -1

    def _take(self, now_ms: int) -> None:
        self.forget()
        if self._failed_ms is not None and 0 <= now_ms - self._failed_ms < _AGAIN_MS:
            return
        day = now_ms // _DAY_MS
        try:
            with _locked(self._path.with_suffix(".lock")):
                found = _read(self._path, day)
                if found is None:
                    destroy(self._path)
                    found = day, _make(self._path, day)
        except OSError as error:
            is_news, self._failed_ms = self._failed_ms is None, now_ms
            if is_news:
                self._report(error)
        else:
            self._day, self._salt = found
            self._failed_ms = None


def destroy(path: Path) -> None:
    """Overwrite a salt with zeros and take its file away, if there is one. Raises `OSError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()


def put_away(folder: Path) -> None:
    """Take away the salt of a gateway that hashes no addresses any more. Raises `OSError`."""
    path = folder / FILE_NAME
    if path.exists():
        with _locked(path.with_suffix(".lock")) as lock:
            destroy(path)
            lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)


def _read(path: Path, day: int) -> tuple[int, bytearray] | None:
    """Give the day and the salt of a file when it is of this day; also of the next one, which a clock that was set back may see."""
    try:
        found = _LINE.match(path.read_bytes())
        of = (date.fromisoformat(found[1].decode()) - date(1970, 1, 1)).days if found else -1
    except (FileNotFoundError, ValueError):
        return None
    return (of, bytearray.fromhex(found[2].decode())) if found and day <= of <= day + 1 else None


def _make(path: Path, day: int) -> bytearray:
    salt = bytearray(secrets.token_bytes(_SALT_BYTES))
    when = datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{when} {salt.hex()}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return salt
