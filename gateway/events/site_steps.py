"""What a site itself has set to be done with its events: its mappings, its Python hook, its tracking plan. `None`: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.events.plan_step import PlanStep
from gateway.events.transformations import Transformations

if TYPE_CHECKING:
    from gateway.events.world import Hook, World
    from gateway.settings import Settings


class SiteSteps(NamedTuple):
    """The steps, each at its place on the way of an event."""

    transformations: Transformations | None = None
    hook: Hook | None = None
    plan: PlanStep | None = None


def site_steps(settings: Settings, world: World) -> SiteSteps:
    """Compile what is set."""
    marks = settings.tracking_plan.mark_events
    return SiteSteps(
        Transformations(settings.transformations) if settings.transformations else None,
        world.hook,
        PlanStep(world.judge, marks=marks) if world.judge is not None else None,
    )
