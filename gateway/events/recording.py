"""The event as it will be forwarded: what the gateway adds to it, under which ids, and the bytes that the spool keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.events import wire
from gateway.events.consent import note
from gateway.events.model import Record
from gateway.events.places import attach, replace_uid

if TYPE_CHECKING:
    from gateway.events.anonymising import Anonymiser
    from gateway.events.decisions import Pending, Prepared
    from gateway.events.enrichment import Enricher
    from gateway.events.identity import Identities
    from gateway.events.model import Binding
    from gateway.events.relay import RelayPolicy
    from gateway.events.screening import Property
    from gateway.events.visits import Visits


class Recorder:
    """Makes records of events whose fate is decided."""

    def __init__(
        self, identities: Identities, enricher: Enricher, visits: Visits, anonymiser: Anonymiser
    ) -> None:
        self._identities = identities
        self._enricher = enricher
        self._visits = visits
        self._anonymiser = anonymiser
        self._in_header = enricher.network.policies.in_header

    def record(
        self,
        prepared: Prepared,
        pending: Pending,
        cid: str,
        binding: Binding,
        relay: RelayPolicy | None,
        *,
        is_nobodys: bool,
    ) -> Record:
        """Give the record of an event; changes its fields in place.

        `cid` is the customer's whom it goes out as, empty for none; `relay` is there where somebody may wait for the collector's answer;
        `is_nobodys`: it goes out without any identity.
        """
        cookie = ""
        fields, scope, head = pending.fields, prepared.scope, prepared.request.head
        uid, request_id, envelope = pending.uid, pending.request_id, scope.envelope
        if is_nobodys:
            self._identities.strip(fields, pending.identified, uid, pending.came_with, binding.cid or "")
            before_id, behind_id = wire.nobodys_query_parts(envelope)
            uid, request_id = "", pending.event_id
        else:
            before_id, behind_id = scope.before_id, scope.behind_id
            if relay is not None:
                before_id, cookie = relay.outgoing(prepared, pending)
            if pending.came_with:
                replace_uid(fields, pending.came_with, uid, pending.cause)
            fields["uid"] = uid
            fields.setdefault("aid", uid)
            if cid:
                attach(fields, cid)
        self._enricher.enrich(fields, prepared.occasion, pending.event_id)
        self._visits.add(prepared, pending, is_nobodys=is_nobodys)
        consent = pending.consent
        if consent.source:
            if consent.is_anonymised:
                # Again: what was added from the request is the visitor's too.
                self._anonymiser.clean(fields, consent, pending.left_out)
                fields.setdefault("extra", {})["event_id"] = pending.event_id
            note(fields.setdefault("context", {}), consent)
        return Record(
            event_id=pending.event_id,
            portal_id=envelope.portal_id,
            prop_id=envelope.prop_id,
            uid=uid,
            accepted_ms=prepared.stamp.now_ms,
            query=f"{before_id}{request_id}{behind_id}",
            body=orjson.dumps(fields),
            client_ip="" if consent.is_anonymised else self._address(prepared.client_ip, scope.owner),
            user_agent=head.user_agent,
            cookie=cookie,
        )

    def _address(self, client_ip: str, owner: Property | None) -> str:
        return client_ip if owner is None else self._in_header(owner.client_address, client_ip)
