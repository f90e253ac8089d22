"""The demo shop in a real browser, with the whole demo behind it: the gateway, its script, the collector."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import expect

from gateway.demo import Ports, running_demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page

    from gateway.demo import Addresses

HASH = re.compile(r"^[0-9a-f]{32}$|^[0-9a-f]{64}$")
TYPED_E_MAIL = "  Lan.Nguyen@Example.com "


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path) -> AsyncIterator[Addresses]:
    """The demo on free ports, with a data folder of its own."""
    async with running_demo(Ports(0, 0, 0, 0), tmp_path) as addresses:
        yield addresses


@pytest_asyncio.fixture(loop_scope="session")
async def shop(visitor: Page, demo: Addresses) -> Page:
    """The open shop, its first page view at the collector."""
    await visitor.goto(demo.shop)
    await expect(received(visitor, "pageview/view")).to_have_count(1)
    return visitor


def sent(page: Page, name: str) -> Locator:
    return page.get_by_test_id("sent-rows").locator(f'[data-event="{name}"]')


def received(page: Page, name: str, outcome: str = "delivered") -> Locator:
    return page.get_by_test_id("received-rows").locator(f'[data-event="{name}"][data-outcome="{outcome}"]')


async def press(page: Page, hook: str) -> None:
    await page.get_by_test_id(hook).click()


async def test_the_raw_address_stands_beside_its_hash(shop):
    """Left the e-mail as it was typed, right only hashes; the two parts of a row carry the same request id."""
    await press(shop, "sign-in")
    after = received(shop, "user/sign_in")
    await expect(after).to_have_count(1)
    before = sent(shop, "user/sign_in")
    assert [TYPED_E_MAIL, "0912 345 678"] == await before.locator(".value.raw").all_text_contents()
    hashes = await after.locator(".value.hash").all_text_contents()
    assert 3 == len(hashes), "cid, email, phone"
    assert all(HASH.match(each) for each in hashes)
    assert 0 == await after.locator(".value.raw").count()
    assert await before.get_attribute("data-request-id") == await after.get_attribute("data-request-id")


async def test_the_parts_of_a_row_stand_side_by_side(shop):
    """On a wide page both parts of each event begin at the same height, once they have come to rest."""
    await shop.emulate_media(reduced_motion="reduce")
    await press(shop, "view-product")
    await press(shop, "sign-in")
    await expect(received(shop, "user/sign_in")).to_have_count(1)
    tops = [
        [round((await row.bounding_box())["y"]) for row in await shop.locator(f"#{side}-rows > li").all()]
        for side in ("sent", "received")
    ]
    assert 3 == len(tops[0])
    assert tops[0] == tops[1]


async def test_a_second_person_on_the_device_is_held_and_said_so(shop, demo):
    """The conflict never reaches the collector; the row names the reason."""
    await press(shop, "sign-in")
    await expect(received(shop, "user/sign_in")).to_have_count(1)
    await press(shop, "second-person")
    held = received(shop, "user/sign_in", outcome="quarantined")
    await expect(held).to_contain_text("held by the gateway: cid_conflict")
    await expect(shop.get_by_test_id("person")).to_have_text("Trần Quang Minh")
    profiles = await profiles_of(demo)
    assert (1, []) == (profiles["customer_count"], profiles["violations"])


async def test_the_same_person_typed_otherwise_after_signing_out_is_one_customer(shop, demo):
    """Signing out changes the UID; the tidy spelling gives the same CID, and the collector merges both UIDs."""
    uid, cid = shop.get_by_test_id("uid"), shop.get_by_test_id("cid")
    await press(shop, "sign-in")
    await expect(cid).to_have_text(HASH)
    first_uid, first_cid = await uid.text_content(), await cid.text_content()
    await press(shop, "sign-out")
    await expect(uid).not_to_have_text(first_uid)
    await expect(cid).to_have_text("anonymous")
    await shop.get_by_role("button", name="Lan, tidily").click()
    await press(shop, "sign-up")
    await expect(cid).to_have_text(first_cid)
    (profile,) = (await profiles_of(demo))["profiles"]
    assert [first_uid, await uid.text_content()] == profile["uids"]


async def test_what_is_bought_arrives_with_its_order_and_customer(shop, demo):
    """View, cart and purchase carry the fields that the CDP asks of these events; a guest's address is hashed as well."""
    await press(shop, "view-product")
    await press(shop, "add-to-cart")
    await press(shop, "purchase")
    await expect(received(shop, "product/purchase")).to_have_count(1)
    bodies = {each["body"]["ea"]: each["body"] for each in await events_of(demo)}
    assert ("PHIN-01", 1) == tuple(bodies["view"]["items"][0][key] for key in ("id", "quantity"))
    assert {"cart_subtotal": 185000, "cart_item_count": 1}.items() <= bodies["add_to_cart"]["extra"].items()
    order = bodies["purchase"]["extra"]
    assert (185000, bodies["purchase"]["dims"]["purchase"]["id"]) == (order["revenue"], order["order_id"])
    assert HASH.match(bodies["purchase"]["dims"]["customers"]["email"])
    await expect(shop.get_by_test_id("cart-count")).to_have_text("0")


async def test_events_of_an_outage_wait_and_arrive(shop, demo):
    """While the collector is down the row says that the event is on its way; then it arrives."""
    async with ClientSession() as session:
        await session.post(f"{demo.collector}/behave", json={"down": True})
        await press(shop, "view-product")
        waiting = shop.locator('#received-rows [data-event="product/view"]')
        await expect(waiting).to_contain_text("accepted by the gateway")
        assert 0 == await received(shop, "product/view").count()
        await session.post(f"{demo.collector}/behave", json={})
    await expect(received(shop, "product/view")).to_have_count(1, timeout=20_000)


@pytest.mark.parametrize("width", [390, 768, 1440])
async def test_nothing_is_wider_than_the_screen(shop, width):
    """Phone, tablet and desk: no sideways scrolling, on the shop or on the collector's page."""
    await shop.set_viewport_size({"width": width, "height": 844})
    await press(shop, "sign-in")
    await expect(received(shop, "user/sign_in")).to_have_count(1)
    assert width == await shop.evaluate("document.documentElement.scrollWidth")
    await shop.get_by_role("link", name="its profiles").click()
    await expect(shop.get_by_test_id("profile-rows").locator("li.customer")).to_have_count(1)
    assert width == await shop.evaluate("document.documentElement.scrollWidth")


async def test_the_shop_can_be_used_without_a_mouse(shop):
    """Enter in the form signs in; the focus moves on to signing out, which Enter does."""
    await shop.get_by_test_id("email").focus()
    await shop.keyboard.press("Enter")
    await expect(shop.get_by_test_id("sign-out")).to_be_focused()
    await shop.keyboard.press("Enter")
    await expect(shop.get_by_test_id("person")).to_have_text("nobody")


async def test_an_address_is_asked_for_when_none_was_typed(shop):
    """Nothing is sent without an e-mail address or a phone number."""
    for field in ("email", "phone"):
        await shop.get_by_test_id(field).fill("  ")
    await press(shop, "sign-in")
    await expect(shop.get_by_role("alert")).to_contain_text("e-mail address or a phone number")
    assert 0 == await sent(shop, "user/sign_in").count()


async def profiles_of(demo: Addresses) -> dict:
    async with ClientSession() as session, session.get(f"{demo.collector}/profiles") as response:
        return await response.json()


async def events_of(demo: Addresses) -> list[dict]:
    async with ClientSession() as session, session.get(f"{demo.collector}/events") as response:
        return await response.json()
