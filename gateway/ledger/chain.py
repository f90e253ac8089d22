"""How an entry of the audit log is hashed and chained, byte by byte, so that anybody can check a log in any language.

Every entry has a *digest* of what happened and a *chain* hash over the digest, the entry's number and the chain before it. Who
knows the last chain hash (32 bytes on paper) knows the whole log: no entry can be changed, left out, put in or moved without
changing it. An erasure takes the text of an entry away and leaves its digest, so the chain still holds; the random salt goes
with the text, so nobody can find out by trying whom the digest was about.

All integers are big-endian; texts are UTF-8 (a lone surrogate as its three bytes), never normalised, absent ones empty.

Digest = SHA-256 of these bytes:

| bytes | what |
| --- | --- |
| 4 | ``TGA1`` in ASCII: the version of this format |
| 1 | kind: 1 bind, 2 import, 3 conflict, 4 repair, 5 alias, 6 release, 7 erase |
| 8 | at_ms, signed: Unix time in milliseconds |
| 6 x 4 | the lengths in bytes, unsigned, of the six texts that follow |
| 16 | salt |
| … | portal_id, uid, cid, other, note, event_id: one after the other, in this order |

Chain = SHA-256 of these 72 bytes: the chain of the entry before (32; before the first entry all zero), seq (8), digest (32).
These formats are in the files of those who run the gateway: they never change, a new version gets another mark.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events.model import AuditKind

FIRST_CHAIN = bytes(32)
"""What stands before the first entry."""

SALT_BYTES = 16

KIND_CODES: dict[AuditKind, int] = {
    "bind": 1,
    "import": 2,
    "conflict": 3,
    "repair": 4,
    "alias": 5,
    "release": 6,
    "erase": 7,
}
KINDS: dict[int, AuditKind] = {code: kind for kind, code in KIND_CODES.items()}

_HEAD = struct.Struct(">4sBq6I16s")
_LINK = struct.Struct(">32sQ32s")


def digest(kind: int, at_ms: int, salt: bytes, *texts: str) -> bytes:
    """Give the digest (32 bytes) of what happened.

    `kind` is its code, `salt` 16 random bytes, `texts` are portal_id, uid, cid, other, note and event_id, in this order.
    """
    whole = "".join(texts)
    if whole.isascii():
        # Nearly all: as many bytes as characters.
        head = _HEAD.pack(b"TGA1", kind, at_ms, *map(len, texts), salt)
        return sha256(head + whole.encode("ascii")).digest()
    parts = [each.encode("utf-8", "surrogatepass") for each in texts]
    return sha256(_HEAD.pack(b"TGA1", kind, at_ms, *map(len, parts), salt) + b"".join(parts)).digest()


def link(previous: bytes, seq: int, entry_digest: bytes) -> bytes:
    """Give the chain hash (32 bytes) of entry `seq` behind an entry whose chain hash is `previous`."""
    return sha256(_LINK.pack(previous, seq, entry_digest)).digest()
