"""Processes, sockets and signals: one gateway in this process, or a supervisor over several on one port.

Each worker is a process of its own with its own spool partition; they share the ledger's and the quarantine's files, and the
kernel spreads connections over them (`SO_REUSEPORT`). A worker that dies is started again. SIGTERM or SIGINT drains and ends
with 0; a second signal ends at once, which loses nothing acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING

import orjson
import uvloop
from aiohttp import web

from gateway.app import Running, make_data_dir, running_gateway
from gateway.telemetry.logging import Log, open_log
from gateway.telemetry.metrics import mark_process_dead, merged_exposition
from gateway.web.admin import build_admin

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from gateway.settings import Settings

_CHECK_SECONDS = 0.25
_RESTART_SECONDS = 1.0
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def serve(
    settings: Settings, config: Path | None, on_started: Callable[[Running], None] | None = None
) -> None:
    """Run until a signal says stop; with `workers > 1`, the workers and a supervisor over them.

    `config` is the file that the workers read again. Raises what `running_gateway` raises.
    """
    if settings.server.workers == 1:
        uvloop.run(_serve_here(settings, on_started))
    else:
        uvloop.run(_supervise(settings, config))


def work(settings: Settings, index: int, report_fd: int, listener_fd: int) -> None:
    """Be worker `index`: take events on the inherited socket and report readiness to the supervisor, a JSON line a change."""
    uvloop.run(_work(settings, index, report_fd, listener_fd))


async def _serve_here(settings: Settings, on_started: Callable[[Running], None] | None) -> None:
    stop = stop_signal()
    log = open_log(settings.logging)
    try:
        async with running_gateway(settings, log) as running:
            if on_started is not None:
                on_started(running)
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
            while not stop.is_set():
                problems = running.problems()
                if problems != said:
                    os.write(report_fd, orjson.dumps(problems) + b"\n")
                    said = problems
                if os.getppid() != supervisor:
                    # Without its supervisor nobody would ever stop this process.
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
    finally:
        log.close()


class _Worker:
    """What the supervisor knows of one worker."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: asyncio.subprocess.Process | None = None
        self.problems: dict[str, str] = {"worker": "starting"}


async def _supervise(settings: Settings, config: Path | None) -> None:
    stop = stop_signal()
    make_data_dir(settings.data_dir)
    metrics_dir = settings.data_dir / "metrics"
    # Left-over files would count the events of an earlier run again.
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir(mode=0o700)
    log = open_log(settings.logging)
    workers = [_Worker(index) for index in range(settings.server.workers)]
    reserved = _reserve(settings)
    port = reserved.getsockname()[1]

    def problems() -> dict[str, str]:
        return {
            f"worker {each.index}: {part}": what for each in workers for part, what in each.problems.items()
        }

    runner = web.AppRunner(
        build_admin(problems, lambda: merged_exposition(str(metrics_dir))), access_log=None
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
        log.logger.info("supervising", workers=len(workers), listen=f"http://{settings.server.host}:{port}")
        keep = [_keep(each, settings, config, port, metrics_dir, log, stop) for each in workers]
        await _all(keep)
    finally:
        await runner.cleanup()
        reserved.close()
        log.close()


async def _all(coroutines: list[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in coroutines:
            group.create_task(each)


async def _keep(
    worker: _Worker,
    settings: Settings,
    config: Path | None,
    port: int,
    metrics_dir: Path,
    log: Log,
    stop: asyncio.Event,
) -> None:
    """Start a worker, again whenever it ends, until told to stop; then end it in order."""
    while not stop.is_set():
        reader = await _start(worker, settings, config, port, metrics_dir)
        process = worker.process
        assert process is not None
        log.logger.info("worker_started", worker=worker.index, pid=process.pid)
        listening = asyncio.create_task(_listen(worker, reader))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await ended
        stopping.cancel()
        await listening
        worker.problems = {"worker": "not running"}
        mark_process_dead(process.pid, str(metrics_dir))
        if stop.is_set():
            log.logger.info(
                "worker_stopped", worker=worker.index, pid=process.pid, exit_code=process.returncode
            )
            return
        log.logger.error("worker_died", worker=worker.index, pid=process.pid, exit_code=process.returncode)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RESTART_SECONDS)


async def _start(
    worker: _Worker, settings: Settings, config: Path | None, port: int, metrics_dir: Path
) -> asyncio.StreamReader:
    read_end, write_end = os.pipe()
    listener = _listener(settings.server.host, port)
    command = [sys.executable, "-m", "gateway", "serve"]
    if config is not None:
        command += ["--config", str(config)]
    command += ["--worker", f"{worker.index}:{write_end}:{listener.fileno()}"]
    worker.problems = {"worker": "starting"}
    worker.process = await asyncio.create_subprocess_exec(
        *command,
        pass_fds=(write_end, listener.fileno()),
        env={**os.environ, _MULTIPROCESS: str(metrics_dir)},
        # A Ctrl-C on the terminal goes to the supervisor alone, which then ends its workers in order.
        start_new_session=True,
    )
    os.close(write_end)
    listener.close()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    return reader


async def _listen(worker: _Worker, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        worker.problems = orjson.loads(line)


def _reserve(settings: Settings) -> socket.socket:
    """Bind the public address without listening: a port that is taken shows before any worker starts."""
    return _listener(settings.server.host, settings.server.port)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener
