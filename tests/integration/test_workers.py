"""Several workers on one port: what one of them dying, or their supervisor, costs. Nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.builders import event
from tests.processes import ROOT, Gateway, running_collector, running_gateway_process, until

WORKERS = 3
DRAIN_SECONDS = 2
ACCEPTED = 'tracking_gateway_events_total{outcome="accepted",reason="ok"}'
DELIVERED = 'tracking_gateway_deliveries_total{result="delivered"}'


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


@pytest.fixture
async def gateway(tmp_path, collector):
    sections = {"server": {"workers": WORKERS, "drain_seconds": DRAIN_SECONDS}}
    started = []
    try:
        async with running_gateway_process(tmp_path, collector.url, **sections) as running:
            started.append(running)
            yield running
    finally:
        for pid in (pid for each in started for pid in pids(each) if is_alive(pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def pids(gateway):
    """Give the process ids of all workers that were ever started, oldest first."""
    return [line["pid"] for line in gateway.log_lines("worker_started")]


def edit(gateway, old, new):
    """Change the gateway's settings file."""
    text = gateway.config.read_text()
    assert 1 == text.count(old)
    gateway.config.write_text(text.replace(old, new))


def is_alive(pid):
    """Tell whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def send(gateway, request_ids, uid="111111111"):
    """Send an event for each id, every one over a connection of its own: the kernel picks the worker."""
    for request_id in request_ids:
        async with (
            aiohttp.ClientSession() as session,
            session.post(gateway.collect_url(request_id), json=event(uid=uid)) as response,
        ):
            assert 200 == response.status


async def readiness(gateway):
    """Give the status and the problems of `/readyz`."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/readyz") as response:
        return response.status, (await response.json())["problems"]


def busy_worker(gateway):
    """Give index and process id of a worker that has accepted events."""
    index = gateway.log_lines("event")[0]["worker"]
    (pid,) = [line["pid"] for line in gateway.log_lines("worker_started") if line["worker"] == index]
    return index, pid


async def no_worker_left(gateway):
    return not [pid for pid in pids(gateway) if is_alive(pid)]


async def test_a_killed_worker_comes_back_and_so_do_its_events(gateway, collector):
    """What it had accepted is delivered by its successor; meanwhile readiness says who is missing; the sums stay right."""
    await collector.behave(status=503)
    names = [f"k-{number}" for number in range(30)]
    await send(gateway, names)

    async def logged():
        return len(gateway.log_lines("event")) == len(names)

    await until(logged, "every event is in the log")
    index, pid = busy_worker(gateway)
    before = await gateway.metrics()
    assert len(names) == before[ACCEPTED]
    os.kill(pid, signal.SIGKILL)

    async def missed():
        status, problems = await readiness(gateway)
        return status == 503 and problems

    assert {f"worker {index}: worker"} == set(await until(missed, "readiness misses the worker"))
    assert len(names) == (await gateway.metrics())[ACCEPTED]
    await collector.behave()
    await until(gateway.is_ready, "the worker is back")

    async def arrived():
        return set(names) == set(await collector.request_ids())

    await until(arrived, "every event arrived")
    died = gateway.log_lines("worker_died")
    assert [(index, pid, -signal.SIGKILL)] == [
        (line["worker"], line["pid"], line["exit_code"]) for line in died
    ]
    assert WORKERS + 1 == len(pids(gateway))
    await send(gateway, ["k-after"])

    async def counted():
        metrics = await gateway.metrics()
        return (
            metrics[ACCEPTED] == len(names) + 1
            and metrics[DELIVERED] >= len(names) + 1
            and metrics["tracking_gateway_spool_pending"] == 0
        )

    await until(counted, "the sums are those of all workers, the dead one's too")


async def test_sigterm_ends_all_in_order_and_leaves_nobody(gateway, collector):
    """Exit code 0 within drain_seconds, though the collector never answers and connections stay open."""
    await collector.behave(latency_ms=60_000)
    async with aiohttp.ClientSession() as session:
        for number in range(10):
            async with session.post(gateway.collect_url(f"t-{number}"), json=event()) as response:
                assert 200 == response.status
        began = asyncio.get_running_loop().time()
        assert 0 == await gateway.stop()
        assert DRAIN_SECONDS + 1 > asyncio.get_running_loop().time() - began
    assert await no_worker_left(gateway)
    stopped = gateway.log_lines("worker_stopped")
    assert [(index, 0) for index in range(WORKERS)] == sorted(
        (line["worker"], line["exit_code"]) for line in stopped
    )
    assert WORKERS == len(gateway.log_lines("stopped"))
    assert "Traceback" not in gateway.log()


async def test_workers_whose_supervisor_was_killed_end_and_one_worker_takes_over_what_they_left(
    gateway, collector
):
    """No worker outlives it; started again with one worker, the partitions of all are delivered."""
    await collector.behave(status=503)
    names = [f"s-{number}" for number in range(40)]
    await send(gateway, names)

    async def spread():
        return WORKERS == len({line["worker"] for line in gateway.log_lines("event")})

    await until(spread, "the kernel's choice has reached every worker, and each has logged it")
    await gateway.kill()

    async def alone():
        return await no_worker_left(gateway)

    await until(alone, "the workers have ended by themselves")
    await collector.behave()
    edit(gateway, f"workers = {WORKERS}", "workers = 1")
    await gateway.start()

    async def arrived():
        return set(names) == set(await collector.request_ids())

    await until(arrived, "every event arrived")

    async def drained():
        return (await gateway.metrics())["tracking_gateway_spool_pending"] == 0

    await until(drained, "nothing waits")
    assert 0 == await gateway.stop()


async def test_a_worker_comes_back_with_the_settings_that_the_others_run_with(gateway, collector):
    """A file that is half edited when a worker dies neither keeps it down nor makes it differ."""
    gateway.config.write_text('data_dir = "elsewhere"\n[server]\nworkers = \n')
    victim = pids(gateway)[0]
    os.kill(victim, signal.SIGKILL)

    async def back():
        return len(pids(gateway)) == WORKERS + 1 and await gateway.is_ready()

    await until(back, "the worker is back")
    await send(gateway, ["e-1"])
    assert 1 == len(gateway.log_lines("worker_died"))


async def run_to_its_end(gateway):
    """Start a gateway that can't start; give its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        out, said = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise
    assert b"" == out
    return process.returncode, said.decode()


def beside(gateway, workers):
    """Give a second gateway with a folder and ports of its own."""
    folder = gateway.folder / f"second-{workers}"
    folder.mkdir()
    return Gateway(folder, "http://127.0.0.1:1", server={"workers": workers})


async def refused(gateways):
    """Start gateways that can't start, at once; each must end with 1, say one line, and start no worker. Give the lines."""
    ends = await asyncio.gather(*(run_to_its_end(each) for each in gateways))
    assert [(1, 1, [])] * len(gateways) == [
        (code, said.count("\n"), pids(each)) for each, (code, said) in zip(gateways, ends, strict=True)
    ]
    return [said for _, said in ends]


@pytest.mark.parametrize("key", ["server.port", "admin.port"])
async def test_a_port_in_use_is_named_with_its_setting(tmp_path, key):
    """One line, exit code 1, and no worker was started: alone, or with workers."""
    gateways = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for workers in (1, WORKERS):
            (tmp_path / str(workers)).mkdir()
            gateway = Gateway(tmp_path / str(workers), "http://127.0.0.1:1", server={"workers": workers})
            old = gateway.port if key == "server.port" else int(gateway.admin_url.rpartition(":")[2])
            edit(gateway, f"port = {old}", f"port = {port}")
            gateways.append(gateway)
        for said in await refused(gateways):
            assert f"{key} = {port} is taken" in said


async def test_two_gateways_share_neither_a_port_nor_a_folder(gateway):
    """Or the kernel would give events to the wrong one, or both would write one spool; the first one is unharmed."""
    await send(gateway, ["d-1"])
    seconds = [beside(gateway, workers) for workers in (1, WORKERS)]
    for each in seconds:
        edit(each, f"port = {each.port}", f"port = {gateway.port}")
    for said in await refused(seconds):
        assert f"server.port = {gateway.port} is taken" in said
    for each in seconds:
        edit(each, f"port = {gateway.port}", f"port = {each.port}")
        edit(each, str(each.data_dir), str(gateway.data_dir))
    for said in await refused(seconds):
        assert f"data_dir {gateway.data_dir} can't be used" in said
        assert f"another gateway, process {gateway.process.pid}, uses it" in said
    await send(gateway, ["d-2"])
    assert 2 == (await gateway.metrics())[ACCEPTED]
    assert await gateway.is_ready()
