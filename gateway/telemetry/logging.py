"""Log lines: JSON by way of structlog and orjson, or coloured text on a terminal.

What always holds: a line costs the event loop microseconds, since a thread writes what has gathered every 50 ms; warnings and
errors are written at once; the gathered lines are bounded, and what the bound throws away is counted and said; what was
logged before `close` is written when it returns.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog

from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import BinaryIO

    from gateway.settings import Logging

_INTERVAL_SECONDS = 0.05
_MAX_GATHERED = 200_000
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LineWriter:
    """Gathers lines and writes them from a thread of its own. It is structlog's innermost logger."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def info(self, line: bytes) -> None:
        """Gather a line; it is written within 50 ms."""
        if len(self._lines) >= _MAX_GATHERED:
            self._dropped += 1
        else:
            self._lines.append(line)

    def warning(self, line: bytes) -> None:
        """Write a line, after all that were gathered before it."""
        self._lines.append(line)
        self.flush()

    error = warning
    critical = warning

    def flush(self) -> None:
        """Write everything that was gathered."""
        with self._lock:
            gathered = []
            while self._lines:
                gathered.append(self._lines.popleft())
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                gathered.append(
                    orjson.dumps({"level": "error", "event": "log_lines_dropped", "count": dropped})
                )
            if gathered:
                try:
                    self._stream.write(b"\n".join(gathered) + b"\n")
                    self._stream.flush()
                except (OSError, ValueError):
                    # Nowhere to say it: a log on a full disk must not stop the events.
                    self._dropped += len(gathered)

    def close(self) -> None:
        """Write what is left and stop the thread."""
        self._closing.set()
        self._thread.join(timeout=5)
        self.flush()

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL_SECONDS):
            self.flush()


class Log:
    """The gateway's log: `logger` for those who log, `close` for the one who stops it."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger, close: Callable[[], None]) -> None:
        self.logger = logger
        self.close = close


def open_log(settings: Logging, stream: TextIO | None = None, *, worker: int | None = None) -> Log:
    """Open the log as the settings say. `stream` stands in for standard error; `worker` is said on every line.

    Lines of libraries (through the standard library's logging) join it with the exception's type, never its message.
    """
    console = stream or sys.stderr
    use_console = settings.format == "console" or (
        settings.format == "auto" and not settings.file and console.isatty()
    )
    wrapper = structlog.make_filtering_bound_logger(_LEVELS[settings.level])
    if use_console:
        logger = structlog.wrap_logger(
            structlog.PrintLogger(console),
            processors=[
                _add_level,
                _add_local_time,
                structlog.dev.ConsoleRenderer(colors=console.isatty(), pad_event_to=20),
            ],
            wrapper_class=wrapper,
        )
        close: Callable[[], None] = console.flush
    else:
        raw = open(settings.file, "ab") if settings.file else console.buffer  # noqa: SIM115, PTH123 -- closed by `close`
        writer = LineWriter(raw)
        logger = structlog.wrap_logger(writer, processors=[_add_level, _render], wrapper_class=wrapper)

        def close() -> None:
            writer.close()
            if settings.file:
                raw.close()

    bound: structlog.typing.FilteringBoundLogger = logger.bind(
        **({} if worker is None else {"worker": worker})
    )
    bridge = _Bridge(bound)
    root = logging.getLogger()
    root.addHandler(bridge)

    def close_all() -> None:
        root.removeHandler(bridge)
        close()

    return Log(bound, close_all)


class _Bridge(logging.Handler):
    """Brings warnings and errors of libraries into the log, without values: their messages may quote what a client sent."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log where a library complained, and of what type of exception."""
        fields = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        log = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        log("library", library=record.name, message=redact(str(record.msg)), **fields)


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


def _add_local_time(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["timestamp"] = datetime.now(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return fields


def _render(_: Any, __: str, fields: MutableMapping[str, Any]) -> bytes:
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    timestamp = f"{_second(seconds)}.{milliseconds:03d}Z"
    # What a person's eye looks for comes first.
    line = {"timestamp": timestamp, "level": fields.pop("level"), "event": fields.pop("event"), **fields}
    return orjson.dumps(line, default=str)


@lru_cache(16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
