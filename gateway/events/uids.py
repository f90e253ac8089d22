"""Which UIDs may be used: opaque ids that can stand in a cookie, a log line and a URL as they are.

What always holds: no UID that this module gives is a raw address or one of the words that pages send when they have none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.events.outcome import Reason, Rejection

if TYPE_CHECKING:
    from gateway.events.identity import Identities
    from gateway.events.model import JsonObject

# No `@`, no blank: an id is no address.
_UID = re.compile(r"[A-Za-z0-9_.:~+/=|-]{1,128}\Z")
_BAD = Rejection(Reason.BAD_FIELD, "uid", "must be an opaque id of at most 128 letters, digits and -_.:~+/=|")


class Uids:
    """Reads UIDs; `identities` knows raw addresses and placeholders."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def own(self, fields: JsonObject) -> str | Rejection:
        """Give the UID that the event itself carries, empty when none; a raw address in `uid` or `aid` becomes its hash.

        An `aid` that is a placeholder is taken away: it would be many people's.
        """
        uid: str = fields.get("uid", "")
        aid: str = fields.get("aid", uid)
        if _is_own_kind(uid) and aid == uid:
            return uid
        if "aid" in fields:
            aid = aid.strip()
            if self._identities.is_placeholder(aid):
                del fields["aid"]
            else:
                fields["aid"] = self._identities.opaque_uid(aid)
        uid = uid.strip()
        if not uid or self._identities.is_placeholder(uid):
            return ""
        uid = self._identities.opaque_uid(uid)
        return uid if _UID.match(uid) else _BAD

    def usable(self, uid: str) -> str:
        """Give a UID or session id that came in a cookie or a field when it may be used, else empty text."""
        if _is_own_kind(uid):
            return uid
        if not uid or not _UID.match(uid) or self._identities.is_placeholder(uid):
            return ""
        # A cookie is the browser's: what stands in it may be a phone number.
        return uid if self._identities.opaque_uid(uid) == uid else ""


def _is_own_kind(uid: str) -> bool:
    """Tell of the commonest UIDs, decimal numbers as the CDP and this gateway make them, that there is nothing to check."""
    return 9 <= len(uid) <= 19 and uid.isdigit() and uid.isascii() and uid[0] != "0"
