"""A page with the strictest policy that leaves room for the script: nonces, one host to talk to, Trusted Types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sdk import snippet
from tests.browser.sdk_page import PORTAL, PROPERTY, STORED_EVENTS
from tests.processes import until

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite


def strict_page(site: FakeSite, gateway: FakeGateway, *, own: str, nonce: str = "r4nd0m") -> str:
    """Make a page with the strict policy and a script of its own; give its address."""
    page = snippet(gateway.base(), PORTAL, PROPERTY, nonce=nonce)
    site.pages["/strict"] = f"{page}<title>strict</title><script nonce='{nonce}'>{own}</script>"
    origin = gateway.base().removesuffix("/t")
    site.headers["/strict"] = {
        # Firefox looks for the page's icon, and says what it thinks of that.
        "Content-Security-Policy": f"default-src 'none'; img-src 'self'; script-src 'nonce-{nonce}'; connect-src {origin}; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    }
    return site.url("/strict")


async def test_the_script_breaks_no_strict_policy(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Everything works, and the browser has nothing to report: no eval, no inline style, no injected script, no HTML."""
    own = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
    var _cdpEnableDomainBridge = true;
    web_event.track("user", "sign_in", {dims: {customers: {email: "lan@shop.example"}}});
    """
    await visitor.goto(strict_page(site, gateway, own=own))
    await gateway.until_named("user/sign_in")
    await visitor.evaluate("web_event.resetAnonymousUId(), web_event.trackEventWithUri('ec=a&ea=b')")
    await gateway.until_count(4)

    async def is_all_answered() -> bool:
        # Asked from outside: a page that waits for itself would need the eval that its policy forbids.
        return bool(await visitor.evaluate(f"{STORED_EVENTS}.length === 0"))

    await until(is_all_answered, "the page has heard of each of its events")
    assert await visitor.evaluate("violations") == []
