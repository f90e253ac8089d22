"""A writer and a reader of a store's file that mend themselves: after trouble with the disk, the next call opens it anew.

The writer belongs to one thread (the one of a `GroupCommit`), the reader to another (the event loop's), so neither needs a
lock. A busy file is waited for, up to a bound; whatever else SQLite says costs the connection, because after an I/O error
its view of the file is not to be trusted. The error goes to the caller, as the kind's exception; the repair is tried on
the next call, so a disk that comes back is used again without a restart.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from gateway.storage.checkpoints import Checkpointer
from gateway.storage.sqlite_file import (
    explained,
    open_for_reading,
    open_for_writing,
    retry_while_busy,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.storage.sqlite_file import FileKind, Progress

Result = TypeVar("Result")
Row = tuple[Any, ...]


class SqliteWriter:
    """The connection through which a process writes; makes the file where there is none. Raises `kind.unavailable`.

    `has_checkpointer`: the log is written back in a thread beside the writer (`gateway.storage.checkpoints`). `on_upgrade` allows to
    bring an older file up to date, and hears how far that is; without it an older file is refused.
    """

    def __init__(
        self,
        path: Path,
        kind: FileKind,
        *,
        patience_seconds: float,
        has_checkpointer: bool = False,
        on_upgrade: Progress | None = None,
    ) -> None:
        self._path = path
        self._kind = kind
        self._patience_seconds = patience_seconds
        self._is_closed = False
        self._checkpointer = (
            Checkpointer(lambda: open_for_writing(path, kind, patience_seconds)) if has_checkpointer else None
        )
        self._connection: apsw.Connection | None = self._open(on_upgrade)

    def run(self, work: Callable[[apsw.Connection], Result]) -> Result:
        """Run `work`, which is one transaction: a single statement, or a block of `sqlite_file.transaction`.

        Durable on return; it may run more than once. Raises `kind.unavailable`: then the transaction was undone, except
        that a failure of the sync itself leaves that open.
        """
        if self._is_closed:
            raise closed(self._path, self._kind)
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        results: list[Result] = []
        try:
            retry_while_busy(lambda: results.append(work(connection)), self._patience_seconds)
        except apsw.BusyError as error:
            raise unavailable(self._path, self._kind, error) from error
        except apsw.Error as error:
            self._connection = None
            _drop(connection)
            raise unavailable(self._path, self._kind, error) from error
        if self._checkpointer is not None:
            self._checkpointer.after_commit(connection)
        return results[-1]

    def _open(self, on_upgrade: Progress | None = None) -> apsw.Connection:
        connection = open_for_writing(self._path, self._kind, self._patience_seconds, on_upgrade=on_upgrade)
        if self._checkpointer is not None:
            self._checkpointer.watch(connection)
        return connection

    def empty_log(self) -> None:
        """Write the log back into the file and cut it to nothing, so that what was overwritten is in neither.

        Waits for readers and writers of other processes, up to the bound. Raises `kind.unavailable`.
        """

        def attempt(connection: apsw.Connection) -> None:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

        self.run(attempt)

    def close(self) -> None:
        """Let go of the file for good; the last one to do so writes the log back into it. Raises `kind.unavailable`."""
        self._is_closed = True
        if self._checkpointer is not None:
            self._checkpointer.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            with explained(self._path, self._kind):
                connection.close()


class SqliteReader:
    """The connection through which a process reads; it can't write. Raises `kind.unavailable`.

    Each statement is read to its end at once: a read left open would keep the log from being emptied.
    """

    def __init__(self, path: Path, kind: FileKind, *, patience_seconds: float) -> None:
        self._path = path
        self._kind = kind
        self._patience_seconds = patience_seconds
        self._is_closed = False
        self._connection: apsw.Connection | None = None
        self._cursor: apsw.Cursor = self._open()

    def value(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Give the one value of the one row, or `None` when there is no row. Raises `kind.unavailable`."""
        try:
            return (self._cursor if self._connection else self._open()).execute(statement, parameters).get
        except apsw.Error as error:
            raise self._failed(error) from error

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """Give all rows. Raises `kind.unavailable`."""
        try:
            return (
                (self._cursor if self._connection else self._open()).execute(statement, parameters).fetchall()
            )
        except apsw.Error as error:
            raise self._failed(error) from error

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Read one unchanging state of the file within the block, whatever is written meanwhile.

        The log can't be emptied until the block is left, so it grows with what is written. Raises `kind.unavailable`.
        """
        # A transaction begins to read with its first read.
        self.rows("BEGIN")
        self.value("SELECT count(*) FROM sqlite_schema")
        try:
            yield
        finally:
            if self._connection is not None and self._connection.in_transaction:
                self.rows("ROLLBACK")

    def bytes_on_disk(self) -> int:
        """Give the size of the file and its log."""
        size = 0
        for each in (self._path, self._path.with_name(self._path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                size += each.stat().st_size
        return size

    def close(self) -> None:
        """Let go of the file for good."""
        self._is_closed = True
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _drop(connection)

    def _open(self) -> apsw.Cursor:
        if self._is_closed:
            raise closed(self._path, self._kind)
        self._connection = open_for_reading(self._path, self._kind, self._patience_seconds)
        self._cursor = self._connection.cursor()
        return self._cursor

    def _failed(self, error: apsw.Error) -> Exception:
        if not isinstance(error, apsw.BusyError):
            self._let_go()
        return unavailable(self._path, self._kind, error)


def closed(path: Path, kind: FileKind) -> Exception:
    """Make the exception for a store that was closed by its owner."""
    return kind.unavailable(str(path), "it was closed", f"open the {kind.name} again")


def _drop(connection: apsw.Connection) -> None:
    # It is given up because it failed, so that it fails to close as well says nothing new.
    with contextlib.suppress(apsw.Error):
        connection.close()
