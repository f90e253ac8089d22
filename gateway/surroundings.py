"""Wiring of what the pure core asks of the world: from the settings to functions, kept true for as long as the gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.world import World

if TYPE_CHECKING:
    import contextlib

    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics


async def open_world(
    settings: Settings,
    journal: Journal,
    metrics: Metrics,
    stack: contextlib.AsyncExitStack,
    *,
    is_first: bool,
) -> World:
    """Open what the core needs and keep it until `stack` is left; `is_first`: this process is the one that writes where only one may."""
    del settings, journal, metrics, stack, is_first
    return World()
