"""The steps of an event, in order: `prepare` up to the claim, `decide` from the binding on.

Between the two the caller asks the ledger; after them it makes the records durable and only then sends the reply. Every event
of a request gets exactly one `Verdict`, whatever happens: `refuse` turns verdicts that could not be kept into `unavailable`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from gateway.events import cookies, replies, wire
from gateway.events.decisions import Decision, Pending, Prepared, Scope, Verdict
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

_SCOPES = 1_024
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
        self._identities = Identities(settings.identity)
        self._enricher = Enricher(settings.server.trusted_proxies)
        self._attach_known = settings.identity.attach_known_cid
        self._cookie = cookies.UidCookie(settings.cookies, self._usable)
        # Pages send the same query string with every event, but for its request id.
        self._scope_of_query = lru_cache(_SCOPES)(
            lambda query: self._scope(wire.read_envelope(wire.parse_query(query)))
        )
        self._headers = lru_cache(_SCOPES)(replies.cross_origin)
        self._allows_origin = lru_cache(_SCOPES)(_allows_origin)

    def prepare(self, request: Request, stamp: Stamp) -> Prepared:
        """Decode, screen and claim: find out what came, whose property it is of, and whom each event names."""
        head, body = request.head, request.body
        if head.method == "POST" and not wire.is_form(head.content_type, body):
            query, request_id = wire.split_request_id(head.query)
            scope = self._scope_of_query(query)
            decoded = wire.decode_body(scope.envelope, request_id, body, self._shapes)
            if decoded.envelope is not scope.envelope:
                scope = self._scope(decoded.envelope)
            return self._prepared(
                request, stamp, scope, decoded, may_hold=self._identities.mentions_fields(body)
            )
        parameters = wire.parse_query(head.query)
        if head.method == "POST":
            parameters.update(wire.parse_query(body.decode("utf-8", "replace")))
        decoded = wire.decode_query(parameters, self._shapes)
        return self._prepared(request, stamp, self._scope(decoded.envelope), decoded, may_hold=True)

    def unread(self, request: Request, stamp: Stamp, rejection: Rejection) -> tuple[Prepared, Decision]:
        """Decide a request whose body could not be read (too large, broken compression): one event, rejected."""
        query, request_id = wire.split_request_id(request.head.query)
        scope = self._scope_of_query(query)
        decoded = wire.Decoded(scope.envelope, request_id, [rejection])
        prepared = self._prepared(request, stamp, scope, decoded, may_hold=True)
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

    def refuse(
        self, prepared: Prepared, verdicts: Sequence[Verdict] | None, *, is_held: bool = False
    ) -> Decision:
        """Turn verdicts that could not be made durable into `unavailable`; nothing of them was promised to anybody.

        `verdicts` is `None` when it did not come to a decision. What was never to be kept keeps its verdict, and so does what
        is in the quarantine already, when `is_held`.
        """
        refused: list[Verdict] = []
        for each in verdicts if verdicts is not None else prepared.events:
            if isinstance(each, Rejection):
                refused.append(Verdict(each))
            elif isinstance(each, Verdict) and (not each.is_kept or (is_held and each.entry is not None)):
                refused.append(each)
            else:
                refused.append(Verdict(_UNAVAILABLE, each.event_id, each.request_id, each.uid))
        return Decision(refused, self._reply(prepared, refused))

    def _scope(self, envelope: wire.Envelope) -> Scope:
        owner = self._properties.find(envelope.portal_id, envelope.prop_id)
        carried = self._identities.protect_parameters(envelope.carried)
        before_id, behind_id = wire.query_parts(envelope, carried)
        return Scope(envelope, owner, _envelope_problem(envelope, owner), before_id, behind_id)

    def _prepared(
        self, request: Request, stamp: Stamp, scope: Scope, decoded: wire.Decoded, *, may_hold: bool
    ) -> Prepared:
        head = request.head
        cookie_uid = (
            "" if scope.envelope.is_s2s or not head.cookie else self._usable(cookies.read(head.cookie))
        )
        source = "cookie" if cookie_uid else "fresh"
        fallback = ""
        events: list[Pending | Rejection] = []
        for index, fields in enumerate(decoded.events):
            if scope.problem is not None:
                events.append(scope.problem)
                continue
            if isinstance(fields, Rejection):
                events.append(fields)
                continue
            uid = self._own_uid(fields)
            if isinstance(uid, Rejection):
                events.append(uid)
                continue
            if uid:
                source = "event" if index == 0 else source
            else:
                uid = fallback = fallback or cookie_uid or stamp.fresh_uid()
            event_id = stamp.event_id(index)
            request_id = wire.request_id_of(decoded.request_id, event_id, index)
            identified = self._identities.identify(fields, may_hold_fields=may_hold)
            events.append(Pending(event_id, request_id, uid, fields, identified))
        client_ip = self._enricher.client_ip(head.peer, head.forwarded_for)
        allowed = self._allows_origin(scope.owner, head.origin)
        return Prepared(
            request, stamp, scope, events, decoded.is_batch, client_ip, source, cookie_uid, allowed
        )

    def _own_uid(self, fields: JsonObject) -> str | Rejection:
        """Give the UID that the event itself carries, empty when none, with no raw address in it."""
        uid: str = fields.get("uid", "")
        aid: str = fields.get("aid", uid)
        if _is_own_kind(uid) and aid == uid:
            return uid
        if aid:
            fields["aid"] = self._identities.opaque_uid(aid)
        uid = uid.strip()
        if not uid or self._identities.is_placeholder(uid):
            return ""
        uid = self._identities.opaque_uid(uid)
        if not _UID.match(uid):
            return Rejection(
                Reason.BAD_FIELD, "uid", "must be an opaque id of at most 128 letters, digits and -_.:~+/=|"
            )
        return uid

    def _usable(self, uid: str) -> str:
        if _is_own_kind(uid):
            return uid
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
        fields, envelope, head = pending.fields, prepared.scope.envelope, prepared.request.head
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
        scope = prepared.scope
        return Record(
            event_id=pending.event_id,
            portal_id=envelope.portal_id,
            prop_id=envelope.prop_id,
            uid=pending.uid,
            accepted_ms=prepared.stamp.now_ms,
            query=f"{scope.before_id}{pending.request_id}{scope.behind_id}",
            body=orjson.dumps(fields),
            client_ip=prepared.client_ip,
            user_agent=head.user_agent,
        )

    def _reply(self, prepared: Prepared, verdicts: list[Verdict]) -> Reply:
        envelope, head, property_ = prepared.envelope, prepared.request.head, prepared.owner
        headers = self._headers(head.origin, allowed=prepared.origin_allowed)
        first = verdicts[0]
        if len(verdicts) == 1 and not first.is_kept and not prepared.is_batch:
            target = property_ is not None and property_.redirect_target(envelope.redirect_url) is not None
            return replies.failure(envelope, head.method, first.rejection, headers, redirect_allowed=target)
        kept = [each for each in verdicts if each.is_kept]
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


def _is_own_kind(uid: str) -> bool:
    """Tell of the commonest UIDs, decimal numbers as the CDP and this gateway make them, that there is nothing to check."""
    return 9 <= len(uid) <= 19 and uid.isdigit() and uid.isascii() and uid[0] != "0"


def _allows_origin(owner: Property | None, origin: str) -> bool:
    # What a page of an unknown property asks for holds nothing that others may not read, and its author should see why.
    return bool(origin) and origin.isascii() and (owner is None or owner.allows_origin(origin))


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
    if not verdict.is_kept:
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
