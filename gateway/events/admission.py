"""Which events of a request come in, and under which UID: screening, one event after the other, up to what each of them claims.

What always holds: every event that was decoded comes out as a `Pending` or as the `Rejection` that names why not; the UID of an event
is its own, else the visitor's, else a fresh one; whom a link or a server names never gets the UID of who happens to follow or to send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.events import duplicates
from gateway.events.clock import sent_ms
from gateway.events.consent import ALLOWED
from gateway.events.consenting import Hearing, decided
from gateway.events.cookie_answers import is_forgotten
from gateway.events.decisions import Pending, Prepared, Scope
from gateway.events.model import Head, Stamp
from gateway.events.occasion import Occasion
from gateway.events.outcome import Rejection
from gateway.events.screening import is_foreign, server_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.bots import Bots
    from gateway.events.client_address import ClientAddress
    from gateway.events.conflicts import Conflicts
    from gateway.events.consent import Consent
    from gateway.events.consenting import Consents
    from gateway.events.cookies import UidCookie
    from gateway.events.identity import Identities
    from gateway.events.limiting import Limiter
    from gateway.events.masking import Masking
    from gateway.events.model import JsonObject, Request
    from gateway.events.site_steps import SiteSteps
    from gateway.events.uids import Uids
    from gateway.events.wire import Decoded

# A server's address, program and language are not the customer's.
_NO_VISITOR = Head(method="POST", path="")


class _Arrival(duplicates.Sending):
    """A request whose events are looked at: what holds for all of them, and what the ones before have left.

    `fresh` is the UID that the request's visitor got, `first_source` where that of its first event came from, `let_in` the UIDs whose events were
    let in.
    """

    source: str
    may_hold: bool
    may_mask: bool
    fresh: str = ""
    first_source: str = ""
    let_in: set[str] = msgspec.field(default_factory=set)
    hearing: Hearing | None = None


class Steps(NamedTuple):
    """What is done with each event besides, in this order; `None`: nothing is set."""

    consents: Consents
    masking: Masking
    of_site: SiteSteps
    duplicates: duplicates.Duplicates | None = None
    bots: Bots | None = None


class Admission:
    """Screens the events of a request and finds out whom each of them names; made of the pipeline's compiled parts."""

    def __init__(
        self,
        uids: Uids,
        identities: Identities,
        cookie: UidCookie,
        limiter: Limiter,
        conflicts: Conflicts,
        client_address: ClientAddress,
        allows_origin: Callable[[str, str, str], bool],
        steps: Steps,
    ) -> None:
        self._uids = uids
        self._identities = identities
        self._cookie = cookie
        self._limiter = limiter
        self._conflicts = conflicts
        self._client_address = client_address
        self._allows_origin = allows_origin
        self._consents = steps.consents
        self._masking = steps.masking
        self._transformations, self._hook, self._plan = steps.of_site
        self._duplicates = steps.duplicates
        self._bots = steps.bots

    def admit(
        self,
        request: Request,
        stamp: Stamp,
        scope: Scope,
        decoded: Decoded,
        *,
        may_hold: bool,
        may_mask: bool = True,
    ) -> Prepared:
        """Give a request up to the claims.

        `may_hold`: its text may hold an identity field or a raw address; `may_mask`: it may hold something that is to be masked.
        """
        as_it_came = request.head
        request = self._masking.request(request)
        head, envelope, owner = request.head, scope.envelope, scope.owner
        visitor = self._cookie.read(
            "" if envelope.is_s2s else head.cookie,
            owner.site if owner is not None else "",
            stamp.now_ms // 1000,
        )
        source = ("twin" if visitor.is_restored else "cookie") if visitor.uid else "fresh"
        allowed = self._allows_origin(envelope.portal_id, envelope.prop_id, head.origin)
        foreign = is_foreign(head, origin_allowed=allowed)
        client_ip = self._client_address(head.peer, head.forwarded_for)
        problem = scope.problem or server_problem(envelope, owner, head.authorization)
        bot = None
        if self._bots is not None and problem is None and owner is not None and owner.bots != "off":
            bot = None if envelope.is_s2s else self._bots.judge(as_it_came, client_ip, stamp.now_ms)
            if bot is not None and owner.bots == "drop":
                problem = bot.rejection
        occasion = Occasion(
            _NO_VISITOR if envelope.is_s2s else head,
            "" if envelope.is_s2s else client_ip,
            stamp.now_ms,
            stamp.received_at,
            owner,
            bot,
        )
        arrival = _Arrival(
            request,
            scope,
            stamp,
            client_ip,
            foreign,
            None,
            visitor,
            source,
            may_hold,
            may_mask,
            first_source=source,
        )
        policy = self._consents.policy(owner)
        if policy is not None:
            arrival.hearing = policy.hear(as_it_came, envelope, is_foreign=foreign)
        events: list[Pending | Rejection] = []
        for index, fields in enumerate(decoded.events):
            if problem is not None:
                events.append(problem)
            elif isinstance(fields, Rejection):
                events.append(fields)
            else:
                events.append(self._admitted(arrival, decoded, index, fields))
        if bot is not None:
            bot.remark(events)
        return Prepared(
            request,
            stamp,
            scope,
            events,
            decoded.is_batch,
            client_ip,
            arrival.first_source,
            visitor,
            allowed,
            foreign,
            occasion,
            consent=arrival.hearing.last if arrival.hearing is not None else ALLOWED,
        )

    def _admitted(
        self, arrival: _Arrival, decoded: Decoded, index: int, fields: JsonObject
    ) -> Pending | Rejection:
        """Let one event in, with all that is known of it before the ledger is asked; or say why not."""
        # Of the sending, not of what happened: the same event says another one when it comes again.
        sent = sent_ms(fields.pop("sent_at", None))
        envelope, may_hold, may_mask = arrival.scope.envelope, arrival.may_hold, arrival.may_mask
        if self._transformations is not None and self._transformations.apply(
            envelope.portal_id, envelope.prop_id, fields
        ):
            # What was `mail` may be an address's field now.
            may_hold = may_mask = True
        hearing = arrival.hearing
        if hearing is None:
            return self._somebodys(
                arrival, decoded, index, fields, sent, may_hold=may_hold, may_mask=may_mask
            )
        consent = hearing.of(fields)
        refusal = hearing.policy.refusal(consent)
        if refusal is not None:
            return refusal
        pending = (
            self._nobodys(arrival, index, fields, sent, consent)
            if consent.is_anonymised
            else self._somebodys(arrival, decoded, index, fields, sent, may_hold=may_hold, may_mask=may_mask)
        )
        if isinstance(pending, Pending):
            decided(pending, consent)
        return pending

    def _nobodys(
        self, arrival: _Arrival, index: int, fields: JsonObject, sent: int, consent: Consent
    ) -> Pending:
        """Let in the event of a visitor who has not agreed: from here on it has nothing of hers, and nothing knows it again."""
        stamp, visitor, envelope = arrival.stamp, arrival.visitor, arrival.scope.envelope
        event_id, hooked = stamp.event_id(index), None
        clean = self._consents.anonymiser.clean
        ids = clean(fields, consent, (visitor.uid, visitor.plain_uid, visitor.twin.uid))
        if self._hook is not None:
            hooked = self._hook(
                envelope.portal_id, envelope.prop_id, fields, stamp.now_ms, is_server=envelope.is_s2s
            )
            fields = fields if hooked.fields is None else hooked.fields
            ids = clean(fields, consent, ids)
        identified = self._identities.identify(fields, may_hold_fields=True)
        self._masking.mask(fields)
        pending = Pending(event_id, event_id, "", fields, identified, is_own=False, sent_ms=sent)
        pending.left_out = ids
        if hooked is not None:
            pending.tallies += [("plugin", each) for each in hooked.results]
        if self._plan is not None:
            self._plan.look(envelope.portal_id, envelope.prop_id, pending, stamp.now_ms)
        if index == 0:
            arrival.first_source = "none"
        return pending

    def _somebodys(
        self,
        arrival: _Arrival,
        decoded: Decoded,
        index: int,
        fields: JsonObject,
        sent: int,
        *,
        may_hold: bool,
        may_mask: bool,
    ) -> Pending | Rejection:
        """Let in an event under a UID. `sent` is the client's clock when it was sent."""
        stamp, visitor, envelope = arrival.stamp, arrival.visitor, arrival.scope.envelope
        uid = self._limiter.of_uid(self._uids.own(fields), visitor.uid, stamp.now_ms, arrival.let_in)
        if isinstance(uid, Rejection):
            return uid
        event_id = stamp.event_id(index)
        request_id = decoded.request_id_of(index, event_id)
        mark = (
            self._duplicates.mark(
                arrival,
                decoded,
                index,
                fields,
                uid,
                event_id,
                request_id,
                is_as_it_came=not sent,
            )
            if self._duplicates is not None
            else None
        )
        hooked = None
        if self._hook is not None:
            hooked = self._hook(
                envelope.portal_id, envelope.prop_id, fields, stamp.now_ms, is_server=envelope.is_s2s
            )
            if hooked.fields is not None:
                fields, may_hold, may_mask = hooked.fields, True, True
        identified = self._identities.identify(fields, may_hold_fields=may_hold)
        if may_mask:
            self._masking.mask(fields)
        whence = "event"
        if not uid:
            uid, whence = self._given(arrival, index, identified.cid)
        is_own = whence in {"event", "link", "server"}
        pending = Pending(
            event_id, request_id, uid, fields, identified, is_own=is_own, mark=mark, sent_ms=sent
        )
        if envelope.has_new_uid and not arrival.is_foreign and is_forgotten(visitor, uid, fields):
            pending.move(visitor.twin.uid, "restored")
            whence = "twin"
        if hooked is not None:
            pending.tallies += [("plugin", each) for each in hooked.results]
        if (mark is None or not duplicates.remark(pending, mark)) and self._plan is not None:
            self._plan.look(envelope.portal_id, envelope.prop_id, pending, stamp.now_ms)
        if index == 0:
            arrival.first_source = whence
        return pending

    def _given(self, arrival: _Arrival, index: int, cid: str | None) -> tuple[str, str]:
        """Give the UID of an event that has none, and where it comes from."""
        stamp, envelope = arrival.stamp, arrival.scope.envelope
        if cid is not None and (arrival.is_foreign or envelope.is_s2s):
            # Who follows a link is not whom it names: the message may have been passed on. A server names who it was.
            whence = "server" if envelope.is_s2s else "link"
            return self._conflicts.mint(envelope.portal_id, whence, cid, stamp), whence
        # A browser's events are one visitor's; those that a server sends together may be of many.
        own = stamp.fresh_uid(index) if envelope.is_s2s else arrival.fresh or stamp.fresh_uid()
        arrival.fresh = arrival.visitor.uid or own
        return arrival.fresh, arrival.source
