"""Whether events may be taken, and as whose: what `[consent]` makes of what a request and its events say.

What always holds: a refusal beats a grant, wherever the two stand; the order of the signals says only which of those that agree is named. What can't be read says
nothing. A grant that somebody else than the property's page wrote into a link counts for nothing, a refusal in it does. In a request of several events a
refusal holds for the later ones that say nothing themselves; events that a server sends are of many people, and each speaks for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.events import consent_words, tcf
from gateway.events.anonymising import Anonymiser
from gateway.events.consent import Consent
from gateway.events.cookies import values
from gateway.events.decisions import Pending, Verdict
from gateway.events.outcome import Reason, Rejection
from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.events.consent import State
    from gateway.events.identity import Identities
    from gateway.events.model import Head, JsonObject
    from gateway.events.screening import Property
    from gateway.events.wire import Envelope
    from gateway.settings import Settings
    from gateway.settings_consent import Consent as Section

GPC, DNT = "sec-gpc", "dnt"
_STRINGS = 2_048
_TCF_FIELDS = ("tcf", "tc_string", "tcString", "gdpr_consent")
_SCOPE_FIELDS = ("gdprApplies", "gdpr_applies", "gdpr")
_SHORTEST_STRING = 36
_WEIGHT: dict[State, int] = {"unknown": 0, "granted": 1, "denied": 2}
_REFUSED = "the visitor has refused; the event is kept nowhere"
_UNASKED = "nothing says that the visitor has agreed; the event is kept nowhere"


class Heard(NamedTuple):
    """What one signal says: the less `rank`, the earlier it stands in the settings."""

    state: State = "unknown"
    source: str = "none"
    rank: int = 99

    def or_(self, other: Heard) -> Heard:
        """Give what holds of two: the refusal, else the grant; of the same the one that stands first."""
        mine, theirs = _WEIGHT[self.state], _WEIGHT[other.state]
        if mine != theirs:
            return self if mine > theirs else other
        return other if other.rank < self.rank else self


_NOTHING = Heard()


class ConsentPolicy:
    """The policy of one property, compiled; its mode is not `off`."""

    def __init__(self, section: Section) -> None:
        self.mode = section.mode
        self._ranks: dict[str, int] = {name: rank for rank, name in enumerate(section.signals)}
        self._section = section
        self._servers = section.servers
        legitimate = frozenset(section.tcf_legitimate_interests)
        self._string = remembered(
            _STRINGS,
            lambda text: _read_string(text, section.tcf_purposes, section.tcf_vendor, legitimate),
        )
        self._known: dict[tuple[State, str], Consent] = {}

    @property
    def wanted_headers(self) -> tuple[str, ...]:
        """The request headers, in lower case, that it reads."""
        named = {"gpc": GPC, "dnt": DNT, "header": self._section.header, "tcf": self._section.tcf_header}
        return tuple(header for signal, header in named.items() if signal in self._ranks and header)

    def of_request(self, head: Head) -> Heard:
        """Give what a visitor's request says for all of its events."""
        ranks, section, named, found = self._ranks, self._section, head.named, _NOTHING
        for signal, header in (("gpc", GPC), ("dnt", DNT)):
            if signal in ranks and named.get(header, "").strip() == "1":
                found = found.or_(Heard("denied", signal, ranks[signal]))
        for signal, name, texts in (
            ("cookie", section.cookie, values(head.cookie, section.cookie) if section.cookie else ()),
            ("header", section.header, [named[section.header]] if section.header in named else ()),
        ):
            if name and signal in ranks:
                for text in texts:
                    state = consent_words.of_text(
                        text, section.granted_texts, section.denied_texts, section.categories
                    )
                    found = found.or_(Heard(state, signal, ranks[signal]))
        if "tcf" in ranks:
            if section.tcf_cookie:
                for text in values(head.cookie, section.tcf_cookie):
                    found = found.or_(self._of_string(text, "tcf_cookie"))
            if section.tcf_header in named:
                found = found.or_(self._of_string(named[section.tcf_header].strip(), "tcf_header"))
        return found

    def of_query(self, carried: Mapping[str, str]) -> Heard:
        """Give what the query string says: `consent`, and what the framework names, `gdpr` and `gdpr_consent`."""
        found = _NOTHING
        if "event" in self._ranks and "consent" in carried:
            found = Heard(consent_words.of_word(carried["consent"]), "event", self._ranks["event"])
        if "tcf" in self._ranks and ("gdpr" in carried or "gdpr_consent" in carried):
            found = found.or_(self._of_tcf(carried.get("gdpr_consent", ""), carried, "tcf_query"))
        return found

    def of_event(self, fields: JsonObject) -> Heard:
        """Give what an event itself says, in `extra` and in `context`."""
        found = _NOTHING
        for block in (fields.get("extra"), fields.get("context")):
            if not isinstance(block, dict):
                continue
            if block.get("gpc") is True and "gpc" in self._ranks:
                found = found.or_(Heard("denied", "gpc", self._ranks["gpc"]))
            said = block.get("consent")
            if said is not None:
                found = found.or_(self._of_field(said))
            if "tcf" in self._ranks:
                for name in (*_TCF_FIELDS, *_SCOPE_FIELDS):
                    if name in block:
                        found = found.or_(self._of_block(block))
                        break
        return found

    def decided(self, heard: Heard) -> Consent:
        """Give what follows from what was heard."""
        key = heard.state, heard.source if heard.state != "unknown" else "none"
        known = self._known.get(key)
        if known is None:
            is_granted = heard.state == "granted"
            known = Consent(
                *key,
                may_store=is_granted,
                is_anonymised=not is_granted and self.mode == "anonymise",
                drops=frozenset(name.lower() for name in self._section.anonymise_drop),
            )
            self._known[key] = known
        return known

    def refusal(self, consent: Consent) -> Rejection | None:
        """Give why an event of this consent can't be taken; `None` where it can."""
        if self.mode != "require" or consent.state == "granted":
            return None
        detail = _REFUSED if consent.state == "denied" else _UNASKED
        return Rejection(Reason.CONSENT_DENIED, consent.source, detail)

    def hear(self, head: Head, envelope: Envelope, *, is_foreign: bool) -> Hearing:
        """Begin with a request: what it says for all of its events, one after the other."""
        heard, by_query = _NOTHING, self.of_query(envelope.carried)
        if not envelope.is_s2s:
            heard = self.of_request(head)
        # A server is none of the property's pages, but no stranger.
        is_foreign = is_foreign and not envelope.is_s2s
        by_query = _believed(by_query, is_foreign=is_foreign)
        return Hearing(self, heard.or_(by_query), envelope, is_foreign=is_foreign)

    def of_server(self, heard: Heard) -> Heard:
        """Give what holds of a server's event that says nothing itself."""
        if heard.state == "unknown" and self._servers == "granted":
            return Heard("granted", "servers")
        return heard

    def _of_field(self, said: Any) -> Heard:
        if isinstance(said, str) and len(said) >= _SHORTEST_STRING:
            return self._of_string(said, "tcf_event") if "tcf" in self._ranks else _NOTHING
        found = _NOTHING
        if "event" in self._ranks:
            state = consent_words.of_value(said, self._section.categories)
            found = Heard(state, "event", self._ranks["event"])
        if isinstance(said, dict) and "tcf" in self._ranks:
            found = found.or_(self._of_block(said))
        return found

    def _of_block(self, block: JsonObject) -> Heard:
        """Give what an object says that holds a string, or the platform's own `TCData`."""
        string: Any = next((block[name] for name in _TCF_FIELDS if name in block), "")
        if isinstance(string, dict):
            return self._of_block({name: each for name, each in string.items() if not isinstance(each, dict)})
        return self._of_tcf(string if isinstance(string, str) else "", block, "tcf_event")

    def _of_tcf(self, string: str, beside: Mapping[str, Any], source: str) -> Heard:
        """Give what a string says, where the regulation applies; what stands `beside` it says that it does not."""
        applies: Any = next((beside[name] for name in _SCOPE_FIELDS if name in beside), None)
        if applies is not None and consent_words.of_value(applies, ()) == "denied":
            # "Only meaningful if gdpr=1", says the framework: it is no refusal either.
            return Heard(self._section.tcf_out_of_scope, "tcf_out_of_scope", self._ranks["tcf"])
        return self._of_string(string, source) if string else _NOTHING

    def _of_string(self, text: str, source: str) -> Heard:
        state = self._string(text)
        return _NOTHING if state == "unknown" else Heard(state, source, self._ranks["tcf"])


class Hearing:
    """What the events of one request say, as they happened."""

    def __init__(
        self, policy: ConsentPolicy, of_request: Heard, envelope: Envelope, *, is_foreign: bool
    ) -> None:
        self.policy = policy
        self._of_request = of_request
        self._is_server = envelope.is_s2s
        self._is_foreign = is_foreign
        self._withdrawn = _NOTHING
        self.last = policy.decided(of_request)
        """What holds after the last event that was heard."""

    def of(self, fields: JsonObject) -> Consent:
        """Give the consent of the next event."""
        own = _believed(self.policy.of_event(fields), is_foreign=self._is_foreign)
        heard = self._of_request.or_(own)
        if self._is_server:
            heard = self.policy.of_server(heard)
        elif own.state == "unknown":
            heard = heard.or_(self._withdrawn)
        else:
            self._withdrawn = own if own.state == "denied" else _NOTHING
        self.last = self.policy.decided(heard)
        return self.last


class Consents:
    """The policies of all properties; nothing is heard of those whose mode is `off`."""

    def __init__(self, settings: Settings, identities: Identities) -> None:
        self.anonymiser = Anonymiser(identities.is_identity, identities.is_raw, settings.campaign.click_ids)
        self._by_ids = {
            (each.portal_id, each.prop_id): ConsentPolicy(section)
            for each in settings.properties
            if (section := each.consent or settings.consent).mode != "off"
        }
        self.wanted_headers = tuple(
            dict.fromkeys(name for policy in self._by_ids.values() for name in policy.wanted_headers)
        )

    def policy(self, owner: Property | None) -> ConsentPolicy | None:
        """Give the policy of a property; `None` where it asks for nothing."""
        return (
            self._by_ids.get((owner.portal_id, owner.prop_id)) if owner is not None and self._by_ids else None
        )


def decided(pending: Pending, consent: Consent) -> None:
    """Let an event carry the decision, and the log and the counts say it."""
    pending.consent = consent
    pending.remarks |= _remarks(consent.state, consent.source)
    pending.tallies.append(("consent", consent.state))


def refused(rejection: Rejection) -> Verdict:
    """Give the verdict of an event that was not taken, with the decision about its consent where that is why."""
    if rejection.reason is not Reason.CONSENT_DENIED:
        return Verdict(rejection)
    state = "denied" if rejection.detail == _REFUSED else "unknown"
    return Verdict(rejection, remarks=_remarks(state, rejection.field), tallies=[("consent", state)])


def is_withdrawal(envelope: Envelope) -> bool:
    """Tell whether a request without an event says that its visitor has refused."""
    return consent_words.of_word(envelope.carried.get("consent", "")) == "denied"


def _remarks(state: str, source: str) -> dict[str, str]:
    return {"consent": state, "consent_source": source}


def _believed(heard: Heard, *, is_foreign: bool) -> Heard:
    return _NOTHING if is_foreign and heard.state == "granted" else heard


def _read_string(
    text: str, purposes: tuple[int, ...], vendor: int, legitimate_interests: frozenset[int]
) -> State:
    string = tcf.parse(text)
    if string is None:
        return "unknown"
    return "granted" if tcf.allows(string, purposes, vendor, legitimate_interests) else "denied"
