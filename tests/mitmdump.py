"""A real mitmdump with the QA addon for tests: its options, its output, its exit code.

It runs in `.venv-qa` (`make qa`), or in the environment that TRACKING_GATEWAY_QA_VENV names: another mitmproxy, another Python. Without one its tests are
skipped, unless TRACKING_GATEWAY_REQUIRE_QA=1 says that this would hide something.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes import PATIENCE_SECONDS, ROOT, free_port, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ADDON = ROOT / "addons/tracking.py"
_NAMES = Path(__file__).parent / "mitmdump_names.py"


def qa_venv() -> Path:
    """Give the environment that mitmdump is in, or skip."""
    venv = Path(os.environ.get("TRACKING_GATEWAY_QA_VENV", ROOT / ".venv-qa"))
    if not (venv / "bin/mitmdump").exists():
        message = (
            f"there is no mitmdump in {venv}: run make qa, or name an environment in TRACKING_GATEWAY_QA_VENV"
        )
        if os.environ.get("TRACKING_GATEWAY_REQUIRE_QA") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return venv


class Mitmdump:
    """A mitmdump process with its own folder (certificates, output). `names` says where hosts are: `{"a.cdp.asia": "127.0.0.1:9000"}`; `program` may be mitmweb."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        names: Mapping[str, str] | None = None,
        port: int | None = None,
        program: str = "mitmdump",
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.proxy = f"http://127.0.0.1:{self.port}"
        self.certificate = folder / "mitmproxy-ca-cert.pem"
        self.process: asyncio.subprocess.Process | None = None
        self._output = folder / "mitmdump.out"
        where = [f"{host}={place}" for host, place in (names or {}).items()]
        self.arguments = [
            str(qa_venv() / "bin" / program),
            *("--listen-host", "127.0.0.1", "--listen-port", str(self.port)),
            *("--set", f"confdir={folder}"),
            *(["-s", str(_NAMES), "--set", f"test_names={','.join(where)}"] if where else []),
            *arguments,
        ]

    @classmethod
    def with_addon(
        cls,
        folder: Path,
        config: Path,
        /,
        *arguments: str,
        names: Mapping[str, str] | None = None,
        port: int | None = None,
        program: str = "mitmdump",
        **options: str,
    ) -> Mitmdump:
        """Give one with the addon and its options, without their prefix: `mode="enforce"`; one may be `config` too, instead of the first."""
        sets = [
            ("--set", f"tracking_{name}={value}")
            for name, value in {"config": str(config), **options}.items()
        ]
        return cls(
            folder,
            *("-s", str(ADDON)),
            *(each for pair in sets for each in pair),
            *arguments,
            names=names,
            port=port,
            program=program,
        )

    def output(self) -> str:
        """Give everything that it has said."""
        return self._output.read_text(encoding="utf-8") if self._output.exists() else ""

    async def spawn(self) -> None:
        """Start it."""
        with self._output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.arguments, stdout=output, stderr=output, cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        await self.spawn()

        async def is_open() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, self.output()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return True
            return False

        await until(is_open, "mitmdump listens")
        if str(ADDON) in self.arguments:
            # The port may be open while scripts are read.
            await self.said("tracking: ")

    async def said(self, text: str) -> None:
        """Wait until it has said something."""

        async def is_said() -> bool:
            return text in self.output()

        await until(is_said, f"mitmdump says {text!r}")

    async def ended(self) -> int:
        """Wait for its end and give its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)

    async def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        """End it and give its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(by)
        return await self.ended()


@contextlib.asynccontextmanager
async def running_mitmdump(mitmdump: Mitmdump) -> AsyncIterator[Mitmdump]:
    """Run it; afterwards it is gone, whatever happened."""
    await mitmdump.start()
    try:
        yield mitmdump
    finally:
        assert mitmdump.process is not None
        if mitmdump.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await mitmdump.stop()
        if mitmdump.process.returncode is None:
            mitmdump.process.kill()
            await mitmdump.process.wait()
