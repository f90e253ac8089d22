"""What pages and phones send when they have no id: `undefined`, `null`, and the hashes of such words."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING

from gateway.events.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Sequence


def placeholders(words: Sequence[str]) -> frozenset[str]:
    """Give the words that name nobody, in lower case, and the hashes of them as pages spell them."""
    spelled = {""}
    for word in words:
        spelled |= {word, word.lower(), word.upper(), word.capitalize(), word.title()}
    hashes = {sha1(word.encode(), usedforsecurity=False).hexdigest() for word in spelled}
    for word in spelled:
        hashes |= {digest(word, "md5"), digest(word, "sha256")}
    return frozenset({word.lower() for word in spelled} | hashes)
