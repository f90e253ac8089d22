"""The corpus through the QA addon's parts: through the gateway without its sockets, and through a real mitmdump that redirects."""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import settings
from gateway.qa.calls import Call
from gateway.qa.inner import running_inner
from gateway.settings import Logging
from gateway.telemetry.logging import open_log
from tests.builders import PORTAL_ID
from tests.corpus.case import messages
from tests.corpus.core import PEER, seen_of
from tests.corpus.live import make_gateway, moved, portal_of
from tests.corpus.rendering import Names, SeenAnswer, blocks
from tests.mitmdump import Mitmdump
from tests.processes import Gateway, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.qa.inner import Inner
    from tests.corpus.case import Case, Message

_NOWHERE = "http://127.0.0.1:9"


async def play_inside(cases: Sequence[Case], folder: Path) -> dict[str, list[list[str]]]:
    """Play cases through one gateway without sockets, each in a portal of its own, and give the blocks of each one's steps by its name."""
    config = make_gateway(folder, _NOWHERE, len(cases), is_fast=True).config
    log = open_log(Logging(file=str(folder / "inner.log"), format="json"), io.StringIO())
    with contextlib.closing(log):
        async with running_inner(settings.load(config), log, folder) as inner:
            return {case.name: await _play(inner, case, portal_of(at)) for at, case in enumerate(cases)}


async def _play(inner: Inner, case: Case, portal_id: str) -> list[list[str]]:
    names, found = Names(case), []

    def to_portal(text: bytes) -> bytes:
        return moved(text.decode("latin-1"), PORTAL_ID, portal_id).encode("latin-1")

    for step in case.steps:
        now_ms = time.time_ns() // 1_000_000
        sent = messages(step, now_ms, to_portal)
        takens = [await inner.take(_call(message, now_ms)) for message in sent]
        answers = [SeenAnswer(each.reply.status, each.reply.headers, each.reply.body) for each in takens]
        events = [seen_of(verdict) for each in takens if each.decision for verdict in each.decision.verdicts]
        shown = [moved(text, portal_id, PORTAL_ID) for text in blocks(events, answers, names)]
        if sent[0].is_before:
            assert answers[0].status < 400, (case.name, answers)
        found.append([] if sent[0].is_before else shown)
    return found


def _call(message: Message, now_ms: int) -> Call:
    target = message.target
    if not target.startswith("/"):
        target = target.removeprefix("http://" + urlsplit(target).netloc)
    path, _, query = target.partition("?")
    fields = tuple(message.fields)
    host = next((value for name, value in fields if name == "host"), "")
    return Call(
        number=1, started_ms=now_ms, method=message.method, host=host, path=path, query=query, headers=fields,
        body=message.body, peer=PEER,
    )  # fmt: skip


class Redirecting(Gateway):
    """A mitmdump in redirect mode that takes requests as a gateway does, in front of nothing; what it accepts goes to the collector all the same."""

    def __init__(self, folder: Path, collector_url: str, **sections: object) -> None:
        super().__init__(folder, collector_url, **sections)
        self._configured = self.data_dir
        self.data_dir = self.data_dir / "qa"
        self.log_file = self.data_dir / "gateway.log"
        self.mitmdump: Mitmdump | None = None

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.mitmdump = Mitmdump.with_addon(
            self.folder, self.config,
            *("--mode", f"reverse:http://127.0.0.1:{free_port()}", "--set", "keep_host_header=true"),
            mode="redirect", port=self.port,
        )  # fmt: skip
        await self.mitmdump.start()

    async def stop(self) -> int:
        """End it in order, and give its exit code."""
        assert self.mitmdump is not None
        return await self.mitmdump.stop()

    async def metrics(self) -> dict[str, float]:
        """Give what its log says was accepted, and delivered."""
        fates = [line["outcome"] for line in self.log_lines("event")]
        results = [line["result"] for line in self.log_lines("delivery")]
        return {
            'tracking_gateway_events_total{outcome="accepted"': fates.count("accepted"),
            'tracking_gateway_deliveries_total{result="delivered"}': results.count("delivered"),
        }
