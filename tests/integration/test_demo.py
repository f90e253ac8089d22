"""The demo as somebody sees it who tries it for the first time: one command, four addresses, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from gateway.commands.neighbour import Neighbour
from gateway.demo import PORTAL_ID, PROP_ID
from tests.builders import event
from tests.processes import PATIENCE_SECONDS, ROOT, until

FREE = {"--port": 0, "--collector-port": 0, "--shop-port": 0, "--admin-port": 0}
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x1b\x07]*(?:\x07|\x1b\\))")


def command(*arguments, **ports):
    options = {**FREE, **{f"--{name.replace('_', '-')}": value for name, value in ports.items()}}
    return [
        *(sys.executable, "-m", "gateway", "demo"),
        *(str(part) for option in options.items() for part in option),
        *map(str, arguments),
    ]


def environment(folder):
    """Everything that is thrown away is made in this folder, so that what stays can be seen."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "COLUMNS": "160", "TERM": "xterm"}


@contextlib.asynccontextmanager
async def demo(folder, *arguments, **streams):
    """Run the demo; afterwards it is gone, whatever happened."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments), cwd=ROOT, env=environment(folder), **streams
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(*arguments, folder, **ports):
    """Run a demo that can't start; give its exit code, output and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments, **ports),
        cwd=ROOT, env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, out.decode(), err.decode()


def listens(url):
    """Tell whether anything takes connections there."""
    parts = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((parts.hostname, parts.port), timeout=1):
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_prints_its_addresses_answers_on_each_and_leaves_nothing(tmp_path, number):
    """One JSON document; an event goes from the gateway to the collector; Ctrl-C ends all with 0, data and all."""
    pipe = asyncio.subprocess.PIPE
    async with (
        demo(tmp_path, "--json", stdout=pipe, stderr=pipe) as process,
        aiohttp.ClientSession() as session,
    ):
        urls = orjson.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS))
        assert {"shop", "gateway", "collector", "admin"} == set(urls)

        async def page(url):
            async with session.get(url) as response:
                return response.status, await response.text()

        status, html = await page(urls["shop"])
        assert (200, True) == (status, f"{urls['gateway']}/insight.js" in html)
        status, script = await page(f"{urls['gateway']}/insight.js")
        assert (200, True) == (status, "resetAnonymousUId" in script)
        assert 200 == (await page(urls["collector"]))[0]
        for path in ("/healthz", "/readyz", "/metrics"):
            assert 200 == (await page(urls["admin"] + path))[0]
        collect = f"{urls['gateway']}/event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json"
        async with session.post(collect, json=event(uid="123456789")) as response:
            assert 200 == response.status

        async def arrived():
            return "123456789" in (await page(f"{urls['collector']}/events"))[1]

        await until(arrived, "the event is at the collector")
        process.send_signal(number)
        rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        assert (0, b"", b"") == (process.returncode, rest, errors)
    assert [] == [url for url in urls.values() if listens(url)]
    assert [] == list(tmp_path.iterdir())


async def test_the_demos_data_stays_where_it_was_asked_for(tmp_path):
    """With `--data-dir`: ledger, spool and log are there afterwards; commands see that a gateway runs there, and when it does no more."""
    pipe = asyncio.subprocess.PIPE
    folder = tmp_path / "kept"
    async with demo(tmp_path, "--json", "--data-dir", folder, stdout=pipe, stderr=pipe) as process:
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        # So a command that has ordered something there waits for it.
        assert Neighbour(folder).is_there()
        process.send_signal(signal.SIGINT)
        assert 0 == await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
    assert not Neighbour(folder).is_there()
    assert {"ledger.db", "spool", "gateway.log"} <= {each.name for each in folder.iterdir()}


@pytest.mark.parametrize("name", ["port", "collector_port", "shop_port", "admin_port"])
async def test_a_port_that_is_taken_is_named_with_the_option_that_changes_it(tmp_path, name):
    """Exit code 1 and one line; with `--json` one document; what was started already is gone."""
    option = f"--{name.replace('_', '-')}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text, json = await asyncio.gather(
            ended(folder=tmp_path, **{name: port}), ended("--json", folder=tmp_path, **{name: port})
        )
    said = f"port {port} is taken; choose another with {option}"
    assert (1, "", f"tracking-gateway: {said}\n") == text
    code, out, err = json
    assert (1, {"ok": False, "error": said}, "") == (code, orjson.loads(out), err)
    assert [] == list(tmp_path.iterdir())


async def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path):
    """It is a file, for example."""
    file = tmp_path / "file"
    file.write_text("")
    code, out, err = await ended("--data-dir", file, folder=tmp_path)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert str(file) in err


class Terminal(NamedTuple):
    """A pseudo-terminal: what a person sees on it, and the keys they press."""

    master: int

    def seen(self):
        """Give what was shown since the last look, as plain text."""
        text = b""
        with contextlib.suppress(BlockingIOError, OSError):
            while part := os.read(self.master, 65_536):
                text += part
        return _ESCAPES.sub("", text.decode(errors="replace")).replace("\r", "")

    def press(self, key):
        os.write(self.master, key)


@contextlib.contextmanager
def terminal():
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    try:
        yield Terminal(master), slave
    finally:
        for descriptor in (master, slave):
            os.close(descriptor)


def own_terminal(slave):
    """Make the terminal the one that controls the process, so that Ctrl-C becomes its SIGINT, as in a shell."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


async def test_a_person_is_shown_three_addresses_and_what_to_try_and_ctrl_c_stops_it(tmp_path):
    """On a real terminal; it ends with 0, says that nothing is left, and shows no traceback."""
    screen = []
    with terminal() as (person, slave):
        streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        async with demo(tmp_path, preexec_fn=lambda: own_terminal(slave), **streams) as process:

            async def shown(needle):
                screen.append(person.seen())
                return needle in "".join(screen)

            await until(lambda: shown("Ctrl-C stops all three"), "the demo is announced")
            text = "".join(screen)
            urls = re.findall(r"│ +(shop|collector|gateway) +(http://localhost:\d+)", text)
            assert ["shop", "collector", "gateway"] == [name for name, _ in urls]
            assert [] == [url for _, url in urls if not listens(url)]
            assert ["1.", "2.", "3.", "4.", "5."] == re.findall(r"^ ?(\d\.) ", text, re.MULTILINE)
            (log,) = re.findall(r"tail -f (\S+)", text)

            async def logged():
                return '"started"' in Path(log).read_text(encoding="utf-8")

            await until(logged, "the log that is to be followed has its first line")
            person.press(b"\x03")
            assert 0 == await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
            await until(lambda: shown("nothing is left running"), "it says that it has stopped")
    assert "Traceback" not in "".join(screen)
    assert [] == [url for _, url in urls if listens(url)]
    assert [] == list(tmp_path.iterdir())
