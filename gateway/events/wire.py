"""The CDP's wire format: a request's query string and body to events, and the query string that goes to the collector.

Nothing here raises on what a client sent: what can't be read comes back as a `Rejection` that names the field. It bounds
size, number of keys and depth before anything walks the values. The facts are the collector's public API page and the
developer guide; see `docs/protocol.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import msgspec

from gateway.events import jsonp
from gateway.events.cards import is_written_card
from gateway.events.forms import parts_of
from gateway.events.hashing import digest
from gateway.events.iri import as_uri
from gateway.events.model import JsonObject
from gateway.events.outcome import Reason, Rejection
from gateway.events.shapes import Shapes, field_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.events.bodies import Lines

RESPONSE_TYPES = frozenset({"javascript", "json", "pixel", "redirect"})
_EVENT_TEXTS = ("uid", "aid", "cid", "sid", "ec", "ea", "en", "et")
_EVENT_JSON = ("items", "dims", "extra", "context")
_ENVELOPE = frozenset(
    {
        "portal_id",
        "prop_id",
        "resp_type",
        "format",
        "redirect_url",
        "request_id",
        "uid_new",
        *jsonp.PARAMETERS,
    }
)
# Under no spelling may identity go past the ledger in the query string of a body.
_NEVER_CARRIED = frozenset(
    {*_EVENT_TEXTS, *_EVENT_JSON, "customer_id", "identify_id", "reset_uid", "generate_uid"}
)
_IDS = frozenset({"uid", "aid", "cid", "customer_id", "identify_id"})
# What a body may say of the whole request; it stands there instead of in the query string.
_BODY_ENVELOPE = ("portal_id", "prop_id", "request_id", "resp_type", "redirect_url", "is_s2s")
_BODY_ENVELOPE_SET = frozenset(_BODY_ENVELOPE)
_TRUTH = {True: "true", False: "false"}
# Parameters that name nobody.
_HARMLESS = frozenset({"is_s2s", "is_server", "is_debug", "delivery_src"})
_LONGEST_PHONE = 15
_SHORTEST_WRITTEN_PHONE = 7
_LONGEST_WRITTEN_PHONE = 30
_WITHOUT_MARKS = str.maketrans("", "", "._~-")
_ESCAPED_TWICE = frozenset({"%7B", "%7b", "%5B", "%5b"})
_LONGEST_ID = 128
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.~-]{1,128}\Z")


class Envelope(msgspec.Struct, frozen=True):
    """What a request says about all of its events: whose they are, and how it wants to be answered.

    `has_new_uid`: the page's script had to mint the UID, because the browser had lost the one before. `fields` are
    fields of the event that stand in the query string: the body's own win. `callback` is the function that a script
    is to call, as it came. `carried` are the query parameters that are handed on to the collector as they came (`is_s2s`, `delivery_src`, …).
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
    callback: str = ""


class Decoded(msgspec.Struct, frozen=True):
    """A request after decoding: each event either its fields or the reason why it can't be read.

    `request_id` is the client's own, empty when it has none. `is_batch`: an array came; `own_ids` are the ids that its events
    have for themselves, one for each, empty for one that has none.
    """

    envelope: Envelope
    request_id: str
    events: list[JsonObject | Rejection]
    is_batch: bool = False
    own_ids: tuple[str, ...] = ()

    def request_id_of(self, index: int, event_id: str) -> str:
        """Give the id of an event that stays the same on every attempt: its own, else the request's, else `event_id`."""
        if self.own_ids and self.own_ids[index]:
            return request_id_of(self.own_ids[index], event_id, 0)
        return request_id_of(self.request_id, event_id, index)


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
            if text[:3] in _ESCAPED_TWICE:
                # Tools that send messages escape a link that has been escaped already.
                text = unquote(text)
            value = shapes.parse(text.encode("utf-8", "replace"), name)
            if isinstance(value, Rejection):
                problem = problem or value
            else:
                fields[name] = value
    return fields, problem


def decode_body(
    envelope: Envelope, request_id: str, body: bytes | Lines | Rejection, shapes: Shapes
) -> Decoded:
    """Turn the JSON body of a POST into its events: one object, an array of them, or one on each line.

    `envelope` and `request_id` are what the query string says; the answer's envelope is another one where the body says more.
    """
    value = _parsed(body, shapes)
    if isinstance(value, dict):
        if _BODY_ENVELOPE_SET.isdisjoint(value):
            return Decoded(envelope, request_id, [_event(value, envelope, shapes)])
        completed, own_id = _completed(envelope, request_id, value)
        return Decoded(completed, own_id, [_event(value, envelope, shapes)])
    if isinstance(value, Rejection):
        return Decoded(envelope, request_id, [value])
    if not isinstance(value, list) or not value:
        detail = "write one event as a JSON object, or an array of them"
        return Decoded(envelope, request_id, [Rejection(Reason.BAD_FIELD, "(body)", detail)])
    return _batch(envelope, request_id, value, shapes)


def _parsed(body: bytes | Lines | Rejection, shapes: Shapes) -> Any:
    if isinstance(body, bytes):
        return shapes.parse(body, "")
    if isinstance(body, Rejection):
        return body
    if len(body.texts) > shapes.max_batch:
        return _too_many(len(body.texts), shapes)
    return shapes.batch_problem(values := [shapes.parse(each, "") for each in body.texts]) or values


def _batch(envelope: Envelope, request_id: str, values: list[Any], shapes: Shapes) -> Decoded:
    if len(values) > shapes.max_batch:
        return Decoded(envelope, request_id, [_too_many(len(values), shapes)])
    first = next((each for each in values if isinstance(each, dict)), {})
    completed, request_id = _completed(envelope, request_id, {**first, "request_id": request_id})
    own_ids = _own_request_ids(values)
    events = [_stranger(each, completed) or _event(each, envelope, shapes) for each in values]
    return Decoded(completed, request_id, events, is_batch=True, own_ids=own_ids)


def _too_many(count: int, shapes: Shapes) -> Rejection:
    return Rejection(Reason.TOO_LARGE, "(body)", f"{count} events; send at most {shapes.max_batch} at a time")


def _own_request_ids(values: list[Any]) -> tuple[str, ...]:
    """Take the ids that the events of an array have for themselves: one that is sent again, alone, is still the same.

    An id that several have is told apart by their index: to the collector they would be one event.
    """
    found: dict[str, None] = {}
    for index, value in enumerate(values):
        own = value.pop("request_id", "") if isinstance(value, dict) else ""
        text = str(own) if isinstance(own, str | int) else ""
        found[f"{text}.{index}" if text and text in found else text or f"\0{index}"] = None
    return tuple("" if each.startswith("\0") else each for each in found)


def read_envelope(query: Mapping[str, str]) -> Envelope:
    """Give what a query string says of the whole request."""
    response_type = query.get("resp_type", "")
    is_s2s = query.get("is_s2s", "").lower() == "true"
    return Envelope(
        portal_id=query.get("portal_id", ""),
        prop_id=query.get("prop_id", ""),
        response_type=response_type or "javascript",
        explicit_type=bool(response_type),
        redirect_url=as_uri(query.get("redirect_url", "")),
        is_s2s=is_s2s,
        carried={
            # The collector hears what was decided here, not what it might read as something else.
            name: _TRUTH[is_s2s] if name == "is_s2s" else value
            for name, value in query.items()
            if name not in _ENVELOPE and not _is_identitys(name)
        },
        has_new_uid=query.get("uid_new", "") == "1",
        fields={name: value for name, value in query.items() if name in _EVENT_TEXTS or name in _EVENT_JSON},
        format=query.get("format", ""),
        callback=next((query[name] for name in jsonp.PARAMETERS if query.get(name)), ""),
    )


def _is_identitys(name: str) -> bool:
    """Tell whether a parameter is a field of the event, or an id, under any spelling: `CID`, `uid[]`, `DIMS[customers][email]`."""
    lowered = name.lower()
    if lowered in _NEVER_CARRIED:
        return True
    parts = parts_of(lowered)
    return parts is not None and (parts[0] in _NEVER_CARRIED or not _IDS.isdisjoint(parts))


def _completed(envelope: Envelope, request_id: str, fields: JsonObject) -> tuple[Envelope, str]:
    """Take from the body what it says of the whole request, and let it win: some server clients send everything as one object."""
    found = {
        name: str(value)
        for name in _BODY_ENVELOPE
        if isinstance(value := fields.get(name), str | int) and value != ""
    }
    for name in _BODY_ENVELOPE:
        fields.pop(name, None)
    response_type, carried, is_s2s = found.get("resp_type", ""), envelope.carried, envelope.is_s2s
    if "is_s2s" in found:
        is_s2s = found["is_s2s"].lower() == "true"
        # The collector reads it in the query string.
        carried = {**carried, "is_s2s": _TRUTH[is_s2s]}
    completed = msgspec.structs.replace(
        envelope,
        portal_id=found.get("portal_id", envelope.portal_id),
        prop_id=found.get("prop_id", envelope.prop_id),
        response_type=response_type or envelope.response_type,
        explicit_type=bool(response_type) or envelope.explicit_type,
        redirect_url=as_uri(found.get("redirect_url", envelope.redirect_url)),
        is_s2s=is_s2s,
        carried=carried,
    )
    return completed, found.get("request_id", request_id)


def _stranger(value: Any, envelope: Envelope) -> Rejection | None:
    """Refuse an event of an array that is of another property, or another sender, than the first; what agrees is taken out of it."""
    if not isinstance(value, dict):
        return None
    for name, expected in (("portal_id", envelope.portal_id), ("prop_id", envelope.prop_id)):
        if name in value and str(value.pop(name)) != expected:
            return Rejection(Reason.BAD_FIELD, name, "must be the same for all events of an array")
    is_s2s = value.pop("is_s2s", None)
    if is_s2s is not None and (str(is_s2s).lower() == "true") != envelope.is_s2s:
        return Rejection(Reason.BAD_FIELD, "is_s2s", "must be the same for all events of an array")
    for name in ("resp_type", "redirect_url"):
        value.pop(name, None)
    return None


def _event(value: Any, envelope: Envelope, shapes: Shapes) -> JsonObject | Rejection:
    """Give an event of a body, with what only the query string says of it; read anew for each event, which owns its fields."""
    if isinstance(value, Rejection):
        return value
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
    # Letters and digits without anything between them, as nearly all are made of, are no number that somebody has written.
    is_opaque = own.isalnum() and own.isascii() and not own.isdigit() and len(own) <= _LONGEST_ID
    if not is_opaque and (not _PLAIN_ID.match(own) or _may_be_phone(own) or is_written_card(own)):
        # It may be anything, an address, a phone number or a card too: its hash is as stable, and opaque.
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
