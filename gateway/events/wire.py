"""The CDP's wire format: a request's query string and body to events, and the query string that goes to the collector.

Nothing here raises on what a client sent: what can't be read comes back as a `Rejection` that names the field. It bounds
size, number of keys and depth before anything walks the values. The facts are the collector's public API page and the
developer guide; see `docs/protocol.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import msgspec

from gateway.events.hashing import digest
from gateway.events.model import JsonObject
from gateway.events.outcome import Reason, Rejection
from gateway.events.shapes import Shapes, field_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

RESPONSE_TYPES = frozenset({"javascript", "json", "pixel", "redirect"})
_EVENT_TEXTS = ("uid", "aid", "cid", "sid", "ec", "ea", "en", "et")
_EVENT_JSON = ("items", "dims", "extra", "context")
_ENVELOPE = frozenset(
    {"portal_id", "prop_id", "resp_type", "format", "redirect_url", "request_id", "uid_new"}
)
# Under no spelling may identity go past the ledger in the query string of a body.
_NEVER_CARRIED = frozenset(
    {*_EVENT_TEXTS, *_EVENT_JSON, "customer_id", "identify_id", "reset_uid", "generate_uid"}
)
_BODY_ENVELOPE = frozenset({"portal_id", "prop_id", "request_id", "is_s2s"})
# Parameters that name nobody.
_HARMLESS = frozenset({"is_s2s", "is_server", "is_debug", "delivery_src"})
_LONGEST_PHONE = 15
_SHORTEST_WRITTEN_PHONE = 7
_LONGEST_WRITTEN_PHONE = 30
_WITHOUT_MARKS = str.maketrans("", "", "._~-")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.~-]{1,128}\Z")


class Envelope(msgspec.Struct, frozen=True):
    """What a request says about all of its events: whose they are, and how it wants to be answered.

    `has_new_uid`: the page's script had to mint the UID, because the browser had lost the one before. `fields` are
    fields of the event that stand in the query string: the body's own win. `carried` are the query parameters that are handed on to the collector as they came (`is_s2s`, `delivery_src`, …).
    """

    portal_id: str
    prop_id: str
    response_type: str
    explicit_type: bool
    redirect_url: str
    is_s2s: bool
    carried: dict[str, str]
    has_new_uid: bool = False
    fields: dict[str, str] = {}
    format: str = ""


class Decoded(msgspec.Struct, frozen=True):
    """A request after decoding: each event either its fields or the reason why it can't be read.

    `request_id` is the client's own, empty when it has none. `is_batch`: an array came.
    """

    envelope: Envelope
    request_id: str
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


def split_request_id(query: str) -> tuple[str, str]:
    """Give the query string without its `request_id`, and that id, decoded.

    What is left repeats from event to event, so that whoever reads it may remember what it means.
    """
    start = query.find("request_id=")
    while start > 0 and query[start - 1] != "&":
        start = query.find("request_id=", start + 1)
    if start < 0:
        return query, ""
    end = query.find("&", start)
    value = query[start + 11 : end] if end >= 0 else query[start + 11 :]
    rest = query[:start] + (query[end + 1 :] if end >= 0 else "")
    return rest, unquote_plus(value) if "%" in value or "+" in value else value


def decode_query(query: Mapping[str, str], shapes: Shapes) -> Decoded:
    """Turn the parameters of a GET, or of a form, into its one event."""
    if len(query) > shapes.max_keys:
        many = Rejection(Reason.TOO_LARGE, "(query)", f"more than {shapes.max_keys} parameters")
        return Decoded(read_envelope({name: query[name] for name in _ENVELOPE if name in query}), "", [many])
    fields, problem = _read_fields(query, shapes)
    return Decoded(read_envelope(query), query.get("request_id", ""), [problem or _checked(fields)])


def _read_fields(query: Mapping[str, str], shapes: Shapes) -> tuple[JsonObject, Rejection | None]:
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
    return fields, problem


def decode_body(envelope: Envelope, request_id: str, body: bytes, shapes: Shapes) -> Decoded:
    """Turn the JSON body of a POST into its events, one object or an array of them.

    `envelope` and `request_id` are what the query string says; the answer's envelope is another one where the body says more.
    """
    value = shapes.parse(body, "")
    if isinstance(value, dict):
        if _BODY_ENVELOPE.isdisjoint(value):
            return Decoded(envelope, request_id, [_event(value, envelope, shapes)])
        completed, own_id = _completed(envelope, request_id, value)
        return Decoded(completed, own_id, [_event(value, envelope, shapes)])
    if isinstance(value, Rejection):
        return Decoded(envelope, request_id, [value])
    if not isinstance(value, list) or not value:
        detail = "write one event as a JSON object, or an array of them"
        return Decoded(envelope, request_id, [Rejection(Reason.BAD_FIELD, "(body)", detail)])
    if len(value) > shapes.max_batch:
        detail = f"an array of {len(value)} events; send at most {shapes.max_batch} at a time"
        return Decoded(envelope, request_id, [Rejection(Reason.TOO_LARGE, "(body)", detail)])
    first = next((each for each in value if isinstance(each, dict)), {})
    completed, own_id = _completed(envelope, request_id, first)
    events = [_stranger(each, completed) or _event(each, envelope, shapes) for each in value]
    return Decoded(completed, own_id, events, is_batch=True)


def is_form(content_type: str, body: bytes) -> bool:
    """Tell whether a body is a form. `curl -d '{…}'` calls its JSON one: what begins like JSON is JSON."""
    return content_type.startswith("application/x-www-form-urlencoded") and body.lstrip()[:1] not in {
        b"{",
        b"[",
    }


def read_envelope(query: Mapping[str, str]) -> Envelope:
    """Give what a query string says of the whole request."""
    response_type = query.get("resp_type", "")
    return Envelope(
        portal_id=query.get("portal_id", ""),
        prop_id=query.get("prop_id", ""),
        response_type=response_type or "javascript",
        explicit_type=bool(response_type),
        redirect_url=query.get("redirect_url", ""),
        is_s2s=query.get("is_s2s", "").lower() == "true",
        carried={
            name: value
            for name, value in query.items()
            if name not in _ENVELOPE and name.lower() not in _NEVER_CARRIED
        },
        has_new_uid=query.get("uid_new", "") == "1",
        fields={name: value for name, value in query.items() if name in _EVENT_TEXTS or name in _EVENT_JSON},
        format=query.get("format", ""),
    )


def _completed(envelope: Envelope, request_id: str, fields: JsonObject) -> tuple[Envelope, str]:
    """Take from the body what stands there instead of in the query: some server clients send everything as one object."""
    found = {
        name: str(fields.pop(name))
        for name in ("portal_id", "prop_id", "request_id")
        if name in fields and isinstance(fields[name], str | int)
    }
    # A tuple, not a set: the value may be anything, also what has no hash.
    is_s2s = envelope.is_s2s or fields.get("is_s2s") in (True, "true")
    completed = msgspec.structs.replace(
        envelope,
        portal_id=found.get("portal_id", "") or envelope.portal_id,
        prop_id=found.get("prop_id", "") or envelope.prop_id,
        is_s2s=is_s2s,
    )
    return completed, request_id or found.get("request_id", "")


def _stranger(value: Any, envelope: Envelope) -> Rejection | None:
    """Refuse an event of an array that names another property than the first; what agrees is taken out of it."""
    if isinstance(value, dict):
        for name, expected in (("portal_id", envelope.portal_id), ("prop_id", envelope.prop_id)):
            if name in value and str(value.pop(name)) != expected:
                return Rejection(Reason.BAD_FIELD, name, "must be the same for all events of an array")
    return None


def _event(value: Any, envelope: Envelope, shapes: Shapes) -> JsonObject | Rejection:
    """Give an event of a body, with what only the query string says of it; read anew for each event, which owns its fields."""
    if not envelope.fields or not isinstance(value, dict):
        return _checked(value)
    more, problem = _read_fields(
        {name: text for name, text in envelope.fields.items() if name not in value}, shapes
    )
    return problem or _checked({**more, **value})


def _checked(value: Any) -> JsonObject | Rejection:
    if not isinstance(value, dict):
        return Rejection(Reason.BAD_FIELD, "(body)", "each event must be a JSON object")
    return field_problem(value) or value


def request_id_of(own: str, event_id: str, index: int) -> str:
    """Give the id that stays the same on every attempt: the client's `own`, else the event's.

    It holds only letters, digits and `_.~-`. Several events of one request get the client's id with their index behind it.
    """
    if not own:
        return event_id
    if not _PLAIN_ID.match(own) or _may_be_phone(own):
        # It may be anything, an address or a phone number too: its hash is as stable, and opaque.
        own = digest(own, "md5")
    return own if index == 0 else f"{own}.{index}"


def _may_be_phone(id_: str) -> bool:
    if len(id_) > _LONGEST_WRITTEN_PHONE:
        return False
    digits = id_.translate(_WITHOUT_MARKS)
    # One without marks is opaque at any length; `3-17` is a count, not a number that somebody can be called on.
    least = 1 if digits == id_ else _SHORTEST_WRITTEN_PHONE
    return digits.isdigit() and least <= len(digits) <= _LONGEST_PHONE


def query_parts(
    envelope: Envelope, carried: Mapping[str, str], response_type: str = "json", format_: str = "json"
) -> tuple[str, str]:
    """Give what stands before and behind the request id in the collector's query string.

    `carried` goes on as it came. The collector is asked for `json`, unless somebody else than the forwarder is to read its answer.
    """
    ids = urlencode({"portal_id": envelope.portal_id, "prop_id": envelope.prop_id})
    asked = urlencode({"resp_type": response_type, "format": format_})
    return f"{ids}&{asked}&request_id=", f"&{urlencode(carried)}" if carried else ""


def nobodys_query_parts(envelope: Envelope) -> tuple[str, str]:
    """Give the same for an event that goes out as nobody's: of what was carried, only what names nobody goes on."""
    return query_parts(envelope, {name: text for name, text in envelope.carried.items() if name in _HARMLESS})
