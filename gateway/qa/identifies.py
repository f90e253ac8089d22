"""How often a page says who its visitor is: `user` / `identify` once a day is enough, by the property's own midnight."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gateway.events.outcome import Reason
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.session import Sight
    from gateway.settings import Settings


class Identifies(Looks):
    """Counts `identify` by portal, property, UID, CID and day. The same event sent again is a duplicate, and no second one."""

    def __init__(self, settings: Settings) -> None:
        self._zones: dict[tuple[str, str], tzinfo] = {
            (each.portal_id, each.prop_id): ZoneInfo(each.timezone) for each in settings.properties
        }
        self._first: dict[tuple[str, ...], int] = {}

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        verdict, pending, envelope = sight.verdict, sight.pending, sight.prepared.envelope
        if (verdict.category.strip().lower(), verdict.action.strip().lower()) != ("user", "identify"):
            return
        if pending is None or not pending.identified.cid or verdict.reason is Reason.DUPLICATE:
            return
        zone = self._zones.get((envelope.portal_id, envelope.prop_id), UTC)
        day = datetime.fromtimestamp(sight.call.started_ms / 1000, zone).date().isoformat()
        uid = pending.came_with or pending.uid
        key = (envelope.portal_id, envelope.prop_id, uid, pending.identified.cid, day)
        first = self._first.setdefault(key, sight.call.number)
        if first != sight.call.number:
            detail = "the same customer under the same UID was identified before on this day"
            yield found("identify-repeated", sight.call.number, "ea", detail, event=sight.index, other=first)
