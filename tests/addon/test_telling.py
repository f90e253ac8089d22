"""What a tester and a pipeline hear: marks, comments, the table beside a flow, reports, the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import termios
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from tests.addon.conftest import EVENT, VENDOR, ask
from tests.builders import event
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import ROOT, running_collector, until

ADDRESS = "Lan.Nguyen@Example.com"
MISTAKE = event("user", "sign_in", cid=ADDRESS)
SHOWN = Path(__file__).parents[1] / "mitmdump_shown.py"


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_a_mistake_is_shown_and_fails_the_pipeline(collector, config, tmp_path, by):
    """Live and from the flows that were written, with the same exit code; a call that is no tracking is shown as ever; nothing raw is said."""
    place = collector.url.removeprefix("http://")
    files = {name: str(tmp_path / name) for name in ("report", "junit", "json", "sarif")}
    dump = tmp_path / "dump"
    mitmdump = Mitmdump.with_addon(
        tmp_path, config(), "-s", str(SHOWN), "-w", str(dump), names={VENDOR: place, "shop.example": place},
        fail_on="error", **files,
    )  # fmt: skip
    async with running_mitmdump(mitmdump):
        await ask(mitmdump.proxy, EVENT, MISTAKE)
        await ask(mitmdump.proxy, "http://shop.example/events")
        assert 1 == await mitmdump.stop(by)
    said = mitmdump.output()
    assert "error cid-not-hash" in said
    tracking, other = (part.partition("\nEND")[0] for part in said.split("SHOWN ")[1:])
    assert tracking.startswith(
        "a.cdp.asia mark=:red_circle: view=Tracking\ntracking: accepted (ok)\ntracking: error "
    )
    for row in (
        "Event 1: user / sign_in",
        "outcome",
        "UID",
        "CID",
        "raw e-mail → md5",
        "is sent on",
        "mend",
    ):
        assert row in tracking
    assert other.startswith("shop.example mark= view=")
    assert "view=Tracking" not in other
    assert "Not yet: " in said
    assert "cid-not-hash" in str(orjson.loads(Path(files["json"]).read_bytes())["findings"])
    assert list(ET.parse(files["junit"]).getroot().iter("failure"))
    assert "<html" in Path(files["report"]).read_text(encoding="utf-8")
    assert "cid-not-hash" in Path(files["sarif"]).read_text(encoding="utf-8")
    written = "".join(Path(path).read_text(encoding="utf-8") for path in files.values())
    assert ADDRESS.lower() not in (said + written).lower()

    again = Mitmdump.with_addon(
        tmp_path, config(), "-s", str(SHOWN), "-nr", str(dump), fail_on="error", json=files["json"]
    )
    await again.spawn()
    assert 1 == await again.ended()
    whole = again.output().removeprefix(said)
    assert "mark=:red_circle: view=Tracking" in whole
    assert 1 == whole.count("tracking: accepted (ok)"), "a comment of an earlier session is replaced"
    model = orjson.loads(Path(files["json"]).read_bytes())
    assert str(dump) == model["about"]["source"]


async def test_mitmproxy_says_it_when_the_terminal_is_given_back(collector, config, tmp_path):
    """With its own screen it has no log on the terminal; the summary, the report and the exit code are there all the same."""
    place, report = collector.url.removeprefix("http://"), tmp_path / "report.json"
    mitmproxy = Mitmdump.with_addon(
        tmp_path, config(), program="mitmproxy", names={VENDOR: place}, fail_on="error", json=str(report)
    )
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 150))
    said = bytearray()
    mitmproxy.process = await asyncio.create_subprocess_exec(
        *mitmproxy.arguments, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    os.close(terminal)
    loop = asyncio.get_running_loop()
    reading = loop.run_in_executor(None, _read_all, screen, said)
    try:

        async def is_answered() -> bool:
            with contextlib.suppress(OSError):
                return (await ask(mitmproxy.proxy, EVENT, MISTAKE)).status == 200
            return False

        await until(is_answered, "mitmproxy passes calls on")
        assert 1 == await mitmproxy.stop(signal.SIGTERM)
    finally:
        if mitmproxy.process.returncode is None:
            mitmproxy.process.kill()
            await mitmproxy.process.wait()
        await reading
        os.close(screen)
    assert b"Not yet: " in said
    assert "cid-not-hash" in str(orjson.loads(report.read_bytes())["findings"])


def _read_all(screen: int, said: bytearray) -> None:
    """Read a terminal until nobody writes to it any more."""
    with contextlib.suppress(OSError):
        while part := os.read(screen, 65_536):
            said += part


async def test_what_is_let_pass_ends_with_0(collector, config, tmp_path):
    """A warning is no error; what may not be found is the tester's word."""
    path = config(
        behind='[qa]\nseverity = { cid-not-hash = "warning", third-party-host = "off", required-field-missing = "off" }\n'
    )
    names = {VENDOR: collector.url.removeprefix("http://")}
    mitmdump = Mitmdump.with_addon(tmp_path, path, names=names, fail_on="error")
    async with running_mitmdump(mitmdump):
        await ask(mitmdump.proxy, EVENT, MISTAKE)
        assert 0 == await mitmdump.stop()
    assert "warning cid-not-hash" in mitmdump.output()


async def test_a_report_that_can_not_be_written_is_no_success(config, tmp_path):
    """A pipeline that waits for the file hears so."""
    folder = tmp_path / "reports"
    folder.mkdir()
    mitmdump = Mitmdump.with_addon(tmp_path, config(), json=str(folder / "report.json"))
    async with running_mitmdump(mitmdump):
        folder.rmdir()
        folder.write_text("in the way", encoding="utf-8")
        assert 2 == await mitmdump.stop()
    assert "a report can't be written" in mitmdump.output()
