"""A site is tried as if its tracking name pointed at the gateway already; `tests/parity` has what becomes of each event."""

from __future__ import annotations

import ssl

import pytest

from tests.addon.conftest import VENDOR, ask
from tests.builders import ORIGIN, QUERY, event
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import running_collector, until


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


def collecting(url):
    return f'[collector]\nurl = "{url}/event"\nretry_base_seconds = 0.05\nretry_cap_seconds = 0.2\n'


async def test_names_that_lead_nowhere_are_answered(collector, config, tmp_path):
    """The script, a page's event, its preflight; over HTTPS, with no vendor and no DNS; and the collector of the settings gets the event."""
    page = (("Origin", ORIGIN), ("Sec-Fetch-Site", "cross-site"))
    path = config(f'data_dir = "{tmp_path}/data"\n', collecting(collector.url))
    mitmdump = Mitmdump.with_addon(tmp_path, path, mode="redirect")
    async with running_mitmdump(mitmdump):
        tls = ssl.create_default_context(cafile=mitmdump.certificate)
        script = await ask(mitmdump.proxy, f"https://st-{VENDOR}/insight.js", tls=tls)
        at_vendor = await ask(
            mitmdump.proxy, f"https://{VENDOR}/event?{QUERY}", event(), headers=page, tls=tls
        )
        at_own = await ask(
            mitmdump.proxy, f"https://track.shop.example/event?{QUERY}", event(), headers=page, tls=tls
        )
        asked = (*page, ("Access-Control-Request-Method", "POST"))
        preflight = await ask(
            mitmdump.proxy, f"https://{VENDOR}/event?{QUERY}", method="OPTIONS", headers=asked, tls=tls
        )

        async def has_both():
            return len(await collector.get("/events")) == 2

        await until(has_both, "the collector has both events")
    assert b"web_event" in script.body
    assert [200, 200, 200, 204] == [each.status for each in (script, at_vendor, at_own, preflight)]
    assert ORIGIN == preflight.header("access-control-allow-origin")
    # A browser keeps those of another site only when they are said to be a third party's.
    assert at_vendor.header("set-cookie").endswith("; SameSite=None; Partitioned")
    assert "Domain=shop.example" in at_own.header("set-cookie")
    assert "SameSite=Lax" in at_own.header("set-cookie")


async def test_what_was_answered_for_is_not_lost_with_the_proxy(collector, config, tmp_path):
    """The collector is away until mitmdump has ended: the event waits in the data folder, the tester reads so, and the next run sends it."""
    await collector.behave(down=True)
    path = config(f'data_dir = "{tmp_path}/data"\n[server]\ndrain_seconds = 1\n', collecting(collector.url))
    mitmdump = Mitmdump.with_addon(tmp_path, path, mode="redirect")
    async with running_mitmdump(mitmdump):
        answer = await ask(mitmdump.proxy, f"http://{VENDOR}/event?{QUERY}", event())
        assert 200 == answer.status
        await mitmdump.stop()
    assert f"1 events wait for the collector in {tmp_path}/data/qa" in mitmdump.output()
    await collector.behave()
    again = Mitmdump.with_addon(tmp_path, path, mode="redirect")

    async def has_it():
        return await collector.get("/events")

    async with running_mitmdump(again):
        await until(has_it, "the collector has the event")
