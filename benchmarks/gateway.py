"""The gateway as it is run in production: a `tracking-gateway serve` of its own, with its own data folder and log file.

Its numbers are asked where an operator would ask: `/metrics` for the counts, the log for the lines, `/proc` for the CPU.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import msgspec
import orjson

from benchmarks.machine import CannotMeasure, pinned
from benchmarks.traffic import COOKIE_KEY, ORIGIN, PORTAL_ID, PROP_ID, SITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0
_PREFIX = "tracking_gateway_"
_CONFIG = """
data_dir = "{folder}/data"

[server]
host = "127.0.0.1"
port = 0

[admin]
host = "127.0.0.1"
port = 0

[collector]
url = "http://127.0.0.1:{sink_port}/event"

[logging]
format = "json"
file = "{folder}/gateway.log"

[cookies]
keys = ["{cookie_key}"]

[[properties]]
portal_id = "{portal_id}"
prop_id = "{prop_id}"
site = "{site}"
origins = ["{origin}"]
"""


class Counts(msgspec.Struct, frozen=True):
    """What the gateway has counted so far; `refused` is every event that was not accepted, `trouble` every failed delivery."""

    accepted: int
    refused: int
    delivered: int
    trouble: int
    pending: int

    def since(self, earlier: Counts) -> Counts:
        """Give what came since an earlier reading; `pending` is not a count and stays."""
        return Counts(
            self.accepted - earlier.accepted,
            self.refused - earlier.refused,
            self.delivered - earlier.delivered,
            self.trouble - earlier.trouble,
            self.pending,
        )


class Gateway:
    """A running gateway: where it listens, and what it says of itself."""

    def __init__(self, pid: int, port: int, admin_url: str, log: Path) -> None:
        self.pid = pid
        self.port = port
        self._admin_url = admin_url
        self._log = log
        self._log_read = 0

    def counts(self) -> Counts:
        """Ask `/metrics`."""
        with urllib.request.urlopen(f"{self._admin_url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        values = {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

        def total(metric: str, label: str, *, other: bool = False) -> int:
            return int(
                sum(
                    value
                    for name, value in values.items()
                    if name.startswith(f"{_PREFIX}{metric}{{") and (label in name) != other
                )
            )

        return Counts(
            accepted=total("events_total", 'outcome="accepted"'),
            refused=total("events_total", 'outcome="accepted"', other=True),
            delivered=total("deliveries_total", 'result="delivered"'),
            trouble=total("deliveries_total", 'result="delivered"', other=True),
            pending=int(values[f"{_PREFIX}spool_pending"]),
        )

    def new_log_lines(self) -> tuple[int, int]:
        """Give how many lines came to the log since this was asked last: of accepted events, and of deliveries."""
        accepted = delivered = 0
        with self._log.open("rb") as file:
            file.seek(self._log_read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._log_read += len(line)
                accepted += b'"outcome":"accepted"' in line
                delivered += b'"result":"delivered"' in line
        return accepted, delivered


@contextlib.contextmanager
def running_gateway(
    folder: Path,
    core: int,
    sink_port: int,
    interpreter: Sequence[str] = (sys.executable,),
    more_settings: str = "",
) -> Iterator[Gateway]:
    """Run `tracking-gateway serve` on this core, forwarding to the sink, and end it in order.

    `interpreter` is what runs the module: Python itself, or Python with a profiler. `more_settings` are sections in TOML. Raises `CannotMeasure`.
    """
    folder.mkdir()
    config, log = folder / "gateway.toml", folder / "gateway.log"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            sink_port=sink_port,
            cookie_key=COOKIE_KEY,
            portal_id=PORTAL_ID,
            prop_id=PROP_ID,
            site=SITE,
            origin=ORIGIN,
        )
        + more_settings,
        encoding="utf-8",
    )
    # A setting of the machine's own gateway must not change the one that is measured.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TRACKING_GATEWAY_")
    }
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            pinned(core, *interpreter, "-m", "gateway", "serve", "--config", str(config)),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
    try:
        started = _wait_for_start(process, log, folder / "stderr")
        yield Gateway(process.pid, int(started["listen"].rpartition(":")[2]), started["admin"], log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_start(process: subprocess.Popen[bytes], log: Path, errors: Path) -> dict[str, str]:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            said = errors.read_text(encoding="utf-8", errors="replace").strip()
            raise CannotMeasure(f"the gateway did not start: {said[-600:]}")
        for line in log.read_bytes().splitlines() if log.exists() else ():
            if b'"event":"started"' in line:
                started: dict[str, str] = orjson.loads(line)
                return started
        time.sleep(0.05)
    raise CannotMeasure(f"the gateway did not start within {_START_SECONDS:.0f} s")
