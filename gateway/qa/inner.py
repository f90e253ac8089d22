"""The gateway without its sockets: the same endpoints, ingest and pipeline, with stores that end with the session.

What always holds: nothing is decided here. A call goes the way that a request goes which reaches the public port, and gets the same reply; its moment is
its own, so that a recording is judged by the time in which it was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.assets.own import OwnScript
from gateway.cookie_key import with_cookie_key
from gateway.events.decisions import Decision, Prepared
from gateway.events.model import JsonObject, Reply, Request, Stamp
from gateway.events.outcome import Rejection
from gateway.events.pipeline import Pipeline
from gateway.events.tracking_plan import Violation
from gateway.names import Names
from gateway.outflow import cancelled
from gateway.qa.calls import request_of
from gateway.qa.judging import Judging, sessions_judge
from gateway.qa.reading import copied
from gateway.qa.stores import open_stores
from gateway.sdk import script_source, source_map
from gateway.surroundings import open_world
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import describe
from gateway.telemetry.metrics import Metrics
from gateway.vendor_scripts import start_vendor_scripts
from gateway.web.directory import Directory
from gateway.web.endpoints import endpoints, traps
from gateway.web.heads import TOO_LONG
from gateway.web.ingest import Ingest
from gateway.web.refusals import refusal
from gateway.web.ways import mended, way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.events.admission import Admission
    from gateway.events.model import Answer
    from gateway.events.relay import RelayPolicy
    from gateway.qa.calls import Call
    from gateway.settings import Settings
    from gateway.spool.contract import Spool
    from gateway.telemetry.logging import Log


class Taken(msgspec.Struct, frozen=True):
    """What became of a call: the reply, and of events what was decided (`None` where none came: a script, a preflight).

    `originals` are the events as they came, before anything was changed: objects, or why one can't be read. `violations` are what the events that were held to
    the tracking plan have not kept of it (`gateway.qa.judging`).
    """

    reply: Reply
    prepared: Prepared | None = None
    decision: Decision | None = None
    originals: tuple[JsonObject | Rejection, ...] = ()
    violations: tuple[tuple[JsonObject, Sequence[Violation]], ...] = ()

    def violations_of(self, fields: JsonObject) -> Sequence[Violation]:
        """Give what one of its events, by the fields that it has on its way, has not kept."""
        return next((found for judged, found in self.violations if judged is fields), ())


class Inner:
    """A gateway to ask. Made by `running_inner`."""

    def __init__(
        self,
        directory: Directory,
        ingest: Ingest,
        hearing: _Hearing,
        spool: Spool,
        relay: RelayPolicy | None,
        journal: Journal,
        target_bytes: int,
    ) -> None:
        self._directory = directory
        self._ingest = ingest
        self._hearing = hearing
        self._spool = spool
        self._relay = relay
        self._journal = journal
        self._target_bytes = target_bytes

    @property
    def pending(self) -> int:
        """How many accepted events the collector does not have yet; 0 where none are sent on."""
        return self._spool.pending

    def usual(self, path: str) -> str:
        """Give the usual name of what the gateway has at a path; empty where it has nothing."""
        return self._directory.usual(path) or self._directory.usual(mended(path))

    def told(self, usual: str) -> str:
        """Give the path that pages are told, of what has this usual name."""
        return self._directory.told(usual)

    def request_of(self, call: Call, path: str) -> Request:
        """Give what the gateway gets when this call reaches it under `path`."""
        return request_of(call, path, self._ingest.address_header, self._ingest.wanted_headers)

    def relayed(self, prepared: Prepared, decision: Decision, answer: Answer | None) -> Reply:
        """Give the reply to a call with what of the collector's own answer may go out, as `collector.mode = "relay"` has it; `None`: there was none."""
        if self._relay is None or not self._relay.awaited(prepared, decision):
            return decision.reply
        return self._relay.reply(prepared, decision, answer)[0]

    async def take(self, call: Call, path: str | None = None) -> Taken:
        """Take a call as a request of the gateway's own, under `path` (that of the call, unless given)."""
        stamp = Stamp(call.started_ms, int.from_bytes(secrets.token_bytes(20), "big"))
        with self._hearing.of(stamp) as heard:
            try:
                reply = await self._reply(call, call.path if path is None else path)
            except Exception as error:  # noqa: BLE001 -- as the public port answers a fault of ours
                self._journal.trouble("unexpected", **describe(error))
                reply = refusal(500)
        return Taken(reply, heard.prepared, heard.decision, tuple(heard.originals), tuple(heard.violations))

    async def _reply(self, call: Call, path: str) -> Reply:
        if len(call.query) + len(call.path) + 1 > self._target_bytes:
            return refusal(TOO_LONG.status)
        found = way(self._directory.table, call.method, path)
        if isinstance(found, Reply):
            return found
        request = self.request_of(call, found.path)
        if len(request.body) > found.endpoint.max_body_bytes:
            return self._ingest.too_large(Request(request.head))
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        found.endpoint.answer(request, lambda reply: None if answered.done() else answered.set_result(reply))
        return await answered


class _Heard:
    """What is heard of one call on its way."""

    def __init__(self) -> None:
        self.prepared: Prepared | None = None
        self.decision: Decision | None = None
        self.originals: Sequence[JsonObject | Rejection] = ()
        self.violations: list[tuple[JsonObject, Sequence[Violation]]] = []


class _Hearing:
    """Hears what is decided of which call: each has a stamp of its own."""

    def __init__(self) -> None:
        self._next = Stamp(0, 0)
        self._open: dict[int, _Heard] = {}

    @contextlib.contextmanager
    def of(self, stamp: Stamp) -> Any:
        """Hear of one call, which is submitted at once."""
        self._next = stamp
        heard = self._open[stamp.entropy] = _Heard()
        try:
            yield heard
        finally:
            del self._open[stamp.entropy]

    def stamp(self) -> Stamp:
        """Give the stamp of the call that is submitted now."""
        return self._next

    def came(self, stamp: Stamp, events: Sequence[JsonObject | Rejection]) -> None:
        """Keep events as they came."""
        if (heard := self._open.get(stamp.entropy)) is not None:
            heard.originals = [copied(each) if isinstance(each, dict) else each for each in events]

    def judged(self, fields: JsonObject, violations: Sequence[Violation]) -> None:
        """Keep what an event has not kept of the plan; it is judged while its call is submitted."""
        if violations and (heard := self._open.get(self._next.entropy)) is not None:
            heard.violations.append((fields, violations))

    def decided(self, prepared: Prepared, decision: Decision) -> None:
        """Keep what was decided."""
        if (heard := self._open.get(prepared.stamp.entropy)) is not None:
            heard.prepared, heard.decision = prepared, decision


class _Admission:
    """Admission with somebody who sees events before they are changed."""

    def __init__(self, admission: Admission, hearing: _Hearing) -> None:
        self._admission = admission
        self._hearing = hearing

    def admit(self, request: Request, stamp: Stamp, scope: Any, decoded: Any, **may: bool) -> Prepared:
        self._hearing.came(stamp, decoded.events)
        return self._admission.admit(request, stamp, scope, decoded, **may)


class _Pipeline(Pipeline):
    """The pipeline, heard."""

    def __init__(self, settings: Settings, world: Any, hearing: _Hearing) -> None:
        super().__init__(settings, world)
        self._admission: Any = _Admission(self._admission, hearing)


class _Journal(Journal):
    """The journal, heard."""

    def __init__(self, log: Log, metrics: Metrics, hearing: _Hearing) -> None:
        super().__init__(log, metrics)
        self._hearing = hearing

    def decided(self, prepared: Prepared, decision: Decision, *args: Any) -> None:
        """Say it, and let it be heard."""
        super().decided(prepared, decision, *args)
        self._hearing.decided(prepared, decision)


@contextlib.asynccontextmanager
async def running_inner(
    settings: Settings, log: Log, folder: Path, *, sends: bool = False
) -> AsyncIterator[Inner]:
    """Run a gateway inside until the context is left; what it writes, it writes to `folder` (the salt of the day, who came twice, its key).

    With `sends`, what it accepts is in `folder` before it answers, and goes on to the collector. Raises what `gateway.app.running_gateway` raises for settings that can't be used.
    """
    server = settings.server.model_copy(update={"workers": 1})
    settings = with_cookie_key(settings.model_copy(update={"data_dir": folder, "server": server}))
    hearing, metrics = _Hearing(), Metrics()
    journal = _Journal(log, metrics, hearing)
    async with contextlib.AsyncExitStack() as stack:
        world, _ = await open_world(settings, journal, metrics, stack, is_first=True)
        judge = Judging(world.judge, sessions_judge(settings, journal, stack), hearing.judged)
        world = msgspec.structs.replace(world, judge=judge)
        ledger, spool, held, deadline = await open_stores(settings, journal, stack, sends=sends)
        pipeline = _Pipeline(settings, world, hearing)
        ingest = Ingest(
            pipeline,
            ledger,
            spool,
            held,
            journal,
            max_body_bytes=settings.server.max_body_bytes,
            stamp=hearing.stamp,
        )
        stack.push_async_callback(ingest.drain)
        names = Names(settings.paths, time.time_ns() // 1_000_000)
        script = OwnScript(script_source, names, settings.script.cache_seconds)
        vendor = await start_vendor_scripts(settings, journal, metrics, names, stack, is_first=True)
        parts = endpoints(ingest, script, vendor.shelves, source_map)
        table = Directory(parts, names, metrics.path_counter, traps(ingest, settings.bots.honeypot_path))
        if names.rotates:
            chore = table.keep(settings.paths, script.make_for, vendor.make_for)
            stack.push_async_callback(cancelled, asyncio.create_task(chore))
        try:
            yield Inner(table, ingest, hearing, spool, pipeline.relay, journal, settings.limits.target_bytes)
        finally:
            deadline.begin()
