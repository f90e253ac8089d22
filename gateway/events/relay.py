"""Relay: which clients hear the collector's own answer, and what of it.

The collector's answer may carry a campaign for the page, so a made-up one is not always enough. What always holds: the status, the
headers and the cookies of the visitor's UID are the gateway's own, whatever the collector says; of its answer nothing passes but the body,
when it is of the kind that the client asked for, and cookies of the allow-list (`gateway.events.collector_cookies`). What can't be passed on
becomes the made-up answer: no client ever sees the collector's failure, refusal or redirect.

==============================================  ===============  ======================================================
the collector                                   the client gets  `Relayed`
==============================================  ===============  ======================================================
2xx, a body of the asked kind                   that body        RELAYED
2xx, anything else (HTML, empty, too long, …)   made up          UNUSABLE
4xx: it does not take this event                made up          REFUSED
408, 425, 429, 5xx, 3xx, no answer, not sent    made up          FAILED
nothing within `collector.relay_budget_ms`      made up          BUDGET
==============================================  ===============  ======================================================
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from gateway.events.collector_cookies import CollectorCookies
from gateway.events.decisions import Pending
from gateway.events.jsonp import DEFAULT
from gateway.events.model import Reply
from gateway.events.outcome import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.cookies import Headers, UidCookie
    from gateway.events.decisions import Decision, Prepared, Verdict
    from gateway.events.model import Answer

_NOBODYS = frozenset({Reason.IDENTITY_STRIPPED, Reason.ANONYMISED})
NOT_NOW = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing against the event (RFC 9110, RFC 8470, RFC 6585)."""

# A text/plain body is JSON when it reads as such, and leaves as JSON. No image/svg+xml: it may hold scripts.
_KINDS = {
    "json": frozenset({"application/json", "text/json", "text/plain"}),
    "javascript": frozenset(
        {"application/javascript", "text/javascript", "application/x-javascript", "text/ecmascript"}
    ),
    "pixel": frozenset({"image/gif", "image/png", "image/jpeg", "image/webp"}),
}
_FORMAT = re.compile(r"[a-z]{1,16}\Z")
_ANSWERED: Headers = (("X-Tracking-Answer", "collector"),)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Relayed(StrEnum):
    """How a client that waited for the collector's answer was answered. The set is closed: it is a metric label."""

    RELAYED = "relayed"
    BUDGET = "budget"
    FAILED = "failed"
    REFUSED = "refused"
    UNUSABLE = "unusable"
    SKIPPED = "skipped"
    """It did not wait, because nobody was answered lately: `gateway.web.relay`."""
    GONE = "gone"
    """The client hung up."""
    STOPPED = "stopped"
    """The gateway stops."""


class RelayPolicy:
    """Decides what is asked of the collector on a client's behalf, and what the client hears of its answer."""

    def __init__(self, cookie_names: Sequence[str], own: UidCookie, is_raw: Callable[[str], bool]) -> None:
        self._cookies = CollectorCookies(cookie_names, own, is_raw)

    def outgoing(self, prepared: Prepared, pending: Pending) -> tuple[str, str]:
        """Give what stands before the request id in the collector's query string, and the cookies that go along."""
        scope = prepared.scope
        before_id = scope.asked_before_id if _is_asked(prepared, pending.came_with) else scope.before_id
        # Nothing leads from the UID of one person to that of the next: a cookie would.
        is_same_visitor = pending.cause in {"", "restored"}
        cookie = prepared.request.head.cookie
        if not cookie or not is_same_visitor or not _is_visitors(prepared, pending):
            return before_id, ""
        return before_id, self._cookies.outgoing(cookie)

    def awaited(self, prepared: Prepared, decision: Decision) -> str:
        """Give the id of the event for whose answer the client should wait; empty when the made-up answer is as good.

        Only a single, accepted event is waited for. Not one that goes out under nobody's id, of which the collector's answer would know
        nothing; not a redirect, whose answer is the gateway's own; and not for a page that may not read the answer.
        """
        verdicts = decision.verdicts
        if len(verdicts) != 1 or verdicts[0].record is None:
            return ""
        verdict = verdicts[0]
        if verdict.reason in _NOBODYS or not _is_asked(prepared, verdict.came_with):
            return ""
        return verdict.event_id

    def reply(self, prepared: Prepared, decision: Decision, answer: Answer | None) -> tuple[Reply, Relayed]:
        """Give the reply to an event that `awaited` named, and how it came about; `None` is no answer."""
        made_up = decision.reply
        if answer is None or answer.status >= 500 or answer.status in NOT_NOW:
            return made_up, Relayed.FAILED
        if not 200 <= answer.status < 300:
            return made_up, Relayed.REFUSED if answer.status >= 400 else Relayed.FAILED
        kind = prepared.envelope.response_type
        content_type = _content_type(answer.headers)
        body = _body(kind, answer.body, decision.verdicts[0]) if content_type in _KINDS[kind] else None
        if body is None:
            return made_up, Relayed.UNUSABLE
        headers = made_up.headers
        if kind == "pixel":
            headers = tuple(
                (name, content_type if name == "Content-Type" else value) for name, value in headers
            )
        cookies = self._incoming(prepared, answer.headers)
        return Reply(made_up.status, (*headers, *_ANSWERED, *cookies), body), Relayed.RELAYED

    def _incoming(self, prepared: Prepared, headers: Headers) -> Headers:
        pending, owner = prepared.events[0], prepared.owner
        if owner is None or not isinstance(pending, Pending) or not _is_visitors(prepared, pending):
            return ()
        host, now_s = prepared.request.head.host, prepared.stamp.now_ms // 1000
        return self._cookies.incoming(headers, host, owner.site, now_s)


def asked_format(text: str) -> str:
    """Give the `format` that the collector is asked for: the client's own where it is a plain word, else `json`."""
    return text if _FORMAT.match(text) else "json"


def _is_asked(prepared: Prepared, came_with: str) -> bool:
    """Tell whether the collector is asked for the kind of answer that the client asked for, because that is to go out."""
    head, kind = prepared.request.head, prepared.envelope.response_type
    if prepared.is_batch or kind not in _KINDS:
        return False
    # What the collector says to a visitor is not for another site's page: it could read a script that it embeds.
    if not prepared.origin_allowed and (head.origin or head.fetch_site == "cross-site"):
        return False
    # The made-up script tells of the UID's change, or calls another function; nothing can be changed in the collector's.
    callback = prepared.envelope.callback
    return kind != "javascript" or not (came_with or callback not in {"", DEFAULT})


def _is_visitors(prepared: Prepared, pending: Pending) -> bool:
    """Tell whether cookies are exchanged: under the conditions under which those of the UID are (`gateway.events.cookies`)."""
    if prepared.envelope.is_s2s or (prepared.request.head.origin and not prepared.origin_allowed):
        return False
    return not (prepared.is_foreign and pending.is_own)


def _content_type(headers: Headers) -> str:
    """Give the media type of an answer's body, without parameters; empty when it is encoded in a way that nobody asked for."""
    found = ""
    for name, value in headers:
        if name == "content-type":
            found = found or value.partition(";")[0].strip().lower()
        elif name == "content-encoding" and value.strip().lower() not in {"", "identity"}:
            return ""
    return found


def _body(kind: str, body: bytes, verdict: Verdict) -> bytes | None:
    """Give the body as it goes out, or `None` when it is not of the kind. All text is UTF-8, as our headers say."""
    if not body or kind == "pixel":
        return body or None
    try:
        body.decode()
        if kind == "javascript":
            return body
        fields = _object(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    if not verdict.came_with and "uid_replaced" not in fields:
        return body
    # That a UID changes is the ledger's word alone.
    fields.pop("uid_replaced", None)
    if not verdict.came_with:
        return msgspec.json.encode(fields)
    # What the page's script needs to take the new UID over; the collector, which was told the new one, can't know.
    for name, uid in (("au_id", verdict.uid), ("uid_replaced", verdict.came_with)):
        fields[name] = msgspec.Raw(msgspec.json.encode(uid))
    return msgspec.json.encode(fields)
