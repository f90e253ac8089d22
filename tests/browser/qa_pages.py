"""Two sites to be looked at through the QA addon: one that does everything right with our script, and one, written by hand, that makes each mistake once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.sdk import snippet
from tests.browser.intercepted import OWN, SHOP, VENDOR
from tests.browser.sdk_page import all_answered, ready
from tests.builders import PORTAL_ID, PROP_ID

if TYPE_CHECKING:
    from playwright.async_api import Page

    from gateway.settings_qa import RuleId
    from tests.browser.intercepted import Machine, World

LAN, MINH = "lan.nguyen@example.com", "minh.tran@example.com"
NOW = "2026-12-01 09:41:00"
"""The clock of the page that is written by hand: its requests are the same bytes each time."""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def settings_of(machine: Machine, slow_ms: int = 60_000) -> dict[str, dict[str, Any]]:
    """Give the settings of both sites: visitors are to agree first, and the plan knows every event there is. Under load too nothing is slow, unless `slow_ms` says so."""
    plan = machine.folder / "plan.toml"
    plan.write_text('version = 1\nunknown_events = "warn"\n', encoding="utf-8")
    return {
        "consent": {"mode": "require"},
        "tracking_plan": {"file": str(plan)},
        "qa": {"slow_ms": slow_ms},
    }


_RIGHT_PAGE = """\
<!doctype html><title>Shop</title>
<script>
  // What the consent tool of the site knows.
  var agreed = document.cookie.includes("agreed=1");
  var _cdp365Analytics = {{
    consent: agreed ? "granted" : "pending", page: {{page_type: "{kind}", page_category: "shoes"}},
  }};
  function agree() {{
    document.cookie = "agreed=1; Path=/; Secure";
    web_event.consent("granted");
  }}
  const shoe = {{type: "product", id: "SKU-1001", name: "Canvas shoe", price: 1290000, quantity: 1}};
  function signIn(address) {{
    const cid = _cdpEventFunction.md5(address.trim().toLowerCase());
    web_event.track("user", "sign_in", {{
      dims: {{customers: {{customer_id: cid, name: "Lan"}}}},
      extra: {{
        identify_id: cid, identify_time: _cdpEventFunction._cdpGetLeadTime(), identify_event: "user_sign_in", identify_type: "exact",
      }},
    }});
  }}
  function buy(address, order) {{
    web_event.track("product", "purchase", {{
      items: [shoe], extra: {{order_id: order, revenue: 1290000}},
      dims: {{purchase: {{id: order}}, customers: {{customer_id: _cdpEventFunction.md5(address)}}}},
    }});
  }}
  async function signOut() {{
    web_event.resetAnonymousUId();
    await fetch("/logout", {{method: "POST"}});
  }}
</script>
{snippet}
<script>{script}</script>
<p>Canvas shoe
"""
_LOOK = 'web_event.track("product", "view", {items: [shoe]});'


def put_right_site(world: World, host: str) -> None:
    """Make a site whose pages use the script as the documentation says, from the tracking name `host`."""
    pasted = snippet(f"https://{host}", PORTAL_ID, PROP_ID, site="shop.example")
    for path, kind, script in (("/", "home", ""), ("/shoe", "product", _LOOK), ("/thanks", "thanks", ""), ("/account", "account", "")):  # fmt: skip
        world.pages[path] = _RIGHT_PAGE.format(snippet=pasted, kind=kind, script=script)


async def live_a_day(page: Page) -> list[str]:
    """Do what two people do on one device in a day, the one after the other; gives the names of the events, in order."""
    shop = f"https://{SHOP}"

    async def visit(path: str) -> None:
        await page.goto(f"{shop}{path}")
        await ready(page)

    async def do(script: str) -> None:
        await page.evaluate(script)
        await all_answered(page)

    await visit("/")
    # Long enough to read the banner: what waits for her answer must not go out.
    await page.wait_for_load_state("networkidle")
    await do("agree()")
    await visit("/shoe")
    await do("web_event.track('product', 'add_to_cart', {items: [shoe], extra: {cart_subtotal: 1290000, cart_item_count: 1}})")  # fmt: skip
    await do(f"signIn(' {LAN.title()} ')")
    await visit("/thanks")
    await do(f"buy({LAN!r}, 'A-1001')")
    await visit("/account")
    await all_answered(page)
    await do("signOut()")
    await visit("/")
    await all_answered(page)
    await visit("/shoe")
    await do(f"signIn({MINH!r})")
    await do(f"buy({MINH!r}, 'A-1002')")
    return [
        "pageview/view", "pageview/view", "product/view", "product/add_to_cart", "user/sign_in", "pageview/view", "product/purchase",
        "pageview/view", "user/reset_anonymous_id", "pageview/view", "pageview/view", "product/view", "user/sign_in", "product/purchase",
    ]  # fmt: skip


class Step(NamedTuple):
    """A page that makes a mistake: what a tester must read of it. `call` is the number of the call among the page's own (from 1) that the finding names.

    `script` is what the page does; `behaviour` is the collector's meanwhile, `is_changed` that the vendor has another script than before.
    """

    name: str
    rule: RuleId | None
    call: int
    place: str
    script: str
    behaviour: dict[str, Any] = {}  # noqa: RUF012 -- nobody writes to it
    is_changed: bool = False


_HAND_WRITTEN = """\
<!doctype html><title>busy</title>
<script>
  const UID = "{uid}", LAN = "{lan}", MINH = "{minh}";
  const answers = [];
  let calls = 0;
  const shoe = {{type: "product", id: "SKU-1001", name: "Canvas shoe", price: 1290000, quantity: 1}};
  const addressOf = (extra = {{}}, host = "{own}") => {{
    const query = {{
      portal_id: "{portal}", prop_id: "{prop}", resp_type: "json", format: "json", request_id: "{request}" + ++calls, ...extra,
    }};
    return `https://${{host}}/event?${{new URLSearchParams(query)}}`;
  }};
  // Whatever comes back: the next one goes out behind it.
  const post = (url, body) => fetch(url, {{method: "POST", body}}).then(
    async (answer) => answers.push(`${{answer.status}} ${{await answer.text()}}`),
    (error) => answers.push(String(error)),
  );
  const fieldsOf = (ec, ea, fields = {{}}) => ({{
    uid: UID, aid: UID, sid: "{sid}", ec, ea, et: "{now}", ...fields,
    context: {{
      consent: "granted", navigation: {{url: "https://{shop}{path}", title: "{name}"}}, ...fields.context,
    }},
  }});
  const track = (ec, ea, fields, query, host) => post(addressOf(query, host), JSON.stringify(fieldsOf(ec, ea, fields)));
  const view = (fields, query, host) => track("product", "view", {{items: [shoe], ...fields}}, query, host);
  const identified = (cid, more = {{}}, event = "user_sign_in") => ({{
    dims: {{customers: {{customer_id: cid, ...more}}}},
    extra: {{identify_id: cid, identify_time: "{now}", identify_event: event, identify_type: "exact"}},
  }});
  const script = () => new Promise((loaded) => {{
    window._cdp365Analytics = {{default_event: 0}};
    const tag = document.createElement("script");
    tag.src = "https://{own}/insight.js";
    tag.onload = tag.onerror = loaded;
    document.head.append(tag);
  }});
</script>
<script>
  (async () => {{ {script} }})().then(() => (document.title = "done"), (error) => (document.title = String(error)));
</script>
<p>{name}
"""
# As it was typed, and hashed like that.
_TYPED = "Minh.Tran@Example.com "

STEPS = (
    Step("nothing wrong", None, 0, "", "await script(); await view(); await track('user', 'sign_in', identified(LAN))"),
    Step("an address in the call's own address", "raw-identity-in-url", 1, "query mail",
         f"await view({{}}, {{mail: '{LAN}'}})"),
    Step("the vendor's own host", "third-party-host", 1, "url", f"await view({{}}, {{}}, '{VENDOR}')"),
    Step("an address in a field", "raw-identity-in-field", 1, "dims.customers.email",
         f"await view({{dims: {{customers: {{customer_id: LAN, email: '{LAN}'}}}}}}, {{}}, '{VENDOR}')"),
    Step("a customer's number as the id", "cid-not-hash", 1, "dims.customers.customer_id",
         "await track('user', 'sign_in', identified('C-1042'))"),
    Step("the hash of another spelling", "cid-of-other-spelling", 1, "dims.customers.customer_id",
         f"await track('user', 'sign_in', identified('{md5(_TYPED)}', {{email: '{_TYPED}'}}))"),
    Step("another customer under the same id", "cid-changed", 2, "dims.customers.customer_id",
         "await track('user', 'sign_in', identified(LAN)); await track('user', 'sign_in', identified(MINH))"),
    Step("two customers in one event", "cid-contradiction", 1, "dims.customers.customer_id",
         "await view({dims: {customers: {customer_id: LAN}}, extra: {customer_id: MINH}})"),
    Step("a lost cookie", "uid-changed", 2, "uid", "await view(); await view({uid: UID + '7', aid: UID + '7'})"),
    Step("a sign-out without a reset", "reset-missing", 2, "uid",
         "await track('user', 'sign_in', identified(LAN)); await fetch('/logout', {method: 'POST'}); await view()"),
    Step("identify on each page", "identify-repeated", 2, "ea",
         ("await track('user', 'identify', identified(LAN, {}, 'user_identify')); "
          "await track('user', 'identify', {...identified(LAN, {}, 'user_identify'), items: [shoe]})")),
    Step("not asked yet", "event-before-consent", 1, "consent",
         f"await view({{context: {{consent: undefined}}}}, {{}}, '{VENDOR}')"),
    Step("an order without its number", "required-field-missing", 1, "extra.order_id",
         ("await track('product', 'purchase', {items: [shoe], extra: {revenue: 1290000}, "
          "dims: {purchase: {id: 'A-1001'}, customers: {customer_id: LAN}}})")),
    Step("a slip of the pen", "unknown-event", 1, "ec, ea", "await track('product', 'veiw', {items: [shoe]})"),
    Step("half of an event", "malformed-event", 1, "(body)",
         "await post(addressOf(), JSON.stringify(fieldsOf('product', 'view', {items: [shoe]})).slice(0, 90))"),
    Step("two tags", "duplicate-event", 2, "request_id", "await view(); await view()"),
    Step("another shop's property", "wrong-property", 1, "query prop_id", "await view({}, {prop_id: '564990801'})"),
    Step("another script", "script-changed", 1, "answer", "await script()", is_changed=True),
    Step("a slow collector", "collector-slow", 1, "answer", "await view()", {"latency_ms": 4_500}),
    Step("a failing collector", "collector-failing", 1, "answer", "await view()", {"fail_next": 1}),
)  # fmt: skip
"""Every page that is written by hand, in the order in which they are opened."""

SLOW_MS = 4_000


def path_of(step: Step) -> str:
    return "/" + step.name.replace(" ", "-").replace("'", "")


def request_of(name: str, number: int) -> str:
    """Give the request id of a page's call."""
    return f"{md5(name)[:31]}{number}"


def put_hand_written_site(world: World, host: str = OWN) -> None:
    """Make the site of the mistakes, each on a page and by a visitor of its own; `host` is where its calls go."""
    for number, step in enumerate(STEPS):
        world.pages[path_of(step)] = _HAND_WRITTEN.format(
            uid=f"17900000000{number:02}", sid=f"18900000000{number:02}", lan=md5(LAN), minh=md5(MINH), own=host, shop=SHOP, portal=PORTAL_ID,
            prop=PROP_ID, request=md5(step.name)[:31], now=NOW, path=path_of(step), name=step.name, script=step.script,
        )  # fmt: skip


async def make_mistakes(page: Page, world: World, steps: tuple[Step, ...] = STEPS) -> dict[str, list[str]]:
    """Open the pages one after the other; each has sent all of its calls before the next is opened. Gives what each page was answered."""
    answers = {}
    for step in steps:
        await world.collector.behave(**step.behaviour)
        if step.is_changed:
            world.script += b"\n// Another one."
        await page.goto(f"https://{SHOP}{path_of(step)}")
        await page.wait_for_function("document.title !== 'busy'")
        assert "done" == await page.title(), step.name
        answers[step.name] = await page.evaluate("answers")
    return answers
