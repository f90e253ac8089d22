"""What an event has not kept of the tracking plan, heard at the very place where the gateway holds it to its plan.

A session asks more than a gateway that serves: where `tracking_plan.standard` is `off`, the gateway is to say nothing of the standard events, but somebody who
checks a site wants to know what they lack. What always holds: the gateway's own judgement, and with it the event's fate, is the one of its settings.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.outflow import cancelled
from gateway.plans.keeper import PlanKeeper

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

    from gateway.events.model import JsonObject
    from gateway.events.tracking_plan import Violation
    from gateway.events.world import Judge
    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal


class Judging:
    """Judges for the gateway, and tells `hear` what a session is to know of each event: the object that was judged, and what it has not kept."""

    def __init__(
        self,
        gateways: Judge | None,
        sessions: Judge | None,
        hear: Callable[[JsonObject, Sequence[Violation]], None],
    ) -> None:
        self._gateways = gateways
        self._sessions = sessions
        self._hear = hear

    def __call__(
        self, portal_id: str, prop_id: str, fields: JsonObject, *, is_held: bool = False
    ) -> Sequence[Violation]:
        """Judge an event as the gateway does."""
        asked = self._sessions or self._gateways
        if asked is not None:
            self._hear(fields, asked(portal_id, prop_id, fields, is_held=is_held))
        return () if self._gateways is None else self._gateways(portal_id, prop_id, fields, is_held=is_held)


def sessions_judge(settings: Settings, journal: Journal, stack: contextlib.AsyncExitStack) -> Judge | None:
    """Give what judges for the session where the gateway's own plan says less, until `stack` is left; `None` where it says all. Raises `PlanUnusable`."""
    asked = with_standard(settings)
    if asked is settings:
        return None
    plan = PlanKeeper(asked, journal)
    if plan.is_of_files:
        stack.push_async_callback(cancelled, asyncio.create_task(plan.keep()))
    return plan.judge


def with_standard(settings: Settings) -> Settings:
    """Give settings that hold every property to the standard events: these very ones where they do."""
    plan, properties = settings.tracking_plan, settings.properties
    if plan.standard != "off" and all(each.standard_plan != "off" for each in properties):
        return settings
    properties = tuple(
        each.model_copy(update={"standard_plan": "warn"}) if each.standard_plan == "off" else each
        for each in properties
    )
    standard = "warn" if plan.standard == "off" else plan.standard
    return settings.model_copy(
        update={"tracking_plan": plan.model_copy(update={"standard": standard}), "properties": properties}
    )
