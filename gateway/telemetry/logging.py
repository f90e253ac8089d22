"""Log lines: JSON by way of structlog and orjson, or coloured text on a terminal.

What always holds: a line costs the event loop microseconds, whatever becomes of it, since a thread of its own writes what has
gathered every 50 ms, and warnings and errors at once; the gathered lines are bounded, and what the bound or a full disk throws
away is counted and said; a log that can't be written stops nothing else; what was logged before `close` is written when it
returns. A line is written in one piece, so several workers may share a file or a pipe.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO, cast

import orjson
import structlog

from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import BinaryIO

    from gateway.settings import Logging

_INTERVAL_SECONDS = 0.05
_CLOSE_SECONDS = 5.0
_MAX_GATHERED = 200_000
_MAX_WRITE = 1 << 20
_EVENTS = 256
_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LineWriter:
    """Gathers lines and writes them from a thread of its own. It is structlog's innermost logger.

    `stream` is unbuffered. At most `max_lines` wait; `close` waits `close_seconds` for a stream that takes nothing.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        interval_seconds: float = _INTERVAL_SECONDS,
        max_lines: int = _MAX_GATHERED,
        close_seconds: float = _CLOSE_SECONDS,
    ) -> None:
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._max_lines = max_lines
        self._close_seconds = close_seconds
        self._max_write = _atomic_write(stream)
        self._lines: deque[bytes] = deque()
        # The first is counted by those who log, the others by those who write: no count has two owners.
        self._refused = 0
        self._lost = 0
        self._confessed = 0
        self._is_torn = False
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def info(self, line: bytes) -> None:
        """Gather a line; it is written within 50 ms."""
        if len(self._lines) < self._max_lines:
            self._lines.append(line)
        else:
            self._refused += 1

    def warning(self, line: bytes) -> None:
        """Have a line written at once, after all that were gathered before it."""
        self.info(line)
        self._wake.set()

    error = warning
    critical = warning

    def flush(self) -> None:
        """Write everything that was gathered."""
        with self._writing:
            gathered = [self._lines.popleft() for _ in range(len(self._lines))]
            self._lost += len(gathered) - self._write(gathered)
            missing = self._refused + self._lost - self._confessed
            if missing:
                fields = {"event": "log_lines_dropped", "level": "error", "count": missing}
                self._confessed += missing * self._write([_render(None, "error", fields)])

    def close(self) -> None:
        """Write what is left and stop the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join(self._close_seconds)
        # A stream that takes nothing now would hold the process for ever.
        if not self._thread.is_alive():
            self.flush()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval_seconds)
            self._wake.clear()
            self.flush()

    def _write(self, lines: list[bytes]) -> int:
        """Write lines in pieces that the system keeps together, and give how many could be written."""
        start = 0
        while start < len(lines):
            end, size = start + 1, len(lines[start]) + 1
            while end < len(lines) and size + len(lines[end]) < self._max_write:
                size += len(lines[end]) + 1
                end += 1
            try:
                self._write_piece(b"\n".join(lines[start:end]) + b"\n")
            except (OSError, ValueError):
                # Nowhere to say it: a log on a full disk must not stop the events.
                break
            start = end
        return start

    def _write_piece(self, piece: bytes) -> None:
        rest = memoryview(b"\n" + piece if self._is_torn else piece)
        while rest:
            count = self._stream.write(rest)
            if not count:
                raise BlockingIOError
            # Should the rest fail, the next piece must not go on in the middle of this line.
            self._is_torn = count < len(rest)
            rest = rest[count:]


def _atomic_write(stream: BinaryIO) -> int:
    """Give how many bytes of several writers a stream keeps together: a pipe few, a file all."""
    try:
        is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        is_file = True
    return _MAX_WRITE if is_file else select.PIPE_BUF


class Log:
    """The gateway's log: `logger` for those who log, `line` for those who log for each event, `close` for who stops it."""

    def __init__(
        self,
        logger: structlog.typing.FilteringBoundLogger,
        writer: LineWriter,
        file: BinaryIO | None,
        line: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self.logger = logger
        self.line = line
        """Log `(level, event, fields)` as `logger` would; it takes the fields over. A third of the cost where lines are JSON.

        `fields` are not empty, and none of them is `timestamp`, `level`, `event` or `worker`.
        """
        self._writer = writer
        self._file = file
        self._bridge = _Bridge(logger)
        logging.getLogger().addHandler(self._bridge)

    def close(self) -> None:
        """Write what was logged and let go of the file; what comes later goes nowhere."""
        logging.getLogger().removeHandler(self._bridge)
        self._writer.close()
        if self._file is not None:
            # A disk that is full says so once more; the lines that it cost were counted.
            with contextlib.suppress(OSError):
                self._file.close()


def open_log(settings: Logging, stream: TextIO | None = None, *, worker: int | None = None) -> Log:
    """Open the log as the settings say. `stream` stands in for standard error; `worker` is said on every line.

    Lines of libraries (through the standard library's logging) join it with the exception's type, never its message.
    """
    console = stream or sys.stderr
    use_console = settings.format == "console" or (
        settings.format == "auto" and not settings.file and console.isatty()
    )
    file: BinaryIO | None = None
    if settings.file:
        file = open(settings.file, "ab", buffering=0)  # noqa: SIM115, PTH123 -- closed by `Log.close`
    writer = LineWriter(file or _unbuffered(console))
    processors: list[Any] = [_add_level, _render]
    if use_console:
        colours = structlog.dev.ConsoleRenderer(colors=file is None and console.isatty(), pad_event_to=20)
        processors = [_add_level, _add_local_time, colours, _encode]
    logger = structlog.wrap_logger(
        writer,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
    )
    bound: structlog.typing.FilteringBoundLogger = logger.bind(
        **({} if worker is None else {"worker": worker})
    )
    threshold = _LEVELS[settings.level]
    always: dict[str, Any] = {} if worker is None else {"worker": worker}

    @lru_cache(_EVENTS)
    def before_fields(level: str, event: str) -> bytes:
        return b"," + orjson.dumps({"level": level, "event": event, **always})[1:-1] + b","

    def json_line(level: str, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] >= threshold:
            # As `_render` does it, but in pieces: most of a line is the same each time.
            write = writer.info if level == "info" else writer.warning
            start = f'{{"timestamp":"{_timestamp()}"'.encode()
            write(b"".join((start, before_fields(level, event), orjson.dumps(fields, default=str)[1:])))

    def console_line(level: str, event: str, fields: dict[str, Any]) -> None:
        getattr(bound, level)(event, **fields)

    return Log(bound, writer, file, console_line if use_console else json_line)


def _unbuffered(console: TextIO) -> BinaryIO:
    console.flush()
    return cast("BinaryIO", getattr(console.buffer, "raw", console.buffer))


class _Bridge(logging.Handler):
    """Brings warnings and errors of libraries into the log, without values: their messages may quote what a client sent."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log where a library complained, and of what type of exception."""
        fields = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        log = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        # The template alone, and of it the first line: asyncio's messages go on with values.
        message = redact(str(record.msg).partition("\n")[0])
        log("library", library=record.name, message=message, **fields)


def describe(error: BaseException) -> dict[str, str]:
    """Say what an unexpected exception was without its message: type, and the place in the code where it came from."""
    trace = error.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": " < ".join(reversed(places[-4:]))}


def _add_level(_: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["level"] = method
    return fields


def _encode(_: Any, __: str, line: str) -> bytes:
    return line.encode("utf-8", "replace")


def _add_local_time(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["timestamp"] = datetime.now(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return fields


def _render(_: Any, __: str, fields: MutableMapping[str, Any]) -> bytes:
    # What a person's eye looks for comes first.
    line = {"timestamp": _timestamp(), "level": fields.pop("level"), "event": fields.pop("event"), **fields}
    return orjson.dumps(line, default=str)


def _timestamp() -> str:
    now_ms = time.time_ns() // 1_000_000
    return _second(now_ms // 1000) + _MILLISECONDS[now_ms % 1000]


@lru_cache(16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
