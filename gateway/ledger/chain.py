"""How an entry of the audit log is hashed and chained, byte by byte, so that anybody can check a log in any language.

Every entry has a *digest* of what names a person in it, and a *chain* hash over that digest, all else that the entry says, its
number and the chain before it. Who knows the last chain hash (32 bytes on paper) knows the whole log: no entry can be changed, left
out, put in or moved without changing it. An erasure takes the digested texts away and leaves their digest, so the chain still holds and
still covers the rest; the random salt goes with the texts, so nobody can find out by trying whom the digest was about.

All integers are big-endian; texts are UTF-8 (a lone surrogate as its three bytes), never normalised, absent ones empty.

Digest = SHA-256 of these bytes:

| bytes | what |
| --- | --- |
| 4 | ``TGA1`` in ASCII: the version of this format |
| 3 x 4 | the lengths in bytes, unsigned, of the three texts that follow |
| 16 | salt |
| … | cid, other, note: one after the other |

Chain = SHA-256 of these bytes:

| bytes | what |
| --- | --- |
| 32 | the chain hash of the entry before; all zero before the first entry |
| 8 | seq, unsigned |
| 1 | kind: 1 bind, 2 import, 3 conflict, 4 repair, 5 alias, 6 release, 7 erase |
| 8 | at_ms, signed: Unix time in milliseconds |
| 3 x 4 | the lengths in bytes, unsigned, of the three texts that follow the digest |
| 32 | digest |
| … | portal_id, uid, event_id: one after the other |

These formats are in the files of those who run the gateway: they never change, a new version gets another mark.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events.model import AuditKind
    from gateway.ledger.contract import AuditEntry

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

_DIGESTED = struct.Struct(">4s3I16s")
_LINKED = struct.Struct(">32sQBq3I32s")


def digest(salt: bytes, cid: str, other: str, note: str) -> bytes:
    """Give the digest (32 bytes) of what names a person in an entry; `salt` is 16 random bytes."""
    whole = f"{cid}{other}{note}"
    if whole.isascii():
        # Nearly all: as many bytes as characters.
        head = _DIGESTED.pack(b"TGA1", len(cid), len(other), len(note), salt)
        return sha256(head + whole.encode("ascii")).digest()
    parts = [each.encode("utf-8", "surrogatepass") for each in (cid, other, note)]
    return sha256(_DIGESTED.pack(b"TGA1", *map(len, parts), salt) + b"".join(parts)).digest()


def link(
    previous: bytes, seq: int, kind: int, at_ms: int, portal_id: str, uid: str, event_id: str, digested: bytes
) -> bytes:
    """Give the chain hash (32 bytes) of entry `seq` behind one whose chain hash is `previous`; `kind` is its code."""
    whole = f"{portal_id}{uid}{event_id}"
    if whole.isascii():
        head = _LINKED.pack(previous, seq, kind, at_ms, len(portal_id), len(uid), len(event_id), digested)
        return sha256(head + whole.encode("ascii")).digest()
    parts = [each.encode("utf-8", "surrogatepass") for each in (portal_id, uid, event_id)]
    head = _LINKED.pack(previous, seq, kind, at_ms, *map(len, parts), digested)
    return sha256(head + b"".join(parts)).digest()


def follow(previous: bytes, entry: AuditEntry) -> bytes:
    """Give the chain hash that an entry must have behind one whose chain hash is `previous`."""
    kind, made = KIND_CODES[entry.kind], bytes.fromhex(entry.digest)
    return link(previous, entry.seq, kind, entry.at_ms, entry.portal_id, entry.uid, entry.event_id, made)
