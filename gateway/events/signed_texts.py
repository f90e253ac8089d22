"""Texts that the gateway lends to a browser in a cookie and takes back only as it wrote them, from whom it wrote them for.

A signed text is `1.<key id>.<text, base64url>.<MAC>`; the MAC is over the text and over what it is bound to (site, UID), which does not stand in it. What always
holds: `read` gives only what this ring signed for the same owner, so nothing leads from one person's cookie to another's after a logout; what is remembered is
bounded, and only what was verified is.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.events.keyring import KEY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.keyring import Keyring

Read = TypeVar("Read")

LONGEST = 3_600
"""No signed text is longer, in characters: browsers take 4,096 for name, value and attributes."""
_SIGNED = re.compile(rf"1\.({KEY_ID})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{{22}})\Z")
_MAC_BYTES = 16
_REMEMBERED = 8_192


class SignedTexts(Generic[Read]):
    """Makes and reads signed texts for one purpose; `parse` makes of a text what it means, and `None` of one that means nothing any more."""

    def __init__(self, keyring: Keyring, purpose: bytes, parse: Callable[[str], Read | None]) -> None:
        self._ring = keyring.derive(purpose)
        self._parse = parse
        self._verified: dict[tuple[str, str, str], Read] = {}

    @property
    def is_able(self) -> bool:
        """Whether there is a key to sign with."""
        return len(self._ring) > 0

    def sign(self, text: str, site: str, uid: str) -> str:
        """Give the signed text for a UID on a site; empty without a key, and for a text that would be too long."""
        first = self._ring.first
        if first is None:
            return ""
        body = urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")
        signed = f"1.{first.id}.{body}"
        found = f"{signed}.{_mac(first.secret, signed, site, uid)}"
        return found if len(found) <= LONGEST else ""

    def read(self, signed: str, site: str, uid: str) -> Read | None:
        """Give what a signed text means; `None` for anything else, whatever it is."""
        known = self._verified.get((signed, site, uid))
        if known is not None:
            return known
        found = _SIGNED.match(signed) if len(signed) <= LONGEST else None
        secret = self._ring.secret(found[1]) if found is not None else None
        if found is None or secret is None:
            return None
        mac = found[3]
        if not hmac.compare_digest(_mac(secret, signed[: -len(mac) - 1], site, uid), mac):
            return None
        meant = self._parse(urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode())
        if meant is not None:
            if len(self._verified) >= _REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[signed, site, uid] = meant
        return meant


def _mac(secret: bytes, signed: str, site: str, uid: str) -> str:
    text = f"{signed}\0{site}\0{uid}".encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(hmac.digest(secret, text, "sha256")[:_MAC_BYTES])[:22].decode()
