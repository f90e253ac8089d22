"""The signed twin of the UID cookie: out of the reach of scripts, so it outlives what browsers do to cookies that scripts write.

One text: `1.<key id>.<site tag>.<uid>.<issued>.<MAC>`. `issued` is Unix time in seconds. The site tag is the beginning of the
SHA-256 of the site's name, so that a twin of another shop on this gateway can be told from a forged one. The MAC is
HMAC-SHA256, cut to 128 bits, base64url, over everything before it, under a key that the ring derives for twins alone. Every
character may stand in a cookie's value without quotes (RFC 6265, section 4.1.1).

What always holds: a UID leaves `read` only out of a text that this ring signed for this site and that has not expired; texts are
compared whole and in constant time, so that no second spelling of a signed text is taken; new twins are signed by the first key;
what is remembered of earlier texts is bounded, and only what was verified is remembered: nobody can push it out with forgeries.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.keyring import KEY_ID

if TYPE_CHECKING:
    from gateway.events.keyring import Keyring

_PURPOSE = b"tracking-gateway uid twin 1"
_VERSION = "1"
_MAC_BYTES = 16
_TAG_CHARACTERS = 12
_REMEMBERED = 8_192
_SITES = 1_024
# What RFC 6265 lets stand in a cookie's value: no control, blank, quote, comma, semicolon or backslash.
_UID = r"[!#-+\--:<-\[\]-~]{1,128}"
_MAX_CHARACTERS = 256
_TWIN = re.compile(
    rf"{_VERSION}\.(?P<key>{KEY_ID})\.(?P<tag>[A-Za-z0-9_-]{{{_TAG_CHARACTERS}}})"
    rf"\.(?P<uid>{_UID})\.(?P<issued>[0-9]{{1,12}})\.(?P<mac>[A-Za-z0-9_-]{{22}})\Z"
)
_WRITABLE = re.compile(rf"{_UID}\Z")


class TwinState(StrEnum):
    """What became of a twin that was read. The set is closed: it may be a metric label.

    `foreign`: of another site, or under a key that is not (or no longer) in the ring. `forged`: under our key's id, but not by it.
    """

    ABSENT = "absent"
    VALID = "valid"
    EXPIRED = "expired"
    FOREIGN = "foreign"
    FORGED = "forged"
    UNREADABLE = "unreadable"


class Twin(NamedTuple):
    """What a twin says. `uid` is empty unless the state is `valid`; `issued_s` is Unix time in seconds, 0 when it is unknown.

    `is_first_key`: the key that signs today signed it.
    """

    state: TwinState
    uid: str = ""
    issued_s: int = 0
    is_first_key: bool = False


ABSENT = Twin(TwinState.ABSENT)
"""The twin of a visitor who sent none."""
UNREADABLE = Twin(TwinState.UNREADABLE)
"""The twin of a visitor who sent something else under its name."""
_FOREIGN = Twin(TwinState.FOREIGN)
_FORGED = Twin(TwinState.FORGED)


class TwinSigner:
    """Makes and reads twins. Raises `ValueError` for a ring without keys."""

    def __init__(self, keyring: Keyring) -> None:
        self._ring = keyring.derive(_PURPOSE)
        first = self._ring.first
        if first is None:
            raise ValueError("twins need a key to sign with: cookies.keys is empty")
        self._first = first
        self._tag = lru_cache(_SITES)(_tag)
        self._verified: dict[tuple[str, str], Twin] = {}

    def sign(self, site: str, uid: str, issued_s: int) -> str:
        """Give the twin of a UID on a site. Raises `ValueError` for a UID that can't stand in a cookie."""
        if not is_writable(uid):
            raise ValueError(
                'a UID in a cookie is 1 to 128 visible ASCII characters, none of them " , ; or \\'
            )
        signed = f"{_VERSION}.{self._first.id}.{self._tag(site)}.{uid}.{max(0, int(issued_s))}"
        return f"{signed}.{_mac(self._first.secret, signed)}"

    def read(self, site: str, text: str, now_s: float, lifetime_s: float) -> Twin:
        """Say what a text is that came as the twin: never raises, whatever it is. A twin from the future has not expired."""
        if not text:
            return ABSENT
        twin = self._verified.get((site, text)) or self._verify(site, text)
        if twin.state is TwinState.VALID and now_s - twin.issued_s >= lifetime_s:
            return Twin(TwinState.EXPIRED, "", twin.issued_s, twin.is_first_key)
        return twin

    def _verify(self, site: str, text: str) -> Twin:
        found = _TWIN.match(text) if len(text) <= _MAX_CHARACTERS else None
        if found is None:
            return UNREADABLE
        key_id = found["key"]
        secret = self._ring.secret(key_id)
        if secret is None:
            return _FOREIGN
        mac = found["mac"]
        if not hmac.compare_digest(_mac(secret, text[: -len(mac) - 1]), mac):
            return _FORGED
        # The tag is under the MAC, so it is what we wrote.
        if found["tag"] != self._tag(site):
            return _FOREIGN
        twin = Twin(TwinState.VALID, found["uid"], int(found["issued"]), key_id == self._first.id)
        if len(self._verified) >= _REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[site, text] = twin
        return twin


def is_writable(uid: str) -> bool:
    """Tell whether a UID can stand in a cookie without quotes: 1 to 128 of the characters that RFC 6265 allows there."""
    return _WRITABLE.match(uid) is not None


def _tag(site: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(site.lower().encode()).digest())[:_TAG_CHARACTERS].decode()


def _mac(secret: bytes, signed: str) -> str:
    return urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")[:_MAC_BYTES])[:22].decode()
