"""Visits: the session of an event whose client made none, the visitor's first and last touch, and the cookies that keep them.

What always holds: nothing is added or kept for a server's events, for what another site's page or a link that was passed on made a browser send, for a visitor
who has not agreed, or for an event of another UID than the browser's; nothing that the client sent is overwritten; a cookie is written only when what it
says has changed, or once in a minute while a session lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events import meta_ids, sessions, touches
from gateway.events.campaign import Campaigns
from gateway.events.clock import Clock
from gateway.events.cookies import values
from gateway.events.sessions import Sessions
from gateway.events.signed_texts import SignedTexts

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.campaign import Landing
    from gateway.events.cookies import Headers, UidCookie
    from gateway.events.decisions import Pending, Prepared
    from gateway.events.keyring import Keyring
    from gateway.events.model import JsonObject
    from gateway.events.visit import Visit
    from gateway.events.world import World
    from gateway.settings import Settings

TOUCH_PURPOSE = b"tracking-gateway touch cookie 1"
"""What the touch cookie's key is made for."""
_SECONDS_A_DAY = 86_400


class Visits:
    """Compiled once from the settings; `usable` gives a session id that may be used, or empty text."""

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring,
        cookie: UidCookie,
        world: World,
        usable: Callable[[str], str],
    ) -> None:
        self._cookie, self._usable = cookie, usable
        self._campaigns = Campaigns(settings.campaign)
        self._clock = Clock(settings.clock, world.zone)
        self._sessions = Sessions(settings.session, keyring)
        self._visit_signer = SignedTexts(keyring, b"tracking-gateway session cookie 1", sessions.parse)
        self._touch_signer = SignedTexts(keyring, TOUCH_PURPOSE, touches.parse)
        self._visit_name = settings.session.cookie if self._visit_signer.is_able else ""
        self._touch_name = settings.campaign.touch_cookie if self._touch_signer.is_able else ""
        self._touch_lifetime_s = settings.campaign.touch_lifetime_days * _SECONDS_A_DAY
        self._makes_meta_ids = settings.campaign.meta_ids
        self._zones = {
            (each.portal_id, each.prop_id): world.zone(each.timezone)
            for each in settings.properties
            if settings.session.new_at_midnight
        }
        self._quiet = frozenset(
            (each.portal_id, each.prop_id) for each in settings.properties if not each.makes_sessions
        )
        metas = (meta_ids.BROWSER, meta_ids.CLICK) if self._makes_meta_ids else ()
        self.names = tuple(name for name in (self._visit_name, self._touch_name, *metas) if name)

    def add(self, prepared: Prepared, pending: Pending, *, is_nobodys: bool) -> None:
        """Add to an event, in place, what is known of its clock, its campaign, its session and its visitor's touches."""
        fields = pending.fields
        context, extra = fields["context"], fields["extra"]
        self._clock.add(pending, extra, context, prepared.stamp.now_ms)
        landing = self._campaigns.landing(context, prepared.occasion)
        if landing.source is not None:
            self._campaigns.add(context, extra, landing)
        if is_nobodys or not _is_the_visitors(prepared, pending):
            return
        visit = self._visit(prepared, pending.uid)
        if not fields.get("sid"):
            self._add_session(prepared, pending, visit, landing)
            pending.session = fields.get("sid", "")
        if self._touch_name:
            self._add_touches(prepared, context, visit, landing)
        if self._makes_meta_ids:
            click, is_erased = landing.click_ids.get("fbclid", ""), pending.cause == "erased"
            meta_ids.add(extra, prepared, click, visit.meta_ids, is_erased=is_erased)

    def headers(self, prepared: Prepared, uid: str) -> Headers:
        """Give the `Set-Cookie` headers that keep the visit of this UID, which the browser will have after this answer."""
        visit = prepared.visit
        if not (visit.has_new_session or visit.has_touched or visit.meta_ids) or visit.uid != uid:
            return ()
        owner = prepared.owner
        assert owner is not None
        host, site = prepared.request.head.host, owner.site
        found: list[tuple[str, str]] = []

        def lend(name: str, value: str, lifetime_s: int, *, is_hidden: bool = True) -> None:
            if value:
                found.append(
                    self._cookie.lend(name, value, host, site, lifetime_s=lifetime_s, is_hidden=is_hidden)
                )

        if visit.session is not None and visit.has_new_session:
            # As long as the UID's: it is what counts a visitor's sessions.
            lifetime_s = 400 * _SECONDS_A_DAY
            lend(
                self._visit_name,
                self._visit_signer.sign(sessions.written(visit.session), site, uid),
                lifetime_s,
            )
        if visit.has_touched and visit.touches is not None:
            text = self._touch_signer.sign(touches.written(visit.touches), site, uid)
            lend(self._touch_name, text, self._touch_lifetime_s)
        for name, value in visit.meta_ids.items():
            lifetime_s = meta_ids.lifetime_s() if value else 0
            found.append(self._cookie.lend(name, value, host, site, lifetime_s=lifetime_s, is_hidden=False))
        return tuple(found)

    @staticmethod
    def _visit(prepared: Prepared, uid: str) -> Visit:
        visit = prepared.visit
        if visit.uid != uid:
            visit.uid, visit.session, visit.touches = uid, None, None
            visit.session_is_read = visit.has_new_session = visit.has_touched = False
        return visit

    def _add_session(self, prepared: Prepared, pending: Pending, visit: Visit, landing: Landing) -> None:
        fields = pending.fields
        head, stamp, owner = prepared.request.head, prepared.stamp, prepared.owner
        assert owner is not None
        key = (owner.portal_id, owner.prop_id)
        if not self._visit_name or key in self._quiet:
            return
        own = ""
        # Under another UID than it came with, it is not of the session that the script is in: that one is the first person's.
        if head.cookie and not pending.came_with:
            own = self._sessions.of_script(head.cookie, stamp.now_ms, self._usable)
        if own:
            # The page's script tells its sessions by itself; this event of the page only went another way.
            fields["sid"] = own
            return
        # A client that keeps no cookies can't be in a session that a cookie tells; a browser's first event may be.
        if not (head.cookie or head.origin or head.fetch_site):
            return
        if not visit.session_is_read:
            visit.session_is_read = True
            texts = values(head.cookie, self._visit_name)
            read = (self._visit_signer.read(text, owner.site, visit.uid) for text in texts)
            visit.session = next((each for each in read if each is not None), None)
        before = visit.session
        zone = self._zones.get(key)
        session = self._sessions.next(
            before, stamp.now_ms // 1000, owner.site, visit.uid, landing.tag, landing.page, zone
        )
        visit.has_new_session = visit.has_new_session or session is not before
        visit.session = session
        fields["sid"] = session.id
        told = {
            "id": session.id,
            "is_new": before is None or before.id != session.id,
            "number": session.number,
        }
        if session.page:
            told["landing_page"] = session.page
        fields["context"].setdefault("session", told)

    def _add_touches(self, prepared: Prepared, context: JsonObject, visit: Visit, landing: Landing) -> None:
        known, header = visit.touches, prepared.request.head.cookie
        if known is None and header:
            owner = prepared.scope.owner
            assert owner is not None
            for text in values(header, self._touch_name):
                known = self._touch_signer.read(text, owner.site, visit.uid)
                if known is not None:
                    break
        now = touches.touched(known, landing, prepared.occasion.received_at)
        if now is None:
            return
        if now is not known:
            visit.has_touched = True
        visit.touches = now
        context.setdefault("first_touch", now.first_json)
        context.setdefault("last_touch", now.last_json)


def _is_the_visitors(prepared: Prepared, pending: Pending) -> bool:
    """Tell whether an event is the browser's own visitor's, who lets ids be kept; as `gateway.events.cookies.next_uid` sees it."""
    scope = prepared.scope
    envelope = scope.envelope
    if scope.owner is None or envelope.is_s2s or prepared.is_foreign or not pending.consent.may_store:
        return False
    if prepared.request.head.origin and not prepared.origin_allowed:
        return False
    if pending.is_own and envelope.response_type in {"redirect", "pixel"}:
        return False
    has = prepared.visitor.uid
    return not has or has in {pending.uid, pending.came_with}
