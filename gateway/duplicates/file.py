"""The table's file: made, checked, shared by the workers, and made anew when it is none.

What always holds: whatever stands at its place, the gateway starts, and says in one line what it has put in its place; processes that start together agree on one
file; a file that somebody has mapped is never cut short or written over, but another is put in its place.

The header, 4,096 bytes, little-endian: magic 8, version 2, reserved 6, length of the file 8, seed 8, id of the machine's start 32, CRC-32 of all this 4, zeros.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.duplicates.table import HEADER_BYTES, Table, table_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = "duplicates"
NAME = "seen.table"
VERSION = 1

_MAGIC = b"TGSEEN\r\n"
_HEADER = struct.Struct("<8sH6xQQ32s")
_CRC = struct.Struct("<I")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CHUNK_BYTES = 1 << 20


class Opened(NamedTuple):
    """The table, and what was wrong where it is a new one: empty text where there was none, or all was well. `is_kept`: it outlives the process."""

    table: Table
    wrong: str
    is_kept: bool


def open_table(
    data_dir: Path,
    max_entries: int,
    on_forgotten: Callable[[int], None],
    *,
    one_boot: bool = False,
    spare_bytes: int = 0,
) -> Opened:
    """Open the table of a data folder, or make it; where it can't be had, one that is this process's alone.

    A new one leaves `spare_bytes` on its disk: events that can't be kept are worse than events that come twice.
    `one_boot`: what was remembered before the machine was started is forgotten, since the events may be (`spool.durability = "os"`).
    """
    size, boot = table_bytes(max_entries), _boot_id() if one_boot else b""
    folder = data_dir / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _alone(folder / "lock"):
            wrong = _problem(folder / NAME, size, boot)
            if wrong is not None:
                _make(folder / NAME, size, boot, spare_bytes)
            with (folder / NAME).open("r+b") as file:
                memory = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    except OSError as error:
        lost = f"{folder}: {error.strerror or error}"
        return Opened(Table(mmap.mmap(-1, size), _fresh_seed(), on_forgotten), lost, is_kept=False)
    return Opened(Table(memory, _read(memory[:HEADER_BYTES]).seed, on_forgotten), wrong or "", is_kept=True)


class _Header(NamedTuple):
    version: int
    size: int
    seed: int
    boot: bytes


def _read(content: bytes) -> _Header:
    """Read a header. Raises `ValueError`, which says what is wrong with it."""
    if len(content) < HEADER_BYTES or content[:8] != _MAGIC:
        msg = "it is no table of fingerprints"
        raise ValueError(msg)
    if _CRC.unpack_from(content, _HEADER.size)[0] != zlib.crc32(content[: _HEADER.size]):
        msg = "its header is damaged"
        raise ValueError(msg)
    _, version, size, seed, boot = _HEADER.unpack_from(content)
    return _Header(version, size, seed, boot.rstrip(b"\0"))


def _problem(path: Path, size: int, boot: bytes) -> str | None:
    """Say why a file can't be gone on with; empty text where there is none, `None` where it can."""
    try:
        with path.open("rb") as file:
            content, length = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return ""
    try:
        header = _read(content)
    except ValueError as error:
        return str(error)
    if header.version != VERSION:
        return f"it is of version {header.version}; this gateway writes {VERSION}"
    if length != header.size:
        return f"it has {length} bytes and should have {header.size}"
    if header.size != size:
        return f"it has {header.size} bytes, and duplicates.max_entries asks for {size}"
    if header.boot != boot:
        return "the machine was started since, or spool.durability is another"
    return None


def _make(path: Path, size: int, boot: bytes, spare_bytes: int) -> None:
    """Put an empty table there, with all of its pages on the disk: later there may be no room for them."""
    new = path.with_suffix(".new")
    header = _HEADER.pack(_MAGIC, VERSION, size, _fresh_seed(), boot)
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < size + spare_bytes:
        raise OSError(errno.ENOSPC, f"its disk has no room for {size} bytes, and for {spare_bytes} of events")
    try:
        with open(new, "xb", opener=_private) as file:
            file.write((header + _CRC.pack(zlib.crc32(header))).ljust(HEADER_BYTES, b"\0"))
            zeros = bytes(_CHUNK_BYTES)
            file.writelines(zeros[: size - at] for at in range(HEADER_BYTES, size, _CHUNK_BYTES))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fresh_seed() -> int:
    return int.from_bytes(os.urandom(8), "big")


def _boot_id() -> bytes:
    try:
        return _BOOT_ID.read_bytes().replace(b"-", b"").strip()[:32]
    except OSError:
        return b"unknown"
