"""One Chromium and one Firefox for all browser tests, a fresh profile for each of them.

Starting a browser costs seconds, so it lives as long as the test session, and every test of this folder runs on
the session's event loop. Fixtures of this folder therefore say `loop_scope="session"`. All names that end in
`.example` lead to this machine, so that tests can use a site's and a gateway's real-looking hosts.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.firefox import Firefox
from tests.browser.intercepted import running_machine
from tests.browser.sdk_page import FakeGateway, FakeSite
from tests.browser.tabs import ChromiumTab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.browser.intercepted import Machine
    from tests.browser.tabs import Tab

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: `browser`, and on the session's event loop, where the browser lives."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A running Chromium: Debian's, found on the path.

    Without one the test is skipped, unless TRACKING_GATEWAY_REQUIRE_CHROMIUM=1 says that this would hide something.
    """
    executable = _found("chromium", "TRACKING_GATEWAY_REQUIRE_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def firefox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    """A running Firefox: Debian's, found on the path; TRACKING_GATEWAY_REQUIRE_FIREFOX=1 makes a missing one a failure."""
    executable = _found("firefox-esr", "TRACKING_GATEWAY_REQUIRE_FIREFOX")
    async with Firefox.running(executable, tmp_path_factory.mktemp("firefox")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def testers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """A tester's machine: a Chromium of its own that trusts mitmproxy's authority, with a site and the vendor in its world."""
    executable = _found("chromium", "TRACKING_GATEWAY_REQUIRE_CHROMIUM")
    async with running_machine(tmp_path_factory.mktemp("machine"), executable) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def machine(testers: Machine, tmp_path: Path) -> Machine:
    """The tester's machine with an empty folder and a world that has seen nothing yet."""
    await testers.world.forget()
    return replace(testers, folder=tmp_path)


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Browser | Firefox:
    """Each browser in turn; one that is not asked for is not started."""
    return request.getfixturevalue(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser | Firefox) -> AsyncIterator[Tab]:
    """A tab of each browser, in a profile that nobody used before, which must stay free of uncaught errors."""
    if isinstance(browser, Firefox):
        browser.errors.clear()
        async with browser.tab() as opened:
            yield opened
        assert browser.errors == []
        return
    context = await browser.new_context()
    context.set_default_timeout(10_000)
    errors: list[str] = []
    context.on("weberror", lambda found: errors.append(str(found.error)))
    yield ChromiumTab(await context.new_page())
    await context.close()
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page of a browser profile that nobody used before: a Vietnamese visitor in Ho Chi Minh City."""
    context = await chromium.new_context(locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh")
    context.set_default_timeout(10_000)
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(page: Page) -> AsyncIterator[Page]:
    """A page that must stay free of uncaught errors: the script may never throw into a site."""
    errors: list[str] = []
    page.context.on("weberror", lambda found: errors.append(str(found.error)))
    yield page
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def gateway() -> AsyncIterator[FakeGateway]:
    """A gateway that only records what the script sends."""
    async with FakeGateway.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def site(gateway: FakeGateway) -> AsyncIterator[FakeSite]:
    """A site on another port, whose pages load the script from the gateway."""
    async with FakeSite.running(gateway) as running:
        yield running


def _found(executable: str, variable: str) -> str:
    """Give where a browser is, or skip the test, unless the environment says that this would hide something."""
    path = shutil.which(executable)
    if path is not None:
        return path
    missing = f"no {executable} on the path: install Debian's package `{executable}` to run its tests"
    if os.environ.get(variable) == "1":
        pytest.fail(missing)
    pytest.skip(missing)
