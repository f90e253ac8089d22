"""Named secrets that can be rotated: the newest writes, all of them verify.

A keyring is what `identity.hash_keys` or `cookies.keys` lists. What always holds: the key's id travels with whatever was made
with it, so that old hashes and signatures stay verifiable for as long as their key stays in the list; one secret never serves
two purposes, because each purpose derives sub-keys of its own; no secret shows in a `repr`, an error message or a traceback's
text.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEY_ID = r"[a-z0-9][a-z0-9_-]{0,15}"
"""How the id of a key is written: a pattern without anchors. It never holds a colon."""

_ID = re.compile(rf"{KEY_ID}\Z")


class Secret(NamedTuple):
    """One key: its public id and its secret bytes. Only the id shows in a `repr`."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Secret({self.id})"


class Keyring:
    """Keys in the order of the settings, the newest first; may be empty.

    `keys` are `id:key` texts (the key may hold colons). Raises `ValueError`, which names ids only, for a text without an id or a
    key, and for an id that stands twice.
    """

    __slots__ = ("_by_id",)

    def __init__(self, keys: Sequence[str]) -> None:
        self._by_id: dict[str, Secret] = {}
        for position, text in enumerate(keys):
            key_id, _, secret = text.partition(":")
            if not _ID.match(key_id) or not secret:
                # Without the text: what has no colon may be all secret.
                raise ValueError(f"key {position + 1} is not written as id:key")
            if key_id in self._by_id:
                raise ValueError(f"the key id {key_id} stands twice")
            self._by_id[key_id] = Secret(key_id, secret.encode("utf-8", "surrogatepass"))

    @property
    def first(self) -> Secret | None:
        """The key that new hashes and signatures are made with; `None` when the ring is empty."""
        return next(iter(self), None)

    @property
    def older(self) -> tuple[Secret, ...]:
        """The keys that only verify, the newest of them first."""
        return tuple(self)[1:]

    def secret(self, key_id: str) -> bytes | None:
        """Give the secret of a key; `None` for an id that is not, or no longer, in the ring."""
        key = self._by_id.get(key_id)
        return key.secret if key else None

    def derive(self, purpose: bytes) -> Keyring:
        """Give a ring of the same ids whose secrets serve this purpose alone.

        Each secret becomes the HMAC-SHA256 of `purpose` under it (32 bytes): the first block of HKDF-Expand (RFC 5869, section 2.3)
        without its counter. Nobody who learns a sub-key learns the secret or another purpose's sub-key.
        """
        derived = Keyring(())
        for key in self:
            derived._by_id[key.id] = Secret(key.id, hmac.digest(key.secret, purpose, "sha256"))
        return derived

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._by_id)})"
