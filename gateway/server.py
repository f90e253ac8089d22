"""What a process of the gateway does from its start to its end: sockets and signals, and what it must not share.

With one worker this process is the whole gateway; with several it is the supervisor over them (`gateway.supervisor`), and `work` and `deliver` are what
the other processes run. The kernel spreads connections over the workers (`SO_REUSEPORT`). One gateway at a time uses a data folder.

SIGTERM or SIGINT: not ready any more, nothing new is taken, what is under way is answered and delivered as far as time allows, all is flushed and
closed, and the process ends with 0 within `drain_seconds`; what does not come to its end by then is cut off. A second signal ends it at once. Neither loses anything
acknowledged: that is on the disk already.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import orjson
import uvloop

from gateway.app import running_delivery, running_gateway
from gateway.descriptors import raise_limit
from gateway.stores import DataDirUnusable, make_data_dir
from gateway.supervisor import DELIVERY, MULTIPROCESS, supervise
from gateway.surroundings import look_ahead
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import count_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.settings import Settings
    from gateway.telemetry.logging import Log

_CHECK_SECONDS = 0.25
_SAY_SECONDS = 1.0
# A little before the time is up: ending takes time too.
_CUT_OFF = 0.95
_LEAST_CUT_OFF_SECONDS = 0.5


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
    raise_limit(settings)
    if settings.server.workers > 1:
        look_ahead(settings)
    with only_user(settings.data_dir), _named_addresses(settings):
        uvloop.run(_serve_here(settings) if settings.server.workers == 1 else _supervise(settings))


def work(settings: Settings, index: int, report_fd: int, listener_fd: int) -> None:
    """Be worker `index`: take events on the inherited socket and report to the supervisor (`_report`)."""
    raise_limit(settings)
    count_as(str(index), os.environ[MULTIPROCESS])
    uvloop.run(_work(settings, index, report_fd, listener_fd))


def deliver(settings: Settings, report_fd: int) -> None:
    """Be the process that delivers what all workers take."""
    count_as(DELIVERY, os.environ[MULTIPROCESS])
    uvloop.run(_deliver(settings, report_fd))


async def _serve_here(settings: Settings) -> None:
    log = open_log(settings.logging)
    stop = stop_signal(settings.server.drain_seconds, log)
    try:
        async with running_gateway(settings, log) as running:
            _on_hangup(settings, running.reload)
            await stop.wait()
    finally:
        log.close()


async def _supervise(settings: Settings) -> None:
    stop = stop_signal()
    # The workers look at the files each second by themselves.
    _on_hangup(settings, lambda: None)
    await supervise(settings, stop)


def stop_signal(cut_off_seconds: float | None = None, log: Log | None = None) -> asyncio.Event:
    """Give an event that SIGTERM or SIGINT sets; the second signal ends the process at once.

    With `cut_off_seconds` the first one bounds what follows: when the process has not ended by then, whatever it waits for, it ends.
    """
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()
        if cut_off_seconds is not None:
            seconds = max(cut_off_seconds * _CUT_OFF, _LEAST_CUT_OFF_SECONDS)
            cut_off = threading.Timer(seconds, _cut_off, (log,))
            # In a thread, because what is waited for may be the loop itself, in a system call.
            cut_off.daemon = True
            cut_off.start()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _on_hangup(settings: Settings, reload: Callable[[], None]) -> None:
    """Where there is something to read anew, let SIGHUP say so; else it ends the process, as it does others whose terminal is gone."""
    if settings.tls.is_on:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def _cut_off(log: Log | None) -> None:
    if log is not None:
        log.logger.warning("stopping_cut_off", hint="raise server.drain_seconds if this is seen often")
    os._exit(0)


async def _work(settings: Settings, index: int, report_fd: int, listener_fd: int) -> None:
    log = open_log(settings.logging, worker=index)
    stop = stop_signal(settings.server.drain_seconds, log)
    listener = socket.socket(fileno=listener_fd)
    supervisor = os.getppid()
    try:
        async with running_gateway(
            settings, log, worker=index, listener=listener, with_admin=False
        ) as running:
            _on_hangup(settings, running.reload)
            await _report(running.problems, report_fd, stop, supervisor)
    finally:
        log.close()


async def _deliver(settings: Settings, report_fd: int) -> None:
    log = open_log(settings.logging)
    stop = stop_signal(settings.server.drain_seconds, log)
    supervisor = os.getppid()
    try:
        async with running_delivery(settings, log):
            await _report(dict, report_fd, stop, supervisor)
    finally:
        log.close()


async def _report(
    problems: Callable[[], dict[str, str]], report_fd: int, stop: asyncio.Event, supervisor: int
) -> None:
    """Tell the supervisor what is in the way, at once when it changes and else each second: who says nothing hangs.

    Ends with `stop`, or when the supervisor is gone: nobody would ever stop this process then.
    """
    # A supervisor that stands still must not hold up whoever reports to it: what does not fit is said again a second later.
    os.set_blocking(report_fd, False)
    said: dict[str, str] | None = None
    said_at = 0.0
    # The pipe tells of a supervisor that was gone before the first look at the parent.
    with contextlib.suppress(BrokenPipeError):
        while not stop.is_set() and os.getppid() == supervisor:
            found, now = problems(), time.monotonic()
            if found != said or now - said_at >= _SAY_SECONDS:
                with contextlib.suppress(BlockingIOError):
                    os.write(report_fd, orjson.dumps(found) + b"\n")
                said, said_at = found, now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)


@contextlib.contextmanager
def only_user(data_dir: Path) -> Iterator[None]:
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
