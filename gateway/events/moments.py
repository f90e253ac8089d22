"""When an event came, and under which id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion


def add(extra: JsonObject, occasion: Occasion, event_id: str) -> None:
    """Add `event_id` and `receive_time`, where they are absent."""
    extra.setdefault("event_id", event_id)
    extra.setdefault("receive_time", occasion.received_at)
