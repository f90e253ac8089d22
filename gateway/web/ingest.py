"""An event's way through the gateway, without a transport: plain values in, a reply out.

What always holds: a success answer leaves only after the event is durable, in the spool or in the quarantine; whatever breaks,
every event that came in gets exactly one verdict, counted and logged once; no exception leaves `take`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from gateway.events.decisions import Pending
from gateway.events.model import Binding, Stamp
from gateway.events.outcome import Reason, Rejection
from gateway.ledger.contract import LedgerUnavailable
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.spool.contract import SpoolUnavailable
from gateway.telemetry.logging import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import Reply, Request
    from gateway.events.pipeline import Pipeline
    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.spool.contract import Spool
    from gateway.telemetry.journal import Journal


def fresh_stamp() -> Stamp:
    """Give the moment and new randomness: the clock and the dice that the pure core does not have."""
    return Stamp(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(20), "big"))


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
        stamp: Callable[[], Stamp] = fresh_stamp,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._pipeline = pipeline
        self._ledger = ledger
        self._spool = spool
        self._quarantine = quarantine
        self._journal = journal
        self._stamp = stamp
        self._pack = msgspec.msgpack.Encoder().encode

    async def take(self, request: Request) -> Reply:
        """Take one request to its end: its events durable or refused, counted, logged. Gives the answer."""
        started = time.perf_counter()
        prepared = self._pipeline.prepare(request, self._stamp())
        decision: Decision | None = None
        try:
            decision = self._pipeline.decide(prepared, await self._bindings(prepared))
            await self._keep(decision)
        except Exception as error:  # noqa: BLE001 -- a fault of ours must end as a counted outcome, not as a lost event
            decision = self._refuse(prepared, decision, error)
        self._journal.decided(prepared, decision, (time.perf_counter() - started) * 1000)
        return decision.reply

    def too_large(self, request: Request) -> Reply:
        """Answer a request whose body was not read because it exceeds the bound."""
        return self._unread(request, Reason.TOO_LARGE, f"is larger than {self.max_body_bytes} bytes")

    def broken_body(self, request: Request) -> Reply:
        """Answer a request whose body came whole but can't be unpacked."""
        return self._unread(
            request, Reason.BAD_JSON, "can't be unpacked: its Content-Encoding or framing is broken"
        )

    def preflight(self, request: Request) -> Reply:
        """Answer a cross-origin preflight; it is no event."""
        return self._pipeline.preflight(request)

    def _unread(self, request: Request, reason: Reason, detail: str) -> Reply:
        prepared, decision = self._pipeline.unread(
            request, self._stamp(), Rejection(reason, "(body)", detail)
        )
        self._journal.decided(prepared, decision, 0.0)
        return decision.reply

    async def _bindings(self, prepared: Prepared) -> Sequence[Binding]:
        claims = prepared.claims
        if len(claims) == 1 and claims[0].cid is None:
            # The commonest case, an event without a customer: a look-up, which needs no task switch.
            claim = claims[0]
            return [Binding(self._ledger.lookup(claim.portal_id, claim.uid))]
        return await self._ledger.bind(claims, prepared.stamp.now_ms) if claims else ()

    async def _keep(self, decision: Decision) -> None:
        entries = [each.entry for each in decision.verdicts if each.entry is not None]
        if entries:
            await self._quarantine.put(entries)
        payloads = [self._pack(each.record) for each in decision.verdicts if each.record is not None]
        if payloads:
            await self._spool.append(payloads)

    def _refuse(self, prepared: Prepared, decision: Decision | None, error: Exception) -> Decision:
        known = isinstance(error, LedgerUnavailable | SpoolUnavailable | QuarantineUnavailable)
        fields = {"error": type(error).__name__, "detail": str(error)} if known else describe(error)
        events = [each.event_id for each in prepared.events if isinstance(each, Pending)]
        self._journal.trouble("not_kept", events=events, **fields)
        return self._pipeline.refuse(prepared, decision.verdicts if decision else None)
