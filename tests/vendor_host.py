"""A stand-in for the vendor's script host: a script and a service worker in the vendor's manner, with validators, faults and codings on demand.

The script does what the wire's documentation says of the real one (drains the stub's queue, keeps `_asm_uid`, posts to the collector); it is written for
these tests, and names the vendor's hosts in each of the ways in which minified scripts do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import brotli
from aiohttp import web
from backports import zstd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INSIGHT = r"""/*! insight stand-in, {version} */
!function(w,d){{"use strict";var c="https://a.cdp.asia/event",S="https:\/\/a.cdp.asia\/stream_event",H=["//a.cdp.asia","//ap2-a.cdp.asia"],
own=/\/\/st-a\.cdp\.asia\/insight\.js/,cdn="https://st-a.cdp.asia",bare="a.cdp.asia",E=w.web_event||(w.web_event=function(){{(E.queue=E.queue||[]).push(arguments)}});
function ck(n){{var m=d.cookie.match(new RegExp("(?:^|; )"+n+"=([^;]*)"));return m?m[1]:""}}
function uid(){{var u=ck("_asm_uid");if(!u){{u=String(1e9+Math.floor(Math.random()*9e9));d.cookie="_asm_uid="+u+";path=/;max-age=31536000"}}return u}}
function send(ec,ea,p){{p=p||{{}};var u=uid(),b=JSON.stringify({{uid:u,aid:u,sid:Date.now(),ec:ec,ea:ea,items:p.items||[],dims:p.dims||{{}},extra:p.extra||{{}}}}),
q="?portal_id="+w._portalId+"&prop_id="+w._propId+"&resp_type=json&format=json&request_id="+Math.random().toString(36).slice(2);
return fetch(c+q,{{method:"POST",body:b,credentials:"include",keepalive:true}})}}
function run(a){{a=[].slice.call(a);"track"===a[0]&&a.length>2&&"string"==typeof a[2]&&a.shift();send(a[0],a[1],a[2])}}
var q=E.queue||[];E=w.web_event=function(){{run(arguments)}};E.track=E;E.queue={{push:run}};E.loadedFrom=cdn;E.hosts=H;E.bare=bare;E.stream=S;
E.found=[].some.call(d.scripts,function(s){{return own.test(s.src)}});
send("pageview","view",{{extra:{{page_type:"home"}}}});for(var i=0;i<q.length;i++)run(q[i]);
var s=d.createElement("script");s.async=!0;s.src=cdn+"/webpush.js";d.head.appendChild(s)}}(window,document);
"""

WEBPUSH = """/*! webpush stand-in */
(function(w,n){"use strict";w._webpush=1;"serviceWorker"in n&&n.serviceWorker.register("/sw.js").then(function(r){w._registered=r.scope},function(e){w._refused=String(e)})})(window,navigator);
"""

WORKER = """/*! worker stand-in */
self.addEventListener("install",function(e){self.skipWaiting()});self.addEventListener("activate",function(e){e.waitUntil(self.clients.claim())});
self.addEventListener("message",function(e){e.waitUntil(fetch("https://a.cdp.asia/event?portal_id="+e.data.portal+"&prop_id="+e.data.prop+"&resp_type=json&request_id=sw-"+Math.random().toString(36).slice(2),
{method:"POST",body:JSON.stringify({uid:e.data.uid,aid:e.data.uid,sid:1,ec:"webpush",ea:"view"})}))});
"""


def insight(version: str = "1.0") -> bytes:
    """Give the stand-in script, in a version of one's choice."""
    return INSIGHT.format(version=version).encode()


_CODERS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}


@dataclass
class FakeVendor:
    """Serves `contents` by path; records what it is asked. Everything can be changed while it runs."""

    url: str = ""
    contents: dict[str, bytes] = field(
        default_factory=lambda: {
            "/insight.js": insight(),
            "/webpush.js": WEBPUSH.encode(),
            "/antsomiSDKsw.js": WORKER.encode(),
        }
    )
    content_type: str = "application/javascript"
    coding: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    has_validators: bool = True
    last_modified: str = ""
    cut_bytes: int = 0
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _free: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _port: int = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, **changes) -> AsyncIterator[Self]:
        """Serve until the block ends."""
        self = cls(**changes)
        self.release()
        await self.start()
        try:
            yield self
        finally:
            self.release()
            await self.stop()

    async def start(self) -> None:
        """Serve, at the same port as before if there was one."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Be gone: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def hold(self) -> None:
        """Keep answers back until `release`."""
        self._free.clear()

    def release(self) -> None:
        """Let answers go."""
        self._free.set()

    def paths(self) -> list[str]:
        """Give the paths that were asked for, in order."""
        return [each.path for each in self.asked]

    async def _serve(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._free.wait()
        finally:
            self.at_once -= 1
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        content = self.contents.get(request.path)
        if content is None:
            return web.Response(status=404, text="no such file")
        headers = dict(self.headers)
        if self.has_validators:
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
            if request.headers.get("If-None-Match") == headers["ETag"]:
                return web.Response(status=304, headers=headers)
        if self.last_modified:
            headers["Last-Modified"] = self.last_modified
            if request.headers.get("If-Modified-Since") == self.last_modified:
                return web.Response(status=304)
        if self.coding:
            headers["Content-Encoding"] = self.coding
            content = _CODERS[self.coding](content)
        content = content[: len(content) - self.cut_bytes]
        return web.Response(
            status=self.status, body=content, headers={"Content-Type": self.content_type, **headers}
        )
