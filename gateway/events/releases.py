"""Whether a held event may go out, asked once more: the decision about a release.

A person says in which `Way`. The event is then identified anew, under the settings of now, the ledger is asked anew, and the same rules
decide as for an event that comes in. What always holds, whatever the way:

- A release never changes whom a UID belongs to, and never lets an event out under a UID that belongs to somebody else than it names. The
  UID that an event was held under because of another customer is not even asked to be bound.
- Nothing goes out of a UID that was erased, under no UID and as nobody's neither.
- An event that contradicts itself goes out as nobody's or not at all.
- What goes out has the event id and, but for nobody's, the request id that it had: the CDP can tell a repetition.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from gateway.events import conflicts, wire
from gateway.events.cookies import STRANGER
from gateway.events.decisions import Pending, Prepared, Scope
from gateway.events.forms import parse_query, split_request_id
from gateway.events.model import AuditNote, Binding, Claim, Head, JsonObject, QuarantineEntry, Record, Request
from gateway.events.occasion import Occasion
from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.places import attach, replace_uid
from gateway.events.plan_step import plan_rejection
from gateway.events.shapes import field_problem

if TYPE_CHECKING:
    from gateway.events.conflicts import Conflicts
    from gateway.events.identity import Identities
    from gateway.events.masking import Masking
    from gateway.events.model import Stamp
    from gateway.events.screening import Properties, Property
    from gateway.events.world import Judge

_ACCEPTED = Rejection(Reason.OK)
_NO_EVENT = Rejection(Reason.UNREADABLE, "", "it is no event that could be sent: its bytes can't be read")
_NO_PROPERTY = Rejection(
    Reason.UNKNOWN_PROPERTY, "portal_id", "no property with its portal_id and prop_id is configured"
)
_FORGOTTEN = Rejection(Reason.UID_ERASED, "uid", "its uid was erased on a person's request")


class Way(StrEnum):
    """How a held event may go out."""

    POLICY = "policy"
    NEW_UID = "new_uid"
    STRIP = "strip"
    ACCEPT_ALIAS = "accept_alias"
    ACCEPT_VIOLATION = "accept_violation"


class Goes(msgspec.Struct, frozen=True):
    """An event that goes out: as this record, with what the audit log is to say of it."""

    record: Record
    note: AuditNote


class Stays(msgspec.Struct, frozen=True):
    """An event that stays in the quarantine, and why."""

    reason: Reason
    detail: str


class Petition(msgspec.Struct):
    """A held event that asks to go out, up to what the ledger is to be asked."""

    entry: QuarantineEntry
    way: Way
    prepared: Prepared
    pending: Pending
    held_fields: JsonObject

    @property
    def claim(self) -> Claim:
        """What the ledger is asked: whose the UID is, and to bind the customer to it where nothing says that it is another's."""
        binds = (
            self.way is not Way.STRIP and self.pending.identified.rejection is None and not self._was_bound
        )
        # Without addresses: what is left of them are hashes, which are not what the ledger knows addresses by.
        return Claim(
            portal_id=self.entry.portal_id,
            uid=self.pending.uid,
            cid=self.pending.identified.cid if binds else None,
            event_id=self.entry.event_id,
        )

    def known(self, binding: Binding) -> Binding:
        """Give what holds for the UID: what the ledger says, or, where it has forgotten, what it said when the event was held."""
        is_lost = binding.cid is None and not binding.is_erased and self._was_bound
        return Binding(self.entry.bound_cid) if is_lost else binding

    @property
    def _was_bound(self) -> bool:
        return self.entry.bound_cid is not None and not self.pending.moves


class Releases:
    """Decides about releases by the compiled policy of a pipeline."""

    def __init__(
        self,
        properties: Properties,
        identities: Identities,
        masking: Masking,
        of: Conflicts,
        *,
        attaches_known: bool,
        judge: Judge | None = None,
    ) -> None:
        self._properties = properties
        self._identities = identities
        self._masking = masking
        self._conflicts = of
        self._attaches_known = attaches_known
        self._judge = judge

    def ask(self, entry: QuarantineEntry, way: Way, stamp: Stamp) -> Petition | Stays:
        """Read a held event anew; gives what the ledger is to be asked of it, or why it stays whatever the ledger says."""
        if entry.reason == Reason.UID_ERASED:
            return _stays(_FORGOTTEN)
        fields = _fields(entry)
        if entry.reason == Reason.UNREADABLE or fields is None:
            return _stays(_NO_EVENT)
        problem = field_problem(fields)
        if problem is not None:
            return _stays(problem)
        owner = self._properties.find(entry.portal_id, entry.prop_id)
        if owner is None:
            return _stays(_NO_PROPERTY)
        owner = _minded(owner, way)
        if entry.reason == Reason.IDENTITY_ALIAS and owner.on_alias == "quarantine" and way is not Way.STRIP:
            return _stays(conflicts.ALIAS)
        violation = None if way is Way.ACCEPT_VIOLATION else self._violation(entry, fields)
        if violation is not None:
            return _stays(violation)
        held_fields = orjson.loads(entry.record.body)
        identified = self._identities.identify(fields, may_hold_fields=True)
        # It may be held since before a pattern was set.
        self._masking.mask(fields)
        if identified.rejection is not None and way is not Way.STRIP:
            return _stays(identified.rejection)
        query, request_id = split_request_id(entry.record.query)
        envelope = msgspec.structs.replace(
            wire.read_envelope(parse_query(query)), portal_id=entry.portal_id, prop_id=entry.prop_id
        )
        pending = Pending(entry.event_id, request_id, entry.record.uid, fields, identified)
        head = Head(method="POST", path="")
        prepared = Prepared(
            request=Request(head),
            stamp=stamp,
            scope=Scope(envelope, owner, None, "", ""),
            events=[pending],
            is_batch=False,
            client_ip=entry.record.client_ip,
            uid_source="event",
            visitor=STRANGER,
            origin_allowed=False,
            is_foreign=False,
            occasion=Occasion(head, now_ms=stamp.now_ms, received_at=stamp.received_at, owner=owner),
        )
        return Petition(entry, way, prepared, pending, held_fields)

    def _violation(self, entry: QuarantineEntry, fields: JsonObject) -> Rejection | None:
        """Say what of the plan of now an event has not kept that was held for that; what was held for something else is not held to it."""
        if entry.reason != Reason.PLAN_VIOLATION or self._judge is None:
            return None
        found = self._judge(entry.portal_id, entry.prop_id, fields, is_held=True)
        return plan_rejection(found) if found and found[0].severity == "quarantine" else None

    def resolve(self, petition: Petition, binding: Binding) -> bool:
        """Move an event to another UID, in place, where its way allows it; `True` when it was, so that the ledger has to be asked again."""
        binding = petition.known(binding)
        if binding.is_erased or petition.way is Way.STRIP:
            return False
        return self._conflicts.resolve(petition.prepared, [binding])

    def decide(self, petition: Petition, binding: Binding) -> Goes | Stays:
        """Decide, by what the ledger answered to the claim."""
        entry, pending, way = petition.entry, petition.pending, petition.way
        binding = petition.known(binding)
        if binding.is_erased:
            return _stays(_FORGOTTEN)
        rejection = _ACCEPTED
        if way is Way.STRIP:
            rejection = conflicts.STRIPPED
        elif pending.uid:
            rejection = conflicts.judge(petition.prepared, pending, binding) or _ACCEPTED
        if FATES[rejection.reason].outcome is not Outcome.ACCEPTED:
            return _stays(rejection)
        if rejection.reason is Reason.IDENTITY_STRIPPED:
            record = self._nobodys(petition, binding)
            bound = entry.bound_cid or binding.cid or ""
            return Goes(record, _note(entry, bound, pending.identified.cid or "", f"strip ({entry.reason})"))
        if not pending.uid:
            return Goes(self._record(petition, ""), _note(entry, "", "", f"{way} ({entry.reason})"))
        cid, _ = conflicts.settle(pending, binding, rejection, attaches_known=self._attaches_known)
        record = self._record(petition, cid)
        if pending.conflict_cid:
            return Goes(record, _note(entry, pending.conflict_cid, cid, f"new_uid {pending.uid}"))
        return Goes(record, _note(entry, cid, "", f"{way} ({entry.reason})"))

    def _record(self, petition: Petition, cid: str) -> Record:
        pending, held = petition.pending, petition.entry.record
        fields = pending.fields
        if pending.uid:
            if pending.came_with:
                replace_uid(fields, pending.came_with, pending.uid, pending.cause)
            fields["uid"] = pending.uid
            fields.setdefault("aid", pending.uid)
            if cid:
                attach(fields, cid)
        # The same bytes, where nothing had to be changed.
        body = held.body if fields == petition.held_fields else orjson.dumps(fields)
        return msgspec.structs.replace(
            held,
            uid=pending.uid,
            body=body,
            # Nobody waits for the collector's answer any more.
            cookie="",
            accepted_ms=petition.prepared.stamp.now_ms,
            appended_ns=0,
        )

    def _nobodys(self, petition: Petition, binding: Binding) -> Record:
        entry, pending, envelope = petition.entry, petition.pending, petition.prepared.envelope
        ids = (entry.uid, entry.record.uid, binding.cid or "", entry.bound_cid or "", entry.claimed_cid or "")
        self._identities.strip(pending.fields, pending.identified, *ids)
        before_id, behind_id = wire.nobodys_query_parts(envelope)
        return msgspec.structs.replace(
            entry.record,
            uid="",
            query=f"{before_id}{entry.event_id}{behind_id}",
            body=orjson.dumps(pending.fields),
            cookie="",
            accepted_ms=petition.prepared.stamp.now_ms,
            appended_ns=0,
        )


def _minded(owner: Property, way: Way) -> Property:
    """Give a property with the policies that a way stands for: what a person decides goes before the settings."""
    if way in {Way.POLICY, Way.ACCEPT_VIOLATION}:
        return owner
    return msgspec.structs.replace(
        owner,
        on_conflict="new_uid" if way is Way.NEW_UID else "quarantine",
        on_alias="warn" if way is Way.ACCEPT_ALIAS else owner.on_alias,
    )


def _fields(entry: QuarantineEntry) -> JsonObject | None:
    try:
        fields: Any = orjson.loads(entry.record.body)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) and entry.record.event_id and entry.portal_id else None


def _note(entry: QuarantineEntry, cid: str, other: str, text: str) -> AuditNote:
    return AuditNote(
        kind="release",
        portal_id=entry.portal_id,
        uid=entry.uid,
        cid=cid,
        other=other,
        note=text,
        event_id=entry.event_id,
    )


def _stays(rejection: Rejection) -> Stays:
    return Stays(rejection.reason, rejection.detail)
