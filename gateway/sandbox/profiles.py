"""What the CDP makes of the events it is given: the judge of whether a gateway kept the rules of identity.

The rules are the vendor's (developer guide, collected in the protocol notes): each UID of a portal starts as an anonymous
profile; the first event that names its CID merges that whole history into the one profile of the customer; a CID never
changes. What always holds here: a UID belongs to exactly one profile, a customer has exactly one profile in a portal, no
event stands in two profiles, and an event that would change a UID's CID changes nothing but the list of violations.
The real CDP would mix two people's histories at that point; this one shows it.

Pure: no clock, no I/O. The order of `add` is the order of arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.events.model import JsonObject

JSON_FIELDS = ("items", "dims", "extra", "context")
"""The event fields that a GET carries as JSON text in its query string."""


class ProfileEvent(NamedTuple):
    """One line of a profile's history. `received_at` is RFC 3339 text in UTC, so its order as text is that of time."""

    event_id: str
    ec: str
    ea: str
    received_at: str


class Violation(NamedTuple):
    """An event that broke a rule of identity.

    `kind` is `cid_changed` (another CID for a bound UID) or `cid_contradiction` (one event names two customers);
    `held_cid` is the CID that stays, `claimed_cid` the one that was refused.
    """

    kind: str
    portal_id: str
    uid: str
    held_cid: str
    claimed_cid: str
    event_id: str
    received_at: str


class _Profile:
    """One person as far as the CDP knows, while events still arrive."""

    __slots__ = ("customer_id", "events", "first_seen", "last_seen", "portal_id", "traits", "uids")

    def __init__(self, portal_id: str, customer_id: str, seen: str) -> None:
        self.portal_id = portal_id
        self.customer_id = customer_id
        self.uids: list[str] = []
        self.traits: JsonObject = {}
        self.events: list[ProfileEvent] = []
        self.first_seen = seen
        self.last_seen = seen

    def note(self, event: ProfileEvent) -> None:
        self.events.append(event)
        self.last_seen = max(self.last_seen, event.received_at)

    def absorb(self, other: _Profile) -> None:
        """Take over another profile's whole history."""
        self.uids.extend(other.uids)
        self.traits |= other.traits
        self.events.extend(other.events)
        self.first_seen = min(self.first_seen, other.first_seen)
        self.last_seen = max(self.last_seen, other.last_seen)

    def as_json(self, max_events: int | None) -> JsonObject:
        # A merge appends an older history behind a newer one. Sorted here, once a reader asks: many merges into one
        # customer would else sort the same list again and again.
        self.events.sort(key=lambda event: event.received_at)
        shown = self.events if max_events is None else self.events[max(0, len(self.events) - max_events) :]
        return {
            "portal_id": self.portal_id,
            "kind": "customer" if self.customer_id else "anonymous",
            "customer_id": self.customer_id or None,
            "uids": self.uids,
            "traits": self.traits,
            "events": [event._asdict() for event in shown],
            "event_count": len(self.events),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }


class ProfileBook:
    """All profiles that a stream of events makes."""

    def __init__(self) -> None:
        self._of_uid: dict[tuple[str, str], _Profile] = {}
        self._of_customer: dict[tuple[str, str], _Profile] = {}
        self.violations: list[Violation] = []
        self.unattributed = 0
        """How many events named neither a UID nor a customer: they are in no profile."""

    def add(self, event_id: str, received_at: str, fields: JsonObject) -> None:
        """Fold one event in. `fields` is as `event_fields` gives it; never raises on what an event holds."""
        portal_id, uid = text_of(fields.get("portal_id")), text_of(fields.get("uid"))
        event = ProfileEvent(event_id, text_of(fields.get("ec")), text_of(fields.get("ea")), received_at)
        customers = list(_customers_in(fields.get("dims")))
        is_reset = (event.ec, event.ea) == ("user", "reset_anonymous_id")
        # Leaving a customer behind is what a reset is for: it never binds, whatever the page still attached to it.
        named = [] if is_reset else _cids_in(fields, customers)
        if not uid and not named:
            self.unattributed += 1
            return
        claimed = named[0] if named else ""
        profile = self._profile_of(portal_id, uid, claimed, received_at)
        refused = next((cid for cid in named if cid != profile.customer_id), "")
        if refused:
            is_change = claimed != profile.customer_id
            kind = "cid_changed" if is_change else "cid_contradiction"
            held = profile.customer_id
            self.violations.append(Violation(kind, portal_id, uid, held, refused, event_id, received_at))
        elif not is_reset:
            for customer in customers:
                profile.traits |= {
                    name: value
                    for name, value in customer.items()
                    if name not in {"customer_id", "type"} and value not in (None, "")
                }
        profile.note(event)
        if is_reset:
            self._start_fresh_uid(portal_id, fields, received_at)

    def profiles(
        self,
        *,
        uid: str | None = None,
        cid: str | None = None,
        limit: int | None = None,
        max_events: int | None = None,
    ) -> list[JsonObject]:
        """Give profiles as JSON objects, the one seen last first; of one UID or CID when asked, at most `limit`.

        `max_events` keeps only the newest events of each; `event_count` always counts all.
        """
        found = {
            id(profile): profile
            for profile in (*self._of_customer.values(), *self._of_uid.values())
            if (uid is None or uid in profile.uids) and (cid is None or profile.customer_id == cid)
        }
        newest_first = sorted(found.values(), key=lambda profile: profile.last_seen, reverse=True)
        return [profile.as_json(max_events) for profile in newest_first[:limit]]

    def counts(self) -> dict[str, int]:
        """Say how many profiles there are of each kind."""
        anonymous = sum(not profile.customer_id for profile in self._of_uid.values())
        return {"customer_count": len(self._of_customer), "anonymous_count": anonymous}

    def _profile_of(self, portal_id: str, uid: str, claimed: str, seen: str) -> _Profile:
        """Give the profile an event belongs to, after the merge that it causes, if it does."""
        current = self._of_uid.get((portal_id, uid)) if uid else None
        if current is not None and (current.customer_id or not claimed):
            return current
        if claimed:
            profile = self._of_customer.get((portal_id, claimed))
            if profile is None:
                profile = self._of_customer[portal_id, claimed] = _Profile(portal_id, claimed, seen)
        else:
            profile = _Profile(portal_id, "", seen)
        if current is not None:
            profile.absorb(current)
        elif uid:
            profile.uids.append(uid)
        if uid:
            self._of_uid[portal_id, uid] = profile
        return profile

    def _start_fresh_uid(self, portal_id: str, fields: JsonObject, seen: str) -> None:
        """Open the anonymous profile of the UID that a reset announces, before its first own event comes."""
        extra = fields.get("extra")
        fresh = text_of(extra.get("generate_uid")) if isinstance(extra, dict) else ""
        if fresh:
            self._profile_of(portal_id, fresh, "", seen)


def event_fields(query: dict[str, str], body: Any) -> JsonObject:
    """Give an event's fields from the two places they travel in; a field of the body wins over one of the query.

    JSON text in the query (`items`, `dims`, `extra`, `context` of a GET) is decoded; what can't be read stays text.
    """
    fields: JsonObject = dict(query)
    for name in JSON_FIELDS:
        if name in query:
            try:
                fields[name] = orjson.loads(query[name])
            except orjson.JSONDecodeError:
                fields[name] = query[name]
    return fields | body if isinstance(body, dict) else fields


def text_of(value: Any) -> str:
    """Give an id as text: numbers as decimals, anything that can't be an id as empty text."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _customers_in(dims: Any) -> Iterable[JsonObject]:
    """Find `dims.customers` in both shapes of `dims`: an object, or the iOS SDK's array of objects."""
    for part in dims if isinstance(dims, list) else [dims]:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "customers":
            yield part
        elif isinstance(part.get("customers"), dict):
            yield part["customers"]


def _cids_in(fields: JsonObject, customers: list[JsonObject]) -> list[str]:
    """List the CIDs an event names, `cid` first, without the empty ones."""
    places = (fields.get("cid"), *(customer.get("customer_id") for customer in customers))
    return [cid for cid in map(text_of, places) if cid]
