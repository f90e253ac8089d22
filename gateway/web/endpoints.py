"""What stands at the public paths: each endpoint takes a request as plain values and answers it once.

The paths here are the usual names; `gateway.web.directory` knows the others. A transport looks an endpoint up by its path (`gateway.web.public`), refuses methods that are not among its own, reads the body where
one is taken, and hands over. What always holds: an endpoint never raises, and calls `answer` exactly once, maybe before it returns.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol

from gateway.assets.served import Served
from gateway.events.model import Reply
from gateway.events.ppid import METHODS as PPID_METHODS
from gateway.events.ppid import PATH as PPID_PATH
from gateway.events.replies import PIXEL
from gateway.settings_paths import EVENT, ICON, SCRIPT, SOURCE_MAP, STREAM_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.assets.own import OwnScript
    from gateway.events.model import Request
    from gateway.web.ingest import Ingest

ROBOTS = "/robots.txt"

COLLECT_PATHS = (EVENT, STREAM_EVENT)


class Endpoint(Protocol):
    """One of the gateway's answers to the public.

    `methods` are those that it answers, for `Allow`; `max_body_bytes` bounds the body of a POST, and is 0 where none is read.
    """

    methods: tuple[str, ...]
    max_body_bytes: int

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Answer a complete request of one of its methods."""


class Collect:
    """Takes events."""

    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "OPTIONS")

    def __init__(self, ingest: Ingest) -> None:
        self.max_body_bytes = ingest.max_body_bytes
        self._ingest = ingest

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Take the events of a GET or POST, answer a preflight."""
        method = request.head.method
        if method == "OPTIONS":
            answer(self._ingest.preflight(request))
        elif method == "HEAD":
            answer(self._ingest.glance(request))
        else:
            self._ingest.submit(request, answer)


class Ppid:
    """Tells who the visitor is to Google Ad Manager."""

    methods: tuple[str, ...] = tuple(PPID_METHODS.split(", "))
    max_body_bytes = 0

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Answer from the visitor's cookies."""
        answer(self._ingest.ppid(request))


class Script:
    """Gives our own script."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0

    def __init__(self, script: OwnScript) -> None:
        self._script = script

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Give it in the coding that the client takes, or say that it has it already."""
        head = request.head
        answer(self._script.at(head.path).answer(head.accept_encoding, head.if_none_match))


class SourceMap:
    """Gives a browser's debugger the readable lines of our own script; made when the first one asks."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0

    def __init__(self, source_map: Callable[[], bytes]) -> None:
        self._served = cache(lambda: Served(source_map(), "application/json", in_haste=True))

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Give the map."""
        answer(self._served().answer(request.head.accept_encoding, request.head.if_none_match))


class Icon:
    """Gives browsers that look for an icon an empty one."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0
    _EMPTY = Reply(200, (("Content-Type", "image/gif"), ("Cache-Control", "public, max-age=86400")), PIXEL)

    def answer(self, _: Request, answer: Callable[[Reply], None]) -> None:
        """Give the empty icon."""
        answer(self._EMPTY)


class Honeypot:
    """Answers what no person asks for with nothing, and has who asks remembered."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0
    _NOTHING = Reply(204, (("Cache-Control", "no-store"),))

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Remember who asks."""
        self._ingest.trap(request)
        answer(self._NOTHING)


class Robots:
    """Tells honest crawlers what not to ask for."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0

    def __init__(self, *paths: str) -> None:
        lines = "".join(f"Disallow: {path}\n" for path in paths)
        fields = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "public, max-age=3600"))
        self._reply = Reply(200, fields, f"User-agent: *\n{lines}".encode())

    def answer(self, _: Request, answer: Callable[[Reply], None]) -> None:
        """Give `robots.txt` (RFC 9309)."""
        answer(self._reply)


def traps(ingest: Ingest, honeypot_path: str) -> Mapping[str, Endpoint]:
    """Give the honeypot, where one is set, and the file that warns of it."""
    return {honeypot_path: Honeypot(ingest), ROBOTS: Robots(honeypot_path)} if honeypot_path else {}


def endpoints(
    ingest: Ingest,
    script: OwnScript,
    shelves: Mapping[str, Endpoint] | None = None,
    source_map: Callable[[], bytes] | None = None,
) -> Mapping[str, Endpoint]:
    """Give what stands at each public path, by its usual name; `shelves` hold the vendor's scripts, where pages get those.

    `source_map` gives the map of our own script.
    """
    collect = Collect(ingest)
    return {
        SCRIPT: Script(script),
        # A vendor's script may name a map of its own, which this is not.
        **({SOURCE_MAP: SourceMap(source_map)} if source_map and SCRIPT not in (shelves or {}) else {}),
        **(shelves or {}),
        **dict.fromkeys(COLLECT_PATHS, collect),
        PPID_PATH: Ppid(ingest),
        ICON: Icon(),
    }
