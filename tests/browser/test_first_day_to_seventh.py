"""The promise that the product is for: a week of one person on two devices becomes one customer, with the whole history."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import expect

from gateway.demo import Ports, running_demo
from tests.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from gateway.demo import Addresses

PHONE_SPELLING = "  Lan.Nguyen@Example.com "
LAPTOP_SPELLING = "lan.nguyen@example.com"
LAN = hashlib.md5(b"lan.nguyen@example.com").hexdigest()


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path) -> AsyncIterator[Addresses]:
    """The demo on free ports, with a data folder of its own."""
    async with running_demo(Ports(0, 0, 0, 0), tmp_path) as addresses:
        yield addresses


@contextlib.asynccontextmanager
async def device(chromium: Browser) -> AsyncIterator[Page]:
    """A browser that nobody used before; its pages must stay free of uncaught errors."""
    context = await chromium.new_context(locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh")
    context.set_default_timeout(10_000)
    errors: list[str] = []
    context.on("weberror", lambda found: errors.append(str(found.error)))
    yield await context.new_page()
    await context.close()
    assert errors == []


class Cdp:
    """What the collector knows."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self._url = url
        self._session = session

    async def book(self) -> dict:
        """Give its profiles, and the rules that were broken."""
        async with self._session.get(f"{self._url}/profiles") as response:
            return await response.json()

    async def profile_of(self, uid: str) -> dict:
        """Give the one profile that a UID belongs to."""
        (profile,) = [each for each in (await self.book())["profiles"] if uid in each["uids"]]
        return profile

    async def raw(self) -> str:
        """Give everything that it was sent, as text."""
        async with self._session.get(f"{self._url}/events") as response:
            return await response.text()

    async def has(self, uid: str, expected: list[str]) -> None:
        """Wait until the profile of a UID has these events, in any order."""

        async def arrived() -> bool:
            book = await self.book()
            names = [name for each in book["profiles"] if uid in each["uids"] for name in names_of(each)]
            return sorted(expected) == sorted(names)

        await until(arrived, f"the profile of {uid} has {expected}")


def names_of(profile: dict) -> list[str]:
    return [f"{each['ec']}/{each['ea']}" for each in profile["events"]]


async def uid_of(page: Page) -> str:
    """Give the UID in the browser's cookie."""
    (uid,) = [each["value"] for each in await page.context.cookies() if each["name"] == "_asm_uid"]
    return uid


async def visit(page: Page, demo: Addresses) -> str:
    """Open the shop, look at a product, and give the UID."""
    await page.goto(demo.shop)
    await expect(page.get_by_test_id("script-state")).to_have_text("loaded")
    await page.get_by_test_id("view-product").click()
    return await uid_of(page)


async def sign_in(page: Page, email: str) -> None:
    """Sign in with the address alone, typed like that."""
    await page.get_by_test_id("email").fill(email)
    await page.get_by_test_id("phone").fill("")
    await page.get_by_test_id("sign-in").click()
    await expect(page.get_by_test_id("sign-out")).to_be_visible()


BROWSED = ["pageview/view", "product/view"]
SIGNED_IN = [*BROWSED, "user/sign_in"]


async def test_day_one_day_three_and_the_sign_in_of_day_seven_are_one_customer(chromium, demo):
    """Both anonymous histories merge under one id, however the address was typed; signing out starts a stranger."""
    async with ClientSession() as session, device(chromium) as phone, device(chromium) as laptop:
        cdp = Cdp(demo.collector, session)

        # Day 1 and day 3: two strangers, as far as anybody can know.
        first = await visit(phone, demo)
        await cdp.has(first, BROWSED)
        second = await visit(laptop, demo)
        await cdp.has(second, BROWSED)
        assert first != second
        book = await cdp.book()
        assert (0, 2) == (book["customer_count"], book["anonymous_count"])

        # Day 7: she signs in on both.
        await sign_in(phone, PHONE_SPELLING)
        await cdp.has(first, SIGNED_IN)
        await sign_in(laptop, LAPTOP_SPELLING)
        await cdp.has(second, 2 * SIGNED_IN)
        book = await cdp.book()
        (customer,) = book["profiles"]
        assert ("customer", LAN, {first, second}) == (
            customer["kind"],
            customer["customer_id"],
            set(customer["uids"]),
        )
        assert sorted(2 * SIGNED_IN) == sorted(names_of(customer))
        assert (1, 0, []) == (book["customer_count"], book["anonymous_count"], book["violations"])
        assert "lan.nguyen" not in (await cdp.raw()).lower()

        # Whoever comes next to the laptop is a stranger again; the phone is still hers.
        await laptop.get_by_test_id("sign-out").click()
        await expect(laptop.get_by_test_id("person")).to_have_text("nobody")
        third = await visit(laptop, demo)
        assert third not in {first, second}
        await cdp.has(third, ["user/reset_anonymous_id", *BROWSED])
        stranger = await cdp.profile_of(third)
        assert ("anonymous", None, [third]) == (stranger["kind"], stranger["customer_id"], stranger["uids"])
        await visit(phone, demo)
        await cdp.has(first, [*2 * SIGNED_IN, *BROWSED])
        book = await cdp.book()
        assert (1, 1, []) == (book["customer_count"], book["anonymous_count"], book["violations"])
