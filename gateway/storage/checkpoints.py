"""Writing the log back into the file beside the writer, so that who commits does not wait for it.

SQLite by itself writes the log back in the commit that makes it too long: with pages in random order that takes 50 ms, for which
every waiting caller waits (measured with ten million rows: a third of all the time that binding takes). Here a thread with a connection
of its own does most of it while the writer goes on. But SQLite begins the log anew only when all of it has been written back, and
while commits come there is always a rest. So when the log has become far too long, the writer itself writes that rest, which is short by
then. What always holds:

- A commit is durable without any of this: it is in the log, synced. A checkpoint that fails is tried again, and loses nothing.
- The log stays below about `most_pages`, as long as no reader holds it.
- The thread starts with the first log that is long enough; a store with little traffic never has one.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable


class Checkpointer:
    """Keeps the log of one writer short; `open_connection` gives another connection to the same file.

    `some_pages` of log wake the thread, `most_pages` make the writer finish. All methods are the writer's, on its thread.
    """

    def __init__(
        self,
        open_connection: Callable[[], apsw.Connection],
        *,
        some_pages: int = 4_000,
        most_pages: int = 16_000,
    ) -> None:
        self._open_connection = open_connection
        self._some_pages = some_pages
        self._most_pages = most_pages
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_closing = False
        # Held while pages are written back: SQLite refuses a second one at a time.
        self._writing_back = threading.Lock()
        self._log_pages = 0
        self._asked_pages = 0

    def watch(self, connection: apsw.Connection) -> None:
        """Take over from SQLite for the writer's connection."""
        connection.pragma("wal_autocheckpoint", 0)
        connection.set_wal_hook(self._committed)

    def after_commit(self, connection: apsw.Connection) -> None:
        """Do what the length of the log asks for; to be called when no transaction is open."""
        pages = self._log_pages
        if pages < self._asked_pages:
            # The log began anew.
            self._asked_pages = 0
        if pages >= self._most_pages:
            with self._writing_back:
                _write_back(connection)
            self._asked_pages = self._log_pages = 0
        elif pages - self._asked_pages >= self._some_pages:
            self._asked_pages = pages
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._wake.set()

    def close(self) -> None:
        """End the thread, and let go of its connection."""
        self._is_closing = True
        if self._thread is not None:
            self._wake.set()
            self._thread.join()
            self._thread = None

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        while self._wake.wait() and not self._is_closing:
            self._wake.clear()
            # Whatever is wrong with the file, the writer meets it too, and tells it to somebody who waits.
            with self._writing_back, contextlib.suppress(Exception):
                connection = connection or self._open_connection()
                _write_back(connection)
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close()


def _write_back(connection: apsw.Connection) -> None:
    # As SQLite's own: a checkpoint that can't be made now is made later.
    with contextlib.suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
