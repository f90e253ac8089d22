"""Which calls of a page are tracking: by host and path alone, so that nothing else is read.

What always holds: a call that is not tracking costs one look-up of its host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from gateway.settings_paths import EVENT, STREAM_EVENT
from gateway.vendor_scripts import public_urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import Settings

Kind = Literal["event", "script", "other"]
_COLLECT = frozenset((EVENT, STREAM_EVENT))


class Known(NamedTuple):
    """A call that is tracking: `path` is the one under which the gateway has it, `is_vendors` tells that it went to the vendor's own host."""

    kind: Kind
    path: str
    is_vendors: bool


class Recogniser:
    """Knows the tracking names of a site. `stands_at` tells whether the gateway has something at a path."""

    def __init__(self, settings: Settings, stands_at: Callable[[str], bool]) -> None:
        self._vendors = frozenset(settings.qa.vendor_hosts)
        own = (urlsplit(url).hostname or "" for url in public_urls(settings))
        self._own = frozenset((*own, *settings.qa.tracking_hosts)) - self._vendors
        self.hosts = self._own | self._vendors
        self._stands_at = stands_at

    def known(self, host: str, path: str) -> Known | None:
        """Tell what a call is; `None` for one that is not tracking. `host` is in lower case, without a port."""
        if host not in self.hosts:
            return None
        is_vendors = host in self._vendors
        if path in _COLLECT:
            return Known("event", path, is_vendors)
        if path.endswith(".js"):
            return Known("script", path, is_vendors)
        if is_vendors or self._stands_at(path):
            return Known("other", path, is_vendors)
        return None
