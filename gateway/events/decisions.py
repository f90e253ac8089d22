"""What the pipeline thinks of a request while it decides, and what it has decided: plain values.

One `Verdict` for each event that came in; its outcome and reason come from the one table in `gateway.events.outcome`.
"""

from __future__ import annotations

import msgspec

from gateway.events.identity import Identified
from gateway.events.model import Claim, JsonObject, QuarantineEntry, Record, Reply, Request, Stamp
from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.screening import Property
from gateway.events.wire import Envelope


class Pending(msgspec.Struct):
    """An event on its way: what was read, who it says it is of."""

    event_id: str
    request_id: str
    uid: str
    fields: JsonObject
    identified: Identified


class Scope(msgspec.Struct, frozen=True):
    """What a query string means for every event that comes with it, worked out once.

    `problem` is why none of them can be taken; `before_id` and `behind_id` stand around the request id in the collector's
    query string.
    """

    envelope: Envelope
    owner: Property | None
    problem: Rejection | None
    before_id: str
    behind_id: str


class Prepared(msgspec.Struct, frozen=True):
    """A request up to the claims. `events` has a `Pending` or a `Rejection` for each event that came in.

    `cookie_uid` is the usable UID of the visitor's cookie. `uid_source` says where the visitor's UID came from: `event`, `cookie` or `fresh`. `origin_allowed`: the page that sent it
    may read the answer.
    """

    request: Request
    stamp: Stamp
    scope: Scope
    events: list[Pending | Rejection]
    is_batch: bool
    client_ip: str
    uid_source: str
    cookie_uid: str
    origin_allowed: bool

    @property
    def envelope(self) -> Envelope:
        """What the request says about all of its events."""
        return self.scope.envelope

    @property
    def owner(self) -> Property | None:
        """Whose events these are, as far as we know."""
        return self.scope.owner

    @property
    def claims(self) -> list[Claim]:
        """What the ledger is asked, one claim for each event that is still in play."""
        portal_id = self.envelope.portal_id
        return [
            Claim(
                portal_id=portal_id,
                uid=each.uid,
                cid=None if each.identified.rejection else each.identified.cid,
            )
            for each in self.events
            if isinstance(each, Pending)
        ]


class Verdict(msgspec.Struct, frozen=True):
    """The fate of one event, with what is kept of it; exactly one of `record` and `entry` unless it was refused."""

    rejection: Rejection
    event_id: str = ""
    request_id: str = ""
    uid: str = ""
    cid: str = ""
    category: str = ""
    action: str = ""
    session: str = ""
    record: Record | None = None
    entry: QuarantineEntry | None = None
    is_new_binding: bool = False
    identified: Identified | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the event is to be made durable, in the spool or in the quarantine."""
        return self.record is not None or self.entry is not None

    @property
    def reason(self) -> Reason:
        """Why the event met its fate."""
        return self.rejection.reason

    @property
    def outcome(self) -> Outcome:
        """The event's fate."""
        return FATES[self.rejection.reason].outcome


class Decision(msgspec.Struct, frozen=True):
    """A request's verdicts, one for each event that came in, in order, and the reply."""

    verdicts: list[Verdict]
    reply: Reply
