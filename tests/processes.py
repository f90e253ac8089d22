"""Real processes for tests: a gateway with its own folder and ports, and a stand-in collector to forward to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp import web

from gateway.sandbox import build_collector
from tests.builders import PORTAL_ID, PROP_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0


def free_port() -> int:
    """Give a port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition gives something true, and give that; fail, saying `what`, when it takes too long."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = await condition()
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s until {what}"
        await asyncio.sleep(0.02)


class Collector:
    """The stand-in collector in this process, as its clients see it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str) -> Any:
        """Give the JSON of a path."""
        async with self._session.get(f"{self.url}{path}") as response:
            return await response.json()

    async def behave(self, **behaviour: Any) -> None:
        """Make it slow, failing, down, or (with nothing) healthy."""
        async with self._session.post(f"{self.url}/behave", json=behaviour) as response:
            assert response.status == 200, await response.text()

    async def request_ids(self) -> list[str]:
        """Give the ids of all events that it has, in the order of their first arrival, each once."""
        return list(dict.fromkeys(each["query"]["request_id"] for each in await self.get("/events")))


@contextlib.asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    """Run a stand-in collector on a free port."""
    runner = web.AppRunner(build_collector(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Collector(f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await runner.cleanup()


class Gateway:
    """A gateway process with a folder, ports and settings of its own; it can be killed and started again."""

    def __init__(self, folder: Path, collector_url: str, **sections: dict[str, Any]) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_file = folder / "gateway.log"
        self.config = folder / "gateway.toml"
        self.port, admin_port = free_port(), free_port()
        self.url, self.admin_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{admin_port}"
        self.process: asyncio.subprocess.Process | None = None
        # Folders of packages that are installed for this gateway beside its own.
        self.python_path: list[str] = []
        values: dict[str, dict[str, Any]] = {
            "server": {"port": self.port, "drain_seconds": 5},
            "admin": {"port": admin_port},
            "collector": {
                "url": f"{collector_url}/event",
                "retry_base_seconds": 0.05,
                "retry_cap_seconds": 0.5,
            },
            "logging": {"file": str(self.log_file)},
        }
        for name, section in sections.items():
            values.setdefault(name, {}).update(section)
        lines = [f"data_dir = {orjson.dumps(str(self.data_dir)).decode()}"]
        for name, section in values.items():
            lines += [
                f"[{name}]",
                *(f"{key} = {orjson.dumps(value).decode()}" for key, value in section.items()),
            ]
        lines += [
            "[[properties]]",
            f'portal_id = "{PORTAL_ID}"',
            f'prop_id = "{PROP_ID}"',
            'site = "shop.example"',
        ]
        lines += ['redirect_hosts = ["shop.example"]']
        # Most tests send bare events, and look at cookies that are not a session's.
        lines += [] if "session" in sections else ["makes_sessions = false"]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        await self.spawn()
        await until(self.is_ready, "the gateway is ready")

    async def spawn(self) -> None:
        """Start it."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--config", str(self.config),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *self.python_path])},
        )  # fmt: skip

    async def is_ready(self) -> bool:
        """Tell whether it says that it takes events."""
        assert self.process is None or self.process.returncode is None, (
            f"the gateway ended: {self.log()[-2000:]}"
        )
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.admin_url}/readyz") as response,
            ):
                return response.status == 200
        return False

    async def kill(self) -> None:
        """End it as a crash would: SIGKILL."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """End it in order, and give its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)

    async def metrics(self) -> dict[str, float]:
        """Give every series of `/metrics` with its value."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if not line.startswith("#")
        }

    def collect_url(self, request_id: str = "", response_type: str = "json", path: str = "/event") -> str:
        """Give the URL for an event."""
        suffix = f"&request_id={request_id}" if request_id else ""
        return f"{self.url}{path}?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type={response_type}&format=json{suffix}"

    def log(self) -> str:
        """Give everything that it has logged."""
        return self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """Give the log's lines of one kind."""
        return [line for line in map(orjson.loads, self.log().split("\n")[:-1]) if line["event"] == event]


@contextlib.asynccontextmanager
async def running_gateway_process(
    folder: Path, collector_url: str, **sections: dict[str, Any]
) -> AsyncIterator[Gateway]:
    """Run a gateway process; afterwards it is gone, whatever happened."""
    gateway = Gateway(folder, collector_url, **sections)
    await gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await gateway.stop()
            if gateway.process.returncode is None:
                await gateway.kill()
