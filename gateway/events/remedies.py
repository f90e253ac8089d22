"""Why an event is in the quarantine, and what would release it: one sentence each, for whoever is on call at night.

The table has every reason for which an event is held on the way in or buried on the way out; a test holds it to `FATES`.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.events.outcome import FATES, Outcome, Reason

_KEPT = frozenset({Outcome.QUARANTINED, Outcome.UNDELIVERABLE, Outcome.EXPIRED})


class Remedy(NamedTuple):
    """Why an event is there, and what would release it."""

    why: str
    release: str


REMEDIES: dict[Reason, Remedy] = {
    Reason.CID_CONFLICT: Remedy(
        "it names another customer than its UID belongs to, and a customer id never changes",
        "`--as new_uid` sends it under a UID of that customer's own, `--as strip` as nobody's; under the UID that it came with it can "
        "never go out, because that would make two people one",
    ),
    Reason.CID_CONTRADICTION: Remedy(
        "it names two different customers at once",
        "`--as strip` sends it as nobody's; who was meant can't be told afterwards, so mend the page that sent it",
    ),
    Reason.IDENTITY_ALIAS: Remedy(
        "its address is known as another customer's, and `on_alias` says that somebody looks first",
        "`--as accept_alias` sends it and binds its UID to the customer that it names, for ever; `--as strip` sends it as nobody's",
    ),
    Reason.UID_ERASED: Remedy(
        "its UID was erased because a person asked to be forgotten",
        "nothing: it must never go out; discard it",
    ),
    Reason.PLAN_VIOLATION: Remedy(
        "it is not as the tracking plan wants it, and the plan says `quarantine` for that rule",
        "mend the plan (`tracking-gateway plan check`), then a plain release asks the plan of now again; `--as accept_violation` sends it as it "
        "is; what the page did not send can't be added afterwards, so mend the page",
    ),
    Reason.REFUSED_BY_COLLECTOR: Remedy(
        "the collector would not take it, and sending it again as it is was no use at that time",
        "a plain release sends it again: worth it once the collector's side is mended; refused again, it comes back here",
    ),
    Reason.TOO_OLD: Remedy(
        "the collector could not be reached for longer than `collector.max_age_hours`",
        "a plain release sends it, with all of that time ahead of it again",
    ),
    Reason.UNREADABLE: Remedy(
        "its bytes in the spool can't be read: the disk has damaged them",
        "nothing: there is no event left to send; look at the disk, then discard it",
    ),
}
"""The remedy of each reason for which an event is kept."""

UNKNOWN = Remedy(
    "this version of the gateway does not know its reason: a newer one has put it here",
    "look with the version that did",
)
"""What is said of a reason that is not in the table."""

_ONLY_ASKED = {
    Reason.UNKNOWN_PROPERTY: Remedy(
        "no property with its portal_id and prop_id is configured any more",
        "add the property to the settings and restart, then release it again; or discard it",
    ),
    Reason.BAD_FIELD: Remedy(
        "a field of it is not as the settings of now want it",
        "nothing but other settings; discard it, or release it with the settings that it came in under",
    ),
}


def remedy(reason: str) -> Remedy:
    """Give the remedy of a reason for which an event is held, or of one for which it was not released."""
    known = {**_ONLY_ASKED, **REMEDIES}
    return next((found for name, found in known.items() if name == reason), UNKNOWN)


def kept_reasons() -> list[Reason]:
    """Give every reason for which an event may be in the quarantine."""
    return [reason for reason, fate in FATES.items() if fate.outcome in _KEPT]
