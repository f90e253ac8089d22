"""The sessions of visitors whose client makes none: when one ends, and what the next one is called.

What always holds: a session does not end before its visitor has been away for `inactivity_minutes`, nor later than a tenth of that (a minute at most) after;
its id is made of the UID, the session's number, its campaign and the half hour that it began in, so that events that arrive at once, at whichever
workers, begin the same one. Whoever has another UID has another session: the cookie is bound to it (`gateway.events.signed_texts`).
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
import orjson

from gateway.events.cookies import values

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from gateway import settings_visits
    from gateway.events.keyring import Keyring

_PURPOSE = b"tracking-gateway session id 1"
_LONGEST_RENEWAL_S = 60
_LONGEST_PAGE = 300
_SCRIPTS = "_asm_ss_view"
_LONGEST_SCRIPTS = 1_024


class Session(msgspec.Struct, frozen=True):
    """One session. Times are Unix seconds: when it began, and when its cookie was written last. `number` counts the visitor's, from 1.

    `campaign` is the short name of the one that it came by, empty for none; `page` the first page, empty when it is not known.
    """

    id: str
    began_s: int
    written_s: int
    number: int = 1
    campaign: str = ""
    page: str = ""


def parse(text: str) -> Session | None:
    """Read a session as `written` writes it."""
    parts = text.split(" ", 5)
    if len(parts) != 6:
        return None
    return Session(parts[0], int(parts[1]), int(parts[2]), int(parts[3]), parts[4], parts[5])


def written(session: Session) -> str:
    """Write a session for its cookie."""
    one = session
    return f"{one.id} {one.began_s} {one.written_s} {one.number} {one.campaign} {one.page}"


class Sessions:
    """Goes on with sessions and begins them; compiled once from the settings."""

    def __init__(self, policy: settings_visits.Session, keyring: Keyring) -> None:
        self._inactivity_s = round(policy.inactivity_minutes * 60)
        self._renewal_s = min(_LONGEST_RENEWAL_S, self._inactivity_s // 10)
        self._at_midnight = policy.new_at_midnight
        self._on_campaign = policy.new_on_campaign
        key = keyring.derive(_PURPOSE).first
        self._secret = key.secret if key else b""

    def next(
        self,
        last: Session | None,
        now_s: int,
        site: str,
        uid: str,
        campaign: str,
        page: str,
        zone: tzinfo | None,
    ) -> Session:
        """Give the session that an event is of: `last`, the one that the browser knows of, or a new one.

        It is `last` itself unless its cookie is to be written. `campaign` is the one that the event's page came by, empty for none; `zone` the property's.
        """
        if last is not None and self._goes_on(last, now_s, campaign, zone):
            if now_s - last.written_s < self._renewal_s:
                return last
            return msgspec.structs.replace(last, written_s=now_s)
        number = last.number + 1 if last is not None else 1
        name = self._name(site, uid, number, now_s // self._inactivity_s, campaign)
        return Session(name, now_s, now_s, number, campaign, page[:_LONGEST_PAGE])

    def _goes_on(self, last: Session, now_s: int, campaign: str, zone: tzinfo | None) -> bool:
        if now_s - last.written_s >= self._inactivity_s + self._renewal_s:
            return False
        if self._on_campaign and campaign and campaign != last.campaign:
            return False
        return not self._at_midnight or _day(now_s, zone) == _day(last.began_s, zone)

    def _name(self, site: str, uid: str, number: int, window: int, campaign: str) -> str:
        text = f"{site}\0{uid}\0{number}\0{window}\0{campaign}".encode("utf-8", "surrogatepass")
        value = int.from_bytes(hmac.digest(self._secret, text, "sha256")[:8], "big")
        return str(value & ((1 << 63) - 1) or 1)

    def of_script(self, cookie_header: str, now_ms: int, usable: Callable[[str], str]) -> str:
        """Give the id of the session that the page's script is in, by its own cookie; empty when there is none, or it has ended."""
        for text in values(cookie_header, _SCRIPTS):
            if len(text) > _LONGEST_SCRIPTS:
                continue
            try:
                said = orjson.loads(unquote(text))
            except orjson.JSONDecodeError:
                continue
            if isinstance(said, dict) and isinstance(used := said.get("utime"), int | float):
                away_ms = now_ms - used
                if abs(away_ms) < self._inactivity_s * 1_000:
                    return usable(str(said.get("sid", "")))
        return ""


def _day(seconds: int, zone: tzinfo | None) -> int:
    return datetime.fromtimestamp(seconds, zone).toordinal()
