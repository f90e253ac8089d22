"""Two shops of one owner behind a real gateway, each with a tracking name of its own: who the visitor is, from one to the other."""

from __future__ import annotations

import pytest

from gateway.sdk import snippet
from tests.browser.sdk_page import all_answered, cookie_of, ready
from tests.browser.test_sdk_bridge import BRIDGED
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until

SHOPS = {"shop.example": PROP_ID, "sister.example": "7"}
SECOND = f'[[properties]]\nportal_id = "{PORTAL_ID}"\nprop_id = "7"\nsite = "sister.example"\n'


def put_shops(site, port):
    """Make a page of each shop with a link to the other; give their addresses."""
    addresses = {domain: site.url(f"/{domain}", f"www.{domain}") for domain in SHOPS}
    for domain, prop_id in SHOPS.items():
        other = next(address for name, address in addresses.items() if name != domain)
        tag = snippet(f"http://track.{domain}:{port}", PORTAL_ID, prop_id, site=domain)
        site.pages[f"/{domain}"] = (
            f"<script>{BRIDGED}</script>{tag}<title>{domain}</title><a href='{other}'>go</a>"
        )
    return addresses.values()


async def follow_link(visitor, address):
    """Click on the link to the other shop, and let its page view be answered."""
    await visitor.click("a")
    await visitor.wait_for_url(f"{address}**")
    await ready(visitor)
    await all_answered(visitor)


@pytest.mark.timeout(120)
async def test_a_link_takes_a_customer_along_and_never_replaces_whom_the_other_shop_knows(
    visitor, site, tmp_path
):
    """Signed in at one shop she is the same customer at the other; what that one's hidden cookie says wins over any later link."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, cookies={"secure": False}) as gateway,
    ):
        await gateway.stop()
        gateway.config.write_text(gateway.config.read_text() + SECOND)
        await gateway.start()
        shop, sister = put_shops(site, gateway.port)

        async def of(prop_id, count):
            """Give the bodies of a property's events, once there are so many."""
            found = []

            async def enough():
                events = await collector.get("/events")
                found[:] = [each["body"] for each in events if each["query"]["prop_id"] == prop_id]
                return len(found) >= count

            await until(enough, f"{count} events of {prop_id} arrived")
            return found

        await visitor.goto(shop)
        await ready(visitor)
        await visitor.evaluate(
            "web_event.track('user', 'sign_in', {dims: {customers: {email: 'lan@shop.example'}}})"
        )
        await all_answered(visitor)
        signed_in = (await of(PROP_ID, 2))[1]
        await follow_link(visitor, sister)
        [first] = await of("7", 1)
        assert (signed_in["uid"], signed_in["cid"]) == (first["uid"], first["cid"])
        assert first["cid"]
        hidden = [each for each in await visitor.context.cookies() if each["name"] == "_asm_uid_s"]
        assert {".shop.example", ".sister.example"} == {each["domain"] for each in hidden}

        # The sister's page forgets her, all but the hidden cookie; at the shop somebody else goes on.
        await visitor.context.clear_cookies(name="_asm_uid", domain=".sister.example")
        await visitor.evaluate("localStorage.clear()")
        await visitor.goto(shop)
        await ready(visitor)
        stranger = await visitor.evaluate("web_event.resetAnonymousUId()")
        await all_answered(visitor)
        await follow_link(visitor, sister)
        _, second = await of("7", 2)
        assert second["uid"] == first["uid"] != stranger
        assert first["uid"] == await cookie_of(visitor, "_asm_uid")
