"""A tester looks on: each tracking call is examined, and nothing of it is changed."""

from __future__ import annotations

import signal

import orjson
import pytest

from tests.addon.conftest import EVENT, VENDOR, ask
from tests.builders import event
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import running_collector

RAW = {"dims": {"customers": {"email": "Lan.Nguyen@Example.com"}}}


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


def names(collector):
    return {VENDOR: collector.url.removeprefix("http://")}


async def test_a_tracking_call_is_examined_and_goes_on_as_it_came(collector, config, tmp_path):
    """The collector gets the very body, and the tester reads what the gateway would make of it."""
    mitmdump = Mitmdump.with_addon(tmp_path, config(), names=names(collector))
    async with running_mitmdump(mitmdump):
        answer = await ask(mitmdump.proxy, EVENT, event(**RAW))
        await mitmdump.said("tracking call 1: POST a.cdp.asia/event: accepted (ok)")
        (got,) = await collector.get("/events")
    assert 200 == answer.status
    assert RAW["dims"] == got["body"]["dims"]
    assert "Lan.Nguyen" not in mitmdump.output()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "obseve"}, "tracking_mode=obseve: write one of: observe, enforce, redirect"),
        ({"fail_on": "errors"}, "tracking_fail_on=errors: write one of: never, error, warning, note"),
        ({"config": "/nowhere.toml"}, "name a file that exists"),
        ({"report": "/nowhere/report.html"}, "name a file in a folder that exists"),
        ({"confg": "x"}, "there is no such option; write tracking_config"),
    ],
)
async def test_a_wrong_option_ends_mitmdump_at_once(config, tmp_path, options, said):
    """It names the option, what it says and what to write instead, and the exit code is not 0."""
    mitmdump = Mitmdump.with_addon(tmp_path, config(), **options)
    await mitmdump.spawn()
    assert 0 != await mitmdump.ended()
    assert said in mitmdump.output()
    assert "Traceback" not in mitmdump.output()


async def test_a_wrong_setting_is_named_with_its_mend(config, tmp_path):
    """As the gateway itself says it."""
    mitmdump = Mitmdump.with_addon(tmp_path, config(behind='[qa]\nslow_ms = "soon"\n'))
    await mitmdump.spawn()
    assert 0 != await mitmdump.ended()
    assert "qa.slow_ms = 'soon'\n    write a valid integer" in mitmdump.output()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_nothing_found_ends_with_0(config, tmp_path, by):
    """However it is ended."""
    mitmdump = Mitmdump.with_addon(tmp_path, config(), fail_on="note")
    async with running_mitmdump(mitmdump):
        assert 0 == await mitmdump.stop(by)
    assert "no tracking event was seen" in mitmdump.output()


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_tracking_call_is_read_whole_where_bodies_are_streamed(collector, config, tmp_path, framing):
    """Also one whose length nobody says; the collector gets the very bytes, and the flow holds them."""
    arguments = ("--set", "stream_large_bodies=100", "-w", str(tmp_path / "dump"))
    mitmdump = Mitmdump.with_addon(tmp_path, config(), *arguments, names=names(collector))
    content = orjson.dumps(event(extra={"note": "x" * 2_000}))
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:150], content[150:], b""))
    async with running_mitmdump(mitmdump):
        headers = (("Transfer-Encoding", "chunked"),) if framing == "chunks" else ()
        answer = await ask(mitmdump.proxy, EVENT, chunked if headers else content, headers=headers)
        await mitmdump.said("tracking call 1: POST a.cdp.asia/event: accepted (ok)")
        (got,) = await collector.get("/events")
    assert 200 == answer.status
    assert "x" * 2_000 == got["body"]["extra"]["note"]
    assert b"x" * 2_000 in (tmp_path / "dump").read_bytes()


async def test_a_mode_that_changes_calls_wants_them_whole(config, tmp_path):
    """What would be on its way before it is read is refused at the start."""
    mitmdump = Mitmdump.with_addon(tmp_path, config(), "--set", "stream_large_bodies=3k", mode="enforce")
    await mitmdump.spawn()
    assert 0 != await mitmdump.ended()
    assert "stream_large_bodies=3k: write 1048576 or more" in mitmdump.output()
