"""From the vendor's content to what pages get: the gateway's own names put in, compressed. Costs up to a second: belongs on a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.assets.rewriting import Rewriting
from gateway.assets.served import Served

if TYPE_CHECKING:
    from gateway.settings_script import Kind


class Rendered(NamedTuple):
    """An asset for each of the gateway's own URLs, and the names of the vendor's that are in it all the same."""

    by_url: Mapping[str, Served]
    left: tuple[str, ...]


class Rendering(msgspec.Struct, frozen=True):
    """How assets are rendered: `urls` are the gateway's own, the first for everybody whose host is none of them.

    `hosts` says of each of the vendor's hosts what becomes of it: `own`, `keep`, or a URL. `paths` gives the gateway's names for the vendor's paths.
    """

    urls: tuple[str, ...]
    hosts: Mapping[str, str]
    paths: Mapping[str, str]
    max_age_seconds: int
    service_workers: tuple[str, ...] = ()

    def render(self, path: str, kind: Kind, content: bytes, *, in_haste: bool = False) -> Rendered:
        """Give the asset for each of the gateway's URLs; `in_haste` in gzip alone."""
        extra = (("Service-Worker-Allowed", "/"),) if path in self.service_workers else ()
        made: dict[bytes, Served] = {}
        by_url: dict[str, Served] = {}
        left: Mapping[str, int] = {}
        for url in self.urls:
            text = content
            if kind.is_text:
                text, _, left = self.rewriting(url).apply(content)
            if text not in made:
                made[text] = Served(
                    text,
                    kind.content_type,
                    max_age_seconds=self.max_age_seconds,
                    extra=extra,
                    in_haste=in_haste,
                )
            by_url[url] = made[text]
        return Rendered(by_url, tuple(sorted(left)))

    def rewriting(self, url: str) -> Rewriting:
        """Give what puts one of the gateway's URLs into a script."""
        targets = {
            host: url if target == "own" else target
            for host, target in self.hosts.items()
            if target != "keep"
        }
        return Rewriting(targets, self.paths)
