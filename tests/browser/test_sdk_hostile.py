"""Whatever a page does, the script never throws into it; and where it still can, it tracks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pytest

from gateway.sdk import script_source
from tests.browser.sdk_page import PORTAL, PROPERTY, ready

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.sdk_page import FakeGateway, FakeSite

# Each of the calls that a page has, with what the page would see of an error.
_CALLS = """
window.thrown = [];
for (const call of [
  () => web_event.track("a", "1", {extra: {n: [1, 2]}}),
  () => web_event("track", "a", "2"),
  () => web_event("consent", "granted"),
  () => web_event("resetAnonymousUId"),
  () => web_event("trackEventWithUri", "ec=a&ea=3"),
]) { try { call(); } catch (error) { thrown.push(String(error)); } }
"""

# A page's doings before the script comes, by their kind, and whether events can still arrive.
_WORLDS = {
    "a stub that can't be replaced": (
        """
        var stub = function () { stub.queue.push(arguments); };
        Object.assign(stub, {queue: [], track: stub, propId: "2"});
        Object.defineProperty(window, "web_event", {value: Object.freeze(stub)});
        """,
        True,
    ),
    "functions of ours that are frozen": ("window._cdpEventFunction = Object.freeze({});", True),
    "functions of ours that are none": ("window._cdpEventFunction = 'mine';", True),
    "functions of ours that can't be read": (
        "Object.defineProperty(window, '_cdpEventFunction', {get() { throw new Error('no'); }});",
        True,
    ),
    "frozen prototypes": (
        "for (const one of [Object, Array, Function, Promise, RegExp, Date]) Object.freeze(one.prototype);",
        True,
    ),
    "an old library's toJSON": (
        "Array.prototype.toJSON = String.prototype.toJSON = function () { return '[' + this.length + ']'; };",
        True,
    ),
    "junk in the prototypes": ("Array.prototype.extra = Object.prototype.extra = () => { throw 1; };", True),
    "no Promise": ("window.Promise = undefined;", True),
    "no console": ("window.console = null;", True),
    "settings that throw": (
        "var _cdp365Analytics = new Proxy({}, {get() { throw new Error('no'); }, has() { throw new Error('no'); }});",
        True,
    ),
    "a title that throws": (
        "Object.defineProperty(document, 'title', {get() { throw new Error('no'); }});",
        False,
    ),
    "no fetch": ("window.fetch = undefined;", False),
    "JSON that throws": ("JSON.stringify = JSON.parse = () => { throw new Error('no'); };", False),
    "arrays without methods": (
        "for (const name of ['map', 'filter', 'find', 'forEach', 'some', 'includes']) Array.prototype[name] = null;",
        False,
    ),
    "no listeners": ("window.addEventListener = document.addEventListener = 7;", False),
    "a clock that throws": ("Date.now = () => { throw new Error('no'); };", False),
}


@pytest.mark.parametrize("world", _WORLDS)
async def test_whatever_the_page_has_done_before(
    visitor: Page, gateway: FakeGateway, site: FakeSite, world: str
):
    """Neither loading the script nor a call throws; where tracking is still possible, events arrive."""
    before, arrives = _WORLDS[world]
    twice = f"""
    window.again = document.createElement("script");
    again.src = "{gateway.base()}/insight.js?again";
    again.onload = () => {{
      {_CALLS}
      new Image().src = "{gateway.base()}/event?uid=1&thrown=" + thrown;
    }};
    document.head.append(again);
    """
    await visitor.goto(site.put(before=before, after=_CALLS + twice))
    # By an image: in some of these worlds nothing else can tell.
    received = await gateway.until(lambda all_: any("thrown" in one.query for one in all_))
    assert {""} == {one.query["thrown"] for one in received if "thrown" in one.query}
    if arrives:
        event = await gateway.until_named("a/1")
        assert event.body["extra"] == {"n": [1, 2]}


async def test_whatever_is_handed_over_as_data(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Elements, symbols, proxies, frames, deep, wide and huge data: cut, or dropped with a line; the next event is sent."""
    await visitor.goto(site.put(before="var _cdp365Analytics = {default_event: 0};"))
    await ready(visitor)
    await visitor.evaluate(
        """() => {
          const revoked = Proxy.revocable({}, {});
          revoked.revoke();
          const deep = {};
          let last = deep;
          for (let i = 0; i < 5000; i++) last = last.next = {};
          // As a framework does: each element leads to all others.
          document.body.fiber = {element: document.body, all: [document.head]};
          // Every level twice: four billion paths.
          let twice = {};
          for (let i = 0; i < 32; i++) twice = {left: twice, right: twice};
          window.again = () => web_event.track("a", "reentrant");
          const extras = {
            element: {body: document.body, page: document, here: 1},
            symbols: {[Symbol("key")]: 1, value: Symbol("value"), here: 1},
            functions: {run() {}, here: 1},
            proxy: new Proxy({here: 1}, {}),
            deep: {deep, here: 1},
            date: {at: new Date(0), here: 1},
            revoked: revoked.proxy,
            throwing: new Proxy({}, {ownKeys() { throw new Error("no"); }}),
            twice,
            wide: Array.from({length: 20000}, () => ({})),
            huge: "x".repeat(2e6),
            frame: document.body.appendChild(document.createElement("iframe")).contentWindow,
            reentrant: {toJSON() { again(); return {here: 1}; }},
          };
          for (const [name, extra] of Object.entries(extras)) web_event.track("odd", name, {extra});
          web_event.track("the", "end");
        }"""
    )
    await gateway.until_named("the/end")
    extras = {one.body["ea"]: one.body["extra"] for one in gateway.received if one.body["ec"] == "odd"}
    assert {"element", "symbols", "functions", "proxy", "deep", "date", "reentrant"} <= extras.keys()
    assert not {"revoked", "throwing", "twice", "wide", "huge"} & extras.keys()
    for name in ("element", "symbols", "functions", "proxy", "reentrant"):
        assert extras[name] == {"here": 1}
    assert extras["date"]["at"] == "1970-01-01T00:00:00.000Z"


async def _framed(page: Page, site: FakeSite, frame: str) -> None:
    site.pages["/framing"] = f"<title>framing</title><body>{frame}</body>"
    await page.goto(site.url("/framing"))


def _bare(gateway: FakeGateway) -> str:
    return (
        f"<script>_portalId = '{PORTAL}', _propId = '{PROPERTY}'</script>"
        f"<script src='{gateway.base()}/insight.js'></script><script>{_CALLS}</script>"
    )


@pytest.mark.parametrize("rights", ["allow-scripts", "allow-scripts allow-same-origin"])
@pytest.mark.parametrize("where", ["srcdoc", "src"])
async def test_in_a_sandboxed_frame(
    visitor: Page, gateway: FakeGateway, site: FakeSite, rights: str, where: str
):
    """Without an origin there are no cookies and no storage: events go out all the same."""
    html = _bare(gateway)
    site.pages["/framed"] = html
    content = f'srcdoc="{escape(html)}"' if where == "srcdoc" else f"src='{site.url('/framed')}'"
    await _framed(visitor, site, f"<iframe sandbox='{rights}' {content}></iframe>")
    await gateway.until_named("a/2")
    frame = visitor.frames[1]
    assert await frame.evaluate("thrown") == []


async def test_a_frame_that_was_taken_out_of_the_page(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """A page that kept the frame's `web_event` may call it."""
    site.pages["/framed"] = _bare(gateway)
    await _framed(visitor, site, "<iframe src='/framed'></iframe>")
    await gateway.until_named("a/2")
    thrown = await visitor.evaluate(
        """() => {
          const frame = document.querySelector("iframe");
          const kept = frame.contentWindow.web_event;
          frame.remove();
          const thrown = [];
          for (const call of [
            () => kept.track("detached", "1"),
            () => kept("track", "detached", "2"),
            () => kept.resetAnonymousUId(),
            () => kept.consent("denied"),
            () => kept.decorate("/"),
          ]) { try { call(); } catch (error) { thrown.push(String(error)); } }
          return thrown;
        }"""
    )
    assert thrown == []


async def test_in_a_page_from_a_file(visitor: Page, gateway: FakeGateway, tmp_path):
    """A saved page on somebody's disk."""
    page = tmp_path / "saved.html"
    page.write_text(_bare(gateway), encoding="utf-8")
    await visitor.goto(page.as_uri())
    await gateway.until_named("a/2")
    assert await visitor.evaluate("thrown") == []


async def test_pasted_into_the_page_it_finds_its_home(visitor: Page, gateway: FakeGateway, site: FakeSite):
    """Without a `currentScript` (a bundler, a tag manager's eval), the script's own tag tells where it came from."""
    await visitor.goto(site.put(before="Object.defineProperty(document, 'currentScript', {value: null});"))
    await gateway.until_count(1)
    site.pages["/eval"] = "<title>eval</title>"
    await visitor.goto(site.url("/eval"))
    await visitor.evaluate(
        "(code) => { (0, eval)(code); web_event.track('a', '1'); }", script_source().decode()
    )
