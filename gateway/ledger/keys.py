"""How an id becomes a key of the ledger: short, and exactly reversible.

Nearly every UID is a decimal integer and nearly every CID the hexadecimal text of a hash. As text they take twice the
bytes that they need, in the table and again in its index; ten million bindings are 451 MB with these keys and 760 MB
without. A key is one tag byte and then:

- ``0x01``: a decimal integer below 2^64 without leading zeros, as the fewest big-endian bytes;
- ``0x02``: lower-case hexadecimal of 32, 40 or 64 digits (MD5, SHA-1, SHA-256), as its bytes;
- ``0x00``: anything else, as UTF-8.

Each text has exactly one key and each key one text, so equal keys are equal ids. Tags and rules are on disk: they never
change, or a UID that is bound would be looked up under another key and found unbound.
"""

from __future__ import annotations

_TEXT = b"\x00"
_DECIMAL = b"\x01"
_HEX = b"\x02"
_LONGEST_DECIMAL = len(str(2**64 - 1))
_HASH_DIGITS = frozenset((32, 40, 64))


def encode_key(text: str) -> bytes:
    """Give the key of an id. Any text has one, even one with lone surrogates."""
    if len(text) <= _LONGEST_DECIMAL:
        # str.isdigit alone is also true of digits in other scripts.
        if text.isascii() and text.isdigit() and (text[0] != "0" or len(text) == 1):
            number = int(text)
            if number < 1 << 64:
                return _DECIMAL + number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")
    elif len(text) in _HASH_DIGITS:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            pass
        else:
            # bytes.fromhex also takes capitals and blanks, which would come back as another text.
            if digest.hex() == text:
                return _HEX + digest
    return _TEXT + text.encode("utf-8", "surrogatepass")


def decode_key(key: bytes) -> str:
    """Give the id of a key. Raises `ValueError` for bytes that no id has as its key."""
    tag, content = key[:1], key[1:]
    if tag == _DECIMAL:
        return str(int.from_bytes(content, "big"))
    if tag == _HEX:
        return content.hex()
    if tag == _TEXT:
        return content.decode("utf-8", "surrogatepass")
    raise ValueError(f"a key starts with the byte 0, 1 or 2, not {tag!r}")
