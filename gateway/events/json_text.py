"""JSON as clients write it: what is meant is clear, but a strict parser refuses it or reads another value.

========================================  =============================================================================
in the text                               what becomes of it
========================================  =============================================================================
a byte order mark                         left out (RFC 8259, section 8.1, lets a parser ignore it)
half a surrogate pair, as an escape       U+FFFD, as browsers encode it: a page cut a title within an emoji
a whole number beyond 64 bits             text with the same digits: as a number it would be rounded, and it is an id
a name twice in one object                the last one counts, as in browsers
numbers with a fraction or an exponent     the nearest double, as in browsers; 1.0 stays 1.0, 1E2 becomes 100.0, -0 becomes 0
========================================  =============================================================================
"""

from __future__ import annotations

import re

_MARK = b"\xef\xbb\xbf"
# Where an escape begins, behind a whole number of escaped backslashes; what begins within them is looked at once and left.
_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*+)\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)
_DIGITS = bytes(0x30 if 0x30 <= code <= 0x39 else 0x20 for code in range(256))
# 2**64 has twenty digits. (A negative number between -2**63 and -10**19 has fewer, and is rounded.)
_LONG = 20
_LONG_RUN = b"0" * _LONG
# Texts, numbers with a fraction and short ones are passed over together: each on its own would cost a call. A text that never ends
# goes to the end, so that what stands in it is not looked at again and again.
_LONG_NUMBER = re.compile(
    rb"""(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[^"0-9-]++|-?[0-9]++[.eE][0-9.eE+-]*+|-?[0-9]{1,19}+(?![0-9])|-(?![0-9]))++|(?P<number>-?[0-9]++)""",
    re.DOTALL,
)


def mended(text: bytes) -> bytes:
    """Give a text that a strict parser refused as it may take it."""
    found = text.removeprefix(_MARK)
    return _SURROGATE.sub(_whole, found) if b"\\u" in found else found


def has_long_numbers(text: bytes) -> bool:
    """Tell, cheaply, whether a text can hold a whole number beyond 64 bits."""
    return _LONG_RUN in text.translate(_DIGITS)


def with_long_numbers_as_text(text: bytes) -> bytes:
    """Give the JSON with each whole number beyond 64 bits in quotes."""
    return _LONG_NUMBER.sub(_quoted, text)


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if found[2] else found[1] + b"\\ufffd"


def _quoted(found: re.Match[bytes]) -> bytes:
    number = found["number"]
    if number is None or len(number) < _LONG:
        return found[0]
    # Thousands of digits would take the square of their number to be read.
    is_long = len(number) > _LONG or int(number) >= 2**64
    return b'"%b"' % number if is_long else number
