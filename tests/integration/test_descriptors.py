"""Sockets of strangers never take the descriptors that the gateway itself needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys

import aiohttp
import pytest

from gateway.descriptors import most_connections, raise_limit, shortage
from tests.builders import event, make_settings
from tests.processes import ROOT, Gateway, running_collector, until

_SCARCE = 320


class ScarceGateway(Gateway):
    """A gateway that may have few descriptors, whatever it does."""

    async def spawn(self) -> None:
        """Start it with a hard limit."""
        self.process = await asyncio.create_subprocess_exec(
            "sh", "-c", f'ulimit -n {_SCARCE}; exec "$@"', "sh",
            sys.executable, "-m", "gateway", "serve", "--config", str(self.config),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


async def test_a_flood_of_sockets_leaves_room_for_the_gateways_own_files(tmp_path):
    """With few descriptors it says so, takes as many clients as it can hold, and is whole again when they have gone."""
    async with running_collector() as collector, aiohttp.ClientSession() as session:
        gateway = ScarceGateway(tmp_path, collector.url)
        await gateway.start()
        try:
            async with session.get(f"{gateway.admin_url}/readyz") as response:
                assert "room for" in (await response.json())["warnings"]["descriptors"]
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(2 * _SCARCE):
                    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                    stack.push_async_callback(_closed, writer)
                await until(lambda: _refused(gateway), "connections were refused")
                assert (await gateway.metrics())["tracking_gateway_connections"] < _SCARCE

            async def is_taken():
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(gateway.collect_url(), json=event()) as response:
                        return response.status == 200

            await until(is_taken, "an event is taken again")
            assert not gateway.log_lines("fault")
        finally:
            assert 0 == await gateway.stop()


async def _refused(gateway):
    name = 'tracking_gateway_connections_refused_total{why="process"}'
    return (await gateway.metrics())[name]


async def _closed(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_the_soft_limit_is_raised_as_far_as_needed(monkeypatch):
    """And no further than the hard one; what is missing is named with its repair."""
    set_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    settings = make_settings(limits={"connections": 5_000}, collector={"connections": 10})
    for limits, raised, most in (
        ((1_024, 1_000_000), (5_210, 1_000_000), 814),
        ((1_024, 4_096), (4_096, 4_096), 814),
        ((1_024, resource.RLIM_INFINITY), (5_210, resource.RLIM_INFINITY), 814),
        ((9_000, 9_000), None, 5_000),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 5_000),
    ):
        set_to.clear()
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        raise_limit(settings)
        assert ([raised] if raised else []) == set_to
        assert most == most_connections(settings)
        assert (most < 5_000) == ("hard limit of open files to 5210" in shortage(settings))


@pytest.mark.parametrize("soft", [1, 100, 211])
def test_there_is_always_room_for_one(monkeypatch, soft):
    """However few there are."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert 1 == most_connections(make_settings(collector={"connections": 10}))
