"""What the client hears: the four answer types of the wire format, and cross-origin headers.

`docs/protocol.md` says which answers exist. Errors are JSON that names the field, but a pixel or a script gets a harmless
answer of its own type: a broken image or a script error would be seen by the shop's visitors.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from gateway.events import client_hints, jsonp
from gateway.events.coding import ACCEPTED
from gateway.events.finding import redacted
from gateway.events.model import Reply
from gateway.events.outcome import FATES, WORDS, Reason, Rejection

if TYPE_CHECKING:
    from gateway.events.decisions import Verdict
    from gateway.events.wire import Envelope

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
RETRY_AFTER_SECONDS = 5

Headers = tuple[tuple[str, str], ...]

_ALWAYS: Headers = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_JSON: Headers = (("Content-Type", "application/json"), *_ALWAYS)
_SCRIPT: Headers = (("Content-Type", "application/javascript; charset=utf-8"), *_ALWAYS)
_GIF: Headers = (("Content-Type", "image/gif"), *_ALWAYS)
# Whoever opens a script whose address says what it calls gets a file, not a document.
_NO_PAGE: Headers = (("Content-Disposition", 'attachment; filename="f.txt"'),)
_RETRY: Headers = (("Retry-After", str(RETRY_AFTER_SECONDS)),)
CLIENT_HINTS: Headers = (("Accept-CH", client_hints.ACCEPT),)
"""What asks a browser to say more of itself from now on. It listens on navigations alone."""

# What an answer of this status says besides: RFC 9110, sections 10.2.3, 11.6.1 and 15.5.16.
_NOTES: dict[int, Headers] = {
    401: (("WWW-Authenticate", 'Bearer realm="tracking-gateway"'),),
    415: (("Accept-Encoding", ACCEPTED),),
    429: _RETRY,
    503: _RETRY,
}
# No page gets one of these for what it has shown: it is too much, not a page's, or is to be sent again.
_SAID_TO_ALL = frozenset({401, 413, 415, 429, 503})


def cross_origin(origin: str, *, allowed: bool) -> Headers:
    """Give the headers that let a page of this origin read the answer, with credentials, when it is allowed to."""
    if not allowed:
        return (("Vary", "Origin"),) if origin else ()
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "Retry-After"),
        ("Vary", "Origin"),
    )


def glance(envelope: Envelope, problem: Rejection | None, headers: Headers) -> Reply:
    """Answer a `HEAD` as the `GET` of an event would be answered, as far as that is known without one; `problem` is every event's."""
    if problem is not None:
        return failure(envelope, "GET", problem, headers, redirect_allowed=False)
    kind = envelope.response_type
    if kind == "redirect":
        return Reply(302, (("Location", envelope.redirect_url), *_ALWAYS, *headers))
    if kind == "pixel":
        return Reply(200, (*_GIF, *headers), PIXEL)
    return Reply(200, (*(_JSON if kind == "json" else _SCRIPT), *headers))


def success(envelope: Envelope, body: dict[str, Any], headers: Headers) -> Reply:
    """Answer an event that was kept, in the type that the client asked for."""
    kind = envelope.response_type
    if kind == "json":
        return Reply(200, (*_JSON, *headers), orjson.dumps(body))
    if kind == "pixel":
        return Reply(200, (*_GIF, *headers), PIXEL)
    if kind == "redirect":
        return Reply(302, (("Location", envelope.redirect_url), *_ALWAYS, *headers))
    callback = envelope.callback
    if callback in {"", jsonp.DEFAULT}:
        return Reply(200, (*_SCRIPT, *headers), jsonp.script("", orjson.dumps(body)))
    if jsonp.is_callback(callback):
        return Reply(200, (*_SCRIPT, *_NO_PAGE, *headers), jsonp.script(callback, orjson.dumps(body)))
    notes: Headers = (("X-Tracking-Outcome", f"{body['outcome']}; reason={body['reason']}; field=callback"),)
    text = "/* tracking-gateway: the callback's name is none that a script may call */"
    return Reply(200, (*_SCRIPT, *_NO_PAGE, *notes, *headers), text.encode())


def failure(
    envelope: Envelope, method: str, rejection: Rejection, headers: Headers, *, redirect_allowed: bool
) -> Reply:
    """Answer an event that was not kept.

    Scripts and images get a harmless answer, visitors who follow an allowed link are sent on; everybody else gets JSON that
    names the reason, the field and what was wrong.
    """
    fate = FATES[rejection.reason]
    notes = note(rejection)
    notes += _NOTES.get(fate.status, ())
    kind = envelope.response_type
    status = fate.status if fate.status in _SAID_TO_ALL else 200
    if kind == "redirect" and redirect_allowed:
        return Reply(302, (("Location", envelope.redirect_url), *_ALWAYS, *notes, *headers))
    if kind == "pixel":
        return Reply(status, (*_GIF, *notes, *headers), PIXEL)
    if kind == "javascript" and (envelope.explicit_type or method == "GET"):
        text = f"/* tracking-gateway: {fate.outcome}, {rejection.reason} {_token(rejection.field)} */"
        return Reply(status, (*_SCRIPT, *notes, *headers), text.encode())
    return Reply(fate.status, (*_JSON, *notes, *headers), orjson.dumps(error_body(rejection)))


def note(rejection: Rejection) -> Headers:
    """Give the header that says of an event what became of it: images and scripts can't."""
    outcome, reason = WORDS[rejection.reason]
    return (("X-Tracking-Outcome", f"{outcome}; reason={reason}; field={_token(rejection.field)}"),)


def error_body(rejection: Rejection) -> dict[str, str]:
    """Give the JSON of an event that was not kept: outcome, reason, field, detail."""
    outcome, reason = WORDS[rejection.reason]
    return {
        "outcome": outcome,
        "reason": reason,
        "field": redacted(rejection.field),
        "detail": rejection.detail,
    }


def result(verdict: Verdict) -> dict[str, Any]:
    """Give the JSON of one event: its fate, its ids, and `uid_replaced` when it was taken under another UID than it came with."""
    if not verdict.is_kept and verdict.reason is not Reason.DUPLICATE:
        # Where there is an id, it may come again under it.
        own: dict[str, Any] = {"request_id": verdict.request_id} if verdict.request_id else {}
        return {**error_body(verdict.rejection), **own}
    outcome, reason = WORDS[verdict.rejection.reason]
    found: dict[str, Any] = {
        "type": "event",
        "outcome": outcome,
        "reason": reason,
        "event_id": verdict.event_id,
        "request_id": verdict.request_id,
        "au_id": verdict.uid,
        "aid": verdict.uid,
        "session_id": verdict.session,
    }
    if verdict.came_with:
        found["uid_replaced"] = verdict.came_with
    return found


def batch(results: list[dict[str, Any]], reasons: list[Reason], headers: Headers, *, is_kept: bool) -> Reply:
    """Answer an array of events: one result each, in order. The status is a success when at least one was kept.

    503, when one could not be kept, and 429, when none was and one came too often, ask for another attempt: many a client looks at the status alone.
    """
    if Reason.UNAVAILABLE in reasons:
        status = 503
    elif is_kept:
        status = 200
    else:
        status = 429 if Reason.RATE_LIMITED in reasons else FATES[reasons[0]].status
    notes = _NOTES.get(status, ())
    return Reply(status, (*_JSON, *notes, *headers), orjson.dumps({"results": results}))


def _token(field: str) -> str:
    """Make a field's path safe for a header or a comment: a client chose its keys."""
    return "".join(
        character
        for character in redacted(field)
        if character.isascii() and (character.isalnum() or character in "_.[]()-")
    )[:80]
