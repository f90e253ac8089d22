"""Google Ad Manager's publisher-provided identifier (PPID), made by the server from the UID.

Pages send `md5(_asm_uid)` to Google Ad Manager as the PPID, which the CDP's developer guide computes in the page; a page that
asks `GET /ppid` instead gets the same value, also when the browser has cut the readable cookie short. What always holds: the
answer names a visitor to nobody but pages of the property's own origins, is never stored by a cache, and sets nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from gateway.events import replies
from gateway.events.forms import parse_query
from gateway.events.model import Reply
from gateway.events.outcome import FATES, Reason, Rejection
from gateway.events.preflights import Preflights

if TYPE_CHECKING:
    from gateway.events.consenting import Consents
    from gateway.events.cookies import UidCookie
    from gateway.events.model import Head, Request
    from gateway.events.screening import Properties, Property

PATH = "/ppid"
METHODS = "GET, HEAD, OPTIONS"
_ALWAYS: replies.Headers = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    # No page of another site may load it as a picture or a script either.
    ("Cross-Origin-Resource-Policy", "same-site"),
)
_JSON: replies.Headers = (("Content-Type", "application/json"), *_ALWAYS)
_TEXT: replies.Headers = (("Content-Type", "text/plain; charset=utf-8"), *_ALWAYS)


def ppid(uid: str) -> str:
    """Give the PPID of a UID: the lower-case hex MD5 of its text, 32 characters.

    Source: the CDP's developer guide (`md5(_asm_uid)`). Google Ad Manager asks that an identifier is hashed or encrypted, so that it means
    nothing to Google (Google Ad Manager Help, "About publisher provided identifiers", answer 2880055).
    """
    return hashlib.md5(uid.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


class PpidDesk:
    """Answers `/ppid`, from the properties and the cookies that the events of a page use too."""

    def __init__(self, properties: Properties, cookie: UidCookie, consents: Consents | None = None) -> None:
        self._properties = properties
        self._cookie = cookie
        self._consents = consents
        self._preflights = Preflights(properties)

    def answer(self, request: Request, now_ms: int) -> Reply:
        """Answer a GET, HEAD or OPTIONS of `/ppid`; `now_ms` is Unix time in milliseconds. It is no event: nothing is counted.

        `portal_id` and `prop_id` name the property. The answer is `{"ppid": "…"}`, `null` for a visitor without a UID, or who has not agreed where she must; with
        `format=text` the bare text, empty without a UID. A page of an origin that is not the property's gets 403.
        """
        head = request.head
        query = parse_query(head.query)
        portal_id, prop_id = query.get("portal_id", ""), query.get("prop_id", "")
        owner = self._properties.find(portal_id, prop_id)
        if head.method == "OPTIONS":
            return self._preflights.answer(request, METHODS)
        # As for events: the reason of a refusal holds nothing that others may not read, and the page's author should see it.
        allowed = (
            bool(head.origin)
            and head.origin.isascii()
            and (owner is None or owner.allows_origin(head.origin))
        )
        cross = replies.cross_origin(head.origin, allowed=allowed)
        if owner is None:
            rejection = _problem(portal_id, prop_id)
            return Reply(
                FATES[rejection.reason].status, (*_JSON, *cross), orjson.dumps(replies.error_body(rejection))
            )
        if head.origin and not allowed:
            return Reply(403, (*_JSON, *cross), b'{"error":"this origin is not one of the property"}')
        uid = self._cookie.read(head.cookie, owner.site, now_ms // 1000).uid
        value = ppid(uid) if uid and self._may_name(request.head, owner, query) else None
        if query.get("format") == "text":
            return Reply(200, (*_TEXT, *cross), (value or "").encode())
        return Reply(200, (*_JSON, *cross), orjson.dumps({"ppid": value}))

    def _may_name(self, head: Head, owner: Property, query: dict[str, str]) -> bool:
        """Tell whether a visitor has agreed, where she must have: by the request, or by what its page says in `consent`."""
        policy = self._consents.policy(owner) if self._consents is not None else None
        return policy is None or policy.decided(policy.of_request(head).or_(policy.of_query(query))).may_store


def _problem(portal_id: str, prop_id: str) -> Rejection:
    for name, value in (("portal_id", portal_id), ("prop_id", prop_id)):
        if not value:
            return Rejection(Reason.BAD_FIELD, name, "is missing: add it to the query string")
    return Rejection(
        Reason.UNKNOWN_PROPERTY, "portal_id", "no property with this portal_id and prop_id is configured"
    )
