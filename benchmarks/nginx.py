"""nginx twice: as the collector that answers everything, and as the proxy that the gateway is compared with.

Both are Debian's binary with a configuration of its own in a folder that is thrown away, and one worker. The sink answers
`200 {}` without looking, for the proxy and for the gateway alike; it stands on the load's core, and its own count of requests
is how a run proves that nothing was lost on the way. Without nginx the sink is `benchmarks.sink`, and there is no proxy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.machine import CannotMeasure, children, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 10.0
_COMMON = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  {content}
}}
"""
_SINK = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ return 200 '{{}}'; }}
    location = /sink-status {{ stub_status; }}
  }}
"""
_PROXY = """
  upstream collector {{
    server 127.0.0.1:{sink_port};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://collector;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
"""


class Nginx(NamedTuple):
    """A running nginx: its port, and the process that does the work."""

    port: int
    worker_pid: int


class Sink:
    """The collector's stand-in, with its own count of what it received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._not_events = 0

    def start(self) -> None:
        """Count from now on."""
        self._not_events = 0
        self._not_events = self.received() + 1

    def received(self) -> int:
        """Give how many requests it has answered since `start`, without those for this number."""
        self._not_events += 1
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/sink-status", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return int(lines[2].split()[2]) - self._not_events


def binary() -> str | None:
    """Give the path of nginx, also where `sbin` is not in the search path, or `None`."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin")


@contextlib.contextmanager
def running_sink(folder: Path, core: int) -> Iterator[Sink]:
    """Run the stand-in collector on this core: nginx, or Python's where there is none. Raises `CannotMeasure`."""
    port = _free_port()
    folder.mkdir()
    command = binary()
    arguments = (
        [sys.executable, "-m", "benchmarks.sink", str(port)]
        if command is None
        else _configured(command, folder, _SINK.format(port=port))
    )
    with _running(folder, core, arguments, port):
        sink = Sink(port)
        # The connection that waited for it to listen may have been counted: from here on it is zero.
        sink.start()
        yield sink


@contextlib.contextmanager
def running_proxy(folder: Path, core: int, sink: Sink) -> Iterator[Nginx]:
    """Run nginx on this core as a proxy in front of the sink. Raises `CannotMeasure`."""
    command = binary()
    if command is None:
        raise CannotMeasure("nginx is not installed: apt-get install nginx-light")
    port = _free_port()
    folder.mkdir()
    arguments = _configured(command, folder, _PROXY.format(port=port, sink_port=sink.port))
    with _running(folder, core, arguments, port) as process:
        yield Nginx(port, _worker_of(process))


def _configured(command: str, folder: Path, content: str) -> list[str]:
    config = folder / "nginx.conf"
    # Without this a worker of root's becomes `nobody`, who may not write to the folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    config.write_text(_COMMON.format(folder=folder, user=user, content=content), encoding="utf-8")
    return [command, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]


@contextlib.contextmanager
def _running(folder: Path, core: int, arguments: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(pinned(core, *arguments), stdout=subprocess.DEVNULL, stderr=errors)
    try:
        _wait_until_it_listens(process, arguments[0], port, folder)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def _worker_of(process: subprocess.Popen[bytes]) -> int:
    # The master listens before it has a worker.
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        for child in children(process.pid):
            return child
        time.sleep(0.02)
    raise CannotMeasure(f"nginx had no worker within {_START_SECONDS:.0f} s")


def _wait_until_it_listens(process: subprocess.Popen[bytes], name: str, port: int, folder: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            said = "".join(
                path.read_text(errors="replace")
                for path in (folder / "stderr", folder / "error.log")
                if path.exists()
            )
            raise CannotMeasure(f"{name} did not start: {said.strip()[-400:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise CannotMeasure(f"{name} did not listen within {_START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
