"""How an id becomes a key of the ledger: short, and exactly reversible.

Nearly every UID is a decimal integer or a UUID, nearly every CID the hexadecimal text of a hash. As text they take twice the
bytes that they need, in each table. A key is one tag byte and then:

- ``0x01``: a decimal integer below 2^64 without leading zeros, as the fewest big-endian bytes;
- ``0x02``: lower-case hexadecimal of 32, 40 or 64 digits (MD5, SHA-1, SHA-256), as its bytes;
- ``0x03``: nothing follows: the tombstone, which stands in the place of a CID and is no id;
- ``0x04``: a UUID in lower case with its four hyphens, as its 16 bytes;
- ``0x00``: anything else, as UTF-8.

Each text has exactly one key and each key but the tombstone one text, so equal keys are equal ids. Tags and rules are on disk: they
never change, or a UID that is bound would be looked up under another key and found unbound.
"""

from __future__ import annotations

TOMBSTONE = b"\x03"
"""What stands in the place of the CID of a UID that was erased."""

_TEXT = b"\x00"
_DECIMAL = b"\x01"
_HEX = b"\x02"
_UUID = b"\x04"
_LONGEST_DECIMAL = len(str(2**64 - 1))
_HASH_DIGITS = frozenset((32, 40, 64))
_UUID_LENGTH = 36


def encode_key(text: str) -> bytes:
    """Give the key of an id. Any text has one, even one with lone surrogates."""
    length = len(text)
    if length <= _LONGEST_DECIMAL:
        # str.isdigit alone is also true of digits in other scripts.
        if text.isascii() and text.isdigit() and (text[0] != "0" or length == 1):
            number = int(text)
            if number < 1 << 64:
                return _DECIMAL + number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")
    elif length in _HASH_DIGITS:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            pass
        else:
            # bytes.fromhex also takes capitals and blanks, which would come back as another text.
            if digest.hex() == text:
                return _HEX + digest
    elif length == _UUID_LENGTH:
        try:
            number_bytes = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            pass
        else:
            if len(number_bytes) == 16 and _uuid(number_bytes.hex()) == text:
                return _UUID + number_bytes
    return _TEXT + text.encode("utf-8", "surrogatepass")


def decode_key(key: bytes) -> str:
    """Give the id of a key. Raises `ValueError` for bytes that no id has as its key."""
    tag, content = key[:1], key[1:]
    if tag == _DECIMAL:
        return str(int.from_bytes(content, "big"))
    if tag == _HEX:
        return content.hex()
    if tag == _UUID:
        return _uuid(content.hex())
    if tag == _TEXT:
        return content.decode("utf-8", "surrogatepass")
    raise ValueError(f"the key of an id starts with the byte 0, 1, 2 or 4, not {tag!r}")


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
