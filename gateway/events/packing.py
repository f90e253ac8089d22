"""A record's bytes in a spool, which end with the moment of their appending.

Several processes append, each to a spool of its own, and the order of one user's events is that of these moments. So they can be read, and
written, without taking a record apart: MessagePack puts the last field of an array last, and an integer of this size takes nine bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.events.model import Record

if TYPE_CHECKING:
    from collections.abc import Callable

_UINT64 = 0xCF
_SIZE = 9
_LATEST = 0x80
_encode = msgspec.msgpack.Encoder().encode
unpack: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode
"""Gives the record of a payload. Raises `msgspec.DecodeError` for what is none, or `UnicodeDecodeError`."""


def pack(record: Record, appended_ns: int) -> bytes:
    """Give the payload of a record that is appended at this moment: Unix time in nanoseconds, from 2^32 to 2^63."""
    payload = _encode(record)
    if record.appended_ns:
        payload = _encode(msgspec.structs.replace(record, appended_ns=0))
    # Its last byte is the zero of a record that was not appended yet.
    return b"%b\xcf%b" % (payload[:-1], appended_ns.to_bytes(8, "big"))


def appended_ns(payload: bytes) -> int:
    """Give when a payload was appended, in nanoseconds of Unix time. An older version's does not say: it counts from its acceptance; what is no record, from 0."""
    # In the text of an older version's last field this byte is followed by one from 0x80 to 0xBF, and no moment is.
    if len(payload) < _SIZE or payload[-_SIZE] != _UINT64 or payload[1 - _SIZE] >= _LATEST:
        return _accepted_ns(payload)
    return int.from_bytes(payload[1 - _SIZE :], "big")


def _accepted_ns(payload: bytes) -> int:
    try:
        return unpack(payload).accepted_ms * 1_000_000
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
