"""What the gateway knows and the page can't say reliably: moment, address, device, language and page.

Everything goes where the CDP looks for it (`context`, `extra`) and nothing that the client sent is ever overwritten. Each part has a module:
`moments`, `network`, `device`, `page`. Campaign, session and clock are the business of `gateway.events.visits`. `Enricher` is compiled once; per event it
costs dictionary look-ups, since user agents, addresses and pages repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events import bots, moments, page
from gateway.events.device import Devices
from gateway.events.network import Network

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion
    from gateway.events.world import World


class Enricher:
    """Adds to events what their request tells."""

    def __init__(self, world: World, client_hints: str = "off") -> None:
        self.devices = Devices(client_hints)
        self.network = Network(world)
        self._locale = page.locales()

    def enrich(self, fields: JsonObject, occasion: Occasion, event_id: str) -> None:
        """Add what is absent, in place.

        The blocks that are added are shared between events: they are to be written out, not changed.
        """
        extra = fields.setdefault("extra", {})
        context = fields.setdefault("context", {})
        moments.add(extra, occasion, event_id)
        self.network.add(fields, context, occasion)
        bots.add(context, occasion)
        self.devices.add(context, occasion)
        page.add(context, occasion, self._locale)
