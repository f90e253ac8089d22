"""The vendor's scripts as one process of the gateway has them: what tests fetch, record and serve with."""

from __future__ import annotations

import asyncio

import orjson

from gateway.events.model import Head, Request
from gateway.names import Names
from gateway.settings import Logging
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.scripts import ScriptJournal
from gateway.vendor_scripts import VendorScripts
from tests.builders import make_settings
from tests.processes import until
from tests.unit.ingest_fakes import text_stream

PATH = "/insight.js"
ONLY_SCRIPT = {"/webpush.js": "", "/antsomiSDKsw.js": ""}


class Process:
    """One process's scripts, asked as a transport asks them."""

    def __init__(self, folder, vendor, *, is_first=True, paths=None, **script):
        values = {
            "source": "upstream",
            "upstream_url": vendor.url,
            "refresh_seconds": 3_600,
            "first_wait_seconds": 10,
            "assets": ONLY_SCRIPT,
        }
        self.settings = make_settings(data_dir=folder, paths=paths or {}, script={**values, **script})
        self.metrics = Metrics()
        self._stream = text_stream()
        self._log = open_log(Logging(format="json"), self._stream)
        self.scripts = VendorScripts(self.settings, Names(self.settings.paths, 0))
        self._is_first = is_first

    async def __aenter__(self):
        journal = ScriptJournal(Journal(self._log, self.metrics), self.metrics.registry)
        await self.scripts.start(journal, is_first=self._is_first)
        return self

    async def __aexit__(self, *_):
        await self.scripts.stop()
        self._log.close()

    @property
    def keeper(self):
        return self.scripts._keeper

    async def get(self, path=PATH, host="track.shop.example", **head):
        answered = asyncio.get_running_loop().create_future()
        request = Request(Head(method="GET", path=path, host=host, **head))
        self.scripts.shelves[path].answer(request, answered.set_result)
        return await answered

    async def text(self, path=PATH, **head):
        reply = await self.get(path, **head)
        return reply.body.decode() if reply.status == 200 else reply.status

    async def serves(self, part, path=PATH):
        async def does():
            return part in str(await self.text(path))

        await until(does, f"{part!r} is served")

    async def said(self, event):
        """Give the log's lines of one kind, of which there will be one."""

        async def found():
            return self.lines(event)

        return await until(found, f"{event} is in the log")

    def lines(self, event):
        lines = map(orjson.loads, self._stream.buffer.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(
            f"tracking_gateway_script_{name}", {"asset": PATH, **labels}
        )
