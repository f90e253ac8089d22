"""The load: wrk with prepared requests, for a bounded time, from a core of its own.

What always holds of a `Load` without errors: every request that was sent was answered within the run, so the counts of
client, server and collector can be compared to the last event (`wrk.lua` says how).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.machine import CannotMeasure, pinned

if TYPE_CHECKING:
    from collections.abc import Callable

_SCRIPT = Path(__file__).with_name("wrk.lua")
_RESULT = "RESULT "
# For the answers that are still on their way when the load ends; wrk takes whole seconds only.
_TAIL_SECONDS = 1


class Load(msgspec.Struct, frozen=True):
    """What wrk saw: `seconds` is the time it kept sending, latencies are in microseconds.

    wrk's percentiles are corrected for what a stalled server would have hidden (coordinated omission).
    """

    sent: int
    answered: int
    seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    errors: dict[str, int]

    @property
    def problems(self) -> list[str]:
        """Say what went wrong, in sentences; empty when every request got its success answer."""
        found = [f"{count} {kind} errors at the client" for kind, count in self.errors.items() if count]
        if self.sent != self.answered:
            found.append(f"{self.sent} requests were sent, {self.answered} were answered")
        return found


class Wrk:
    """wrk, ready to send the requests of a file to any port."""

    def __init__(self, requests: Path, core: int, connections: int) -> None:
        self._requests = requests
        self._core = core
        self._connections = connections

    @staticmethod
    def is_installed() -> bool:
        """Tell whether there is a wrk on this machine."""
        return shutil.which("wrk") is not None

    def run(self, port: int, seconds: int, waiting: Callable[[float], None] | None = None) -> Load:
        """Send for `seconds`; `waiting` is called a few times a second with the seconds gone. Raises `CannotMeasure`."""
        command = shutil.which("wrk")
        if command is None:
            raise CannotMeasure("wrk is not installed: apt-get install wrk")
        arguments = pinned(
            self._core,
            command,
            "--threads=1",
            f"--connections={self._connections}",
            f"--duration={seconds + _TAIL_SECONDS}s",
            "--timeout=10s",
            f"--script={_SCRIPT}",
            f"http://127.0.0.1:{port}/event",
            "--",
            str(self._requests),
            str(seconds),
            os.urandom(12).hex(),
        )
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        gone, step, limit = 0.0, 0.25, seconds + _TAIL_SECONDS + 20.0
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=step)
                    break
                except subprocess.TimeoutExpired:
                    gone += step
                    if gone > limit:
                        raise CannotMeasure(f"wrk did not end within {limit:.0f} s") from None
                    if waiting is not None:
                        waiting(gone)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        for line in output.splitlines():
            if line.startswith(_RESULT):
                return msgspec.json.decode(line.removeprefix(_RESULT), type=Load)
        raise CannotMeasure(f"wrk gave no result: {(errors or output).strip()[-400:]}")
