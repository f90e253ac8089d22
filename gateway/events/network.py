"""The visitor's address in the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion
    from gateway.events.world import World


class Network:
    """Adds what the visitor's address tells."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add(self, context: JsonObject, occasion: Occasion) -> None:
        """Add `context.ip`, where it is absent and known."""
        if occasion.client_ip:
            context.setdefault("ip", occasion.client_ip)
