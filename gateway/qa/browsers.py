"""Whose browser an event comes from, and how it came to its UID: what the calls themselves tell, for nobody else can.

What always holds: events that a server sends, links that somebody follows and events that are nobody's are no browser's; a UID is one browser's. A UID that
was never seen is another browser's (a window of its own, a test's fresh profile, the next person behind the proxy), unless something proves that it is the
same one: its cookie, its session, or a page, its own or the one that it came from, that was not loaded since.
Of browsers that look alike (a site, an address, a name) the latest 128 can be proved to be one that has another UID now, so that a crowd costs no more than they do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from gateway.events.cookies import reset_of
from gateway.events.identity import Identities
from gateway.events.outcome import Reason
from gateway.events.screening import host_matches
from gateway.events.uids import Uids
from gateway.qa.answers import uids_given
from gateway.qa.pages import Loads, Page, came_from, page_of

if TYPE_CHECKING:
    from gateway.events.cookies import Reset
    from gateway.events.model import JsonObject
    from gateway.events.screening import Property
    from gateway.qa.calls import Call
    from gateway.qa.session import Examined, Sight
    from gateway.settings import Settings

How = Literal["first", "same", "reset", "given", "changed", "back"]
"""How a browser came to a UID: it was never seen, it has it, a reset made it, the gateway or the collector gave it, or none of that; `back`: to one that a reset ended."""

_MOST_PAGES = 64
_MOST_ALIKE = 128
_MOST_AT_ONCE = 4_096


class Browser(msgspec.Struct, eq=False):
    """A browser and the UIDs that it had; `uid` is the one it has, empty after a reset that names none.

    `is_customers`: an event under its UID has named a customer. `ended` are the UIDs that resets have ended, each with the client's time of it. `last` is the number of its last call, `arrived` of that which began its page;
    `pages` has those of the pages before too.
    """

    number: int
    portal_id: str
    site: str
    peer: str
    agent: str
    uid: str
    since: int
    last: int
    last_ms: int
    page: Page
    arrived: int
    begins_by_view: bool
    is_customers: bool = False
    ended: dict[str, str] = {}
    sessions: set[str] = set()
    pages: dict[str, int] = {}


class Seen(NamedTuple):
    """What an event tells of its browser: under which UID it came, which one stood before it (empty for none) and in which call that was last, and how it changed."""

    browser: Browser
    uid: str
    was: str
    before: int
    how: How
    reset: Reset | None = None


class Browsers:
    """Tells browsers apart: call `see` for each event, `passed` for each call that is not tracking and `heard` for each answer, in order."""

    def __init__(self, settings: Settings) -> None:
        identities = Identities(settings.identity)
        self._opaque, self._usable = identities.opaque_uid, Uids(identities).usable
        self._cookie = settings.cookies.name
        self._sites = tuple(dict.fromkeys(each.site for each in settings.properties))
        self._loads = Loads()
        self._of_uid: dict[tuple[str, str], Browser] = {}
        self._given: dict[tuple[str, str], Browser | None] = {}
        self._count = 0
        self._latest: deque[Browser] = deque(maxlen=_MOST_AT_ONCE)
        self._alike: dict[tuple[str, str, str, str], deque[Browser]] = {}

    def see(self, sight: Sight) -> Seen | None:
        """Tell whose browser an event comes from; `None` where it is no browser's."""
        uid = self._uid(sight)
        if not uid or not isinstance(sight.original, dict):
            return None
        fields, portal_id = sight.original, sight.prepared.envelope.portal_id
        page = page_of(sight.call, fields)
        if sight.call.method == "GET" and not _is_of(sight.prepared.owner, page):
            # A link in a message, an image in a mail, also in one that is read in a browser.
            return None
        reset = reset_of(fields, self._usable, str)
        if reset is not None:
            reset = reset._replace(old=self._opaque(reset.old))
            seen = self._reset(sight, portal_id, uid, reset, page)
        else:
            seen = self._event(sight, portal_id, uid, page)
        self._note(seen, sight, page)
        return seen

    def passed(self, call: Call) -> None:
        """Hear of a call that is not tracking."""
        self._loads.passed(call)

    def heard(self, examined: Examined) -> None:
        """Hear an answer: a UID that it gives is no change of the page's."""
        if examined.heard is not None and examined.taken.prepared is not None:
            portal_id = examined.taken.prepared.envelope.portal_id
            for uid in uids_given(examined.heard, self._cookie):
                self._given.setdefault((portal_id, uid), None)

    def at(self, call: Call) -> list[Browser]:
        """Give the browsers that a call to the site itself may come from, the likeliest first.

        That is a customer's that was in use beside the one that was heard last, then that one, then the others.
        """
        there = [
            each
            for each in self._latest
            if (not call.peer or each.peer == call.peer)
            and host_matches(call.host, (each.site, f"*.{each.site}"))
        ]
        there.sort(key=lambda each: -each.last)
        if not there:
            return there
        last = there[0]
        return sorted(
            there,
            key=lambda each: 0 if each.is_customers and each.last >= last.since else 1 if each is last else 2,
        )

    def _uid(self, sight: Sight) -> str:
        """Give the UID that an event came with, its own or its cookie's; empty where it is no browser's."""
        pending, prepared = sight.pending, sight.prepared
        if pending is None or prepared.envelope.is_s2s or sight.verdict.reason is Reason.DUPLICATE:
            return ""
        if prepared.envelope.response_type == "redirect" or sight.call.header("sec-fetch-mode") == "navigate":
            return ""
        key = (prepared.envelope.portal_id, pending.uid)
        uid = pending.came_with or pending.uid
        if not pending.is_own and uid != prepared.visitor.uid:
            # The gateway has made it just now: the page may take it, or never hear of it.
            self._given.setdefault(key, None)
            return ""
        return uid

    def _event(self, sight: Sight, portal_id: str, uid: str, page: Page) -> Seen:
        browser = self._of_uid.get((portal_id, uid))
        if browser is not None:
            was, before = browser.uid, browser.last
            if uid == was or not _is_later(sight.original, browser.ended.get(uid)):
                how: How = "same"
                if uid not in browser.ended:
                    browser.uid = uid
            else:
                del browser.ended[uid]
                how, browser.uid = "back", uid
        else:
            browser, how = self._owner(sight, portal_id, uid, page)
            was, before = ("", 0) if how == "first" else (browser.uid, browser.last)
            browser.uid = uid
            self._of_uid[portal_id, uid] = browser
        pending = sight.pending
        if pending is not None and pending.came_with:
            self._given[portal_id, pending.uid] = browser
        return Seen(browser, uid, was, before, how)

    def _reset(self, sight: Sight, portal_id: str, uid: str, reset: Reset, page: Page) -> Seen:
        known = (self._of_uid.get((portal_id, each)) for each in (reset.old, uid, reset.new))
        browser = next((each for each in known if each is not None), None)
        if browser is None:
            browser, _ = self._owner(sight, portal_id, reset.old or uid, page)
        was, before = browser.uid, browser.last
        new = reset.new or (uid if uid not in {reset.old, was} else "")
        for each in {was, reset.old} - {new, ""}:
            browser.ended[each] = _time(sight.original)
            self._of_uid.setdefault((portal_id, each), browser)
        if new:
            self._of_uid[portal_id, new] = browser
            browser.ended.pop(new, None)
        browser.uid = new
        return Seen(browser, uid, was if was != new else reset.old, before, "reset", reset)

    def _owner(self, sight: Sight, portal_id: str, uid: str, page: Page) -> tuple[Browser, How]:
        """Give the browser of a UID that was never seen."""
        key, cause = (portal_id, uid), sight.pending.cause if sight.pending is not None else ""
        owner = sight.prepared.owner
        site = owner.site if owner is not None else page.host
        agent = sight.call.header("user-agent")
        like = (portal_id, site, sight.call.peer, agent)
        there = list(reversed(self._alike.get(like, ())))
        proved = self._proved(sight, portal_id, page, there)
        if key in self._given:
            browser = self._given[key] or proved or next(iter(there), None)
            if browser is not None:
                return browser, "given"
        waiting = next((each for each in there if not each.uid), None)
        if waiting is not None and proved in {None, waiting}:
            return waiting, "reset"
        if proved is not None and (cause == "restored" or not sight.prepared.envelope.has_new_uid):
            return proved, "given" if cause == "restored" else "changed"
        self._count += 1
        number, call = self._count, sight.call
        browser = Browser(
            number,
            portal_id,
            site,
            call.peer,
            agent,
            uid,
            call.number,
            call.number,
            call.started_ms,
            page,
            call.number,
            _is_view(sight),
        )
        self._latest.append(browser)
        self._alike.setdefault(like, deque(maxlen=_MOST_ALIKE)).append(browser)
        if len(self._alike) > _MOST_AT_ONCE:
            del self._alike[next(iter(self._alike))]
        self._of_uid[key] = browser
        return browser, "first"

    def _proved(self, sight: Sight, portal_id: str, page: Page, there: list[Browser]) -> Browser | None:
        """Give the browser of which something proves that an event under another UID is its own."""
        fields = sight.original
        assert isinstance(fields, dict)
        by_cookie = self._of_uid.get((portal_id, sight.prepared.visitor.uid))
        if by_cookie is not None:
            return by_cookie
        session, before = _session(fields), came_from(fields)
        for each in there:
            if session and session in each.sessions:
                return each
            if before.host and self._was_left(each, before, page):
                return each
            if page.host == each.page.host and (
                page.path == each.page.path or not (page.path and each.page.path)
            ):
                # A page whose path one of the two events does not tell is any of its host.
                is_loaded = self._loads.since(
                    page if page.path == each.page.path else page._replace(path=""), each.arrived
                )
                if is_loaded is None:
                    is_loaded = not each.begins_by_view or _is_view(sight)
                if not is_loaded:
                    return each
        return None

    def _was_left(self, browser: Browser, before: Page, page: Page) -> bool:
        """Tell whether an event's page before can be this browser's alone: it was there, and nobody has loaded it since."""
        if before.host != page.host:
            # Browsers tell other hosts the origin alone.
            return (
                browser.page.host == before.host
                and self._loads.since(before._replace(path=""), browser.arrived) is False
            )
        arrived = browser.pages.get(before.url)
        return arrived is not None and self._loads.since(before, arrived) is False

    def _note(self, seen: Seen, sight: Sight, page: Page) -> None:
        """Remember where a browser is, and whose."""
        fields, call, browser = sight.original, sight.call, seen.browser
        if seen.how in {"reset", "changed", "back"}:
            browser.is_customers = False
        if seen.uid == browser.uid and sight.verdict.cid:
            browser.is_customers = True
        assert isinstance(fields, dict)
        if _is_view(sight) or page != browser.page:
            browser.arrived, browser.page = call.number, page
        browser.last, browser.last_ms = call.number, call.started_ms
        if session := _session(fields):
            browser.sessions.add(session)
        if page.url:
            browser.pages.pop(page.url, None)
            browser.pages[page.url] = browser.arrived
            if len(browser.pages) > _MOST_PAGES:
                del browser.pages[next(iter(browser.pages))]


def _is_of(owner: Property | None, page: Page) -> bool:
    """Tell whether a page is one of the property's."""
    if owner is None or not page.host:
        return False
    return host_matches(page.host, (owner.site, f"*.{owner.site}")) or owner.allows_origin(
        f"https://{page.host}"
    )


def _is_view(sight: Sight) -> bool:
    return (sight.verdict.category, sight.verdict.action) == ("pageview", "view")


def _session(fields: JsonObject) -> str:
    session = fields.get("sid")
    return str(session) if isinstance(session, str | int) and session else ""


def _time(fields: object) -> str:
    """Give an event's time by its client's clock, to the second, as texts compare; empty where there is none."""
    text = fields.get("et") if isinstance(fields, dict) else None
    return text[:19].replace("T", " ") if isinstance(text, str) and len(text) >= 19 else ""


def _is_later(fields: object, ended: str | None) -> bool:
    """Tell of an event whether it happened after its UID was ended; one that was tracked before, and only comes late, did not."""
    return bool(ended) and _time(fields) > str(ended)
