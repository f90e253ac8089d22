"""What a certificate says of itself: for which names it is, and until when.

Reads just that much of DER (X.690, RFC 5280 section 4.1) as is needed for it: OpenSSL, which checks the rest, has no way to ask.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s*(.*?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _OCTETS, _OID, _UTC_TIME = 0x30, 0x04, 0x06, 0x17
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_VALIDITY = 3


class Certificate(NamedTuple):
    """For which DNS names a certificate is, in lower case, and when it expires, in seconds since 1970."""

    names: tuple[str, ...]
    expires: float

    def covers(self, host: str) -> bool:
        """Tell whether browsers take it for a host: by its name, or one with `*` for the first label (RFC 9525)."""
        return not {host.lower(), f"*.{host.lower().partition('.')[2]}"}.isdisjoint(self.names)


def read_certificate(pem: bytes) -> Certificate:
    """Give the first certificate of a PEM file. Raises `ValueError` when there is none that can be read."""
    block = _FIRST_BLOCK.search(pem)
    if block is None:
        raise ValueError("it holds no certificate in PEM form")
    try:
        [(_, body)] = _elements(binascii.a2b_base64(block[1]))
        fields = list(_elements(next(_elements(body))[1]))
        if fields[0][0] == _VERSION:
            del fields[0]
        _, (kind, until) = _elements(fields[_VALIDITY][1])
        expires = datetime.strptime(_four_digits(kind, until.decode("ascii")), "%Y%m%d%H%M%S%z")
        extensions = next((value for tag, value in fields if tag == _EXTENSIONS), b"")
        return Certificate(tuple(_names(extensions)), expires.timestamp())
    except (ValueError, IndexError, StopIteration, binascii.Error) as error:
        raise ValueError("its first certificate can't be read") from error


def _names(extensions: bytes) -> Iterator[str]:
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            parts = list(_elements(extension))
            if parts[0] == (_OID, _SUBJECT_ALT_NAME):
                [(_, names)] = _elements(parts[-1][1])
                yield from (
                    name.decode("ascii").lower() for tag, name in _elements(names) if tag == _DNS_NAME
                )


def _four_digits(kind: int, text: str) -> str:
    # RFC 5280, section 4.1.2.5.1: a year of two digits is one before 2050.
    return text if kind != _UTC_TIME else f"{'19' if text >= '5' else '20'}{text}"


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the elements that stand one after the other, by tag and content."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            digits = length & 0x7F
            length = int.from_bytes(data[at : at + digits], "big")
            at += digits
        if at + length > len(data):
            raise ValueError("cut short")
        yield tag, data[at : at + length]
        at += length
