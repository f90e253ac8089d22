"""Plugins in a real gateway process: an installed package, a plugin that hangs, and one that can't be found."""

from __future__ import annotations

import aiohttp

from tests import plugin_package
from tests.builders import event
from tests.command_line import run
from tests.processes import Gateway, running_collector, until


async def test_a_plugin_changes_events_and_one_that_hangs_stops_nobody(tmp_path):
    """Every event is answered and delivered, whatever the plugin does."""
    async with running_collector() as collector, aiohttp.ClientSession() as session:
        plugins = {"enabled": ["troubled", "brand"], "limit_ms": 200, "max_failures_per_minute": 2}
        gateway = Gateway(tmp_path, collector.url, plugins=plugins)
        gateway.python_path.append(plugin_package.install(tmp_path / "site"))
        await gateway.start()
        try:
            for number, action in enumerate(("hang", "raise", "view")):
                async with session.post(gateway.collect_url(f"r-{number}"), json=event("a", action)) as response:  # fmt: skip
                    assert (200, "ok") == (response.status, (await response.json())["reason"])

            async def arrived():
                return len(await collector.request_ids()) == 3

            await until(arrived, "all three arrive")
            bodies = [each["body"] for each in await collector.get("/events")]
            assert ["Shoes & Co"] * 3 == [each["extra"]["brand"] for each in bodies]
            assert "half" not in str(bodies)
            (off,) = gateway.log_lines("plugin_off")
            assert ("troubled", "raised", "ValueError") == (off["plugin"], off["last"], off["error"])
            assert "jane" not in gateway.log()
            metrics = await gateway.metrics()
            assert 1 == metrics['tracking_gateway_remarks_total{kind="plugin",value="broken_off"}']
        finally:
            assert 0 == await gateway.stop()


async def test_a_gateway_does_not_start_without_a_plugin_that_it_is_to_have(tmp_path):
    """It ends with 1 and says what is missing."""
    gateway = Gateway(tmp_path, "http://127.0.0.1:9", plugins={"enabled": ["nobody"]})
    await gateway.spawn()
    assert 1 == await gateway.process.wait()
    checked = await run("check", "--config", gateway.config)
    assert 2 == checked.code
    assert "no such entry point is installed" in checked.err
