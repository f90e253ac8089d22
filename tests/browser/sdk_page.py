"""A gateway and a site to test the page script against: two real servers, on two ports of this machine.

The gateway answers `/event` and `/stream_event` below a path prefix, as it may stand behind a site's own proxy; it records
each request in the order of arrival, and can be told to refuse, to keep its answers back, or to take events under other
UIDs than their own. The site's pages hold the snippet as a site would paste it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from gateway.sdk import script_source, snippet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from ssl import SSLContext

    from playwright.async_api import Page

PORTAL = "33167"
PROPERTY = "564990801"
STORED_EVENTS = "Object.keys(localStorage).filter((key) => key.startsWith('_asm_event_'))"
_WAIT_SECONDS = 10


@dataclass(frozen=True)
class Received:
    """One request as it came: `body` is empty for a GET, `at` the event loop's time in seconds."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float

    @property
    def name(self) -> str:
        """The event's name: category/action."""
        return f"{self.body.get('ec')}/{self.body.get('ea')}"

    @property
    def uid(self) -> str:
        """The UID that it came with, in the body or in the query."""
        return self.body.get("uid") or self.query.get("uid", "")

    @property
    def request_id(self) -> str:
        """The id that stays the same when the event is sent again."""
        return self.query["request_id"]


def own_uid(one: Received) -> str:
    """Take an event under the UID that it came with."""
    return one.uid


def _nothing(_name: str) -> bool:
    return False


@dataclass
class FakeGateway:
    """Records what the script sends; `port` is where.

    `withdrawals` are the queries by which a page had the gateway's cookies ended. `heard` names the events whose sender was still there to hear the answer. `taken_under` says under which UID an event
    is taken, `sets_cookie` whether that UID is set as the cookie of its answer. `written` gives the answer's bytes,
    `is_cut_short` ends the connection before all of them were sent.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    withdrawals: list[dict[str, str]] = field(default_factory=list)
    script_loads: int = 0
    preflights: int = 0
    most_at_once: int = 0
    status: int = 200
    answer_headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    taken_under: Callable[[Received], str] = own_uid
    sets_cookie: bool = False
    written: Callable[[dict[str, str]], str] = json.dumps
    content_type: str = "application/json"
    is_cut_short: bool = False
    _at_once: int = 0
    _is_held: Callable[[str], bool] = _nothing
    _change: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Serve until the block ends."""
        self = cls()
        app = web.Application()
        app.router.add_get("/t/insight.js", self._serve_script)
        for path in ("/t/event", "/t/stream_event"):
            app.router.add_get(path, self._collect, allow_head=False)
            app.router.add_head(path, self._withdraw)
            app.router.add_post(path, self._collect)
            app.router.add_options(path, self._preflight)
        async with _serving(app) as self.port:
            yield self
            self.release()

    def base(self, host: str = "localhost") -> str:
        """Give the URL that the snippet points to."""
        return f"http://{host}:{self.port}/t"

    def answer(self, status: int, **headers: str) -> None:
        """Answer this from now on: `Retry_After="1"` is the header Retry-After."""
        self.status = status
        self.answer_headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def hold(self, *names: str) -> None:
        """Keep back the answers to events of these names, to all when none is given; others are answered at once.

        Requests are recorded, nobody hears of it.
        """
        self._is_held = lambda name: not names or name in names
        self._hear_of_change()

    def release(self) -> None:
        """Give the answers that were kept back, and answer at once from now on."""
        self._is_held = _nothing
        self._hear_of_change()

    def forget(self) -> None:
        """Start counting anew: what was received so far is dropped."""
        self.received.clear()
        self.most_at_once = 0

    async def until(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until what was received is enough, and give it; fail with what there is after ten seconds."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS), self._news:
                await self._news.wait_for(lambda: enough(self.received))
        except TimeoutError:
            raise AssertionError(f"the gateway has only {self.names}") from None
        return self.received

    async def until_count(self, count: int) -> list[Received]:
        """Wait for so many requests in all; fail when there are more."""
        received = await self.until(lambda all_: len(all_) >= count)
        assert count == len(received), self.names
        return received

    async def until_heard(self, count: int) -> None:
        """Wait until so many answers have found their listener."""
        async with asyncio.timeout(_WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.heard) >= count)

    async def until_named(self, name: str) -> Received:
        """Wait for an event of this name and give it. Since events come in order, all before it have come."""
        received = await self.until(lambda all_: any(one.name == name for one in all_))
        return next(one for one in received if one.name == name)

    @property
    def names(self) -> list[str]:
        """The names of the events in the order of arrival."""
        return [one.name for one in self.received]

    async def _serve_script(self, _request: web.Request) -> web.Response:
        self.script_loads += 1
        return web.Response(body=script_source(), content_type="text/javascript", charset="utf-8")

    async def _withdraw(self, request: web.Request) -> web.Response:
        async with self._news:
            self.withdrawals.append(dict(request.query))
            self._news.notify_all()
        return self._with_cors(request, web.Response())

    async def _preflight(self, request: web.Request) -> web.Response:
        self.preflights += 1
        return self._with_cors(request, web.Response(status=204))

    async def _collect(self, request: web.Request) -> web.Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            raw = await request.read()
            at = asyncio.get_running_loop().time()
            body = json.loads(raw) if raw else {}
            # Of the sending: the same event says another one when it comes again.
            body.pop("sent_at", None)
            one = Received(
                request.method, request.path, dict(request.query), request.headers.copy(), body, at
            )
            # What was true on arrival is answered, whatever is set while the answer is kept back.
            answer = self._answer_to(one)
            is_cut_short = self.is_cut_short
            async with self._news:
                self.received.append(one)
                self._news.notify_all()
            while self._is_held(one.name):
                await self._change.wait()
            if request.transport is not None and not request.transport.is_closing():
                async with self._news:
                    self.heard.append(one.name)
                    self._news.notify_all()
        finally:
            self._at_once -= 1
        answer = self._with_cors(request, answer)
        return await _begun(request, answer) if is_cut_short else answer

    def _hear_of_change(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def _answer_to(self, one: Received) -> web.Response:
        uid = self.taken_under(one)
        told = {"au_id": uid, "aid": uid} | ({"uid_replaced": one.uid} if uid != one.uid else {})
        answer = web.Response(status=self.status, text=self.written(told), content_type=self.content_type)
        answer.headers.update(self.answer_headers)
        own = [f"_asm_uid={uid}; Path=/; Max-Age=1000; SameSite=Lax"] if self.sets_cookie else []
        for cookie in [*self.cookies, *own]:
            answer.headers.add("Set-Cookie", cookie)
        return answer

    @staticmethod
    def _with_cors(request: web.Request, answer: web.Response) -> web.Response:
        """Allow what a gateway on its own host must allow to the site's pages (Fetch Standard, section 3.2)."""
        answer.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        answer.headers["Access-Control-Allow-Credentials"] = "true"
        answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
        return answer


@dataclass
class FakeSite:
    """Pages with the snippet in them, by their paths; `port` is where, `headers` what is sent with a page."""

    gateway: FakeGateway
    port: int = 0
    scheme: str = "http"
    pages: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls, gateway: FakeGateway, tls: SSLContext | None = None) -> AsyncIterator[Self]:
        """Serve until the block ends, over https where there is a certificate."""
        self = cls(gateway, scheme="https" if tls else "http")
        app = web.Application()
        app.router.add_get("/{page:.*}", self._serve_page)
        async with _serving(app, tls) as self.port:
            yield self

    def url(self, path: str = "/", host: str = "localhost") -> str:
        """Give the address of a page."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def put(
        self,
        path: str = "/",
        *,
        before: str = "",
        after: str = "",
        tracking_host: str = "localhost",
        **cookies: Any,
    ) -> str:
        """Make a page: JavaScript before the snippet, the snippet, JavaScript after it; give its address.

        `cookies` are what `snippet` takes by name.
        """
        base = self.gateway.base(tracking_host)
        pasted = snippet(base, PORTAL, PROPERTY, **cookies)
        self.pages[path] = (
            f"<!doctype html><html><head><title>Trang thử</title>\n<script>{before}</script>\n{pasted}"
            f"<script>{after}</script></head><body></body></html>"
        )
        return self.url(path)

    async def _serve_page(self, request: web.Request) -> web.Response:
        html = self.pages.get(request.path)
        if html is None:
            return web.Response(status=404)
        headers = self.headers.get(request.path)
        return web.Response(text=html, content_type="text/html", charset="utf-8", headers=headers)


async def _begun(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send an answer's head and the first half of its body, then close the connection."""
    begun = web.StreamResponse(status=answer.status, headers=answer.headers)
    body = answer.body
    assert isinstance(body, bytes)
    begun.content_length = len(body)
    await begun.prepare(request)
    await begun.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return begun


async def track(page: Page, category: str, action: str) -> None:
    """Send one event from the page."""
    await page.evaluate("([category, action]) => web_event.track(category, action)", [category, action])


async def cookie_of(page: Page, name: str) -> str:
    """Give the value of a cookie that the page's scripts can read; empty when there is none."""
    return await page.evaluate(
        "(name) => (document.cookie.split('; ').find((part) => part.startsWith(name + '=')) || '').slice(name.length + 1)",
        name,
    )


async def stored_uid(page: Page) -> str:
    """Give the UID that localStorage has."""
    return await page.evaluate("localStorage._asm_uid")


async def hide(page: Page) -> None:
    """Put the tab into the background: the script hands over at once what waits."""
    await page.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


async def back_online(page: Page) -> None:
    """Let the page hear that the network is back, after whatever pause the gateway had asked for."""
    await page.evaluate("localStorage._asm_retry_at = 1, dispatchEvent(new Event('online'))")


async def ready(page: Page) -> None:
    """Wait until the script has taken over."""
    await page.wait_for_function("Boolean(window.web_event && web_event.trackEventWithUri)")


async def all_answered(page: Page) -> None:
    """Wait until the page's store holds no event any more."""
    await page.wait_for_function(f"{STORED_EVENTS}.length === 0")


@asynccontextmanager
async def _serving(app: web.Application, tls: SSLContext | None = None) -> AsyncIterator[int]:
    """Serve an application on a free port of 127.0.0.1; gives the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
