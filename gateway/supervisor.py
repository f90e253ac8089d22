"""The processes of a gateway with several workers: one for each, one that delivers, and the supervisor over them.

Each worker has its own spool partition, and one process delivers what is in all of them. A process that dies is started again, with the
settings that the supervisor has read: what happens to the file meanwhile changes nothing. While the delivering process is away events
are taken all the same, so readiness only warns of that (`gateway.web.admin`). Each process says every second that it is there: one that hangs (stopped, in a
system call that does not come back) is missed there after 10 seconds, and killed and started again after 20, for the kernel goes on
giving it connections, and the others' events wait for what it holds. A process whose supervisor is gone ends by itself.
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
from aiohttp import web

from gateway.telemetry.logging import Log, open_log
from gateway.telemetry.metrics import mark_process_dead, merged_exposition
from gateway.web.admin import build_admin

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from gateway.settings import Settings

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that tells a process where the numbers of all are."""
DELIVERY = "delivery"
"""What the delivering process is called; the others are numbers."""

_RESTART_SECONDS = 1.0
# A process ends itself within `drain_seconds`; one that can't even do that is killed.
_GRACE_SECONDS = 2.0
_TICK_SECONDS = 1.0
# Counted in ticks of the supervisor: one that was stopped itself has heard nobody, and that is nobody's fault.
_SILENT_TICKS = 10
# Another one is in its place before the merge of the partitions has no patience left: so order holds.
_HUNG_TICKS = 20
_SETTINGS_PREFIX = "TRACKING_GATEWAY_"


class _Child:
    """What the supervisor knows of one process: worker `index`, or the one that delivers (`None`)."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.name = DELIVERY if index is None else str(index)
        self.kind = DELIVERY if index is None else "worker"
        self.names: dict[str, int] = {} if index is None else {"worker": index}
        self.problems: dict[str, str] = {"worker": "starting"}
        # Ticks since it was heard of; `None` until it has been: opening large files takes its time.
        self.silent: int | None = None

    def heard(self, problems: dict[str, str]) -> None:
        """Take note of what a process says that is in its way."""
        self.problems, self.silent = problems, 0

    def missed(self) -> bool:
        """Take note that a tick has passed without a word; tells whether the process is to be given up."""
        if self.silent is None:
            return False
        self.silent += 1
        if self.silent >= _SILENT_TICKS:
            self.problems = {"worker": "does not answer"}
        return self.silent >= _HUNG_TICKS

    def label(self, part: str) -> str:
        """Give the name, among those of all processes, of a part of this one that has a problem."""
        return self.name if self.index is None else f"worker {self.index}: {part}"

    def event(self, what: str) -> str:
        """Give the name of the log line that says what became of the process."""
        return f"{self.kind}_{what}"


async def supervise(settings: Settings, stop: asyncio.Event) -> None:
    """Run the workers and the delivering process until `stop` is set, and serve the admin port for all of them."""
    metrics_dir = settings.data_dir / "metrics"
    # Left-over files would count the events of an earlier run again.
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir(mode=0o700)
    workers = [_Child(index) for index in range(settings.server.workers)]

    children = [_Child(None), *workers]

    def problems() -> dict[str, str]:
        return {each.label(part): what for each in children for part, what in each.problems.items()}

    runner = web.AppRunner(
        build_admin(problems, lambda: merged_exposition(str(metrics_dir))), access_log=None
    )
    log = open_log(settings.logging)
    try:
        with _reserved(settings) as port:
            await runner.setup()
            await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
            log.logger.info(
                "supervising",
                workers=len(workers),
                listen=f"{'https' if settings.tls.is_on else 'http'}://{settings.server.host}:{port}",
            )
            await _all([_keep(each, settings, port, metrics_dir, log, stop) for each in children])
    finally:
        await runner.cleanup()
        log.close()


async def _all(coroutines: list[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in coroutines:
            group.create_task(each)


async def _keep(
    child: _Child, settings: Settings, port: int, metrics_dir: Path, log: Log, stop: asyncio.Event
) -> None:
    """Start a process, again whenever it ends, until told to stop; then end it in order."""
    while not stop.is_set():
        try:
            process, reader = await _start(child, settings, port, metrics_dir)
        except OSError as error:
            # No memory, no process or no descriptor left: the other workers go on, and this may pass.
            child.problems = {"worker": "can't be started"}
            log.logger.error(child.event("not_started"), cause=error.strerror, **child.names)  # noqa: TRY400 -- no trace
            await _sleep(stop, _RESTART_SECONDS)
            continue
        log.logger.info(child.event("started"), pid=process.pid, **child.names)
        hearing = asyncio.create_task(_listen(child, reader))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await _watch(child, process, {ended, stopping}, log)
        if stop.is_set() and not ended.done():
            await _end(child, process, settings, log)
        stopping.cancel()
        await asyncio.wait({ended, hearing})
        child.problems = {"worker": "not running"}
        mark_process_dead(child.name, str(metrics_dir))
        if stop.is_set():
            log.logger.info(
                child.event("stopped"), pid=process.pid, exit_code=process.returncode, **child.names
            )
            return
        log.logger.error(child.event("died"), pid=process.pid, exit_code=process.returncode, **child.names)
        await _sleep(stop, _RESTART_SECONDS)


async def _watch(
    child: _Child,
    process: asyncio.subprocess.Process,
    ends: set[asyncio.Task[Any]],
    log: Log,
    tick_seconds: float = _TICK_SECONDS,
) -> None:
    """Wait for one of `ends`, and kill a process that has hung before."""
    while not (await asyncio.wait(ends, timeout=tick_seconds, return_when=asyncio.FIRST_COMPLETED))[0]:
        if child.missed():
            hint = "it stood still for too long; nothing acknowledged is lost, and it is started again"
            log.logger.error(child.event("hung"), pid=process.pid, hint=hint, **child.names)
            process.kill()
            return


async def _end(child: _Child, process: asyncio.subprocess.Process, settings: Settings, log: Log) -> None:
    """Ask a process to end in order; one that does not within the bound is killed, which loses nothing acknowledged."""
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), settings.server.drain_seconds + _GRACE_SECONDS)
    except TimeoutError:
        process.kill()
        log.logger.error(child.event("killed"), pid=process.pid, **child.names)  # noqa: TRY400 -- no trace


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _start(
    child: _Child, settings: Settings, port: int, metrics_dir: Path
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    child.problems, child.silent = {"worker": "starting"}, None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_PREFIX)}
    read_end, write_end = os.pipe()
    report = os.fdopen(read_end, "rb", 0)
    try:
        with contextlib.ExitStack() as stack:
            part, descriptors = f"{child.name}:{write_end}", [write_end]
            if child.index is not None:
                listener = stack.enter_context(listening(settings.server.host, port))
                part += f":{listener.fileno()}"
                descriptors.append(listener.fileno())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve", "--worker", part),
                pass_fds=descriptors,
                stdin=asyncio.subprocess.PIPE,
                env={**environment, MULTIPROCESS: str(metrics_dir)},
                # A Ctrl-C on the terminal goes to the supervisor alone, which then ends its processes in order.
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


async def _listen(child: _Child, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        child.heard(orjson.loads(line))


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Hold the public address without listening, and give its port: one that is taken shows before any worker starts."""
    host, port = settings.server.host, settings.server.port
    if port:
        # A socket that shares its port would be given one that another gateway shares as well.
        listening(host, port, shared=False).close()
    with listening(host, port) as reserved:
        yield reserved.getsockname()[1]


def listening(host: str, port: int, *, shared: bool = True) -> socket.socket:
    """Give a socket that is bound and does not listen yet, whose port others may have too when it is `shared`. Raises `OSError`."""
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
