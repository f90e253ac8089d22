"""The first-party cookies that carry the UID: how they are read, when they are set, and when they must not be.

Two cookies hold the same UID. Scripts read and write the plain one, and browsers cut short what scripts write; the signed twin
is `HttpOnly` and restores it. A third, when it is named, holds the UID's PPID. What always holds: a visitor who has a UID keeps it
until a reset or until the gateway itself gave the event another. Late events of an earlier UID (kept by the page until the next visit), and links
and images that name somebody's UID (a message that was passed on), would otherwise make two people one. The plain cookie wins
over the twin, because a page writes it at a reset. Cookies are set when they change, and renewed at most once in `renew_hours`.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.ppid import ppid
from gateway.events.remembering import remembered_together
from gateway.events.twin import ABSENT, UNREADABLE, Twin, TwinSigner, TwinState, is_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.events.keyring import Keyring
    from gateway.settings import Cookies

_SECONDS_A_DAY = 86_400
# A clock that runs ahead: beyond this a twin from the future is written anew, so that it can age.
_SKEW_SECONDS = 300
# How many cookies of one name are looked at: host-only, the site's, a parent's. The rest is somebody's joke.
_MAX_SAME_NAME = 8
_HOSTS = 1_024
# A visitor's header is the same for many events, and several names are looked for in each: some thousand visitors' are remembered, 16 MB at most.
_JARS = 16_384
_LONGEST_JAR = 4_096
_MAX_HOST = 255
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+\Z")
_VALID = TwinState.VALID
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}

Headers = tuple[tuple[str, str], ...]


class Visitor(NamedTuple):
    """Who a visitor is by the cookies: `uid`, empty when they name nobody.

    `plain_uid` is the UID of the plain cookie alone. `is_restored`: `uid` came from the twin, the plain cookie is gone. `is_due`:
    the cookies must be written anew, because one is missing, old, under an older key or at odds with the other.
    """

    uid: str = ""
    plain_uid: str = ""
    twin: Twin = ABSENT
    is_restored: bool = False
    is_due: bool = True


STRANGER = Visitor()
"""A visitor without cookies."""


class Reset(NamedTuple):
    """A logout: the UID that it ends and the one that it begins."""

    old: str
    new: str


class UidCookie:
    """Reads and writes the cookies; `usable` gives a UID that may stand in one, or empty text.

    With an empty `keyring` or an empty `cookies.twin_name` there is no twin: then nothing tells how old the plain cookie is, and it
    is renewed with each answer.
    """

    def __init__(self, policy: Cookies, keyring: Keyring, usable: Callable[[str], str]) -> None:
        self._usable = usable
        self._signer = TwinSigner(keyring) if policy.twin_name and len(keyring) else None
        self._plain_name, self._twin_name, self._ppid_name = policy.name, policy.twin_name, policy.ppid_name
        self.names = frozenset({policy.name, policy.twin_name, policy.ppid_name})
        lifetime_s = policy.lifetime_days * _SECONDS_A_DAY
        self._longest_s = lifetime_s
        self._max_age = f"; Max-Age={lifetime_s}" if lifetime_s else ""
        self._flags = f"{'; Secure' if policy.secure else ''}; SameSite={_SAME_SITE[policy.same_site]}"
        # A cookie that dies before it is renewed would be a new visitor a day.
        renew_s = policy.renew_hours * 3_600
        self._renew_s = min(renew_s, lifetime_s / 2) if lifetime_s else renew_s
        # The session ends in the browser; a day without a renewal ends it here.
        self._lifetime_s = lifetime_s or max(renew_s, _SECONDS_A_DAY)
        self._wanted_domain = policy.domain.lower().removeprefix("*").removeprefix(".")
        self._domain = lru_cache(_HOSTS)(_domain)

    def read(self, cookie_header: str, site: str, now_s: float) -> Visitor:
        """Say who the visitor is: by the plain cookie, else by a valid twin of this site. `now_s` is Unix time.

        Of several plain cookies the first usable one counts, unless the twin vouches for another of them: a browser sends an older
        cookie of a narrower domain first, and would undo each reset.
        """
        if not cookie_header:
            return STRANGER
        plain_uids = [uid for text in values(cookie_header, self._plain_name) if (uid := self._usable(text))]
        twin = self._read_twin(cookie_header, site, now_s, plain_uids)
        plain_uid = plain_uids[0] if plain_uids else ""
        if twin.state is not _VALID:
            return Visitor(plain_uid, plain_uid, twin, is_restored=False, is_due=True)
        if twin.uid in plain_uids:
            plain_uid = twin.uid
        is_fresh = -_SKEW_SECONDS <= now_s - twin.issued_s < self._renew_s
        return Visitor(
            plain_uid or twin.uid,
            plain_uid,
            twin,
            not plain_uid,
            not (is_fresh and twin.is_first_key and twin.uid == plain_uid),
        )

    def headers(self, host: str, site: str, visitor: Visitor, uid: str, now_s: float) -> Headers:
        """Give the `Set-Cookie` headers that make `uid` the visitor's, or none when the cookies are as they should be.

        `host` is the request's `Host`, as it came; `site` the property's. A UID that can't stand in a header gives none.
        """
        if (uid == visitor.uid and not visitor.is_due) or not is_writable(uid):
            return ()
        where = self._domain(host, site, self._wanted_domain) if len(host) <= _MAX_HOST else ""
        found = [self._header(self._plain_name, uid, where)]
        if self._signer is not None:
            found.append(
                self._header(self._twin_name, self._signer.sign(site, uid, int(now_s)), where, "; HttpOnly")
            )
        if self._ppid_name:
            found.append(self._header(self._ppid_name, ppid(uid), where))
        return tuple(found)

    def lend(
        self, name: str, value: str, host: str, site: str, *, lifetime_s: int | None, is_hidden: bool
    ) -> tuple[str, str]:
        """Give the `Set-Cookie` header of another's cookie, with the attributes of this site's own.

        It lives for `lifetime_s` (`None`: until the browser is closed; 0: it ends), but no longer than the UID does. `name` and `value` are as
        they may stand in a header.
        """
        max_age = ""
        if lifetime_s is not None and (self._longest_s or not lifetime_s):
            max_age = f"; Max-Age={min(lifetime_s, self._longest_s)}"
        where = self._domain(host, site, self._wanted_domain) if len(host) <= _MAX_HOST else ""
        if name.lower().startswith("__host-"):
            where = ""
        hidden = "; HttpOnly" if is_hidden else ""
        return "Set-Cookie", f"{name}={value}; Path=/{max_age}{where}{self._flags}{hidden}"

    def ended(self, cookie_header: str, host: str, site: str, others: Sequence[str] = ()) -> Headers:
        """Give the `Set-Cookie` headers that end those of the cookies, and of `others`, that a browser has sent: the site's and the host's alike."""
        where = self._domain(host, site, self._wanted_domain) if len(host) <= _MAX_HOST else ""
        return tuple(
            ("Set-Cookie", f"{name}=; Path=/; Max-Age=0{domain}{self._flags}{last}")
            for name, last in (
                (self._plain_name, ""),
                (self._twin_name, "; HttpOnly"),
                (self._ppid_name, ""),
                *((other, "") for other in others),
            )
            if name and values(cookie_header, name)
            for domain in dict.fromkeys((where if not name.lower().startswith("__host-") else "", ""))
        )

    def _read_twin(self, cookie_header: str, site: str, now_s: float, usable: Sequence[str]) -> Twin:
        """Give the newest valid twin, else what the first one is; `usable` are UIDs that are known to be so."""
        best = ABSENT
        if self._signer is None:
            return best
        for text in values(cookie_header, self._twin_name):
            twin = self._signer.read(site, text, now_s, self._lifetime_s)
            if twin.state is _VALID:
                if twin.uid not in usable and not self._usable(twin.uid):
                    # What may be a UID has changed since it was signed.
                    twin = UNREADABLE
                elif best.state is not _VALID or twin.issued_s > best.issued_s:
                    best = twin
            if best is ABSENT:
                best = twin
        return best

    def _header(self, name: str, value: str, domain: str, last: str = "") -> tuple[str, str]:
        # RFC 6265bis, section 4.1.3.2: a __Host- cookie with a Domain is refused.
        where = "" if name.lower().startswith("__host-") else domain
        return "Set-Cookie", f"{name}={value}; Path=/{self._max_age}{where}{self._flags}{last}"


def next_uid(
    visitor: Visitor,
    uid: str,
    *,
    may_set: bool,
    is_own: bool,
    response_type: str,
    is_foreign: bool = False,
    replaced: str = "",
    reset: Reset | None = None,
) -> str | None:
    """Give the UID that the cookies should hold after this answer, or `None` to leave them as they are.

    To be asked for each event of a request that is kept, in turn; the last result goes to `UidCookie.headers`. `uid` is the UID under which the
    event is kept. `may_set`: no server sent it (`is_s2s`), and the page, if any, is of an allowed origin. `is_own`: the event
    itself named its UID or, a link, its customer (so that `uid` is not the cookie's, and no fresh one). `is_foreign`: another than a
    page of the property may have made the browser send it. `replaced`: the UID that the event came with, when the gateway
    gave it another (`on_conflict = new_uid`), else empty. `reset`: what `reset_of` found.
    """
    has = visitor.uid
    # A link that somebody laid out: what it names is not its reader's, and it ends nothing.
    if not may_set or (is_foreign and (is_own or reset is not None)):
        return None
    # A message that was passed on; but a page of ours may sign its visitor out by an image.
    is_link = is_own and response_type in {"redirect", "pixel"}
    if is_link and (reset is None or not has):
        return None
    if reset is not None:
        # A page that signs out with no UID in sight means whoever the twin remembers.
        may_end = not has or visitor.is_restored or has in {reset.new, reset.old, uid}
        return reset.new if may_end else None
    return uid if not has or has == uid or (replaced and has == replaced) else None


def reset_of(
    fields: Mapping[str, object], usable: Callable[[str], str], fresh_uid: Callable[[], str]
) -> Reset | None:
    """Give the logout that an event tells of (`user` / `reset_anonymous_id`), or `None`.

    The new UID is `extra.generate_uid` when it is usable, else `fresh_uid()`: the logout happens in any case.
    """
    if fields.get("ec") != "user" or fields.get("ea") != "reset_anonymous_id":
        return None
    extra = fields.get("extra")
    given = extra if isinstance(extra, dict) else {}
    generated = given.get("generate_uid")
    new = usable(generated) if isinstance(generated, str) else ""
    return Reset(str(given.get("reset_uid", "")), new or fresh_uid())


def _values(cookie_header: str, name: str) -> tuple[str, ...]:
    found: list[str] = []
    assignment = f"{name}="
    start = cookie_header.find(assignment)
    while start >= 0 and len(found) < _MAX_SAME_NAME:
        behind = start + len(assignment)
        # As browsers write it, or otherwise.
        if cookie_header.startswith("; ", start - 2) or _begins_cookie(cookie_header, start):
            end = cookie_header.find(";", behind)
            text = cookie_header[behind : end if end >= 0 else None]
            found.append(text.strip(" \t").strip('"'))
        start = cookie_header.find(assignment, behind)
    return tuple(found)


values = remembered_together(_JARS, _values, _LONGEST_JAR)
"""Give the values of the cookies of this name in a `Cookie` header, in order, the first 8; `my_asm_uid=…` is another cookie."""


def _begins_cookie(header: str, start: int) -> bool:
    if start and header[start - 1] not in "; \t":
        return False
    # Nobody writes more than one blank; a header full of them must not cost a walk through it.
    before = header[max(0, start - 4) : start].rstrip(" \t")
    return before.endswith(";") or (not before and start <= 4)


def _domain(host: str, site: str, wanted: str) -> str:
    """Give the `Domain` attribute; empty (the cookie is the host's alone) for what a browser would refuse."""
    domain = wanted or site.lower()
    name = host.partition(":")[0].lower()
    # A name without a dot (localhost) is no domain that hosts could share, and neither is an address.
    if (
        wanted == "host"
        or not _DOMAIN.match(domain)
        or not f".{name}".endswith(f".{domain}")
        or _is_address(name)
    ):
        return ""
    return f"; Domain={domain}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
