"""One of the vendor's assets as this process gives it to pages: an endpoint that looks a ready reply up.

What always holds: a request is answered once; as long as there is a copy no request waits; one that comes before there is any waits for a bounded
time, and then gets an answer that breaks no page: an empty script that nobody may keep, with a status that monitors see. Where all copies were rejected
that status is 404, because a CDN may answer for a server that is in trouble (5xx) with what it has, for days (`stale-if-error`). Which of the gateway's own
names is in the script follows from the request's `Host` only where the settings know that name; any other host gets the first one's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.events.model import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.assets.served import Served
    from gateway.events.model import Request

_MOST_WAITING = 1_000


class Shelf:
    """What stands at an asset's path. To be used in one event loop.

    `first_wait_seconds` is how long a request waits at most for a first copy.
    """

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0

    def __init__(self, path: str, content_type: str, *, first_wait_seconds: float) -> None:
        self.path = path
        self._first_wait = first_wait_seconds
        self._by_host: dict[str, Served] = {}
        self._default: Served | None = None
        self._waiting: dict[int, tuple[Request, Callable[[Reply], None], asyncio.TimerHandle]] = {}
        self._next = 0
        self._is_closed = False
        self._is_refused = False
        comment = (
            b"/* the gateway has no copy of this script yet */\n" if "javascript" in content_type else b""
        )
        headers = (
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Access-Control-Allow-Origin", "*"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
        )
        self._nothing = Reply(503, (*headers, ("Retry-After", "5")), comment)
        self._refused = Reply(404, headers, comment)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to serve."""
        return self._default is None

    def put(self, renditions: Mapping[str, Served]) -> None:
        """Serve this from now on: one form for each of the gateway's own URLs, the first for every other; none takes the asset away."""
        self._by_host = {host: served for url, served in renditions.items() for host in _hosts_of(url)}
        self._default = next(iter(renditions.values()), None)
        self._is_refused = False
        if self._default is not None:
            waiting, self._waiting = self._waiting, {}
            for request, answer, timer in waiting.values():
                timer.cancel()
                self.answer(request, answer)

    def refuse(self) -> None:
        """Serve nothing, because nothing may be served: nobody waits for that to change."""
        self.put({})
        self._is_refused = True
        self._let_go()

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Give the asset in the coding that the client takes, or say that it has it already."""
        head = request.head
        served = self._by_host.get(head.host.lower()) or self._default
        if served is not None:
            answer(served.answer(head.accept_encoding, head.if_none_match))
        elif self._is_refused:
            answer(self._refused)
        elif self._is_closed or not self._first_wait or len(self._waiting) >= _MOST_WAITING:
            answer(self._nothing)
        else:
            self._next += 1
            timer = asyncio.get_running_loop().call_later(self._first_wait, self._over, self._next)
            self._waiting[self._next] = (request, answer, timer)

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        self._let_go()

    def _let_go(self) -> None:
        for number in list(self._waiting):
            self._over(number)

    def _over(self, number: int) -> None:
        _, answer, timer = self._waiting.pop(number)
        timer.cancel()
        answer(self._refused if self._is_refused else self._nothing)


def _hosts_of(url: str) -> tuple[str, ...]:
    """Give what clients write into `Host` for a URL."""
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}[parts.scheme]
    name = parts.netloc.removesuffix(usual)
    return (name, name + usual) if parts.port in {None, 443, 80} else (name,)
