"""What the pipeline thinks of a request while it decides, and what it has decided: plain values.

One `Verdict` for each event that came in; its outcome and reason come from the one table in `gateway.events.outcome`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.events.consent import ALLOWED, Consent
from gateway.events.cookies import Visitor
from gateway.events.identity import Identified, Repair
from gateway.events.model import (
    Alias,
    AuditNote,
    Binding,
    Claim,
    JsonObject,
    QuarantineEntry,
    Record,
    Reply,
    Request,
    Stamp,
)
from gateway.events.occasion import Occasion
from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.screening import Property
from gateway.events.visit import Visit
from gateway.events.wire import Envelope


class Mark(msgspec.Struct, eq=False):
    """What an event is known by to those that may come again: `gateway.events.duplicates`.

    While it is under way, `fate` is `None`, and who waits for its end stands in `waiting`; then `is_kept` says whether it is durable. `is_shared`: its id came with
    another event. `is_repeat`: it came before itself; `first` is the mark of its first attempt, where that one is under way.
    """

    key: int
    check: int
    rule: str
    window_s: int
    is_shared: bool = False
    is_repeat: bool = False
    first: Mark | None = None
    fate: Rejection | None = None
    is_kept: bool = False
    waiting: tuple[Callable[[], None], ...] = ()


class Pending(msgspec.Struct):
    """An event on its way: what was read, who it says it is of.

    `came_with` is the UID that it came with, where `uid` is another by now, and `cause` why: `restored` (the browser had lost
    the UID, its signed cookie had not), `conflict` or `erased`. `conflict_cid` is the CID of the UID that it could not have,
    `conflict_uid`, in a conflict.
    `problem` is why it can't go out, or not as it is, where a step before the ledger has found one; what the ledger finds goes before it.
    `remarks` are what the log says of it besides, by field: no value of the event's own, but words of the gateway's. `tallies` are what is counted
    of it: kind and value, both of closed sets, for they are metric labels.
    `session` is the session that the gateway put it into, empty where the client tells its own or there is none; `sent_ms` is when the client says that it
    sent it, in Unix milliseconds, 0 where it does not.
    `is_own`: the event itself says whose it is, by a UID, or by the customer that a link or a server names; else the UID is the visitor's or fresh.
    `consent` is what its visitor has said about being measured, and what follows from it; `left_out` are the ids that an anonymised event had.
    """

    event_id: str
    request_id: str
    uid: str
    fields: JsonObject
    identified: Identified
    came_with: str = ""
    cause: str = ""
    conflict_cid: str = ""
    conflict_uid: str = ""
    moves: int = 0
    is_own: bool = True
    problem: Rejection | None = None
    consent: Consent = ALLOWED
    remarks: dict[str, Any] = msgspec.field(default_factory=dict)
    tallies: list[tuple[str, str]] = msgspec.field(default_factory=list)
    mark: Mark | None = None
    session: str = ""
    sent_ms: int = 0
    left_out: frozenset[str] = frozenset()

    def move(self, uid: str, cause: str) -> None:
        """Go on under another UID."""
        self.came_with = self.came_with or self.uid
        self.uid = uid
        self.cause = cause
        self.moves += 1


class Scope(msgspec.Struct, frozen=True):
    """What a query string means for every event that comes with it, worked out once.

    `problem` is why none of them can be taken; `before_id` and `behind_id` stand around the request id in the collector's
    query string, `asked_before_id` instead of the first where the collector's own answer is to go out.
    """

    envelope: Envelope
    owner: Property | None
    problem: Rejection | None
    before_id: str
    behind_id: str
    asked_before_id: str = ""

    def without(self, rejection: Rejection) -> Scope:
        """Give it as it is for a request of which no event was read; who sends too often hears that, whatever else may be wrong."""
        if rejection.reason is not Reason.RATE_LIMITED:
            return self
        return msgspec.structs.replace(self, problem=rejection)


class Prepared(msgspec.Struct, frozen=True):
    """A request up to the claims. `events` has a `Pending` or a `Rejection` for each event that came in.

    `visitor` is what the cookies say. `uid_source` says where the UID came from: `event`, `link`, `server`, `cookie`, `twin` or `fresh`.
    `origin_allowed`: the page that sent it may read the answer. `is_foreign`: somebody else than the property's pages may have made
    the browser send it. `visit` is what its events make of their visitor's session, `consent` what holds after the last event.
    """

    request: Request
    stamp: Stamp
    scope: Scope
    events: list[Pending | Rejection]
    is_batch: bool
    client_ip: str
    uid_source: str
    visitor: Visitor
    origin_allowed: bool
    is_foreign: bool
    occasion: Occasion
    visit: Visit = msgspec.field(default_factory=Visit)
    consent: Consent = ALLOWED

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
        """What the ledger is asked, one claim for each event that is still in play and is somebody's."""
        portal_id, owner = self.scope.envelope.portal_id, self.scope.owner
        holds_alias = owner is not None and owner.on_alias == "quarantine"
        return [
            _claim(portal_id, each, holds_alias=holds_alias)
            for each in self.events
            if isinstance(each, Pending) and not each.consent.is_anonymised
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
    repair: Repair | None = None
    aliases: tuple[Alias, ...] = ()
    came_with: str = ""
    cause: str = ""
    remarks: dict[str, Any] = {}
    tallies: list[tuple[str, str]] = []

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
    """A request's verdicts, one for each event that came in, in order, the reply, and what the audit log is to say."""

    verdicts: list[Verdict]
    reply: Reply
    notes: list[AuditNote] = []


def _claim(portal_id: str, pending: Pending, *, holds_alias: bool) -> Claim:
    identified = pending.identified
    if identified.cid is None or identified.rejection is not None:
        return Claim(portal_id=portal_id, uid=pending.uid)
    return Claim(
        portal_id=portal_id,
        uid=pending.uid,
        cid=identified.cid,
        same=identified.same,
        keys=identified.keys,
        older_keys=identified.older_keys,
        proved_keys=identified.proved_keys,
        holds_alias=holds_alias,
        event_id=pending.event_id,
    )


def quarantine_entry(
    prepared: Prepared, pending: Pending, binding: Binding, rejection: Rejection, record: Record | None
) -> QuarantineEntry:
    """Give what waits for a person: the event as a release would forward it, and why it waits."""
    assert record is not None
    return QuarantineEntry(
        event_id=pending.event_id,
        portal_id=prepared.envelope.portal_id,
        prop_id=prepared.envelope.prop_id,
        uid=pending.uid,
        reason=rejection.reason,
        detail=rejection.detail,
        held_ms=prepared.stamp.now_ms,
        claimed_cid=pending.identified.cid,
        bound_cid=binding.cid,
        record=record,
    )
