"""A process of a gateway that hangs: it is missed, and then killed, so that another one takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.server import _report
from gateway.settings import Logging
from gateway.supervisor import _Child, _watch
from gateway.telemetry.logging import open_log
from gateway.web.admin import build_admin
from tests.processes import ROOT, Gateway

TICK_SECONDS = 0.01


@pytest.fixture
def log(tmp_path):
    opened = open_log(Logging(file=str(tmp_path / "supervisor.log")))
    yield opened
    opened.close()


async def watched(child, log, tick_seconds=TICK_SECONDS):
    """Watch over a process that says nothing; gives how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
    )
    ended = asyncio.create_task(process.wait())
    process.send_signal(signal.SIGSTOP)
    try:
        await _watch(child, process, {ended}, log, tick_seconds)
        return await ended
    finally:
        if process.returncode is None:
            process.kill()
            await ended


async def test_a_process_that_hangs_is_killed(tmp_path, log):
    """Stopped, or in a system call that never comes back: the signal that ends all of it is the only one that helps."""
    child = _Child(1)
    child.heard({})
    assert -signal.SIGKILL == await watched(child, log)
    assert {"worker": "does not answer"} == child.problems
    log.close()
    assert '"event":"worker_hung"' in (tmp_path / "supervisor.log").read_text()


async def test_a_process_that_is_there_again_is_left_alone():
    """Who speaks is not missed any more, however long it was silent before; one that still starts is not missed at all."""
    child = _Child(None)
    assert not any(child.missed() for _ in range(1_000))
    assert {"worker": "starting"} == child.problems
    child.heard({})
    assert not any(child.missed() for _ in range(19))
    assert {"worker": "does not answer"} == child.problems
    child.heard({"spool": "full"})
    assert {"spool": "full"} == child.problems
    assert [False] * 19 + [True] == [child.missed() for _ in range(20)]


@pytest.fixture
def pipe():
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", 0) as reader, os.fdopen(write_end, "wb", 0) as writer:
        yield reader, writer


async def test_a_process_says_again_and_again_that_it_is_there(pipe):
    """Also when nothing has changed; and what has changed at once."""
    reader, writer = pipe
    stop, problems = asyncio.Event(), {}
    reporting = asyncio.create_task(_report(lambda: dict(problems), writer.fileno(), stop, os.getppid()))
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), reader
    )
    async with asyncio.timeout(30):
        assert [b"{}\n"] * 2 == [await lines.readline() for _ in range(2)]
        problems["spool"] = "full"
        while await lines.readline() != b'{"spool":"full"}\n':
            pass
        stop.set()
        await reporting
    transport.close()


async def test_a_supervisor_that_stands_still_holds_nobody_up(pipe):
    """What does not fit into the pipe is left out: it is said again a second later."""
    _, writer = pipe
    os.set_blocking(writer.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer.fileno(), bytes(4096))
    stop, looked = asyncio.Event(), 0

    def problems():
        nonlocal looked
        looked += 1
        if looked == 3:
            stop.set()
        return {"look": str(looked)}

    async with asyncio.timeout(30):
        await _report(problems, writer.fileno(), stop, os.getppid())
    assert 3 == looked


@pytest.mark.parametrize(
    ("index", "status", "where", "part"),
    [(None, 200, "warnings", "delivery"), (1, 503, "problems", "worker 1: worker")],
)
async def test_readiness_says_which_process_is_away(index, status, where, part):
    """Without the delivering process events are taken all the same: that is a warning."""
    child = _Child(index)
    app = build_admin(lambda: {child.label(each): what for each, what in child.problems.items()}, lambda: b"")
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/readyz")
        assert (status, {part: "starting"}) == (answer.status, (await answer.json())[where])
        child.heard({})
        assert 200 == (await client.get("/readyz")).status


async def test_a_gateway_that_is_told_to_stop_before_it_has_begun_ends_with_0(tmp_path):
    """As it does later; the first process of a container would not even die of the signal."""
    gateway = Gateway(tmp_path, "http://127.0.0.1:1")
    program = "import os, time; from gateway import cli, server; server.serve = lambda _: (os.kill(os.getpid(), 15), time.sleep(30)); cli.main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "serve", "--config", str(gateway.config), cwd=ROOT
    )
    assert 0 == await asyncio.wait_for(process.wait(), 60)
