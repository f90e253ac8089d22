"""The log of a busy file is written back beside the writer: it stays short, and nothing in it is lost."""

from __future__ import annotations

import threading
import time

import apsw
import pytest

from gateway.ledger.contract import LedgerUnavailable
from gateway.storage.checkpoints import Checkpointer
from gateway.storage.sqlite_access import SqliteWriter
from gateway.storage.sqlite_file import FileKind, open_for_writing

KIND = FileKind(
    "ledger", 7, ("CREATE TABLE row (id INTEGER PRIMARY KEY, content BLOB) STRICT",), LedgerUnavailable
)
PAGE = 4096


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.db"


@pytest.fixture
def writer(path):
    made = SqliteWriter(path, KIND, patience_seconds=5, has_checkpointer=True)
    made._checkpointer._some_pages, made._checkpointer._most_pages = 40, 200
    yield made
    made.close()


def add(writer, rows: int) -> None:
    for _ in range(rows):
        writer.run(
            lambda connection: connection.execute("INSERT INTO row (content) VALUES (randomblob(9000))")
        )


def log_pages(path) -> int:
    return path.with_name("file.db-wal").stat().st_size // PAGE


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "checkpoints"]


def test_a_short_log_needs_no_thread(path, writer):
    """A store with little traffic never has the thread."""
    add(writer, 5)

    assert threads() == []


def test_a_long_log_is_written_back_while_the_writer_goes_on(path, writer):
    """The thread brings the pages into the file; the writer commits meanwhile and does not have to."""
    add(writer, 30)

    until(lambda: path.stat().st_size >= 30 * 2 * PAGE)
    assert threads() == ["checkpoints"]
    assert log_pages(path) < 200
    add(writer, 1)
    assert 31 == writer.run(lambda connection: connection.execute("SELECT count(*) FROM row").get)


def test_the_log_stays_short_without_a_pause(path, writer):
    """Ten times as many pages as the log may have are committed in a row: it never gets much longer than that."""
    longest = 0
    for _ in range(500):
        add(writer, 1)
        longest = max(longest, log_pages(path))

    assert 200 <= longest < 230
    with apsw.Connection(str(path)) as other:
        assert 500 == other.execute("SELECT count(*) FROM row").get


def test_a_reader_that_holds_the_log_holds_nobody_up(path, writer):
    """While somebody reads one state for long, the log grows; when they are done, it begins anew."""
    add(writer, 1)
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    assert 1 == reader.execute("SELECT count(*) FROM row").get

    add(writer, 150)
    assert log_pages(path) > 300
    assert 1 == reader.execute("SELECT count(*) FROM row").get
    reader.execute("ROLLBACK")
    reader.close()
    add(writer, 2)

    until(lambda: path.stat().st_size >= 150 * 2 * PAGE)
    assert 153 == writer.run(lambda connection: connection.execute("SELECT count(*) FROM row").get)


def test_closing_ends_the_thread_and_leaves_no_log(path, writer):
    """After `close` there is one file, and no thread."""
    add(writer, 100)
    until(lambda: threads() == ["checkpoints"])

    writer.close()

    assert threads() == []
    assert [file.name for file in path.parent.iterdir()] == ["file.db"]


def test_a_thread_that_cant_open_the_file_does_no_harm(path):
    """When the thread's own connection fails, commits go on, and the writer keeps the log short by itself."""

    def broken() -> apsw.Connection:
        raise LedgerUnavailable("here", "no more handles")

    checkpointer = Checkpointer(broken, some_pages=10, most_pages=50)
    connection = open_for_writing(path, KIND, 5)
    checkpointer.watch(connection)

    for _ in range(60):
        connection.execute("INSERT INTO row (content) VALUES (randomblob(9000))")
        checkpointer.after_commit(connection)

    assert log_pages(path) < 80
    checkpointer.close()
    connection.close()
