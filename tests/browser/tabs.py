"""A tab of whatever browser: what tests need that run in more than one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from playwright.async_api import Page

_WAIT_SECONDS = 10


class Tab(Protocol):
    """One tab, in a profile of its own."""

    async def goto(self, url: str) -> None:
        """Load a page, to its end."""

    async def evaluate(self, expression: str) -> Any:
        """Give the value of an expression in the page."""

    async def prepare(self, script: str) -> None:
        """Run JavaScript in each page from now on, before its own."""

    async def set_offline(self, offline: bool) -> None:
        """Take the network away, or give it back."""


class ChromiumTab:
    """A tab of Chromium, driven by Playwright."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def goto(self, url: str) -> None:
        """Load a page, to its end."""
        await self._page.goto(url)

    async def evaluate(self, expression: str) -> Any:
        """Give the value of an expression in the page."""
        return await self._page.evaluate(expression)

    async def prepare(self, script: str) -> None:
        """Run JavaScript in each page from now on, before its own."""
        await self._page.add_init_script(script)

    async def set_offline(self, offline: bool) -> None:
        """Take the network away, or give it back."""
        await self._page.context.set_offline(offline)


async def until(tab: Tab, expression: str) -> None:
    """Wait until an expression is true in the page."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while not await tab.evaluate(f"Boolean({expression})"):
            await asyncio.sleep(0.02)
