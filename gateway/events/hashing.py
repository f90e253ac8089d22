"""Hashes of identities: plain or keyed, and how one is told from everything else.

A plain hash is lower-case hexadecimal. A keyed one is written `<key id>:<64 hex digits>`: the id of its key travels with it, so
that it can be verified after the key was rotated. What always holds: the same normalised text gives the same hash for as long
as the first key stays first, and a text that is a hash in any of these forms is never hashed again.

What is hashed here is normalised before (`gateway.events.addresses`); this module knows nothing of addresses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Literal

from gateway.events.keyring import KEY_ID, Keyring

if TYPE_CHECKING:
    from gateway.events.keyring import Secret
    from gateway.settings_types import HashName

PlainHash = Literal["md5", "sha256"]

_HEX = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\Z", re.IGNORECASE)
_KEYED = re.compile(rf"(?P<id>{KEY_ID}):(?P<hex>[0-9a-fA-F]{{64}})\Z")
_PLAIN_LENGTH: dict[HashName, int] = {"md5": 32, "sha256": 64}
_ADDRESS_KEYS = b"tracking-gateway/address-keys/1"


def digest(value: str, algorithm: PlainHash) -> str:
    """Give the lower-case hexadecimal hash of the UTF-8 text."""
    data = value.encode("utf-8", "surrogatepass")
    if algorithm == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    if algorithm == "sha256":
        return hashlib.sha256(data).hexdigest()
    raise ValueError(f"{algorithm} needs a key: use Hasher")


def is_hash(value: str) -> bool:
    """Tell whether a value is already a hash: MD5, SHA-1 or SHA-256 in hexadecimal of either case, or a keyed one."""
    return _HEX.match(value) is not None or _KEYED.match(value) is not None


def keyed_parts(value: str) -> tuple[str, str] | None:
    """Give (key id, 64 lower-case hex digits) of a keyed hash; `None` for anything else."""
    match = _KEYED.match(value)
    return (match["id"], match["hex"].lower()) if match else None


class Hasher:
    """Hashes normalised texts by one algorithm.

    Raises `ValueError` for `hmac-sha256` without a key. A keyring is of use to the plain algorithms too: address keys are under
    it whenever there is one.
    """

    def __init__(self, algorithm: HashName, keyring: Keyring) -> None:
        if algorithm == "hmac-sha256" and not keyring:
            raise ValueError("hmac-sha256 needs a key")
        self.algorithm: HashName = algorithm
        self.keyring = keyring
        self._first = keyring.first if algorithm == "hmac-sha256" else None
        self._older = keyring.older if algorithm == "hmac-sha256" else ()
        self._address_keyring = keyring.derive(_ADDRESS_KEYS)

    def hash(self, normal: str) -> str:
        """Give the hash as it is written everywhere, under the newest key."""
        if self._first is not None:
            return _keyed(self._first, normal)
        return digest(normal, "md5" if self.algorithm == "md5" else "sha256")

    def older(self, normal: str) -> tuple[str, ...]:
        """Give the same hash under each key that was rotated out, the newest of them first; nothing for plain hashes."""
        return tuple(_keyed(key, normal) for key in self._older)

    def is_own(self, value: str) -> bool:
        """Tell whether a text is a hash as this hasher writes it, under any key of the ring; hexadecimal of either case."""
        if self.algorithm == "hmac-sha256":
            parts = keyed_parts(value)
            return parts is not None and self.keyring.secret(parts[0]) is not None
        return len(value) == _PLAIN_LENGTH[self.algorithm] and is_hash(value)

    def verify(self, normal: str, value: str) -> bool:
        """Tell whether `value` is the hash of `normal` that this hasher writes, or wrote under an older key."""
        written = value.lower()
        return written == self.hash(normal) or written in self.older(normal)

    def address_keys(self, normal: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give (keys, older keys): the opaque texts under which the ledger remembers a normalised address.

        64 hex digits each. Without a keyring the SHA-256 of the address; with one its HMAC-SHA256 under a sub-key of the newest key,
        and as older keys those under the others, and at last the SHA-256 that was written before there was a keyring. Older keys are
        looked for, never written.
        """
        plain = digest(normal, "sha256")
        keyed = [_hmac(key, normal) for key in self._address_keyring]
        if not keyed:
            return (plain,), ()
        return (keyed[0],), (*keyed[1:], plain)


def _hmac(key: Secret, normal: str) -> str:
    return hmac.digest(key.secret, normal.encode("utf-8", "surrogatepass"), "sha256").hex()


def _keyed(key: Secret, normal: str) -> str:
    return f"{key.id}:{_hmac(key, normal)}"
