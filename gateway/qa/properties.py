"""Events that go to a portal or property that is not the site's: one that the configuration does not know, or another site's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Reason
from gateway.events.screening import host_matches
from gateway.qa.pages import page_of
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined, Sight
    from gateway.settings import Settings

_MOST = 4_096


class WrongProperties(Looks):
    """Looks at whose events they say they are: each page and property once, for every event of the page has the same."""

    def __init__(self, settings: Settings) -> None:
        self._sites = {
            (each.portal_id, each.prop_id): (
                each.site,
                f"*.{each.site.removeprefix('*.')}",
                *_hosts(each.origins),
            )
            for each in settings.properties
        }
        self._told: set[tuple[str, ...]] = set()

    def request(self, examined: Examined) -> Iterator[Finding]:
        """Look at a tracking call as a whole."""
        if not examined.events or examined.taken.prepared is None:
            return
        sight = examined.events[0]
        envelope = examined.taken.prepared.envelope
        fields = sight.original if isinstance(sight.original, dict) else {}
        page = page_of(examined.call, fields)
        key = (envelope.portal_id, envelope.prop_id, page.host, page.path)
        if key in self._told:
            return
        detail, place = self._wrong(sight, page.host)
        if detail:
            if len(self._told) < _MOST:
                self._told.add(key)
            yield found("wrong-property", examined.call.number, place, detail)

    def _wrong(self, sight: Sight, host: str) -> tuple[str, str]:
        envelope, owner = sight.prepared.envelope, sight.prepared.owner
        own = next(
            (ids for ids, sites in self._sites.items() if host and host_matches(host, sites)), ("", "")
        )
        hint = f"; this page is of portal_id {own[0]}, prop_id {own[1]}" if all(own) else ""
        if sight.verdict.reason is Reason.UNKNOWN_PROPERTY:
            portals = {portal_id for portal_id, _ in self._sites}
            is_portal = envelope.portal_id in portals
            place = "query prop_id" if is_portal else "query portal_id"
            return f"{sight.verdict.rejection.detail}{hint}", place
        if owner is None or not host or envelope.is_s2s or envelope.response_type == "redirect":
            return "", ""
        if host_matches(host, self._sites[owner.portal_id, owner.prop_id]):
            return "", ""
        return (
            f"the property is that of {owner.site}, and the page is one of another site{hint}",
            "query prop_id",
        )


def _hosts(origins: tuple[str, ...]) -> Iterator[str]:
    for origin in origins:
        yield origin.partition("://")[2].partition(":")[0]
