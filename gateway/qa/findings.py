"""What can be wrong with a site's tracking: one table of rules, and a finding for each time that one of them is broken.

What always holds: a finding holds no raw identity; what it quotes went through the gateway's own masking.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.settings_qa import RuleId, Severity


class Rule(msgspec.Struct, frozen=True):
    """Something that a site should keep to: `why` it matters and how to `mend` it, each one or two sentences for a web engineer."""

    id: RuleId
    severity: Severity
    title: str
    why: str
    mend: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was broken: in which call, in which of its events (from 0; -1: in the request itself), and where in it.

    `place` is the path of the field (`dims.customers.email`), `query uid`, `header cookie`, `url`; `detail` one sentence about this case, without any raw
    identity; `other` is the number of the call that it does not go together with, 0 for none.
    """

    rule: RuleId
    severity: Severity
    call: int
    event: int = -1
    place: str = ""
    detail: str = ""
    other: int = 0


Order = Literal["error", "warning", "note"]
ORDER: tuple[Order, ...] = ("error", "warning", "note")
"""From the worst to the least."""

_TABLE = (
    Rule(
        "raw-identity-in-url",
        "error",
        "A raw e-mail address or phone number in a URL",
        "URLs stand in histories, in logs of every server on the way and in referrers that other sites read.",
        "Take the address out of the page's URL or the call's query string; name a customer by the hash.",
    ),
    Rule(
        "raw-identity-in-field",
        "error",
        "A raw e-mail address or phone number in a field that should be hashed",
        "The collector and everybody who reads its data get a person's address.",
        "Send the hash, or let the gateway make it: point the site at it, or use the policy of the field.",
    ),
    Rule(
        "cid-not-hash",
        "error",
        "A customer id that is no hash",
        "A CID should be a hash of something of the customer's own: a raw address is personal data, a number of the shop's may meet another system's.",
        "Send md5 or sha256 of the normalised e-mail address or phone number.",
    ),
    Rule(
        "cid-of-other-spelling",
        "error",
        "A customer id that isn't the hash of the normalised address",
        "The same person gets another CID from every other system, and her profile is split for ever.",
        "Normalise before you hash: trim and lower-case an e-mail address, write a phone number in its E.164 form.",
    ),
    Rule(
        "cid-changed",
        "error",
        "Another customer id for a UID that has one",
        "A CID can't be changed once it is assigned: two people's profiles would be one.",
        "Call web_event.resetAnonymousUId() when a customer signs out, before the next one signs in.",
    ),
    Rule(
        "cid-contradiction",
        "error",
        "Two customer ids in one event",
        "Nobody can know whose event it is.",
        "Name the same customer in every place, or in one place alone.",
    ),
    Rule(
        "uid-changed",
        "error",
        "Another UID without a reset",
        "The visitor's earlier events stay with somebody else: the profile breaks in two.",
        "Keep the first-party cookie: its domain, its lifetime, one name for all pages.",
    ),
    Rule(
        "reset-missing",
        "error",
        "No reset at a sign-out",
        "What the next person does on this device counts as the customer's who has left.",
        "Call web_event.resetAnonymousUId() in the sign-out, before the page goes on.",
    ),
    Rule(
        "identify-repeated",
        "warning",
        "An identify event more than once a day",
        "The collector counts each as a sign of life of the customer; one a day is enough.",
        "Remember in the page that it was sent today.",
    ),
    Rule(
        "event-before-consent",
        "error",
        "An event before the visitor has agreed",
        "Measuring without consent is against the law in many countries.",
        "Load the snippet after the consent tool has its answer, or let the gateway hold events back: consent.mode.",
    ),
    Rule(
        "required-field-missing",
        "error",
        "An event without what the tracking plan requires of it",
        "Reports and segments that need the field leave the event out.",
        "Add the field; docs/tracking-plan.md lists what each standard event needs.",
    ),
    Rule(
        "unknown-event",
        "warning",
        "An event that the tracking plan does not know",
        "Nobody will look for it; most often it is a slip of the pen.",
        "Spell it as the plan does, or add it to the plan.",
    ),
    Rule(
        "malformed-event",
        "error",
        "An event that can't be read",
        "It is lost.",
        "Send it as the protocol says; the field is named.",
    ),
    Rule(
        "duplicate-event",
        "warning",
        "The same event again",
        "It counts twice wherever nobody takes it out.",
        "Track once: two snippets, two listeners or a tag that fires twice send the same.",
    ),
    Rule(
        "wrong-property",
        "error",
        "A portal or property that is not the site's",
        "The events go into somebody else's data, or nowhere.",
        "Set _portalId and _propId of the snippet as the configuration has them.",
    ),
    Rule(
        "third-party-host",
        "warning",
        "The vendor's own host is still called",
        "Browsers and blockers cut such calls off, and their cookies live a week at most.",
        "Point the snippet at the site's own tracking name; `tracking-gateway snippet` prints it.",
    ),
    Rule(
        "script-changed",
        "warning",
        "The tracking script is another one than before",
        "Code that nobody here has seen runs in the page.",
        "Look at the difference (`tracking-gateway script diff`), and pin what you have seen.",
    ),
    Rule(
        "collector-slow",
        "warning",
        "The collector answers slowly",
        "Events of pages that are left meanwhile are lost without the gateway.",
        "Nothing in the page; through the gateway nobody waits for the collector.",
    ),
    Rule(
        "collector-failing",
        "error",
        "The collector does not take an event",
        "Without the gateway, which tries again, the event is lost.",
        "Look at the answer: a 4xx is the request's fault, a 5xx or no answer is the collector's.",
    ),
)
RULES: dict[RuleId, Rule] = {rule.id: rule for rule in _TABLE}
"""Every rule by its id, in the order in which people read them."""
