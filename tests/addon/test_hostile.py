"""Pages that mean no good, and moments that come badly: nothing raw is said, and nothing goes on that should have become something else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.addon.conftest import EVENT, VENDOR, ask
from tests.builders import QUERY, event
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import running_collector

SHOWN = Path(__file__).parents[1] / "mitmdump_shown.py"
RAW = {"dims": {"customers": {"email": "lan.nguyen@example.com"}}}
BREAKS = """
import tracking_parts.modes

def put_record(*_):
    raise RuntimeError("lan.nguyen@example.com")

tracking_parts.modes.put_record = put_record
"""


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


async def test_nothing_raw_is_said_of_a_path_a_method_or_a_page(collector, config, tmp_path):
    """In a path of the vendor's, as a method, as a page's host, however often it is encoded: the log, the comments and the views have the kind alone, and no escape of a terminal."""
    names = {VENDOR: collector.url.removeprefix("http://")}
    mitmdump = Mitmdump.with_addon(
        tmp_path, config(), "-s", str(SHOWN), "--set", "flow_detail=0", names=names
    )
    async with running_mitmdump(mitmdump):
        for raw in ("lan.nguyen%40example.com", "lan.nguyen%2540example.com", "+84912345678"):
            await ask(mitmdump.proxy, f"http://{VENDOR}/event/{raw}?{QUERY}", event())
            await ask(mitmdump.proxy, f"http://{VENDOR}/{raw}/pixel.gif?{QUERY}")
            page = (("Origin", f"https://{raw}.example"), ("User-Agent", "\x1b[31m"))
            await ask(mitmdump.proxy, EVENT, event("\x1b[31m", "view"), headers=page)
            await ask(mitmdump.proxy, EVENT, method=raw.replace("%40", "@"))
        await mitmdump.said("tracking call 12: ")
        await mitmdump.stop()
    said = mitmdump.output().lower()
    assert "tracking call 1: post a.cdp.asia/event/[email]: answered 404" in said
    assert "a page of [" in said
    assert [] == [raw for raw in ("lan.nguyen", "912345678", "\x1b[31m") if raw in said]


async def test_a_fault_lets_no_call_go_on_as_it_is(collector, config, tmp_path):
    """Where the gateway's request can't be put in the place of the page's, the page hears nothing, the vendor neither, and it is no success."""
    script = tmp_path / "breaks.py"
    script.write_text(BREAKS, encoding="utf-8")
    names = {VENDOR: collector.url.removeprefix("http://")}
    mitmdump = Mitmdump.with_addon(tmp_path, config(), "-s", str(script), names=names, mode="enforce")
    async with running_mitmdump(mitmdump):
        answer = await hung_up(mitmdump.proxy)
        assert answer
        await mitmdump.said("a call could not be examined")
        assert [] == await collector.get("/events")
        assert 2 == await mitmdump.stop()
    assert "lan.nguyen" not in mitmdump.output()


async def test_what_comes_while_the_session_ends_does_not_go_on_as_it_is(collector, config, tmp_path):
    """A gateway drains for seconds; the vendor gets no page's call meanwhile."""
    behind = f'[collector]\nurl = "{collector.url}/event"\nretry_base_seconds = 0.05\n'
    path = config(f'data_dir = "{tmp_path}/data"\n[server]\ndrain_seconds = 8\n', behind)
    async with running_collector() as vendor:
        await collector.behave(down=True)
        names = {VENDOR: vendor.url.removeprefix("http://")}
        mitmdump = Mitmdump.with_addon(tmp_path, path, "-s", str(SHOWN), names=names, mode="redirect")
        async with running_mitmdump(mitmdump):
            assert 200 == (await ask(mitmdump.proxy, EVENT, event())).status
            assert mitmdump.process is not None
            mitmdump.process.send_signal(signal.SIGINT)
            while mitmdump.process.returncode is None and not await hung_up(mitmdump.proxy):
                """Until the session has begun to end."""
            assert [] == await vendor.get("/events")
            await mitmdump.ended()


async def hung_up(proxy):
    """Send an event with an address, and tell whether nothing was answered."""
    try:
        await ask(proxy, EVENT, event(**RAW))
    except (OSError, IndexError, ValueError):
        return True
    return False
