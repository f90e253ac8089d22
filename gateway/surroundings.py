"""Wiring of what the pure core asks of the world: from the settings to functions, kept true for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from dns.resolver import NoResolverConfiguration

from gateway.crawler_proof import CrawlerProof, Dns
from gateway.daily_salt import FILE_NAME, DailySalt, put_away
from gateway.duplicates.keeping import open_seen
from gateway.events.world import NO_WORLD, World
from gateway.geo.keeper import GeoKeeper
from gateway.outflow import cancelled
from gateway.plans.keeper import PlanKeeper, compile_plans
from gateway.plugins.contract import PluginsUnusable
from gateway.plugins.finding import find_plugins
from gateway.plugins.running import PluginRunner
from gateway.time_zones import time_zones

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from gateway.events.world import Hook, Judge, Location
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
) -> tuple[World, dict[str, Callable[[], str]]]:
    """Open what the core needs and keep it until `stack` is left; `is_first`: this process is the one that writes where only one may.

    Gives beside it what can say itself what is wrong with it, by name.
    """
    others: dict[str, Callable[[], str]] = {}
    locate = await _open_geo(settings, journal, metrics, stack, others)
    salt = _open_salt(settings, journal, stack, others, is_first=is_first)
    judge = _open_plan(settings, journal, stack, others)
    hook = _open_plugins(settings, journal, stack, others)
    seen, lost = await open_seen(settings, journal, metrics, stack)
    others["duplicates"] = lambda: lost
    return World(
        locate=locate,
        zone=time_zones(),
        salt=salt,
        judge=judge,
        hook=hook,
        seen=seen,
        proof=_open_proof(settings, journal, stack),
    ), others


def _open_proof(
    settings: Settings, journal: Journal, stack: contextlib.AsyncExitStack
) -> Callable[[str, str], bool | None] | None:
    """Give what tells whether a crawler is whose it says; `None` where the settings don't ask."""
    if not settings.bots.verify_crawlers:
        return None
    try:
        known = CrawlerProof(Dns().confirm)
    except NoResolverConfiguration as error:
        hint = "name a DNS resolver in /etc/resolv.conf, or set bots.verify_crawlers = false; until then no crawler is verified"
        journal.trouble("crawlers_not_verified", cause=str(error), hint=hint)
        return None
    stack.push_async_callback(known.close)
    return known.proof


def look_ahead(settings: Settings) -> None:
    """Look whether a gateway with several workers may start: its workers go on without what has become unusable since.

    Raises `PlanUnusable` and `PluginsUnusable`.
    """
    compile_plans(settings)
    find_plugins(settings.plugins.enabled)


def _open_plugins(
    settings: Settings,
    journal: Journal,
    stack: contextlib.AsyncExitStack,
    others: dict[str, Callable[[], str]],
) -> Hook | None:
    """Give what calls the plugins that the settings name; `None` where they name none. Raises `PluginsUnusable`, but in one of several workers."""
    if not settings.plugins.enabled:
        return None
    missing: list[str] = []
    try:
        plugins = find_plugins(settings.plugins.enabled)
    except PluginsUnusable as error:
        if settings.server.workers == 1:
            raise
        # It was there when the gateway started: a worker that is started again is worth more than what one of them adds.
        plugins = []
        missing.append(f"{error}; {error.hint}; until the next start events go on without any plugin")
        journal.trouble("plugins_not_called", cause=str(error), hint=missing[0])
    runner = PluginRunner(plugins, settings, journal)
    stack.callback(runner.close)
    others["plugins"] = lambda: missing[0] if missing else runner.trouble()
    return runner.hook if plugins else None


def _open_plan(
    settings: Settings,
    journal: Journal,
    stack: contextlib.AsyncExitStack,
    others: dict[str, Callable[[], str]],
) -> Judge | None:
    """Give what judges events by the tracking plan of now; `None` where there is none. Raises `PlanUnusable`, but in one of several workers."""
    plan = PlanKeeper(settings, journal, goes_on=settings.server.workers > 1)
    if plan.is_of_files:
        stack.push_async_callback(cancelled, asyncio.create_task(plan.keep()))
        others["plan"] = plan.trouble
    return plan.judge if plan.is_needed else None


def _open_salt(
    settings: Settings,
    journal: Journal,
    stack: contextlib.AsyncExitStack,
    others: dict[str, Callable[[], str]],
    *,
    is_first: bool,
) -> Callable[[int], bytes | bytearray]:
    """Give the salt of the day, where addresses are hashed; where they are not (any more), a salt that is left is put away."""
    hint = (
        f"let the gateway write {settings.data_dir / FILE_NAME}; until then addresses are dropped, not hashed"
    )

    def report(error: OSError) -> None:
        journal.trouble("address_salt_unavailable", cause=error.strerror or type(error).__name__, hint=hint)

    policies = {settings.network.client_address, *(each.client_address for each in settings.properties)}
    if "hash" not in policies:
        if is_first:
            try:
                put_away(settings.data_dir)
            except OSError as error:
                report(error)
        return lambda _: b""
    salt = DailySalt(settings.data_dir, lambda: time.time_ns() // 1_000_000, report)
    stack.callback(salt.forget)
    others["addresses"] = lambda: f"there is no salt; {hint}" if salt.has_failed else ""
    stack.push_async_callback(cancelled, asyncio.create_task(salt.keep()))
    return salt.current


async def _open_geo(
    settings: Settings,
    journal: Journal,
    metrics: Metrics,
    stack: contextlib.AsyncExitStack,
    others: dict[str, Callable[[], str]],
) -> Callable[[str], Location]:
    """Give where addresses are, by the database of `[geo]`, which goes with its file until `stack` is left."""
    if not settings.geo.enabled:
        return NO_WORLD.locate
    keeper = await asyncio.to_thread(GeoKeeper, settings.geo, journal, metrics)
    stack.push_async_callback(cancelled, asyncio.create_task(keeper.keep()))
    others["geo"] = keeper.trouble
    return keeper.locate
