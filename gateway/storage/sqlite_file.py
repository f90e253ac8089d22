"""One file of SQLite as a durable store: how it is opened, what its settings buy, and what its errors mean.

What always holds in a file that was opened here for writing:

- ``journal_mode=WAL``: readers never wait for a writer and a writer never for readers, also across processes.
- ``synchronous=FULL``: a commit returns only when the log is synced, so it survives a power cut; ``NORMAL`` would survive
  the death of the process alone. The log is synced before a reader can see the commit.
- ``fullfsync``, ``checkpoint_fullfsync``: on macOS a plain sync leaves the data in the disk's cache. Nothing elsewhere.
- ``busy_timeout``: writers of several processes take turns; each waits at most this long for its turn.
- ``wal_autocheckpoint``, ``cache_size``: random keys dirty a page each, many of them again and again; a log of 16 MB instead of 4
  writes a page back once for several changes (measured: a quarter less for each bind).
- ``journal_size_limit``: the log's file gives its space back after a burst.
- ``secure_delete=ON``, for a kind of file that asks for it: what is deleted, and the copies that moving rows between pages would leave
  behind, is overwritten with zeros. (What stands in the log goes with `SqliteWriter.empty_log`.)
- ``trusted_schema=OFF``: a file that somebody tampered with runs no functions with side effects from its triggers.
- ``application_id`` names the kind of file, ``user_version`` the version of its tables. A file of another kind or of a
  newer version is refused; an older one is brought up to date, forward only, in one transaction, by who is there to do it (the gateway
  when it starts). That may take minutes, and room: all that it writes stands in the log first. Killed in the middle, it has changed nothing.
- The file, its log and its shared memory are made readable and writable by their owner alone (0600), whatever the umask and the directory;
  so is a file of our own that everybody may read or write. A group that somebody lets in (0640) stays.

Several processes of one machine may use the file at the same time. It must not lie on a network file system: SQLite's locks
and shared memory don't work there. A connection is opened after a fork, never carried through one. Within a process nobody
opens the file by other means: closing a handle drops the locks that POSIX keeps for the whole process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOG_BYTES_KEPT = 64 * 2**20
_LOG_PAGES = 4000
_CACHE_KIB = 16 * 1024
_LONGEST_PAUSE_SECONDS = 0.02
_LEAST_ROOM_BYTES = 128 * 1024
_UPGRADE_PATIENCE_SECONDS = 3_600.0

Progress = Callable[[int, int], None]
"""Hears how much of how much is done."""
Migration = Callable[[apsw.Connection, Progress], None]
"""Brings a file one version further, within a transaction of the caller's."""


class FileKind(NamedTuple):
    """A kind of file: its name for people, its mark, its tables, and the exception that says it is not available.

    `migrations[0]` is the SQL that makes the tables of the present version in an empty file, `migrations[n]` leads from version n to
    n + 1: so many migrations, such a version. `unavailable` takes where, cause and hint. `overwrites`: what is deleted in it must be
    gone from the disk.
    """

    name: str
    application_id: int
    migrations: tuple[str, *tuple[Migration, ...]]
    unavailable: Callable[[str, str, str], Exception]
    overwrites: bool = False

    @property
    def version(self) -> int:
        """The present version of the tables."""
        return len(self.migrations)


def open_for_writing(
    path: Path, kind: FileKind, patience_seconds: float, *, on_upgrade: Progress | None = None
) -> apsw.Connection:
    """Open the file, made where there is none, and give its connection.

    `on_upgrade` allows to bring an older file up to date, and hears how far that is; nothing is heard when nothing is to be done.
    Without it an older file is refused. Waits at most about `patience_seconds` for other processes, but up to an hour for one that is
    bringing the file up to date. Raises `kind.unavailable`.
    """
    with explained(path, kind):
        _make_private(path)
        connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            connection.set_busy_timeout(_milliseconds(patience_seconds))
            connection.execute("PRAGMA trusted_schema=OFF")
            # Of several processes that open a new file at once, SQLite lets some fail without waiting.
            retry_while_busy(lambda: _prepare(connection, path, kind), patience_seconds)
            _insist_on_version(connection, path, kind, on_upgrade)
        except BaseException:
            connection.close()
            raise
        return connection


def open_for_reading(path: Path, kind: FileKind, patience_seconds: float) -> apsw.Connection:
    """Open an existing file so that nothing can be written to it through the connection.

    Works beside a writer, without one, and where the directory can't be written. Raises `kind.unavailable`.
    """
    with explained(path, kind):
        try:
            return _open_reader(path, kind, patience_seconds, "mode=ro")
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # A reader of a WAL file needs shared memory beside it, which can't be made in a directory that can't be
            # written. But where there is no log, nobody writes, and the main file alone is complete.
            if not path.is_file() or _has_log(path):
                raise
            return _open_reader(path, kind, patience_seconds, "immutable=1")


@contextlib.contextmanager
def explained(path: Path, kind: FileKind) -> Iterator[None]:
    """Turn what SQLite and the system raise into the kind's exception, with the cause and a hint."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise unavailable(path, kind, error) from error


def unavailable(path: Path, kind: FileKind, error: Exception) -> Exception:
    """Make the kind's exception of an error of SQLite or of the system."""
    return kind.unavailable(str(path), str(error) or type(error).__name__, _hint(path, kind, error))


def retry_while_busy(attempt: Callable[[], None], patience_seconds: float) -> None:
    """Try until it is done, or until other processes have held the file for that long: then `apsw.BusyError` passes."""
    deadline = time.monotonic() + patience_seconds
    pause = 0.0005
    while True:
        try:
            attempt()
        except apsw.BusyError:
            if time.monotonic() >= deadline:
                raise
            # Processes that failed together must not come back together.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  spreads load, guards nothing
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return


def _open_reader(path: Path, kind: FileKind, patience_seconds: float, mode: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"{path.absolute().as_uri()}?{mode}", flags)
    try:
        connection.set_busy_timeout(_milliseconds(patience_seconds))
        connection.execute("PRAGMA trusted_schema=OFF")
        version = _version(connection, path, kind)
    except BaseException:
        connection.close()
        raise
    if version < kind.version:
        connection.close()
        raise _too_old(path, kind, version)
    return connection


def _too_old(path: Path, kind: FileKind, version: int) -> Exception:
    return kind.unavailable(
        str(path),
        f"its tables are of version {version}, this program reads version {kind.version}",
        "start the gateway once: it brings the file up to date",
    )


def _make_private(path: Path) -> None:
    """Make the file where there is none, and keep all but its owner out of it, of its log and of its shared memory.

    SQLite by itself makes a file that everybody may read, and gives the two beside it the mode of the file. An existing file is never
    opened here: closing it would drop the locks of this process. What can't be done is left to SQLite, which says why.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # The umask may have taken something away.
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    mode = 0o600
    for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with contextlib.suppress(OSError):
            found = each.stat()
            # What a group may is what somebody has decided, as long as not everybody may.
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o007 and found.st_uid == os.geteuid():
                each.chmod(mode)
            elif each == path:
                mode = stat.S_IMODE(found.st_mode)


def _prepare(connection: apsw.Connection, path: Path, kind: FileKind) -> None:
    # Before the first change: a file of somebody else's must come out of this as it went in.
    _version(connection, path, kind)
    if connection.pragma("journal_mode") != "wal":
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise kind.unavailable(
                str(path), f"its disk offers journal mode {mode} only", "put the file on a local disk"
            )
    connection.pragma("synchronous", "FULL")
    connection.pragma("fullfsync", 1)
    connection.pragma("checkpoint_fullfsync", 1)
    connection.pragma("wal_autocheckpoint", _LOG_PAGES)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("journal_size_limit", _LOG_BYTES_KEPT)
    connection.pragma("secure_delete", int(kind.overwrites))
    if _version(connection, path, kind) == 0:
        with transaction(connection):
            # Again, inside the write lock: another process may have been faster.
            if _version(connection, path, kind) == 0:
                connection.execute(kind.migrations[0])
                connection.pragma("application_id", kind.application_id)
                connection.pragma("user_version", kind.version)


def _insist_on_version(
    connection: apsw.Connection, path: Path, kind: FileKind, on_upgrade: Progress | None
) -> None:
    version = _version(connection, path, kind)
    if version == kind.version:
        return
    if on_upgrade is None:
        raise _too_old(path, kind, version)
    retry_while_busy(lambda: _bring_up_to_date(connection, path, kind, on_upgrade), _UPGRADE_PATIENCE_SECONDS)


def _bring_up_to_date(connection: apsw.Connection, path: Path, kind: FileKind, on_upgrade: Progress) -> None:
    with transaction(connection):
        # Again, inside the write lock: another process may have been faster.
        version = _version(connection, path, kind)
        if version == kind.version:
            return
        steps = kind.migrations[1:]
        for step in steps[version - 1 :]:
            step(connection, on_upgrade)
        connection.pragma("user_version", kind.version)
    # It is as long as all that was written; who reads at this moment puts that off.
    with contextlib.suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Hold the write lock for the block; durable when the block is left, undone when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors, and may fail at it again: the first error is the one to tell.
        with contextlib.suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _version(connection: apsw.Connection, path: Path, kind: FileKind) -> int:
    application_id = connection.pragma("application_id")
    version = connection.pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if (application_id, version, tables) == (0, 0, 0):
        return 0
    if application_id != kind.application_id:
        raise kind.unavailable(
            str(path),
            f"it is a file of something else, not a {kind.name} of the tracking gateway",
            f"give the {kind.name} a path of its own",
        )
    if version > kind.version:
        raise kind.unavailable(
            str(path),
            f"a newer program wrote it: its tables are of version {version}, this one knows {kind.version}",
            "run the newer version of the gateway; there is no way back to an older one",
        )
    return int(version)


def _hint(path: Path, kind: FileKind, error: Exception) -> str:
    if not path.parent.is_dir():
        return f"make the directory {path.parent} and let the gateway's user write in it"
    room = f"make room on the disk of {path.parent}"
    if isinstance(error, (apsw.IOError, apsw.CantOpenError)) and _is_full(path.parent):
        return room
    if isinstance(error, apsw.CantOpenError) and not path.exists():
        return f"check the path, and that the gateway's user may write in {path.parent}"
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return f"another process holds it for long: `fuser {path}` finds it"
        case apsw.NotADBError() | apsw.CorruptError():
            return f"keep the broken file for inspection and put a backup of the {kind.name} in its place"
        case apsw.FullError() | OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return room
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError() | PermissionError():
            return f"let the gateway's user write {path} and its directory, on a disk that is not mounted read-only"
        case _:
            return f"look into the system's log for trouble with the disk of {path.parent}"


def _is_full(folder: Path) -> bool:
    """Tell whether a disk has no room for what even a reader makes: the shared memory beside the file."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_ROOM_BYTES or (disk.f_files > 0 and disk.f_favail == 0)


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
