"""The steps of an event, in order: `prepare` up to the claim, `resolve` what the ledger won't bind, `decide` from the binding on.

Between them the caller asks the ledger; after them it makes the records durable and only then sends the reply. Every event
of a request gets exactly one `Verdict`, whatever happens: `refuse` turns verdicts that could not be kept into `unavailable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events import bodies, conflicts, duplicates, replies, wire
from gateway.events.admission import Admission, Steps
from gateway.events.bots import Bots
from gateway.events.client_address import ClientAddress
from gateway.events.consenting import Consents, is_withdrawal, refused
from gateway.events.cookie_answers import CookieAnswers
from gateway.events.cookies import UidCookie
from gateway.events.decisions import Decision, Pending, Prepared, Scope, Verdict, quarantine_entry
from gateway.events.enrichment import Enricher
from gateway.events.forms import joined, parse_query, split_request_id
from gateway.events.identity import Identities
from gateway.events.keyring import Keyring
from gateway.events.limiting import Limiter
from gateway.events.masking import Masking
from gateway.events.mentions import FirstLook
from gateway.events.model import UNBOUND
from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.ppid import PpidDesk
from gateway.events.preflights import Preflights
from gateway.events.recording import Recorder
from gateway.events.relay import RelayPolicy, asked_format
from gateway.events.releases import Releases
from gateway.events.remembering import remembered, remembered_together
from gateway.events.screening import Properties, envelope_problem, is_origin
from gateway.events.shapes import Shapes
from gateway.events.site_steps import site_steps
from gateway.events.uids import Uids
from gateway.events.visits import Visits
from gateway.events.world import NO_WORLD, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import AuditNote, Binding, Reply, Request, Stamp
    from gateway.settings import Settings

_SCOPES = 1_024
_ACCEPTED = Rejection(Reason.OK)
_UNAVAILABLE = Rejection(Reason.UNAVAILABLE, "", "the event could not be kept; send it again")


class Pipeline:
    """Compiled policy: the same object serves the gateway and any other adapter. `wanted_headers`: what it reads of `Head.named`."""

    def __init__(self, settings: Settings, world: World = NO_WORLD) -> None:
        self.wanted_headers: tuple[str, ...] = ()
        self._shapes = Shapes(
            max_keys=settings.server.max_keys,
            max_depth=settings.server.max_depth,
            max_batch=settings.server.max_batch,
        )
        self._max_body_bytes = settings.server.max_body_bytes
        self._properties = Properties(
            settings.properties, settings.identity, settings.network.client_address, settings.bots.mode
        )
        self._identities = Identities(settings.identity)
        self._masking = Masking(settings.privacy, settings.identity, self._identities.protect)
        self._first_look = FirstLook(self._identities.mentions_fields, self._masking.may_hold)
        self._uids = Uids(self._identities)
        enricher = Enricher(world, settings.device.client_hints)
        self.wanted_headers += enricher.devices.wanted_headers
        self._asks_for_hints = settings.device.client_hints == "high"
        self._consents = Consents(settings, self._identities)
        self.wanted_headers += self._consents.wanted_headers
        self._addresses = enricher.network.policies
        server = settings.server
        self.client_address = ClientAddress(server.trusted_proxies, server.client_address_header)
        self.limiter = Limiter(settings, self.client_address)
        self.bots = Bots(settings, enricher.devices.is_spider, self.limiter.client_of, world.proof)
        self.wanted_headers = tuple(dict.fromkeys((*self.wanted_headers, *self.bots.wanted_headers)))
        self._attach_known = settings.identity.attach_known_cid
        keyring = Keyring([key.get_secret_value() for key in settings.cookies.keys])
        self._cookie = UidCookie(settings.cookies, keyring, self._uids.usable)
        visits = Visits(settings, keyring, self._cookie, world, self._uids.usable)
        self._recorder = Recorder(self._identities, enricher, visits, self._consents.anonymiser)
        is_relay = settings.collector.mode == "relay"
        names = settings.collector.relay_cookies if is_relay else ()
        self._cookie_answers = CookieAnswers(self._cookie, self._uids.usable, visits, names)
        self.relay = RelayPolicy(names, self._cookie, self._is_raw) if is_relay else None
        self._conflicts = conflicts.Conflicts(keyring)
        self.resolve = self._conflicts.resolve
        self.releases = Releases(
            self._properties,
            self._identities,
            self._masking,
            self._conflicts,
            attaches_known=self._attach_known,
            judge=world.judge,
        )
        self.ppid = PpidDesk(self._properties, self._cookie, self._consents).answer
        self.preflight = Preflights(self._properties).answer
        self.duplicates = duplicates.opened(settings.duplicates, world.seen)
        self._admission = Admission(
            self._uids,
            self._identities,
            self._cookie,
            self.limiter,
            self._conflicts,
            self.client_address,
            lambda *names: self._about_origin(*names)[0],
            Steps(
                self._consents,
                self._masking,
                site_steps(settings, world),
                self.duplicates,
                self.bots if self.bots.is_wanted else None,
            ),
        )
        # Pages send the same query string with every event, but for its request id.
        self._scope_of_query = remembered(
            _SCOPES,
            lambda query: self._scope(wire.read_envelope(joined(parse_query(query), self._shapes.max_keys))),
        )
        # By property and origin: what one property allows, another may not.
        self._about_origin = remembered_together(_SCOPES, self._read_origin)

    def prepare(self, request: Request, stamp: Stamp) -> Prepared:
        """Decode, screen and claim: find out what came, whose property it is of, and whom each event names."""
        head, body = request.head, request.body
        if head.method != "POST":
            return self._of_form(request, stamp, bodies.Form({}))
        read = (
            body
            if bodies.is_plain(head, body)
            else bodies.read(head, body, self._shapes, self._max_body_bytes)
        )
        if isinstance(read, bodies.Form):
            return self._of_form(request, stamp, read)
        query, request_id = split_request_id(head.query)
        scope = self._scope_of_query(query)
        if isinstance(read, bytes) and not read.strip() and scope.envelope.fields:
            # A beacon without a body: the event stands in its query string.
            return self._of_form(request, stamp, bodies.Form({}))
        decoded = wire.decode_body(scope.envelope, request_id, read, self._shapes)
        if decoded.envelope is not scope.envelope:
            scope = self._scope(decoded.envelope)
        is_other = read is not body or bool(scope.envelope.fields)
        may_hold, may_mask = (True, True) if is_other else self._first_look(body)
        return self._admission.admit(request, stamp, scope, decoded, may_hold=may_hold, may_mask=may_mask)

    def _of_form(self, request: Request, stamp: Stamp, form: bodies.Form) -> Prepared:
        """Prepare what came as parameters: a GET, or a form, which may hold the event as JSON in one of its fields."""
        parameters = joined({**parse_query(request.head.query), **form.fields}, self._shapes.max_keys)
        if form.text:
            envelope, request_id = wire.read_envelope(parameters), parameters.get("request_id", "")
            decoded = wire.decode_body(envelope, request_id, form.text, self._shapes)
        else:
            decoded = wire.decode_query(parameters, self._shapes)
        return self._admission.admit(request, stamp, self._scope(decoded.envelope), decoded, may_hold=True)

    def unread(self, request: Request, stamp: Stamp, rejection: Rejection) -> tuple[Prepared, Decision]:
        """Decide a request whose body could not be read (too large, broken compression): one event, rejected."""
        query, request_id = split_request_id(request.head.query)
        scope = self._scope_of_query(query).without(rejection)
        decoded = wire.Decoded(scope.envelope, request_id, [rejection])
        prepared = self._admission.admit(request, stamp, scope, decoded, may_hold=True)
        return prepared, self.decide(prepared, [])

    def glance(self, request: Request) -> Reply:
        """Answer a `HEAD` as its `GET` would be answered; it is no event. Link previews and monitors ask so.

        So does a page whose visitor takes her consent back (`consent=denied`): the answer ends the cookies that its script can't.
        """
        scope = self._scope_of_query(split_request_id(request.head.query)[0])
        about_origin = self._about_origin(
            scope.envelope.portal_id, scope.envelope.prop_id, request.head.origin
        )
        headers = about_origin[1]
        if scope.problem is None and scope.owner is not None and is_withdrawal(scope.envelope):
            headers += self._cookie_answers.withdrawn(
                request.head, scope.owner, origin_allowed=about_origin[0]
            )
        return replies.glance(scope.envelope, scope.problem, headers)

    def decide(self, prepared: Prepared, bindings: Sequence[Binding]) -> Decision:
        """Give each event its fate, with what will be kept of it, and the reply that may leave once it is kept.

        `bindings` answer `prepared.claims`, in order.
        """
        answers = iter(bindings)
        verdicts: list[Verdict] = []
        notes: list[AuditNote] = []
        for each in prepared.events:
            if isinstance(each, Rejection):
                verdicts.append(refused(each))
                continue
            binding = UNBOUND if each.consent.is_anonymised else next(answers)
            verdict = self._verdict(prepared, each, binding)
            verdicts.append(verdict)
            is_plain = (
                verdict.rejection is _ACCEPTED
                and verdict.repair is None
                and not binding.aliases
                and not each.conflict_cid
            )
            if not is_plain and verdict.is_kept:
                notes += conflicts.notes(prepared, each, binding, verdict)
        return Decision(verdicts, self._reply(prepared, verdicts), notes)

    def refuse(
        self, prepared: Prepared, verdicts: Sequence[Verdict] | None, *, is_held: bool = False
    ) -> Decision:
        """Turn verdicts that could not be made durable into `unavailable`; nothing of them was promised to anybody.

        `verdicts` is `None` when it did not come to a decision. What was never to be kept keeps its verdict, and so does what
        is in the quarantine already, when `is_held`.
        """
        kept: list[Verdict] = []
        for each in verdicts if verdicts is not None else prepared.events:
            if isinstance(each, Rejection):
                kept.append(refused(each))
            elif isinstance(each, Verdict) and (not each.is_kept or (is_held and each.entry is not None)):
                kept.append(each)
            else:
                kept.append(Verdict(_UNAVAILABLE, each.event_id, each.request_id, each.uid))
        return Decision(kept, self._reply(prepared, kept))

    def together(self, prepared: Prepared, decision: Decision) -> Decision:
        """Give duplicates the fate of their first attempts, which are all settled: where one was not kept, its duplicate was not either."""
        verdicts = [
            verdict
            if isinstance(each, Rejection) or (fate := duplicates.failed(each)) is None
            else _repeated(each, fate, verdict.session)
            for each, verdict in zip(prepared.events, decision.verdicts, strict=True)
        ]
        return Decision(verdicts, self._reply(prepared, verdicts), decision.notes)

    def _read_origin(self, portal_id: str, prop_id: str, origin: str) -> tuple[bool, replies.Headers]:
        """Tell whether a page of this origin may read the property's answers, and give the headers that say so."""
        owner = self._properties.find(portal_id, prop_id)
        # What a page of an unknown property asks for holds nothing that others may not read, and its author should see why.
        allowed = is_origin(origin) and (owner is None or owner.allows_origin(origin))
        return allowed, replies.cross_origin(origin, allowed=allowed)

    def _scope(self, envelope: wire.Envelope) -> Scope:
        owner = self._properties.find(envelope.portal_id, envelope.prop_id)
        carried = self._identities.protect_parameters(envelope.carried)
        if owner is not None:
            carried = self._addresses.in_parameters(owner.client_address, carried)
        carried = self._masking.parameters(carried)
        before_id, behind_id = wire.query_parts(envelope, carried)
        asked = before_id
        if self.relay is not None:
            kind, format_ = envelope.response_type, asked_format(envelope.format)
            asked, _ = wire.query_parts(envelope, {}, kind, format_)
        return Scope(envelope, owner, envelope_problem(envelope, owner), before_id, behind_id, asked)

    def _is_raw(self, text: str) -> bool:
        return self._identities.is_raw(text) or self._masking.holds(text)

    def _verdict(self, prepared: Prepared, pending: Pending, binding: Binding) -> Verdict:
        identified, fields, mark = pending.identified, pending.fields, pending.mark
        if mark is not None and mark.is_repeat:
            return _repeated(
                pending, duplicates.WORDS[mark.rule], self._uids.usable(str(fields.get("sid", "")))
            )
        rejection = identified.rejection or conflicts.judge(prepared, pending, binding) or _ACCEPTED
        if pending.consent.is_anonymised:
            # Whatever it lacks by the plan, it may lack for that.
            rejection = conflicts.NOBODYS
        elif pending.problem is not None and FATES[rejection.reason].outcome is Outcome.ACCEPTED:
            rejection = pending.problem
        outcome = FATES[rejection.reason].outcome
        cid, repair = conflicts.settle(pending, binding, rejection, attaches_known=self._attach_known)
        category, action = fields["ec"], fields["ea"]
        session = self._uids.usable(str(fields.get("sid", "")))
        is_nobodys = pending.consent.is_anonymised or rejection.reason is Reason.IDENTITY_STRIPPED
        record = None
        if outcome is not Outcome.MALFORMED:
            relay = self.relay if outcome is Outcome.ACCEPTED else None
            record = self._recorder.record(prepared, pending, cid, binding, relay, is_nobodys=is_nobodys)
        return Verdict(
            rejection,
            event_id=pending.event_id,
            request_id=pending.request_id,
            uid=pending.uid,
            cid=cid,
            category=category,
            action=action,
            session=pending.session or session,
            record=record if outcome is Outcome.ACCEPTED else None,
            entry=quarantine_entry(prepared, pending, binding, rejection, record)
            if outcome is Outcome.QUARANTINED
            else None,
            is_new_binding=binding.is_new,
            identified=identified,
            repair=repair,
            aliases=binding.aliases,
            came_with=pending.came_with,
            cause=pending.cause,
            remarks=pending.remarks,
            tallies=pending.tallies,
        )

    def _reply(self, prepared: Prepared, verdicts: list[Verdict]) -> Reply:
        scope, head = prepared.scope, prepared.request.head
        envelope, property_ = scope.envelope, scope.owner
        _, headers = self._about_origin(envelope.portal_id, envelope.prop_id, head.origin)
        if self._asks_for_hints and head.fetch_mode == "navigate":
            headers += replies.CLIENT_HINTS
        if prepared.consent.state == "denied":
            headers += self._cookie_answers.ended(prepared)
        first = verdicts[0]
        kept = [each for each in verdicts if each.is_kept]
        # Who sends an event again never heard what the first attempt was answered: that is said again, cookies and all.
        settled = (
            kept
            if len(kept) == len(verdicts)
            else [each for each in verdicts if each.is_kept or each.reason is Reason.DUPLICATE]
        )
        if len(verdicts) == 1 and not settled and not prepared.is_batch:
            target = property_ is not None and property_.redirect_target(envelope.redirect_url) is not None
            return replies.failure(envelope, head.method, first.rejection, headers, redirect_allowed=target)
        if settled:
            headers += self._cookie_answers.headers(prepared, settled)
        results = [replies.result(each) for each in verdicts]
        if prepared.is_batch:
            reasons = [each.reason for each in verdicts]
            return replies.batch(results, reasons, headers, is_kept=bool(settled))
        if not kept:
            headers += replies.note(first.rejection)
        return replies.success(envelope, results[0], headers)


def _repeated(pending: Pending, rejection: Rejection, session: str) -> Verdict:
    """Give the verdict of an event that came before: nothing is kept of it, and its client hears what it would have heard at first."""
    return Verdict(
        rejection,
        pending.event_id,
        pending.request_id,
        pending.uid,
        category=pending.fields["ec"],
        action=pending.fields["ea"],
        session=session,
        came_with=pending.came_with,
        cause=pending.cause,
        remarks=pending.remarks,
        tallies=pending.tallies,
    )
