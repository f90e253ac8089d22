"""The CDP's wire format: a request's query string and body to events, and an event to the record that is forwarded.

`decode` never raises on what a client sent: what can't be read comes back as a `Rejection` that names the field. It bounds
size, number of keys and depth before anything walks the values. The facts are the collector's public API page and the
developer guide; see `docs/protocol.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from gateway.events.addresses import digest
from gateway.events.model import JsonObject
from gateway.events.outcome import Reason, Rejection
from gateway.events.shapes import Shapes, field_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.events.model import Request

RESPONSE_TYPES = frozenset({"javascript", "json", "pixel", "redirect"})
_EVENT_TEXTS = ("uid", "aid", "cid", "sid", "ec", "ea", "en", "et")
_EVENT_JSON = ("items", "dims", "extra", "context")
_ENVELOPE = frozenset({"portal_id", "prop_id", "resp_type", "format", "redirect_url", "request_id"})
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.~-]{1,128}\Z")


class Envelope(msgspec.Struct, frozen=True):
    """What a request says about all of its events: whose they are, and how it wants to be answered.

    `carried` are the query parameters that are handed on to the collector as they came (`is_s2s`, `delivery_src`, …).
    """

    portal_id: str
    prop_id: str
    response_type: str
    explicit_type: bool
    redirect_url: str
    request_id: str
    is_s2s: bool
    carried: dict[str, str]


class Decoded(msgspec.Struct, frozen=True):
    """A request after decoding: each event either its fields or the reason why it can't be read. `is_batch`: an array came."""

    envelope: Envelope
    events: list[JsonObject | Rejection]
    is_batch: bool = False


def parse_query(text: str) -> dict[str, str]:
    """Read a query string or form body; of a parameter that stands twice the first counts.

    Broken percent-encoding and invalid UTF-8 become replacement characters, never an error: a GET is often an image tag
    that nobody can mend.
    """
    values: dict[str, str] = {}
    if "%" not in text and "+" not in text:
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            if name:
                values.setdefault(name, value)
        return values
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=None):
        values.setdefault(name, value)
    return values


def decode(request: Request, shapes: Shapes) -> Decoded:
    """Turn a request into its events. One that can't be read at all gives one rejection."""
    head = request.head
    query = parse_query(head.query)
    if head.method == "POST":
        is_form = head.content_type.startswith("application/x-www-form-urlencoded")
        # `curl -d '{…}'` calls its JSON a form: what begins like JSON is read as JSON.
        if is_form and request.body.lstrip()[:1] not in {b"{", b"["}:
            query = {**query, **parse_query(request.body.decode("utf-8", "replace"))}
            return _decode_query(query, shapes)
        return _decode_body(query, request.body, shapes)
    return _decode_query(query, shapes)


def _decode_query(query: dict[str, str], shapes: Shapes) -> Decoded:
    fields: JsonObject = {name: query[name] for name in _EVENT_TEXTS if name in query}
    problem: Rejection | None = None
    for name in _EVENT_JSON:
        text = query.get(name)
        if text:
            value = shapes.parse(text.encode("utf-8", "replace"), name)
            if isinstance(value, Rejection):
                problem = problem or value
            else:
                fields[name] = value
    envelope = read_envelope(query, _EVENT_TEXTS + _EVENT_JSON)
    return Decoded(envelope, [problem or _checked(fields)])


def _decode_body(query: dict[str, str], body: bytes, shapes: Shapes) -> Decoded:
    envelope = read_envelope(query, ())
    value = shapes.parse(body, "")
    if isinstance(value, Rejection):
        return Decoded(envelope, [value])
    if isinstance(value, dict):
        return Decoded(_completed(envelope, value), [_checked(value)])
    if not isinstance(value, list) or not value:
        return Decoded(
            envelope,
            [Rejection(Reason.BAD_FIELD, "(body)", "write one event as a JSON object, or an array of them")],
        )
    if len(value) > shapes.max_batch:
        detail = f"an array of {len(value)} events; send at most {shapes.max_batch} at a time"
        return Decoded(envelope, [Rejection(Reason.TOO_LARGE, "(body)", detail)])
    first = next((each for each in value if isinstance(each, dict)), {})
    return Decoded(_completed(envelope, first), [_checked(each) for each in value], is_batch=True)


def read_envelope(query: Mapping[str, str], taken: tuple[str, ...] = ()) -> Envelope:
    """Give what a query string says of the whole request; `taken` are parameters that belong to the event itself."""
    response_type = query.get("resp_type", "")
    return Envelope(
        portal_id=query.get("portal_id", ""),
        prop_id=query.get("prop_id", ""),
        response_type=response_type or "javascript",
        explicit_type=bool(response_type),
        redirect_url=query.get("redirect_url", ""),
        request_id=query.get("request_id", ""),
        is_s2s=query.get("is_s2s", "").lower() == "true",
        carried={name: value for name, value in query.items() if name not in _ENVELOPE and name not in taken},
    )


def _completed(envelope: Envelope, fields: JsonObject) -> Envelope:
    """Take from the body what stands there instead of in the query: some server clients send everything as one object."""
    found = {
        name: str(fields.pop(name))
        for name in ("portal_id", "prop_id", "request_id")
        if name in fields and isinstance(fields[name], str | int)
    }
    # A tuple, not a set: the value may be anything, also what has no hash.
    is_s2s = envelope.is_s2s or fields.get("is_s2s") in (True, "true")
    if not found and is_s2s == envelope.is_s2s:
        return envelope
    return msgspec.structs.replace(
        envelope,
        portal_id=envelope.portal_id or found.get("portal_id", ""),
        prop_id=envelope.prop_id or found.get("prop_id", ""),
        request_id=envelope.request_id or found.get("request_id", ""),
        is_s2s=is_s2s,
    )


def _checked(value: Any) -> JsonObject | Rejection:
    if not isinstance(value, dict):
        return Rejection(Reason.BAD_FIELD, "(body)", "each event must be a JSON object")
    return field_problem(value) or value


def request_id_of(envelope: Envelope, event_id: str, index: int) -> str:
    """Give the id that stays the same on every attempt: the client's own, else the event's.

    It holds only letters, digits and `_.~-`. Several events of one request get the client's id with their index behind it.
    """
    own = envelope.request_id
    if not own:
        return event_id
    if not _PLAIN_ID.match(own):
        # It may be anything, an address too: its hash is as stable, and opaque.
        own = digest(own, "md5")
    return own if index == 0 else f"{own}.{index}"


def query_prefix(portal_id: str, prop_id: str) -> str:
    """Give the part of the collector's query string that all events of a property share.

    The collector is always asked for `json`, because nobody reads its answer but the forwarder.
    """
    return f"{urlencode({'portal_id': portal_id, 'prop_id': prop_id})}&resp_type=json&format=json&request_id="


def encode_query(prefix: str, request_id: str, carried: Mapping[str, str]) -> str:
    """Give the collector's query string for one event.

    `prefix` is `query_prefix`'s answer, `request_id` that of `request_id_of`; `carried` goes on as it came.
    """
    return f"{prefix}{request_id}&{urlencode(carried)}" if carried else prefix + request_id
