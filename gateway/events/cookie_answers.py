"""What the events of a request do to the visitor's cookies: the last word of each answer.

`gateway.events.cookies` knows how cookies are written and when a single event may change them; here the events of a request
follow one another, as they happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.events.consent import ALLOWED
from gateway.events.cookies import next_uid, reset_of
from gateway.events.decisions import Pending
from gateway.events.outcome import Reason
from gateway.events.screening import is_foreign
from gateway.events.twin import TwinState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.cookies import UidCookie, Visitor
    from gateway.events.decisions import Prepared, Verdict
    from gateway.events.model import Head, JsonObject
    from gateway.events.replies import Headers
    from gateway.events.screening import Property
    from gateway.events.visits import Visits


class CookieAnswers:
    """Decides the cookies of an answer; `usable` gives a UID that may stand in one, or empty text.

    `relayed` names the collector's cookies that the gateway hands on: they end with the visitor's own.
    """

    def __init__(
        self,
        cookie: UidCookie,
        usable: Callable[[str], str],
        visits: Visits,
        relayed: Sequence[str] = (),
    ) -> None:
        self._cookie = cookie
        self._usable = usable
        self._visits = visits
        self._others = (*visits.names, *relayed)

    def headers(self, prepared: Prepared, kept: Sequence[Verdict]) -> Headers:
        """Give the headers that leave the visitor with the UID that the kept events, one after the other, made theirs."""
        scope, head, stamp = prepared.scope, prepared.request.head, prepared.stamp
        owner, envelope = scope.owner, scope.envelope
        visitor, uid = prepared.visitor, None
        if owner is None or envelope.is_s2s or (head.origin and not prepared.origin_allowed):
            return ()
        if prepared.consent is not ALLOWED:
            kept = [each for each in kept if _pending_of(prepared, each).consent.may_store]
            if not kept or prepared.consent.state == "denied":
                return ()
        if not visitor.is_due:
            for each in kept:
                if each.uid != visitor.uid or each.action == "reset_anonymous_id":
                    break
            else:
                # Nearly every event is of whom the cookies name: there is nothing to weigh.
                return self._visits.headers(prepared, visitor.uid)
        for verdict in kept:
            pending = _pending_of(prepared, verdict)
            reset = None
            if verdict.action == "reset_anonymous_id":
                reset = reset_of(pending.fields, self._usable, stamp.fresh_uid)
            wanted = next_uid(
                visitor,
                verdict.uid,
                may_set=True,
                is_own=pending.is_own,
                response_type=envelope.response_type,
                is_foreign=prepared.is_foreign,
                replaced=verdict.came_with,
                reset=reset,
            )
            if (
                wanted is None
                and prepared.visitor.uid == verdict.uid != ""
                and _names_its_customer(pending, verdict)
            ):
                # The first person is back, in the same request as the second.
                wanted = verdict.uid
            if wanted is not None:
                uid, visitor = wanted, visitor._replace(uid=wanted, is_restored=False)
        if uid is None:
            return self._visits.headers(prepared, visitor.uid)
        found = self._cookie.headers(head.host, owner.site, prepared.visitor, uid, stamp.now_ms // 1000)
        return found + self._visits.headers(prepared, uid)

    def ended(self, prepared: Prepared) -> Headers:
        """Give the headers that end the cookies of a visitor who has refused, for a request that is her own page's."""
        owner, head = prepared.owner, prepared.request.head
        if owner is None or prepared.envelope.is_s2s or prepared.is_foreign:
            return ()
        if head.origin and not prepared.origin_allowed:
            return ()
        return self._cookie.ended(head.cookie, head.host, owner.site, self._others)

    def withdrawn(self, head: Head, owner: Property, *, origin_allowed: bool) -> Headers:
        """Give the same headers for a `HEAD`, which is no event."""
        if is_foreign(msgspec.structs.replace(head, method="GET"), origin_allowed=origin_allowed):
            return ()
        return self._cookie.ended(head.cookie, head.host, owner.site, self._others)


def is_forgotten(visitor: Visitor, uid: str, fields: JsonObject) -> bool:
    """Tell whether the page minted a UID because the browser had lost the visitor's, and the signed cookie has not."""
    is_reset = (fields["ec"], fields["ea"]) == ("user", "reset_anonymous_id")
    return visitor.twin.state is TwinState.VALID and visitor.twin.uid != uid and not is_reset


def _names_its_customer(pending: Pending, verdict: Verdict) -> bool:
    return pending.identified.cid is not None and verdict.record is not None and verdict.reason is Reason.OK


def _pending_of(prepared: Prepared, verdict: Verdict) -> Pending:
    return next(
        each for each in prepared.events if isinstance(each, Pending) and each.event_id == verdict.event_id
    )
