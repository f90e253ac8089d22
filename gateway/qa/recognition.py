"""Which calls of a page are tracking: by host and path alone, so that nothing else is read.

What always holds: a call that is not tracking costs one look-up of its host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from gateway.settings_paths import EVENT, SCRIPT, STREAM_EVENT
from gateway.vendor_scripts import public_urls

if TYPE_CHECKING:
    from gateway.settings import Settings

Kind = Literal["event", "script", "other"]
_COLLECT = frozenset((EVENT, STREAM_EVENT))
# A name in the internet's own order: no address, and not `localhost`.
_NAME = re.compile(r"\.[a-z][a-z0-9-]*\Z")
_ENDINGS = (".js", ".map")


class Known(NamedTuple):
    """A call that is tracking: `path` is the one under which the gateway has it, `is_vendors` tells that it went to the vendor's own host."""

    kind: Kind
    path: str
    is_vendors: bool


class Places(Protocol):
    """What a gateway has at its paths (`gateway.qa.inner.Inner`)."""

    def usual(self, path: str) -> str:
        """Give the usual name of what stands at a path; empty where nothing does."""

    def told(self, usual: str) -> str:
        """Give the path that pages are told, of what has this usual name."""


class Recogniser:
    """Knows the tracking names of a site: the gateway's own, and the vendor's; `places` are the paths of the gateway that is to take the calls.

    At one of its own names a call is tracking when the gateway has something at its path, under whichever of the names in `[paths]`; at the vendor's hosts
    everything is, and what the gateway has too is known by the path at which it has it. The hosts that the settings name as the collector's and the script's are the
    vendor's too, as far as their paths are known.
    """

    def __init__(self, settings: Settings, places: Places) -> None:
        self._places = places
        self._prefixes = _own(settings)
        self._vendors = frozenset(settings.qa.vendor_hosts)
        # Which may be a host that has something else too; one on the tester's own machine is a stand-in beside the site.
        named = (
            urlsplit(url).hostname or "" for url in (settings.collector.url, settings.script.upstream_url)
        )
        also = frozenset(host for host in named if _NAME.search(host))
        self._also = also - self._vendors - self._prefixes.keys()
        self.hosts = self._vendors | self._also | self._prefixes.keys()
        # The vendor's own paths of its scripts, and the gateway's for the same.
        scripts = {urlsplit(url).path: path for path, url in reversed(settings.script.sources().items())}
        self._theirs = {SCRIPT: SCRIPT, EVENT: EVENT, STREAM_EVENT: STREAM_EVENT, **scripts}
        collector = urlsplit(settings.collector.url).path
        self._theirs.setdefault(collector, STREAM_EVENT if collector.endswith(STREAM_EVENT) else EVENT)

    def known(self, host: str, path: str) -> Known | None:
        """Tell what a call is; `None` for one that is not tracking. `host` is in lower case, without a port."""
        if host not in self.hosts:
            return None
        if host not in self._prefixes:
            usual = self._theirs.get(path)
            if usual is not None:
                return Known(_kind(usual), self._places.told(usual), is_vendors=True)
            if host in self._also:
                return None
            return Known(_kind(self._places.usual(path) or path), path, is_vendors=True)
        for prefix in self._prefixes[host]:
            own = path.removeprefix(prefix)
            usual = self._places.usual(own) if own.startswith("/") else ""
            if usual:
                return Known(_kind(usual), own, is_vendors=False)
        return None


def _own(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Give the gateway's own names, and for each what stands before its paths there: nothing, and what a proxy in front of it takes away."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(settings.qa.tracking_hosts, ("",))
    for url in (*public_urls(settings), *filter(None, [settings.server.public_url])):
        parts = urlsplit(url)
        host, prefix = parts.hostname or "", parts.path.rstrip("/")
        if host and host not in settings.qa.vendor_hosts:
            found[host] = tuple(dict.fromkeys((*found.get(host, ("",)), prefix)))
    return found


def _kind(path: str) -> Kind:
    if path in _COLLECT:
        return "event"
    return "script" if path.endswith(_ENDINGS) else "other"
