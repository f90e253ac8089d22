"""An event's way through the gateway, without a transport: plain values in, a reply out.

What always holds: a success answer leaves only after the event is durable, in the spool or in the quarantine; whatever breaks,
every event that came in gets exactly one verdict, counted and logged once; no exception leaves `take`. With a desk, replies
may wait there for the collector's own answer (`gateway.web.relay`); without one nothing here ever waits for the collector.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import msgspec

from gateway.events.decisions import Pending
from gateway.events.limiting import is_servers, may_be_servers
from gateway.events.model import Stamp
from gateway.events.outcome import Reason, Rejection
from gateway.events.packing import pack
from gateway.ledger.contract import LedgerUnavailable
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.spool.contract import SpoolUnavailable
from gateway.telemetry.door import network_of
from gateway.telemetry.logging import describe
from gateway.web.relay import Relay
from gateway.web.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import Binding, QuarantineEntry, Record, Reply, Request
    from gateway.events.pipeline import Pipeline
    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.spool.contract import Spool
    from gateway.telemetry.journal import Journal
    from gateway.web.relay import Desk


class Stamps:
    """Gives the moment and new randomness: the clock and the dice that the pure core does not have.

    Randomness comes from the operating system, two hundred stamps at a time: a system call for each would cost more than all
    the rest of it. To be made in the process that uses it: a fork would share what was drawn.
    """

    def __init__(self) -> None:
        self._drawn = b""
        self._used = 0

    def __call__(self) -> Stamp:
        """Give the stamp of a request that has just come."""
        start = self._used
        if start >= len(self._drawn):
            self._drawn, start = os.urandom(20 * 200), 0
        self._used = start + 20
        return Stamp(time.time_ns() // 1_000_000, int.from_bytes(self._drawn[start : start + 20], "big"))


class Ingest:
    """Takes requests of the collect paths, for any transport."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        spool: Spool,
        quarantine: QuarantineStore,
        journal: Journal,
        *,
        max_body_bytes: int,
        stamp: Callable[[], Stamp] | None = None,
        desk: Desk | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.address_header = pipeline.client_address.header
        self.wanted_headers = pipeline.wanted_headers
        self._pipeline = pipeline
        self._limiter = pipeline.limiter
        self._has_warned_of_proxy = False
        self._ledger = ledger
        self._spool = spool
        self._quarantine = quarantine
        self._journal = journal
        self._stamp = stamp or Stamps()
        self._tasks: set[asyncio.Task[None]] = set()
        policy = pipeline.relay
        self._duplicates, self._repeats = pipeline.duplicates, Repeats(pipeline)
        self._relay = Relay(policy, desk, journal) if policy is not None and desk is not None else None

    async def take(self, request: Request) -> Reply:
        """Take one request to its end: its events durable or refused, counted, logged. Gives the answer."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(request, lambda reply: None if answered.done() else answered.set_result(reply))
        return await answered

    def submit(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Take one request to its end, and call `answer` with the reply: once, from the loop, maybe before this returns.

        It is `take` for transports that do without tasks: nearly every event needs only a look-up and an append, and the
        append's future calls back by itself.
        """
        started = time.perf_counter()
        stamp = self._stamp()
        try:
            prepared = self._prepared(request, stamp)
        except Exception as error:  # noqa: BLE001 -- see `_refuse`
            self._journal.trouble("not_kept", **describe(error))
            rejection = Rejection(
                Reason.UNAVAILABLE, "", "the event could not be read by a fault of the gateway"
            )
            self._answered(*self._pipeline.unread(request, stamp, rejection), started, answer)
            return
        if isinstance(prepared, Rejection):
            self._limited(request, stamp, prepared, started, answer)
            return
        if len(prepared.events) > 1:
            self._limiter.more(prepared)
        decision: Decision | None = None
        try:
            if self._duplicates is not None:
                self._duplicates.begin(prepared)
            bindings = self._known(prepared)
            if bindings is not None and not self._pipeline.resolve(prepared, bindings):
                decision = self._pipeline.decide(prepared, bindings)
                entries, records = self._kept(decision)
                if not entries and not decision.notes:
                    if records:
                        self._append(records, prepared, decision, started, answer)
                    else:
                        self._answered(prepared, decision, started, answer)
                    return
        except Exception as error:  # noqa: BLE001 -- see `_refuse`
            self._answered(prepared, self._refuse(prepared, decision, error), started, answer)
            return
        task = asyncio.get_running_loop().create_task(self._finish(prepared, decision, started, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def trap(self, request: Request) -> None:
        """Remember who makes a request that no person makes."""
        address = self._pipeline.client_address(request.head.peer, request.head.forwarded_for)
        self._pipeline.bots.trap(request.head, address, self._stamp().now_ms)

    def _prepared(self, request: Request, stamp: Stamp) -> Prepared | Rejection:
        """Read a request, unless its address sends too much; only where a server may have sent it, it is read all the same to see."""
        limited = self._limiter.of_request(request, stamp.now_ms)
        if limited is None:
            return self._pipeline.prepare(request, stamp)
        if may_be_servers(request):
            prepared = self._pipeline.prepare(request, stamp)
            if is_servers(prepared):
                return prepared
        return limited

    def _limited(
        self,
        request: Request,
        stamp: Stamp,
        rejection: Rejection,
        started: float,
        answer: Callable[[Reply], None],
    ) -> None:
        """Refuse a request whose address sends too much, as one event, without a look at its body."""
        prepared, decision = self._pipeline.unread(request, stamp, rejection)
        head = request.head
        if head.forwarded_for and prepared.client_ip == head.peer and not self._has_warned_of_proxy:
            self._has_warned_of_proxy = True
            self._journal.trouble(
                "proxy_not_trusted",
                network=network_of(head.peer),
                hint="a bounded address sends X-Forwarded-For: if it is your proxy or CDN, name its networks in server.trusted_proxies; "
                "until then all visitors behind it count as one",
            )
        self._answered(prepared, decision, started, answer)

    def _append(
        self,
        records: list[Record],
        prepared: Prepared,
        decision: Decision,
        started: float,
        answer: Callable[[Reply], None],
    ) -> None:
        def settled(future: asyncio.Future[None]) -> None:
            error = future.exception()
            kept = decision if error is None else self._refuse(prepared, decision, error)
            self._answered(prepared, kept, started, answer)

        self._spooled(records, prepared, decision, started).add_done_callback(settled)

    def _spooled(
        self, records: list[Record], prepared: Prepared, decision: Decision, started: float
    ) -> asyncio.Future[None]:
        """Append records; what is appended later, here or by another worker, has a later moment."""
        if self._relay is not None:
            self._relay.expect(prepared, decision, started)
        now_ns = time.time_ns()
        return self._spool.append([pack(record, now_ns) for record in records])

    async def _finish(
        self, prepared: Prepared, decision: Decision | None, started: float, answer: Callable[[Reply], None]
    ) -> None:
        """Go on where the ledger must bind or the quarantine must keep, which takes waiting."""
        is_held = False
        now_ms = prepared.stamp.now_ms
        try:
            if decision is None:
                decision = self._pipeline.decide(prepared, await self._bound(prepared))
            entries, records = self._kept(decision)
            if decision.notes:
                await self._ledger.record(decision.notes, now_ms)
            if entries:
                await self._quarantine.put(entries)
                is_held = True
            if records:
                await self._spooled(records, prepared, decision, started)
        except Exception as error:  # noqa: BLE001 -- see `_refuse`
            decision = self._refuse(prepared, decision, error, is_held=is_held)
        self._answered(prepared, decision, started, answer)

    async def _bound(self, prepared: Prepared) -> list[Binding]:
        """Bind until every event has a UID that it can have, or is for the quarantine."""
        claims = prepared.claims
        bindings = await self._ledger.bind(claims, prepared.stamp.now_ms)
        while self._pipeline.resolve(prepared, bindings):
            before, claims = claims, prepared.claims
            again = await self._ledger.bind(claims, prepared.stamp.now_ms)
            # What was bound a moment ago is not new any more; it was made by this request all the same.
            bindings = [
                msgspec.structs.replace(now, is_new=True) if then.is_new and old.uid == claim.uid else now
                for old, claim, then, now in zip(before, claims, bindings, again, strict=True)
            ]
        return bindings

    def _answered(
        self, prepared: Prepared, decision: Decision, started: float, answer: Callable[[Reply], None]
    ) -> None:
        """Let a request's answer leave: everything of it is durable or refused now."""
        if self._duplicates is not None:
            repeats = self._duplicates.settle(prepared, decision)
            if repeats:
                self._repeats.leave(
                    repeats,
                    prepared,
                    decision,
                    lambda settled: self._leave(prepared, settled, started, answer),
                )
                return
        self._leave(prepared, decision, started, answer)

    def _leave(
        self, prepared: Prepared, decision: Decision, started: float, answer: Callable[[Reply], None]
    ) -> None:
        if self._relay is not None and self._relay.holds(prepared, decision, started, answer):
            return
        self._journal.decided(prepared, decision, (time.perf_counter() - started) * 1000)
        answer(decision.reply)

    def hung_up(self, answer: Callable[[Reply], None]) -> None:
        """Hear that nobody listens any more to what `answer`, given to `submit`, would say."""
        if self._relay is not None:
            self._relay.hung_up(answer)

    def hurry(self) -> None:
        """Let every reply leave that waits for the collector; from now on none waits."""
        if self._relay is not None:
            self._relay.close()

    async def drain(self) -> None:
        """Wait for what is under way, also for clients that have gone."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def too_large(self, request: Request) -> Reply:
        """Answer a request whose body was not read because it exceeds the bound."""
        return self._unread(request, Reason.TOO_LARGE, f"is larger than {self.max_body_bytes} bytes")

    def broken_body(self, request: Request) -> Reply:
        """Answer a request whose body can't be told from what follows it."""
        return self._unread(request, Reason.BAD_BODY, "can't be read: its framing is broken")

    def ppid(self, request: Request) -> Reply:
        """Answer who the visitor is to Google Ad Manager; it is no event."""
        return self._pipeline.ppid(request, time.time_ns() // 1_000_000)

    def glance(self, request: Request) -> Reply:
        """Answer a HEAD; it is no event."""
        return self._pipeline.glance(request)

    def preflight(self, request: Request) -> Reply:
        """Answer a cross-origin preflight; it is no event."""
        return self._pipeline.preflight(request)

    def _unread(self, request: Request, reason: Reason, detail: str) -> Reply:
        prepared, decision = self._pipeline.unread(
            request, self._stamp(), Rejection(reason, "(body)", detail)
        )
        self._journal.decided(prepared, decision, 0.0)
        return decision.reply

    def _known(self, prepared: Prepared) -> list[Binding] | None:
        """Give the bindings when look-ups are enough; `None` when a CID is to be bound. What is bound is so for ever."""
        known = self._ledger.known
        bindings: list[Binding] = []
        for claim in prepared.claims:
            binding = known(claim)
            if binding is None:
                return None
            bindings.append(binding)
        return bindings

    def _kept(self, decision: Decision) -> tuple[list[QuarantineEntry], list[Record]]:
        verdicts = decision.verdicts
        entries = [each.entry for each in verdicts if each.entry is not None]
        return entries, [each.record for each in verdicts if each.record is not None]

    def _refuse(
        self, prepared: Prepared, decision: Decision | None, error: BaseException, *, is_held: bool = False
    ) -> Decision:
        """Make of whatever broke, a full disk or a fault of ours, a counted outcome: not one event may vanish with it."""
        known = isinstance(error, LedgerUnavailable | SpoolUnavailable | QuarantineUnavailable)
        fields = {"error": type(error).__name__, "detail": str(error)} if known else describe(error)
        events = [each.event_id for each in prepared.events if isinstance(each, Pending)]
        self._journal.trouble("not_kept", events=events, **fields)
        return self._pipeline.refuse(prepared, decision.verdicts if decision else None, is_held=is_held)
