"""The honeypot over real sockets."""

from __future__ import annotations

import aiohttp

from tests.builders import CHROME, event
from tests.processes import running_collector, running_gateway_process


async def test_who_asks_for_the_honeypot_is_a_bot_from_then_on(tmp_path):
    """The answer is empty, `robots.txt` warns of the path, and other addresses are people's as before."""
    sections = {
        "bots": {"mode": "drop", "honeypot_path": "/members/list"},
        "server": {"trusted_proxies": ["127.0.0.0/8"]},
    }
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as gateway,
        aiohttp.ClientSession(headers={"User-Agent": CHROME}) as session,
    ):

        async def outcome(address):
            url, headers = gateway.collect_url(), {"X-Forwarded-For": address}
            async with session.post(url, json=event(), headers=headers) as response:
                return response.status, (await response.json())["reason"]

        root = gateway.collect_url(path="").partition("?")[0]
        assert (200, "ok") == await outcome("203.0.113.9")
        async with session.get(f"{root}/robots.txt") as response:
            assert (200, "User-agent: *\nDisallow: /members/list\n") == (
                response.status,
                await response.text(),
            )
        async with session.get(
            f"{root}/members/list?page=2", headers={"X-Forwarded-For": "203.0.113.9"}
        ) as response:
            assert (204, b"") == (response.status, await response.read())
        assert [(200, "bot"), (200, "ok")] == [await outcome("203.0.113.9"), await outcome("203.0.113.10")]


async def test_without_a_honeypot_there_is_neither_it_nor_robots_txt(tmp_path):
    """As before."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url) as gateway,
        aiohttp.ClientSession() as session,
        session.get(gateway.collect_url(path="/robots.txt").partition("?")[0]) as response,
    ):
        assert 404 == response.status
