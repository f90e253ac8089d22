"""The public port under other names than the usual ones, with and without the fast path."""

from __future__ import annotations

import re

import aiohttp
import pytest

from tests.builders import event
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process

PATHS = {
    "prefix": "/x7",
    "old_prefixes": ["/x6"],
    "script": ["/b.js", "/a.js"],
    "event": ["/e"],
    "ppid": ["/p"],
}
ROTATING = {"keys": ["a:0123456789abcdef"], "rotate_days": 7}


@pytest.fixture(params=[True, False], ids=["fast", "aiohttp"])
async def gateway(tmp_path, request):
    async with (
        running_collector() as collector,
        running_gateway_process(
            tmp_path, collector.url, server={"fast_path": request.param}, paths={**PATHS, **ROTATING}
        ) as running,
    ):
        yield running


async def told_to(session, url):
    """Give the paths that the script at `url` sends to, from where it stands."""
    async with session.get(url) as response:
        text = await response.text()
    [places] = re.findall(r'\{script:"(.*?)",event:"(.*?)",stream_event:"(.*?)"\}', text)
    return places


async def test_every_name_is_served_and_counted(gateway):
    """Script, events and PPID answer at their new, old, usual and rotated names; other paths stay closed."""
    async with aiohttp.ClientSession() as session:
        script, rotated, _ = await told_to(session, f"{gateway.url}/x7/b.js")
        assert ("/x7/b.js", True) == (script, re.fullmatch("[a-z2-7]{10}", rotated) is not None)
        assert ("/insight.js", f"x7/{rotated}") == (await told_to(session, f"{gateway.url}/insight.js"))[:2]
        assert ("/x6/a.js", f"../x7/{rotated}") == (await told_to(session, f"{gateway.url}/x6/a.js"))[:2]
        for path in (f"/x7/{rotated}", f"/x6/{rotated}", "/x7/e", "/x6/event", "/event"):
            async with session.post(gateway.collect_url(path=path), json=event()) as response:
                assert (200, "accepted") == (response.status, (await response.json())["outcome"]), path
            async with session.get(gateway.collect_url(path=path) + "&uid=123456789&ec=a&ea=b") as response:
                assert 200 == response.status, path
            async with session.options(gateway.collect_url(path=path)) as response:
                assert 204 == response.status, path
        for path in ("/x7/p", "/ppid"):
            async with session.get(gateway.collect_url(path=path)) as response:
                assert {"ppid": None} == await response.json(), path
        # A slash too many, however often, is answered with the script of a name that there is.
        assert "/x7/b.js" == (await told_to(session, f"{gateway.url}//x7//b.js"))[0]
        for path in ("/e", f"/{rotated}", "/x7", "/x7/", "/x7/favicon.ico", "/x7/c.js"):
            async with session.get(gateway.url + path) as response:
                assert 404 == response.status, path
    metrics = await gateway.metrics()

    def counted(part, name):
        return metrics[f'tracking_gateway_path_requests_total{{name="{name}",part="{part}"}}']

    assert (6, 3) == (counted("/event", "rotated: current"), counted("/event", "/x7/e"))
    assert (0, 0) == (counted("/event", "/x7/event"), counted("/event", "rotated: previous"))
    assert (2, 1, 0) == tuple(counted("/insight.js", name) for name in ("/x7/b.js", "/x6/a.js", "/x7/a.js"))


async def test_the_commands_tell_the_names(gateway):
    """`snippet` prints the script's first name, `--json` all that clients need, `check` every path."""
    json = (await run("snippet", "--config", gateway.config, "--json")).json
    base = "https://track.shop.example/x7"
    async with aiohttp.ClientSession() as session:
        _, event_name, stream_name = await told_to(session, f"{gateway.url}/x7/b.js")
    expected = {"script": f"{base}/b.js", "event": f"{base}/{event_name}", "stream_event": f"{base}/{stream_name}", "ppid": f"{base}/p"}  # fmt: skip
    assert expected == {key: json[key] for key in expected}
    assert f'script.src = "{base}/b.js";' in json["html"]
    checked = (await run("check", "--config", gateway.config, "--json")).json
    assert ["/x7/b.js", "/x7/a.js", "/x7/insight.js"] == checked["paths"]["/insight.js"][:3]
    assert ["••••"] == checked["settings"]["paths"]["keys"]
    assert f"/event is served at /x7/{event_name}, " in (await run("check", "--config", gateway.config)).out


async def test_names_that_can_not_be_are_told_by_check(gateway):
    """Exit code 2, with the key and the mend."""
    gateway.config.write_text(gateway.config.read_text().replace('["/e"]', '["/ppid"]'))
    end = await run("check", "--config", gateway.config)
    assert 2 == end.code
    assert "/x7/ppid would be both /ppid and /event" in end.err or "/ppid would be both" in end.err
