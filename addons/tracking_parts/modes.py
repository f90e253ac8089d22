"""What becomes of a tracking call beside being looked at: a mode each.

A mode acts only on calls that are under way: flows that are read from a file are looked at, whatever the mode. What always holds: whether a call is taken, how
its event leaves and what its page hears are the gateway's words; here they are only put in their place.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from mitmproxy import ctx

from tracking_parts.answering import answer_of
from tracking_parts.flows import heard_of
from tracking_parts.sending import collectors_answer, put_record

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

    from gateway.events.model import Record, Reply
    from gateway.qa.calls import Heard
    from gateway.qa.session import Examined
    from tracking_parts.visit import Visit


class Acts(Protocol):
    """What a mode does."""

    def is_own(self, flow: HTTPFlow) -> bool:
        """Tell whether a flow is one that the mode itself has made; nobody looks at those."""

    def request(self, flow: HTTPFlow, examined: Examined) -> None:
        """Act on a call that was examined, before it goes anywhere."""

    def response(self, flow: HTTPFlow, examined: Examined) -> Heard | None:
        """Act on its answer, or on the lack of one; gives what the collector said, `None` where it was not asked."""


class Observe:
    """Changes nothing."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}

    def is_own(self, flow: HTTPFlow) -> bool:
        """No."""
        del flow
        return False

    def request(self, flow: HTTPFlow, examined: Examined) -> None:
        """Let it go on, now: what came before was the gateway's time, not the collector's."""
        del examined
        self._sent[flow.id] = time.time()

    def response(self, flow: HTTPFlow, examined: Examined) -> Heard | None:
        """Let it arrive."""
        del examined
        return heard_of(flow, self._sent.pop(flow.id, None))


class _Answers(Observe):
    """Answers in the collector's place."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._answered: set[str] = set()

    def response(self, flow: HTTPFlow, examined: Examined) -> Heard | None:
        """Hear the collector, unless it was not asked."""
        return None if flow.id in self._answered else super().response(flow, examined)

    def _answer(self, flow: HTTPFlow, examined: Examined, reply: Reply) -> None:
        flow.response = answer_of(
            reply, examined.call.method, self._visit.wanted.settings.tls.headers,
            is_vendors=examined.known.is_vendors, is_secure=examined.call.scheme == "https",
        )  # fmt: skip


class Redirect(_Answers):
    """Answers every call that the gateway has something at, as if its name pointed at the gateway already."""

    def request(self, flow: HTTPFlow, examined: Examined) -> None:
        """Answer it; what only the vendor has, the vendor answers."""
        reply = examined.taken.reply
        if examined.known.is_vendors and reply.status == 404:
            super().request(flow, examined)
            return
        self._answered.add(flow.id)
        self._answer(flow, examined, reply)


class Enforce(_Answers):
    """Sends on what the gateway would have sent, to the vendor's host that the page has called; what it would not have sent on goes nowhere.

    A batch goes on event by event, as the gateway's forwarder sends it: the first with the call itself, the others behind its answer, in their order, as calls that
    mitmproxy makes. Calls to the site's own tracking name are let alone: a gateway stands there, and does the same.
    """

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._own: set[str] = set()
        self._waiting: dict[str, list[Record]] = {}

    def is_own(self, flow: HTTPFlow) -> bool:
        """Tell whether it is a further event of a batch."""
        return flow.id in self._own

    def request(self, flow: HTTPFlow, examined: Examined) -> None:
        """Put the gateway's request in the place of the page's, or answer it."""
        super().request(flow, examined)
        if examined.known.kind != "event" or not examined.known.is_vendors:
            return
        records = [sight.verdict.record for sight in examined.events if sight.verdict.record is not None]
        if not records:
            self._answered.add(flow.id)
            self._answer(flow, examined, examined.taken.reply)
            return
        put_record(flow, examined, records[0])
        self._waiting[flow.id] = records[1:]

    def response(self, flow: HTTPFlow, examined: Examined) -> Heard | None:
        """Put the gateway's answer in the place of the collector's, with what the policy lets through of that."""
        heard = super().response(flow, examined)
        records = self._waiting.pop(flow.id, None)
        if heard is None or records is None:
            return heard
        self._answer(flow, examined, self._visit.relayed(examined, collectors_answer(flow)))
        for place, record in enumerate(records, 2):
            further: HTTPFlow = flow.copy()  # type: ignore[no-untyped-call]
            put_record(further, examined, record)
            further.comment = f"tracking: event {place} of call {examined.call.number}"
            self._own.add(further.id)
            ctx.master.commands.call("replay.client", [further])
        return heard
