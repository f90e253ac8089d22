"""The first-party cookie that carries the UID: how it is read, when it is set, and when it must not be.

What always holds: a visitor who has a UID keeps it until a reset. Late events of an earlier UID (kept by the page until the
next visit), and links and images that name somebody's UID (a message that was passed on), would otherwise make two people one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.events.decisions import Pending, Prepared, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import Cookies

NAME = "_asm_uid"
_ASSIGNMENT = f"{NAME}="
_SECONDS_A_DAY = 86_400


def read(header: str) -> str:
    """Give the UID in a `Cookie` header, or empty text."""
    start = header.find(_ASSIGNMENT)
    # `my_asm_uid=…` is another cookie.
    while start > 0 and header[start - 1] not in "; ":
        start = header.find(_ASSIGNMENT, start + 1)
    return header[start + len(_ASSIGNMENT) :].partition(";")[0].strip().strip('"') if start >= 0 else ""


class UidCookie:
    """Decides what an answer does to the visitor's cookie; `usable` gives a UID that may stand in one, or empty text."""

    def __init__(self, policy: Cookies, usable: Callable[[str], str]) -> None:
        self._domain = lru_cache(1_024)(_domain)
        self._attributes = f"; Path=/; Max-Age={policy.lifetime_days * _SECONDS_A_DAY}"
        self._flags = f"{'; Secure' if policy.secure else ''}; SameSite=Lax"
        self._usable = usable

    def headers(self, prepared: Prepared, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        """Give the `Set-Cookie` header of an answer (400 days, renewed with each), or none."""
        envelope, head, property_ = prepared.envelope, prepared.request.head, prepared.owner
        if envelope.is_s2s or property_ is None or (head.origin and not prepared.origin_allowed):
            return ()
        has, uid = prepared.cookie_uid, verdict.uid
        if verdict.action == "reset_anonymous_id" and verdict.category == "user":
            uid, replaceable = self._after_reset(prepared, verdict)
            if has and has not in replaceable:
                return ()
        else:
            from_link = prepared.uid_source == "event" and envelope.response_type in {"redirect", "pixel"}
            if from_link or (has and has != uid):
                return ()
        domain = self._domain(head.host, property_.site)
        return (("Set-Cookie", f"{NAME}={uid}{self._attributes}{domain}{self._flags}"),)

    def _after_reset(self, prepared: Prepared, verdict: Verdict) -> tuple[str, set[str]]:
        """Give the UID after a logout, and those that it may replace in the cookie."""
        pending = next(
            each
            for each in prepared.events
            if isinstance(each, Pending) and each.event_id == verdict.event_id
        )
        extra = pending.fields.get("extra", {})
        generated, reset = extra.get("generate_uid"), extra.get("reset_uid")
        uid = (self._usable(generated) if isinstance(generated, str) else "") or prepared.stamp.fresh_uid()
        return uid, {uid, str(reset), verdict.uid}


def _domain(host: str, site: str) -> str:
    name = host.partition(":")[0].lower()
    # A name without a dot (localhost) is no domain that hosts could share.
    return f"; Domain={site}" if "." in site and f".{name}".endswith(f".{site}") else ""
