"""The steps of an event, in order: `prepare` up to the claim, `decide` from the binding on.

Between the two the caller asks the ledger; after them it makes the records durable and only then sends the reply. Every event
of a request gets exactly one `Verdict`, whatever happens: `refuse` turns verdicts that could not be kept into `unavailable`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.events import cookies, replies, wire
from gateway.events.decisions import Decision, Pending, Prepared, Verdict
from gateway.events.enrichment import Enricher
from gateway.events.identity import Identified, Identities, attach
from gateway.events.model import QuarantineEntry, Record
from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.screening import Properties, Property
from gateway.events.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import Binding, JsonObject, Reply, Request, Stamp
    from gateway.settings import Settings

_ACCEPTED = Rejection(Reason.OK)
_UNAVAILABLE = Rejection(Reason.UNAVAILABLE, "", "the event could not be kept; send it again")
# What can stand in a cookie, a log line and a URL as it is. No `@`, no blank: an id is no address.
_UID = re.compile(r"[A-Za-z0-9_.:~+/=|-]{1,128}\Z")


class Pipeline:
    """Compiled policy: the same object serves the gateway and any other adapter."""

    def __init__(self, settings: Settings) -> None:
        self._shapes = Shapes(
            max_keys=settings.server.max_keys,
            max_depth=settings.server.max_depth,
            max_batch=settings.server.max_batch,
        )
        self._properties = Properties(settings.properties)
        self._prefixes = {
            (each.portal_id, each.prop_id): wire.query_prefix(each.portal_id, each.prop_id)
            for each in settings.properties
        }
        self._identities = Identities(settings.identity)
        self._enricher = Enricher(settings.server.trusted_proxies)
        self._attach_known = settings.identity.attach_known_cid
        self._cookie = cookies.UidCookie(settings.cookies, self._usable)

    def prepare(self, request: Request, stamp: Stamp) -> Prepared:
        """Decode, screen and claim: find out what came, whose property it is of, and whom each event names."""
        decoded = wire.decode(request, self._shapes)
        return self._prepared(request, stamp, decoded)

    def unread(self, request: Request, stamp: Stamp, rejection: Rejection) -> tuple[Prepared, Decision]:
        """Decide a request whose body could not be read (too large, broken compression): one event, rejected."""
        envelope = wire.read_envelope(wire.parse_query(request.head.query))
        prepared = self._prepared(request, stamp, wire.Decoded(envelope, [rejection]))
        return prepared, self.decide(prepared, [])

    def preflight(self, request: Request) -> Reply:
        """Answer a cross-origin preflight. One that does not name its property is allowed for the origins of all."""
        origin = request.head.origin
        query = wire.parse_query(request.head.query)
        property_ = self._properties.find(query.get("portal_id", ""), query.get("prop_id", ""))
        allowed = property_.allows_origin(origin) if property_ else self._properties.any_allows_origin(origin)
        return replies.preflight(allowed=bool(origin) and allowed, origin=origin)

    def decide(self, prepared: Prepared, bindings: Sequence[Binding]) -> Decision:
        """Give each event its fate, with what will be kept of it, and the reply that may leave once it is kept.

        `bindings` answer `prepared.claims`, in order.
        """
        answers = iter(bindings)
        verdicts = [
            self._verdict(prepared, each, next(answers)) if isinstance(each, Pending) else Verdict(each)
            for each in prepared.events
        ]
        return Decision(verdicts, self._reply(prepared, verdicts))

    def refuse(self, prepared: Prepared, verdicts: Sequence[Verdict] | None) -> Decision:
        """Turn verdicts that could not be made durable into `unavailable`; nothing of them was promised to anybody.

        `verdicts` is `None` when it did not come to a decision; what was never to be kept keeps its verdict.
        """
        refused: list[Verdict] = []
        for each in verdicts if verdicts is not None else prepared.events:
            if isinstance(each, Rejection):
                refused.append(Verdict(each))
            elif isinstance(each, Verdict) and not (each.record or each.entry):
                refused.append(each)
            else:
                refused.append(Verdict(_UNAVAILABLE, each.event_id, each.request_id, each.uid))
        return Decision(refused, self._reply(prepared, refused))

    def _prepared(self, request: Request, stamp: Stamp, decoded: wire.Decoded) -> Prepared:
        head, envelope = request.head, decoded.envelope
        property_ = self._properties.find(envelope.portal_id, envelope.prop_id)
        problem = _envelope_problem(envelope, property_)
        cookie_uid = "" if envelope.is_s2s else self._usable(cookies.read(head.cookie))
        fallback, source = (cookie_uid, "cookie") if cookie_uid else (stamp.fresh_uid(), "fresh")
        may_hold = head.method != "POST" or self._identities.mentions_fields(request.body)
        events: list[Pending | Rejection] = []
        for index, fields in enumerate(decoded.events):
            if problem is not None:
                events.append(problem)
            elif isinstance(fields, Rejection):
                events.append(fields)
            else:
                uid = self._own_uid(fields)
                if isinstance(uid, Rejection):
                    events.append(uid)
                    continue
                source = "event" if uid and index == 0 else source
                event_id = stamp.event_id(index)
                request_id = wire.request_id_of(envelope, event_id, index)
                identified = self._identities.identify(fields, may_hold_fields=may_hold)
                events.append(Pending(event_id, request_id, uid or fallback, fields, identified))
        client_ip = self._enricher.client_ip(head.peer, head.forwarded_for)
        # What a page of an unknown property asks for holds nothing that others may not read, and its author should see why.
        allowed = bool(head.origin) and (property_ is None or property_.allows_origin(head.origin))
        return Prepared(
            request, stamp, envelope, property_, events, decoded.is_batch, client_ip, source, allowed
        )

    def _own_uid(self, fields: JsonObject) -> str | Rejection:
        """Give the UID that the event itself carries, empty when none, with no raw address in it."""
        uid = fields.get("uid", "").strip()
        if not uid or self._identities.is_placeholder(uid):
            return ""
        uid = self._identities.opaque_uid(uid)
        if not _UID.match(uid):
            return Rejection(
                Reason.BAD_FIELD, "uid", "must be an opaque id of at most 128 letters, digits and -_.:~+/=|"
            )
        aid = fields.get("aid")
        if aid:
            fields["aid"] = self._identities.opaque_uid(aid)
        return uid

    def _usable(self, uid: str) -> str:
        return uid if uid and _UID.match(uid) and not self._identities.is_placeholder(uid) else ""

    def _verdict(self, prepared: Prepared, pending: Pending, binding: Binding) -> Verdict:
        identified, fields = pending.identified, pending.fields
        rejection = identified.rejection or _conflict(identified, binding) or _ACCEPTED
        outcome = FATES[rejection.reason].outcome
        known = binding.cid if self._attach_known and identified.rejection is None else None
        cid = identified.cid or known or ""
        record = None if outcome is Outcome.MALFORMED else self._record(prepared, pending, cid)
        return Verdict(
            rejection,
            event_id=pending.event_id,
            request_id=pending.request_id,
            uid=pending.uid,
            cid=cid,
            category=fields["ec"],
            action=fields["ea"],
            session=self._usable(str(fields.get("sid", ""))),
            record=record if outcome is Outcome.ACCEPTED else None,
            entry=_entry(prepared, pending, binding, rejection, record)
            if outcome is Outcome.QUARANTINED
            else None,
            is_new_binding=binding.is_new,
            identified=identified,
        )

    def _record(self, prepared: Prepared, pending: Pending, cid: str) -> Record:
        fields, envelope, head = pending.fields, prepared.envelope, prepared.request.head
        fields["uid"] = pending.uid
        fields.setdefault("aid", pending.uid)
        if cid:
            attach(fields, cid)
        self._enricher.enrich(
            fields,
            head,
            client_ip=prepared.client_ip,
            event_id=pending.event_id,
            received_at=prepared.stamp.received_at,
        )
        carried = self._identities.protect_parameters(envelope.carried)
        prefix = self._prefixes[envelope.portal_id, envelope.prop_id]
        return Record(
            event_id=pending.event_id,
            portal_id=envelope.portal_id,
            prop_id=envelope.prop_id,
            uid=pending.uid,
            accepted_ms=prepared.stamp.now_ms,
            query=wire.encode_query(prefix, pending.request_id, carried),
            body=orjson.dumps(fields),
            client_ip=prepared.client_ip,
            user_agent=head.user_agent,
        )

    def _reply(self, prepared: Prepared, verdicts: list[Verdict]) -> Reply:
        envelope, head, property_ = prepared.envelope, prepared.request.head, prepared.owner
        headers = replies.cross_origin(head.origin, allowed=prepared.origin_allowed)
        first = verdicts[0]
        if len(verdicts) == 1 and not first.record and not first.entry and not prepared.is_batch:
            target = property_ is not None and property_.redirect_target(envelope.redirect_url) is not None
            return replies.failure(envelope, head.method, first.rejection, headers, redirect_allowed=target)
        kept = [each for each in verdicts if each.record or each.entry]
        if kept:
            headers += self._cookie.headers(prepared, kept[0])
        results = [_answer(each) for each in verdicts]
        if prepared.is_batch:
            unavailable = any(each.reason is Reason.UNAVAILABLE for each in verdicts)
            status = 503 if unavailable else 200 if kept else FATES[first.reason].status
            return replies.batch(results, status, headers)
        return replies.success(envelope, results[0], headers)


def _envelope_problem(envelope: wire.Envelope, property_: Property | None) -> Rejection | None:
    for name in ("portal_id", "prop_id"):
        if not getattr(envelope, name):
            return Rejection(Reason.BAD_FIELD, name, "is missing: add it to the query string")
    if property_ is None:
        return Rejection(
            Reason.UNKNOWN_PROPERTY, "portal_id", "no property with this portal_id and prop_id is configured"
        )
    if envelope.response_type not in wire.RESPONSE_TYPES:
        return Rejection(Reason.BAD_FIELD, "resp_type", "must be javascript, json, pixel or redirect")
    if envelope.response_type == "redirect" and property_.redirect_target(envelope.redirect_url) is None:
        return Rejection(
            Reason.BAD_REDIRECT,
            "redirect_url",
            "must be an http(s) URL of one of the property's redirect_hosts",
        )
    return None


def _conflict(identified: Identified, binding: Binding) -> Rejection | None:
    if identified.cid is None or binding.cid == identified.cid:
        return None
    return Rejection(
        Reason.CID_CONFLICT, "cid", "this uid belongs to another customer, and a customer id never changes"
    )


def _entry(
    prepared: Prepared, pending: Pending, binding: Binding, rejection: Rejection, record: Record | None
) -> QuarantineEntry:
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


def _answer(verdict: Verdict) -> dict[str, Any]:
    if not (verdict.record or verdict.entry):
        return replies.error_body(verdict.rejection)
    return {
        "type": "event",
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "event_id": verdict.event_id,
        "request_id": verdict.request_id,
        "au_id": verdict.uid,
        "aid": verdict.uid,
        "session_id": verdict.session,
    }
