"""Two people on one device and no logout between them, in a real browser, under each of the three policies.

The whole demo is behind the page: the gateway, its script, and a collector that judges like the CDP whether a customer id changed.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession
from playwright.async_api import expect

from gateway.demo import Ports, running_demo
from tests.browser.test_first_day_to_seventh import Cdp, device, names_of, uid_of, visit
from tests.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from gateway.demo import Addresses

# As the shop's form holds the first person, and its button the second.
LAN = hashlib.md5(b"lan.nguyen@example.com").hexdigest()


@contextlib.asynccontextmanager
async def shared_device(
    chromium: Browser, tmp_path, policy: str
) -> AsyncIterator[tuple[Page, Addresses, Cdp, str]]:
    """Give a browser in which the first person has signed in and gone, and the UID that is bound to her."""
    async with (
        running_demo(Ports(0, 0, 0, 0), tmp_path, policy) as demo,
        ClientSession() as session,
        device(chromium) as page,
    ):
        cdp = Cdp(demo.collector, session)
        first = await visit(page, demo)
        await page.get_by_test_id("sign-in").click()
        await expect(page.get_by_test_id("sign-out")).to_be_visible()
        await cdp.has(first, ["pageview/view", "product/view", "user/sign_in"])
        yield page, demo, cdp, first


async def second_person(page: Page, outcome: str, reason: str) -> None:
    """Let the second person sign in, and wait until the page shows what became of it."""
    await page.get_by_test_id("second-person").click()
    row = page.get_by_test_id("received-rows").locator('[data-event="user/sign_in"]').first
    await expect(row).to_have_attribute("data-outcome", outcome)
    await expect(row).to_have_attribute("data-reason", reason)


async def customers(cdp: Cdp) -> list[dict]:
    """Give the customers, after nothing broke a rule of identity."""
    book = await cdp.book()
    assert [] == book["violations"]
    return [each for each in book["profiles"] if each["kind"] == "customer"]


async def test_under_quarantine_the_second_person_is_nobody_until_somebody_looks(chromium, tmp_path):
    """Her sign-in is held; the first person's profile has nothing of it, and the device keeps its UID."""
    async with shared_device(chromium, tmp_path, "quarantine") as (page, _, cdp, first):
        await second_person(page, "quarantined", "cid_conflict")
        assert first == await uid_of(page)
        [customer] = await customers(cdp)
        assert (LAN, [first]) == (customer["customer_id"], customer["uids"])
        assert ["pageview/view", "product/view", "user/sign_in"] == sorted(names_of(customer))


async def test_under_new_uid_the_second_person_has_a_profile_of_her_own_from_then_on(chromium, tmp_path):
    """Cookie, storage and every later event, also after a reload, are hers; the first person's profile ends where she came."""
    async with shared_device(chromium, tmp_path, "new_uid") as (page, demo, cdp, first):
        await second_person(page, "delivered", "new_uid")
        second = await uid_of(page)
        assert second != first
        assert second == await page.evaluate("localStorage.getItem('_asm_uid')")
        await page.get_by_test_id("view-product").click()
        await cdp.has(second, ["product/view", "user/sign_in"])
        assert second == await visit(page, demo)
        await cdp.has(second, ["pageview/view", "product/view", "product/view", "user/sign_in"])
        both = {each["customer_id"]: each for each in await customers(cdp)}
        assert 2 == len(both)
        assert ([first], 3) == (both[LAN]["uids"], len(both[LAN]["events"]))
        [hers] = [each for cid, each in both.items() if cid != LAN]
        assert [second] == hers["uids"]


async def test_under_strip_the_second_person_leaves_no_trace_of_who_she_is(chromium, tmp_path):
    """Her sign-in arrives as nobody's, and the first person's profile has nothing of it."""
    async with shared_device(chromium, tmp_path, "strip") as (page, demo, cdp, first):
        await second_person(page, "delivered", "identity_stripped")
        assert first == await uid_of(page)

        async def arrived() -> list[dict]:
            async with ClientSession() as session, session.get(f"{demo.collector}/events") as response:
                return [each for each in await response.json() if not each["body"].get("uid")]

        [event] = await until(arrived, "the stripped event has arrived")
        assert {"ec": "user", "ea": "sign_in"} == {name: event["body"][name] for name in ("ec", "ea")}
        assert not {"uid", "aid", "cid", "sid"} & set(event["body"])
        assert "customers" not in event["body"]["dims"]
        [customer] = await customers(cdp)
        assert ([first], 3) == (customer["uids"], len(customer["events"]))


@pytest.mark.parametrize("policy", ["quarantine", "new_uid", "strip"])
async def test_after_a_logout_there_is_no_conflict_to_resolve(chromium, tmp_path, policy):
    """Whatever the policy, a page that signs its visitors out has two people in two profiles."""
    async with shared_device(chromium, tmp_path, policy) as (page, _, cdp, first):
        await page.get_by_test_id("sign-out").click()
        await page.get_by_test_id("email").fill("minh@example.com")
        await page.get_by_test_id("phone").fill("")
        await page.get_by_test_id("sign-in").click()
        second = await uid_of(page)
        await cdp.has(second, ["user/reset_anonymous_id", "user/sign_in"])
        assert [[first], [second]] == sorted((each["uids"] for each in await customers(cdp)), key=lambda uids: uids != [first])  # fmt: skip
