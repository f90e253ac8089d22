"""The visitor's address in the event, as the policy leaves it, and the place that the true one tells.

What always holds: the place is looked up before the policy hides the address, of the true address alone (for what a server sends: of its customer's, where
the event has one in `context.ip`); a `context.geo` that came with the event stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.events.address_policy import AddressPolicies
from gateway.events.world import NOWHERE

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion
    from gateway.events.world import World

_LONGEST = 64


class Network:
    """Adds what the visitor's address tells, and applies the property's policy to the addresses that came along."""

    def __init__(self, world: World) -> None:
        self._locate = world.locate
        self.policies = AddressPolicies(world)

    def add(self, fields: JsonObject, context: JsonObject, occasion: Occasion) -> None:
        """Add `context.geo` and `context.ip`, where they are absent and known; in place."""
        address, owner = occasion.client_ip, occasion.owner
        if "geo" not in context:
            place = self._locate(address or _told(context))
            if place is not NOWHERE:
                context["geo"] = place.block
        if owner is None or owner.client_address == "full":
            if address:
                context.setdefault("ip", address)
            return
        policy, portal_id, now_ms = owner.client_address, owner.portal_id, occasion.now_ms
        has_own = "ip" in context
        self.policies.protect(policy, fields, portal_id, now_ms)
        if address and not has_own:
            left = self.policies.in_event(policy, address, portal_id, now_ms)
            if left:
                context["ip"] = left


def _told(context: JsonObject) -> str:
    """Give what a server says of its customer's address."""
    told: Any = context.get("ip")
    return told.strip() if isinstance(told, str) and len(told) <= _LONGEST else ""
