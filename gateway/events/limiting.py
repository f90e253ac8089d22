"""Whose events come too often: the bounds of `[limits]`, for each visitor's address and each UID.

What always holds: a request that its address is refused for is one event, and is not read, unless it may be a server's (`may_be_servers`); the
events of one UID in a request are taken all or none, so that who sends an array never has to look for those that were left out of the
middle of a visit. What a server sends (`is_s2s`) is never refused for its address: it sends many people's events from one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Reason, Rejection
from gateway.events.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.decisions import Prepared
    from gateway.events.model import Request
    from gateway.settings import Settings

_OF_ADDRESS = Rejection(
    Reason.RATE_LIMITED, "(address)", "too many events from this address; send it again later"
)
_OF_UID = Rejection(Reason.RATE_LIMITED, "uid", "too many events of this UID; send it again later")


class Limiter:
    """Refuses what comes too often."""

    def __init__(self, settings: Settings, client_ip: Callable[[str, str], str]) -> None:
        self._rates = Rates(settings.limits, settings.server.trusted_proxies)
        self._client_ip = client_ip
        self.client_of = self._rates.client_of

    def of_request(self, request: Request, now_ms: int) -> Rejection | None:
        """Take a request out of its address's bucket; gives why it is refused, or `None`."""
        head = request.head
        client = self.client_of(self._client_ip(head.peer, head.forwarded_for))
        return _OF_ADDRESS if client and self._rates.of_address.take(client, now_ms) else None

    def of_uid(self, own: str | Rejection, visitors: str, now_ms: int, let_in: set[str]) -> str | Rejection:
        """Take an event out of the bucket of its own UID, else of the visitor's; gives back `own`, or why the event is refused.

        `let_in` are the UIDs of which the same request has brought events that were taken: the others are too, and make the UID wait the longer
        for the next. One that has no UID gets a fresh one, which nobody has sent too often.
        """
        if isinstance(own, Rejection):
            return own
        uid = own or visitors
        if uid in let_in:
            self._rates.of_uid.charge(uid, now_ms, 1)
        elif uid:
            if self._rates.of_uid.take(uid, now_ms):
                return _OF_UID
            let_in.add(uid)
        return own

    def more(self, prepared: Prepared) -> None:
        """Take the other events of a request that brought several: the first was taken by `of_request`."""
        count, now_ms = len(prepared.events) - 1, prepared.stamp.now_ms
        client = "" if prepared.envelope.is_s2s else self.client_of(prepared.client_ip)
        if client:
            self._rates.of_address.charge(client, now_ms, count)


def may_be_servers(request: Request) -> bool:
    """Tell whether a server may have sent a request: looked at only where it would be refused for its address."""
    head = request.head
    return "is_s2s" in head.query or b"is_s2s" in request.body or bool(head.content_encoding)


def is_servers(prepared: Prepared) -> bool:
    """Tell whether a server has sent a request, and may: to write that it has is nothing where the property asks for a secret."""
    return prepared.envelope.is_s2s and not any(
        isinstance(each, Rejection) and each.reason is Reason.UNAUTHORIZED for each in prepared.events
    )
