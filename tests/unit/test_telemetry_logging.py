"""The log: where lines go, in which order, and what happens when they can't go there."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import threading

import orjson
import pytest

from gateway.settings import Logging
from gateway.telemetry.logging import LineWriter, describe, open_log
from tests.processes import until
from tests.unit.ingest_fakes import text_stream

NEVER = 3_600.0


class GatedStream(io.RawIOBase):
    """A stream that takes nothing until its gate is opened, like a pipe whose reader sleeps."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.written = b""

    def writable(self):
        return True

    def write(self, data):
        self.entered.set()
        self.gate.wait()
        self.written += bytes(data)
        return len(data)


class FullDisk(io.RawIOBase):
    """A stream with room for so many bytes; `free` makes more."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.written = b""

    def writable(self):
        return True

    def write(self, data):
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.written += taken
        return len(taken)


def said(stream):
    return stream.buffer.getvalue().decode()


async def test_lines_are_written_in_their_order_whoever_says_them():
    """Infos wait, a warning takes them along and comes after them."""
    stream = io.BytesIO()
    writer = LineWriter(stream, interval_seconds=NEVER)
    writer.info(b"1")
    writer.info(b"2")
    assert b"" == stream.getvalue()
    writer.warning(b"3")

    async def written():
        return stream.getvalue() == b"1\n2\n3\n"

    await until(written, "the warning and what came before it is written")
    writer.info(b"4")
    writer.close()
    assert b"1\n2\n3\n4\n" == stream.getvalue()


def test_close_writes_what_was_gathered():
    """Also when the interval is far from over."""
    stream = io.BytesIO()
    writer = LineWriter(stream, interval_seconds=NEVER)
    for number in range(1_000):
        writer.info(b"%d" % number)
    writer.close()
    assert [b"%d" % number for number in range(1_000)] == stream.getvalue().splitlines()


def test_lines_of_many_threads_stay_whole_and_in_each_threads_order():
    """The writer is shared by the event loop and the stores' threads."""
    stream = io.BytesIO()
    writer = LineWriter(stream, interval_seconds=0.001)

    def say(name):
        for number in range(500):
            (writer.warning if number % 50 == 0 else writer.info)(b"%d %d" % (name, number))

    threads = [threading.Thread(target=say, args=(name,)) for name in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    writer.close()
    found = [tuple(map(int, line.split())) for line in stream.getvalue().splitlines()]
    for name in range(4):
        assert list(range(500)) == [number for who, number in found if who == name]


def test_a_stream_that_blocks_neither_stops_the_caller_nor_fills_the_memory():
    """What does not fit is counted, and the count is said as soon as something can be said again."""
    stream = GatedStream()
    writer = LineWriter(stream, max_lines=10)
    writer.warning(b'{"n":0}')
    assert stream.entered.wait(10)
    for number in range(1, 101):
        (writer.warning if number % 2 else writer.info)(b'{"n":%d}' % number)
    stream.gate.set()
    writer.close()
    found = [orjson.loads(line) for line in stream.written.splitlines()]
    (confession,) = [line for line in found if "n" not in line]
    assert list(range(11)) == [line["n"] for line in found if "n" in line]
    assert ["timestamp", "level", "event", "count"] == list(confession)
    assert ("error", "log_lines_dropped", 90) == tuple(confession[key] for key in ("level", "event", "count"))


def test_a_stream_that_stays_blocked_does_not_hold_the_process():
    """Closing has a bound."""
    stream = GatedStream()
    writer = LineWriter(stream, close_seconds=0.05)
    writer.warning(b"1")
    assert stream.entered.wait(10)
    closing = threading.Thread(target=writer.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    stream.gate.set()


def test_a_full_disk_costs_lines_that_are_counted_and_no_line_is_mangled():
    """The line that was cut off stays alone on its line of the file; the count is right when there is room again."""
    stream = FullDisk(room=12)
    writer = LineWriter(stream, interval_seconds=NEVER)
    for number in range(3):
        writer.info(b'{"n":%d}' % number)
        writer.flush()
    assert b'{"n":0}\n{"n"' == stream.written
    writer.flush()
    stream.room = 1_000
    writer.info(b'{"n":3}')
    writer.close()
    first, torn, after, confession = stream.written.splitlines()
    assert (b'{"n":0}', b'{"n"', b'{"n":3}') == (first, torn, after)
    assert 2 == orjson.loads(confession)["count"]


def test_a_log_on_a_full_disk_stops_nothing(tmp_path):
    """/dev/full refuses every byte: logging and closing go on in silence."""
    log = open_log(Logging(file="/dev/full"))
    log.logger.error("trouble")
    log.logger.info("event", n=1)
    log.close()


async def test_pieces_for_a_pipe_are_small_enough_to_stay_whole():
    """Several workers share standard error; what is longer than PIPE_BUF would be mixed with another's lines."""
    read_end, write_end = os.pipe()
    sizes = []

    class Pipe(io.FileIO):
        def write(self, data):
            sizes.append(len(data))
            return super().write(data)

    received = bytearray()
    reader = threading.Thread(
        target=lambda: [received.extend(part) for part in iter(lambda: os.read(read_end, 65_536), b"")]
    )
    reader.start()
    stream = Pipe(write_end, "wb")
    writer = LineWriter(stream, interval_seconds=NEVER)
    expected = [b"%d " % number + b"x" * (number % 300) for number in range(2_000)]
    for line in expected:
        writer.info(line)
    writer.close()
    stream.close()
    reader.join(10)
    os.close(read_end)
    assert expected == bytes(received).splitlines()
    assert 4_096 >= max(sizes)


def test_json_lines_begin_with_moment_level_and_event(tmp_path):
    """In a file, one object a line, what a person looks for in front."""
    path = tmp_path / "gateway.log"
    log = open_log(Logging(file=str(path)), worker=3)
    log.logger.info("started", listen="http://127.0.0.1:1")
    log.logger.warning("event", outcome="quarantined")
    log.close()
    started, event = map(orjson.loads, path.read_bytes().splitlines())
    assert ["timestamp", "level", "event", "worker", "listen"] == list(started)
    assert ("info", "started", 3) == (started["level"], started["event"], started["worker"])
    assert ("warning", "event", "quarantined") == (event["level"], event["event"], event["outcome"])
    assert started["timestamp"][10] + started["timestamp"][-5] + started["timestamp"][-1] == "T.Z"


def test_a_line_of_an_event_is_what_the_logger_would_write(tmp_path):
    """Said the short way or the long one: the same fields in the same order, but for the moment."""
    path = tmp_path / "gateway.log"
    log = open_log(Logging(file=str(path)), worker=3)
    fields = {"outcome": "accepted", "category": 'a "quoted" \u1ec7', "keys": ("a", "b"), "odd": path}
    log.line("warning", "event", dict(fields))
    log.logger.warning("event", **fields)
    log.close()
    short, long = (line.partition(b",")[2] for line in path.read_bytes().splitlines())
    assert long == short


def test_a_file_is_appended_to(tmp_path):
    """A restart does not cost yesterday's lines."""
    path = tmp_path / "gateway.log"
    for name in ("first", "second"):
        log = open_log(Logging(file=str(path)))
        log.logger.info(name)
        log.close()
    assert ["first", "second"] == [orjson.loads(line)["event"] for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(("level", "expected"), [("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(level, expected):
    """As `logging.level` says."""
    stream = text_stream()
    log = open_log(Logging(format="json", level=level), stream)
    log.logger.info("a")
    log.logger.warning("b")
    log.logger.error("c")
    log.close()
    assert expected == len(said(stream).splitlines())


def test_what_is_no_terminal_gets_json_and_console_text_must_be_asked_for():
    """`auto` decides by the stream; `console` is one readable line, without colours where they would be noise."""
    automatic, asked = text_stream(), text_stream()
    for stream, settings in ((automatic, Logging()), (asked, Logging(format="console"))):
        log = open_log(settings, stream)
        log.logger.warning("event", outcome="dropped", reason="unknown_property")
        log.close()
    assert "dropped" == orjson.loads(said(automatic))["outcome"]
    line = said(asked)
    assert 1 == line.count("\n")
    assert "\x1b" not in line
    assert [] == [word for word in ("warning", "event", "outcome=dropped") if word not in line]
    assert line.index("warning") < line.index("event") < line.index("outcome")


def test_a_console_that_is_gone_stops_nothing():
    """The terminal was closed: events go on."""
    stream = text_stream()
    log = open_log(Logging(format="console"), stream)
    stream.buffer.close()
    log.logger.error("event")
    log.close()


def test_what_libraries_complain_of_joins_without_their_values():
    """Template and type of exception are said, arguments and messages never; their infos are left out."""
    stream = text_stream()
    log = open_log(Logging(format="json"), stream)
    library = logging.getLogger("a.library")
    try:
        int("canary@example.com")
    except ValueError:
        library.exception("Error handling request from %s", "canary@example.com")
    library.warning("bad header %r", "canary@example.com")
    library.error("Task exception was never retrieved\nfuture: canary")
    library.info("canary@example.com")
    log.close()
    library.error("after the end")
    error, warning, task = map(orjson.loads, said(stream).splitlines())
    assert "canary" not in said(stream)
    assert ("error", "library", "a.library", "ValueError") == tuple(
        error[key] for key in ("level", "event", "library", "error")
    )
    assert error["at"].startswith("test_telemetry_logging.py:")
    assert "Error handling request from %s" == error["message"]
    assert ("warning", "bad header %r") == (warning["level"], warning["message"])
    assert "Task exception was never retrieved" == task["message"]


def test_an_unexpected_exception_is_described_by_type_and_place():
    """The innermost place first, and never the message."""

    def fail():
        raise RuntimeError("canary@example.com")

    try:
        fail()
    except RuntimeError as error:
        described = describe(error)
    assert "RuntimeError" == described["error"]
    assert described["at"].split(" < ")[0].endswith(":fail")
    assert "canary" not in str(described)


async def test_logging_costs_the_event_loop_no_waiting():
    """While the stream takes nothing, the loop goes on turning."""
    stream = GatedStream()
    writer = LineWriter(stream)
    for number in range(100):
        writer.warning(b"%d" % number)
        await asyncio.sleep(0)
    assert b"" == stream.written
    stream.gate.set()
    writer.close()
    assert 100 == stream.written.count(b"\n")
