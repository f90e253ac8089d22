"""The admin port: is it alive, is it ready, what are its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Readiness = dict[str, str]


def build_admin(
    readiness: Callable[[], Mapping[str, str]], exposition: Callable[[], bytes]
) -> web.Application:
    """Give the admin application.

    `readiness` gives what is in the way of taking events, by part of the gateway, empty when nothing is; `exposition` the
    metrics in Prometheus' text format.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        problems = readiness()
        status = "not ready" if problems else "ready"
        return web.json_response(
            {"status": status, "problems": dict(problems)}, status=503 if problems else 200
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app
