"""A delivered event as one line of JSON, and back: the same bytes go to the collector that went there before.

The body stands as JSON in the line, byte for byte; one that is none, or has a line break in it, as Base64. A text that can't be read is an
exception here, and whoever reads a file counts it.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec

from gateway.events.model import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NO_BODY = msgspec.Raw(b"null")


class Delivery(NamedTuple):
    """A record that the collector took: when (Unix time in milliseconds), and at which attempt (from 1)."""

    record: Record
    delivered_ms: int
    attempts: int


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    delivered_at: str
    accepted_at: str
    attempts: int
    event_id: str
    portal_id: str
    prop_id: str
    uid: str
    query: str
    client_ip: str = ""
    user_agent: str = ""
    cookie: str = ""
    body: msgspec.Raw = _NO_BODY
    body_base64: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode


def encode(delivery: Delivery) -> bytes:
    """Give the line of a delivery, its line break included."""
    record = delivery.record
    body, body_base64 = _NO_BODY, None
    if _is_one_line_of_json(record.body):
        body = msgspec.Raw(record.body)
    else:
        body_base64 = base64.b64encode(record.body).decode()
    line = _Line(
        moment(delivery.delivered_ms),
        moment(record.accepted_ms),
        delivery.attempts,
        record.event_id,
        record.portal_id,
        record.prop_id,
        record.uid,
        record.query,
        record.client_ip,
        record.user_agent,
        record.cookie,
        body,
        body_base64,
    )
    return _encode(line) + b"\n"


def decode(line: bytes) -> Delivery:
    """Give the delivery of a line. Raises `ValueError` (of which msgspec's errors are some) for what is none."""
    read = _decode(line)
    record = Record(
        read.event_id,
        read.portal_id,
        read.prop_id,
        read.uid,
        milliseconds(read.accepted_at),
        read.query,
        bytes(read.body) if read.body_base64 is None else base64.b64decode(read.body_base64),
        read.client_ip,
        read.user_agent,
        read.cookie,
    )
    return Delivery(record, milliseconds(read.delivered_at), read.attempts)


def moment(unix_ms: int) -> str:
    """Give a Unix time in milliseconds as RFC 3339 text in UTC."""
    seconds, rest = divmod(unix_ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def milliseconds(text: str) -> int:
    """Give the Unix time in milliseconds of an RFC 3339 text; one without a zone is UTC. Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


@lru_cache(16)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _is_one_line_of_json(body: bytes) -> bool:
    if b"\n" in body or b"\r" in body:
        return False
    try:
        _check(body)
        # The check looks at the structure alone.
        return body.isascii() or bool(body.decode())
    except ValueError:
        return False
