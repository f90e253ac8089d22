"""The one table of fates: every event ends in exactly one `Outcome`, for one bounded `Reason`.

What came in is accepted, quarantined, dropped or malformed; what was accepted is then delivered, undeliverable, expired or erased, or
dropped because the spool was full and the newest events were to be taken.
The table maps each reason to its outcome, HTTP status and log level, so that no other module decides any of these.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

LogLevel = Literal["info", "warning", "error"]


class Outcome(StrEnum):
    """The fates of an event."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"
    MALFORMED = "malformed"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    ERASED = "erased"
    DROPPED_OLDEST = "dropped_oldest"


class Reason(StrEnum):
    """Why an event met its fate. The set is closed: it is a metric label."""

    OK = "ok"
    NEW_UID = "new_uid"
    IDENTITY_STRIPPED = "identity_stripped"
    CID_CONFLICT = "cid_conflict"
    CID_CONTRADICTION = "cid_contradiction"
    IDENTITY_ALIAS = "identity_alias"
    UID_ERASED = "uid_erased"
    PLAN_VIOLATION = "plan_violation"
    ANONYMISED = "anonymised"
    CONSENT_DENIED = "consent_denied"
    UNKNOWN_PROPERTY = "unknown_property"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    DUPLICATE = "duplicate"
    BOT = "bot"
    TOO_LARGE = "too_large"
    BAD_JSON = "bad_json"
    BAD_BODY = "bad_body"
    BAD_FIELD = "bad_field"
    BAD_REDIRECT = "bad_redirect"
    UNKNOWN_CODING = "unknown_coding"
    UNAUTHORIZED = "unauthorized"
    REFUSED_BY_COLLECTOR = "refused_by_collector"
    TOO_OLD = "too_old"
    ERASED_WHILE_WAITING = "erased_while_waiting"
    UNREADABLE = "unreadable"
    MADE_ROOM = "made_room"


class Fate(NamedTuple):
    """One row of the table."""

    outcome: Outcome
    status: int
    level: LogLevel


FATES: dict[Reason, Fate] = {
    Reason.OK: Fate(Outcome.ACCEPTED, 200, "info"),
    # A conflict that the policy resolved: forwarded under a fresh UID, or under none.
    Reason.NEW_UID: Fate(Outcome.ACCEPTED, 200, "warning"),
    Reason.IDENTITY_STRIPPED: Fate(Outcome.ACCEPTED, 200, "warning"),
    # The visitor has not agreed: forwarded as nobody's, or kept nowhere. A success, so that nobody sends it again.
    Reason.ANONYMISED: Fate(Outcome.ACCEPTED, 200, "info"),
    Reason.CONSENT_DENIED: Fate(Outcome.DROPPED, 200, "info"),
    # The page did nothing wrong that a retry would mend: the event is kept for a person, so the answer is a success.
    Reason.CID_CONFLICT: Fate(Outcome.QUARANTINED, 200, "warning"),
    Reason.CID_CONTRADICTION: Fate(Outcome.QUARANTINED, 200, "warning"),
    Reason.IDENTITY_ALIAS: Fate(Outcome.QUARANTINED, 200, "warning"),
    Reason.UID_ERASED: Fate(Outcome.QUARANTINED, 200, "warning"),
    Reason.PLAN_VIOLATION: Fate(Outcome.QUARANTINED, 200, "warning"),
    Reason.UNKNOWN_PROPERTY: Fate(Outcome.DROPPED, 403, "warning"),
    Reason.UNAVAILABLE: Fate(Outcome.DROPPED, 503, "error"),
    Reason.RATE_LIMITED: Fate(Outcome.DROPPED, 429, "warning"),
    # It is there already: nobody needs to send it again.
    Reason.DUPLICATE: Fate(Outcome.DROPPED, 200, "info"),
    # What no person did, where the property does not want it: a retry would change nothing.
    Reason.BOT: Fate(Outcome.DROPPED, 200, "info"),
    Reason.TOO_LARGE: Fate(Outcome.MALFORMED, 413, "warning"),
    Reason.BAD_JSON: Fate(Outcome.MALFORMED, 400, "warning"),
    Reason.BAD_BODY: Fate(Outcome.MALFORMED, 400, "warning"),
    Reason.BAD_FIELD: Fate(Outcome.MALFORMED, 400, "warning"),
    Reason.BAD_REDIRECT: Fate(Outcome.MALFORMED, 400, "warning"),
    Reason.UNKNOWN_CODING: Fate(Outcome.MALFORMED, 415, "warning"),
    # A server that doesn't know the property's secret, or a page that calls itself one.
    Reason.UNAUTHORIZED: Fate(Outcome.DROPPED, 401, "warning"),
    Reason.REFUSED_BY_COLLECTOR: Fate(Outcome.UNDELIVERABLE, 0, "error"),
    Reason.TOO_OLD: Fate(Outcome.EXPIRED, 0, "error"),
    # What was asked for: kept nowhere and sent nowhere.
    Reason.ERASED_WHILE_WAITING: Fate(Outcome.ERASED, 0, "info"),
    Reason.UNREADABLE: Fate(Outcome.UNDELIVERABLE, 0, "error"),
    # `spool.when_full = "drop_oldest"`: kept nowhere and sent nowhere.
    Reason.MADE_ROOM: Fate(Outcome.DROPPED_OLDEST, 0, "error"),
}
"""The fate of each reason. `status` is 0 where no client waits for an answer."""

WORDS: dict[Reason, tuple[str, str]] = {
    reason: (fate.outcome.value, reason.value) for reason, fate in FATES.items()
}
"""Outcome and reason as plain texts, for what is written out: a member of an enumeration looks for its own each time."""


class Rejection(NamedTuple):
    """A fate other than acceptance, as a value: why, which field, and what was wrong.

    `field` is a path such as `dims.customers.email`; `detail` never quotes a value, because a value may be an address.
    """

    reason: Reason
    field: str = ""
    detail: str = ""
