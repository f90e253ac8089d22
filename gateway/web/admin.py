"""The admin port: is it alive, is it ready, what are its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Readiness = dict[str, str]


# In trouble, they keep a few events or clients from being taken, or all from being delivered for now, not the gateway from being used: an only gateway
# that is taken out of service for it would take no events at all.
_TOLERATED = frozenset(
    (
        "quarantine",
        "delivery",
        "script",
        "tls",
        "geo",
        "descriptors",
        "duplicates",
        "addresses",
        "plan",
        "plugins",
    )
)


def build_admin(
    readiness: Callable[[], Mapping[str, str]], exposition: Callable[[], bytes]
) -> web.Application:
    """Give the admin application.

    `readiness` gives what is in the way of taking events, by part of the gateway (`spool`, `worker 1: spool`), empty when nothing is; `exposition` the
    metrics in Prometheus' text format. A quarantine, a delivering process, a vendor's script or a certificate in trouble is told as a warning: the
    gateway is ready.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        found = readiness()
        warnings = {part: what for part, what in found.items() if part.rpartition(": ")[2] in _TOLERATED}
        problems = {part: what for part, what in found.items() if part not in warnings}
        answer: dict[str, object] = {"status": "not ready" if problems else "ready", "problems": problems}
        if warnings:
            answer["warnings"] = warnings
        return web.json_response(answer, status=503 if problems else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app
