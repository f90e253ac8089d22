"""What a tester sees of a call in mitmweb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import ClientSession

from tests.browser.qa_pages import (
    LAN,
    MINH,
    STEPS,
    make_mistakes,
    put_hand_written_site,
    settings_of,
)
from tests.processes import free_port, until

if TYPE_CHECKING:
    from tests.browser.intercepted import Machine

_PASSWORD = "tests"


@pytest.mark.timeout(180)
async def test_a_call_is_a_table_in_mitmweb(machine: Machine):
    """The flow is marked and commented, and its request is shown as what the gateway makes of it, without the address."""
    world, port = machine.world, free_port()
    (step,) = (each for each in STEPS if each.rule == "cid-of-other-spelling")
    put_hand_written_site(world)
    web = ("--no-web-open-browser", "--set", f"web_port={port}", "--set", f"web_password={_PASSWORD}")
    config = machine.settings(**settings_of(machine))
    async with (
        machine.mitmdump(config, *web, program="mitmweb") as mitmweb,
        machine.page(mitmweb.proxy) as page,
        ClientSession(headers={"Authorization": f"Bearer {_PASSWORD}"}) as session,
    ):
        await make_mistakes(page, world, (step,))

        async def get(path: str) -> Any:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                assert 200 == response.status, await response.text()
                return await response.json()

        async def marked() -> Any:
            return [each for each in await get("/flows") if each["marked"]]

        (flow,) = await until(marked, "a flow is marked")
        assert flow["marked"] in {":red_circle:", "🔴"}
        assert f"error {step.rule}: event 1 {step.place}" in flow["comment"]
        view = orjson.dumps(await get(f"/flows/{flow['id']}/request/content/Tracking.json")).decode()
        assert "user / sign_in" in view
        assert f"error {step.rule}" in view
        assert "accepted, ok" in view
        assert not any(
            raw.split("@")[0] in text.lower() for raw in (LAN, MINH) for text in (view, flow["comment"])
        )
        assert 0 == await mitmweb.stop(), mitmweb.output()
