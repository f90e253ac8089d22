"""Processes, sockets and signals: one gateway in this process, or a supervisor over several on one port.

Each worker is a process of its own with its own spool partition; they share the ledger's and the quarantine's files, and the
kernel spreads connections over them (`SO_REUSEPORT`). A worker that dies is started again, with the settings that the
supervisor has read: what happens to the file meanwhile changes nothing. One gateway at a time uses a data folder. SIGTERM or
SIGINT drains and ends with 0; a second signal ends at once, which loses nothing acknowledged. A worker whose supervisor is
gone ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING

import orjson
import uvloop
from aiohttp import web

from gateway.app import DataDirUnusable, make_data_dir, running_gateway
from gateway.telemetry.logging import Log, open_log
from gateway.telemetry.metrics import mark_process_dead, merged_exposition
from gateway.web.admin import build_admin

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from gateway.settings import Settings

_CHECK_SECONDS = 0.25
_RESTART_SECONDS = 1.0
# Draining is bounded twice, for answers and for deliveries; closing files comes on top.
_GRACE_SECONDS = 5.0
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_SETTINGS_PREFIX = "TRACKING_GATEWAY_"


class AddressTaken(Exception):
    """A port to listen on is in use: which one, and the setting that changes it."""

    def __init__(self, host: str, port: int, key: str) -> None:
        super().__init__(
            f"{key} = {port} is taken: something listens on {host}, port {port}, already; end it or set another port"
        )
        self.host = host
        self.port = port
        self.key = key


def serve(settings: Settings) -> None:
    """Run until a signal says stop; with `workers > 1`, the workers and a supervisor over them.

    Raises `AddressTaken`, `DataDirUnusable` (also when another gateway uses it), and what `running_gateway` raises.
    """
    make_data_dir(settings.data_dir)
    with _only_user(settings.data_dir), _named_addresses(settings):
        uvloop.run(_serve_here(settings) if settings.server.workers == 1 else _supervise(settings))


def work(settings: Settings, index: int, report_fd: int, listener_fd: int) -> None:
    """Be worker `index`: take events on the inherited socket and report readiness to the supervisor, a JSON line a change."""
    uvloop.run(_work(settings, index, report_fd, listener_fd))


async def _serve_here(settings: Settings) -> None:
    stop = stop_signal()
    log = open_log(settings.logging)
    try:
        async with running_gateway(settings, log):
            await stop.wait()
    finally:
        log.close()


def stop_signal() -> asyncio.Event:
    """Give an event that SIGTERM or SIGINT sets; the second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


async def _work(settings: Settings, index: int, report_fd: int, listener_fd: int) -> None:
    stop = stop_signal()
    log = open_log(settings.logging, worker=index)
    listener = socket.socket(fileno=listener_fd)
    supervisor = os.getppid()
    try:
        async with running_gateway(
            settings, log, worker=index, listener=listener, with_admin=False
        ) as running:
            said: dict[str, str] | None = None
            # Without its supervisor nobody would ever stop this process. The pipe tells of one that was gone before the
            # first look at the parent.
            with contextlib.suppress(BrokenPipeError):
                while not stop.is_set() and os.getppid() == supervisor:
                    problems = running.problems()
                    if problems != said:
                        os.write(report_fd, orjson.dumps(problems) + b"\n")
                        said = problems
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
    finally:
        log.close()


class _Worker:
    """What the supervisor knows of one worker."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.problems: dict[str, str] = {"worker": "starting"}


async def _supervise(settings: Settings) -> None:
    stop = stop_signal()
    metrics_dir = settings.data_dir / "metrics"
    # Left-over files would count the events of an earlier run again.
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir(mode=0o700)
    workers = [_Worker(index) for index in range(settings.server.workers)]

    def problems() -> dict[str, str]:
        return {
            f"worker {each.index}: {part}": what for each in workers for part, what in each.problems.items()
        }

    runner = web.AppRunner(
        build_admin(problems, lambda: merged_exposition(str(metrics_dir))), access_log=None
    )
    log = open_log(settings.logging)
    try:
        with _reserved(settings) as port:
            await runner.setup()
            await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
            log.logger.info(
                "supervising", workers=len(workers), listen=f"http://{settings.server.host}:{port}"
            )
            await _all([_keep(each, settings, port, metrics_dir, log, stop) for each in workers])
    finally:
        await runner.cleanup()
        log.close()


async def _all(coroutines: list[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in coroutines:
            group.create_task(each)


async def _keep(
    worker: _Worker, settings: Settings, port: int, metrics_dir: Path, log: Log, stop: asyncio.Event
) -> None:
    """Start a worker, again whenever it ends, until told to stop; then end it in order."""
    while not stop.is_set():
        try:
            process, reader = await _start(worker, settings, port, metrics_dir)
        except OSError as error:
            # No memory, no process or no descriptor left: the other workers go on, and this may pass.
            worker.problems = {"worker": "can't be started"}
            log.logger.error("worker_not_started", worker=worker.index, cause=error.strerror)  # noqa: TRY400 -- no trace
            await _sleep(stop, _RESTART_SECONDS)
            continue
        log.logger.info("worker_started", worker=worker.index, pid=process.pid)
        listening = asyncio.create_task(_listen(worker, reader))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await _end(worker, process, settings, log)
        stopping.cancel()
        await asyncio.wait({ended, listening})
        worker.problems = {"worker": "not running"}
        mark_process_dead(process.pid, str(metrics_dir))
        if stop.is_set():
            log.logger.info(
                "worker_stopped", worker=worker.index, pid=process.pid, exit_code=process.returncode
            )
            return
        log.logger.error("worker_died", worker=worker.index, pid=process.pid, exit_code=process.returncode)
        await _sleep(stop, _RESTART_SECONDS)


async def _end(worker: _Worker, process: asyncio.subprocess.Process, settings: Settings, log: Log) -> None:
    """Ask a worker to end in order; one that does not within the bound is killed, which loses nothing acknowledged."""
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), 2 * settings.server.drain_seconds + _GRACE_SECONDS)
    except TimeoutError:
        process.kill()
        log.logger.error("worker_killed", worker=worker.index, pid=process.pid)  # noqa: TRY400 -- no trace


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _start(
    worker: _Worker, settings: Settings, port: int, metrics_dir: Path
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    worker.problems = {"worker": "starting"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_PREFIX)}
    read_end, write_end = os.pipe()
    report = os.fdopen(read_end, "rb", 0)
    try:
        with _listener(settings.server.host, port) as listener:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve"),
                *("--worker", f"{worker.index}:{write_end}:{listener.fileno()}"),
                pass_fds=(write_end, listener.fileno()),
                stdin=asyncio.subprocess.PIPE,
                env={**environment, _MULTIPROCESS: str(metrics_dir)},
                # A Ctrl-C on the terminal goes to the supervisor alone, which then ends its workers in order.
                start_new_session=True,
            )
    except BaseException:
        report.close()
        raise
    finally:
        os.close(write_end)
    assert process.stdin is not None
    process.stdin.write(orjson.dumps(settings.revealed()))
    process.stdin.close()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), report)
    return process, reader


async def _listen(worker: _Worker, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        worker.problems = orjson.loads(line)


@contextlib.contextmanager
def _only_user(data_dir: Path) -> Iterator[None]:
    """Hold the data folder against other gateways; the system takes the lock back when this process ends, however it ends."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            cause = f"another gateway, process {owner}, uses it"
            raise DataDirUnusable(data_dir, cause) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named_addresses(settings: Settings) -> Iterator[None]:
    """Say which setting holds an address that is in use."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        server, admin = settings.server, settings.admin
        # The event loop's message has the address in it, as ('127.0.0.1', 9090); that of a bare socket has none.
        is_admin = re.search(rf", {admin.port}[,)]", str(error)) is not None
        host, port, key = (
            (admin.host, admin.port, "admin.port") if is_admin else (server.host, server.port, "server.port")
        )
        raise AddressTaken(host, port, key) from error


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Hold the public address without listening, and give its port: one that is taken shows before any worker starts."""
    host, port = settings.server.host, settings.server.port
    if port:
        # A socket that shares its port would be given one that another gateway shares as well.
        _listener(host, port, shared=False).close()
    with _listener(host, port) as reserved:
        yield reserved.getsockname()[1]


def _listener(host: str, port: int, *, shared: bool = True) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
