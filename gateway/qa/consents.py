"""Events of visitors who have not agreed.

Where `[consent]` asks for consent, the gateway's own decision says it. Where it does not, a refusal that is heard all the same (`Sec-GPC`, the event's own word, a TCF
string) says it, and for those who name their consent tool in `[qa]` also that nothing has agreed yet: its cookie, where the call goes to a name of the site's and
so has it, or what it calls when somebody agrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.consenting import ConsentPolicy
from gateway.events.outcome import Reason
from gateway.events.screening import host_matches
from gateway.qa.calls import request_of
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.consenting import Hearing
    from gateway.qa.calls import Call
    from gateway.qa.findings import Finding
    from gateway.qa.session import Sight
    from gateway.settings import Settings

_DECIDED = frozenset({Reason.CONSENT_DENIED, Reason.ANONYMISED})
_DENIED = "the visitor has refused ({})"
_UNASKED = "nothing says that the visitor has agreed"


class Consents(Looks):
    """Looks at what visitors have said, event by event."""

    def __init__(self, settings: Settings) -> None:
        qa = settings.qa
        self._paths = frozenset(each.rstrip("/").lower() for each in qa.consent_paths)
        self._has_agreed = False
        self._names_cookie = bool(qa.consent_cookie)
        self._policies: dict[tuple[str, str], ConsentPolicy] = {}
        self._hosts: dict[tuple[str, str], tuple[str, ...]] = {}
        for each in settings.properties:
            section = each.consent or settings.consent
            ids = each.portal_id, each.prop_id
            bare = each.site.removeprefix("*.")
            self._hosts[ids] = (bare, f"*.{bare}")
            if section.mode == "off":
                asks: dict[str, object] = {"mode": "require", "cookie": qa.consent_cookie or section.cookie}
                if qa.consent_cookie and "cookie" not in section.signals:
                    asks["signals"] = (*section.signals, "cookie")
                self._policies[ids] = ConsentPolicy(section.model_copy(update=asks))
        self._hearing: tuple[int, Hearing] | None = None

    def passed(self, call: Call) -> Iterator[Finding]:
        """Hear of a call that is not tracking."""
        path = call.path.rstrip("/").lower()
        if call.method != "OPTIONS" and (path in self._paths or f"{call.host}{path}" in self._paths):
            self._has_agreed = True
        return iter(())

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        owner = sight.prepared.owner
        if owner is None or not isinstance(sight.original, dict):
            return
        policy = self._policies.get((owner.portal_id, owner.prop_id))
        if policy is not None:
            yield from self._unasked(sight, policy)
        elif sight.verdict.reason in _DECIDED:
            yield from self._decided(sight)

    def _decided(self, sight: Sight) -> Iterator[Finding]:
        """Tell what the gateway has decided. At its own name that is what protects the visitor; at the vendor's hosts nothing does."""
        remarks = sight.verdict.remarks
        is_denied = remarks.get("consent") == "denied"
        if not is_denied and self._has_agreed:
            # The site's cookies do not go to the vendor's hosts: what has agreed was seen.
            return
        detail = _DENIED.format(remarks.get("consent_source", "")) if is_denied else _UNASKED
        if sight.known.is_vendors:
            yield found("event-before-consent", sight.call.number, "consent", detail, event=sight.index)
            return
        what = "sends it on as nobody's" if sight.verdict.reason is Reason.ANONYMISED else "keeps it nowhere"
        yield found(
            "event-before-consent",
            sight.call.number,
            "consent",
            f"{detail}; the gateway {what}",
            event=sight.index,
            severity="note",
        )

    def _unasked(self, sight: Sight, policy: ConsentPolicy) -> Iterator[Finding]:
        """Tell what the visitor has said where the gateway does not ask."""
        prepared, call = sight.prepared, sight.call
        if prepared.envelope.is_s2s:
            return
        if self._hearing is None or self._hearing[0] != call.number:
            head = request_of(call, sight.known.path, "", policy.wanted_headers).head
            hearing = policy.hear(head, prepared.envelope, is_foreign=prepared.is_foreign)
            self._hearing = call.number, hearing
        assert isinstance(sight.original, dict)
        consent = self._hearing[1].of(sight.original)
        if consent.state == "denied":
            detail = _DENIED.format(consent.source)
        elif consent.state == "granted" or self._has_agreed or not self._could_say(sight):
            return
        else:
            detail = _UNASKED
        yield found("event-before-consent", call.number, "consent", detail, event=sight.index)

    def _could_say(self, sight: Sight) -> bool:
        """Tell whether the call would say so if the visitor had agreed: by the cookie, where the browser sends it, or because the tool's call was to be seen."""
        if self._paths:
            return True
        owner = sight.prepared.owner
        return (
            self._names_cookie
            and owner is not None
            and host_matches(sight.call.host, self._hosts[owner.portal_id, owner.prop_id])
        )
