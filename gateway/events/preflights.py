"""What a page may send: the answers to the cross-origin preflights of browsers (Fetch Standard, section 4.8; Private Network Access).

What always holds: a page of an origin that is not a property's is allowed nothing; none may set what says whose request it is, on a proxy's
behalf. Any other field is allowed: sites have libraries that add their own to every request (for tracing, say), and would else be without
events for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.events.forms import parse_query
from gateway.events.model import Reply

if TYPE_CHECKING:
    from gateway.events.model import Head, Request
    from gateway.events.replies import Headers
    from gateway.events.screening import Properties

EVENT_METHODS = "GET, HEAD, POST, OPTIONS"
# Browsers ask again after it: Chromium's own bound.
_MAX_AGE_SECONDS = 7_200
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z")
_MOST_NAMES = 50
_LONGEST = 2_048
# Of these a proxy is believed; and these are the browser's own.
_NOT_A_PAGES = re.compile(
    r"(forwarded|via|true-client-ip|(x-)?(real|client|cluster-client|original-client|appengine-user|azure-client|cf-connecting|fastly-client)-?ip"
    r"|cf-connecting-ip(v6)?|x-envoy-external-address|cloudfront-viewer-address)\Z|x-(original-)?forwarded-|proxy-|sec-",
    re.IGNORECASE,
)


class Preflights:
    """Answers `OPTIONS` from the properties' origins."""

    def __init__(self, properties: Properties) -> None:
        self._properties = properties

    def answer(self, request: Request, methods: str = EVENT_METHODS) -> Reply:
        """Answer one for a path of these methods; one that does not name its property is allowed for the origins of all."""
        head = request.head
        query = parse_query(head.query)
        owner = self._properties.find(query.get("portal_id", ""), query.get("prop_id", ""))
        origin = head.origin if head.origin.isascii() else ""
        allowed = owner.allows_origin(origin) if owner else self._properties.any_allows_origin(origin)
        headers: Headers = (
            ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network"),
            ("Allow", methods),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        )
        if origin and allowed:
            headers += (
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Allow-Methods", methods),
                ("Access-Control-Allow-Headers", _allowed(head)),
                ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS)),
            )
            if head.asks_private_network == "true":
                headers += (("Access-Control-Allow-Private-Network", "true"),)
        return Reply(204, headers)


def _allowed(head: Head) -> str:
    """Give the fields that a page may set, of those that it asks for."""
    names = [each.strip(" \t") for each in head.asked_headers[:_LONGEST].split(",")[:_MOST_NAMES]]
    allowed = [each for each in names if _NAME.match(each) and not _NOT_A_PAGES.match(each)]
    return ", ".join(
        dict.fromkeys(["Content-Type", *(each for each in allowed if each.lower() != "content-type")])
    )
