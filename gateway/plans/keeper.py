"""The plan of now: looks each second whether its files are others, and takes the new ones when they can be used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.events.tracking_plan import CompiledPlan
from gateway.plans.reading import PlanUnusable, read_plan, read_standard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.model import JsonObject
    from gateway.events.tracking_plan import Violation
    from gateway.settings import Settings
    from gateway.settings_plan import Plan, Severity
    from gateway.telemetry.journal import Journal

    SeverityOf = Callable[[str, str], Severity | None]

_LOOK_SECONDS = 1.0


def compile_plans(settings: Settings) -> tuple[CompiledPlan | None, tuple[Path, ...]]:
    """Give what events are held to, `None` where that is nothing, and the files that it was read from. Raises `PlanUnusable`."""
    plans: list[tuple[Plan, SeverityOf | None]] = []
    severity_of = standard_severity(settings)
    if severity_of is not None:
        plans.append((read_standard(), severity_of))
    if not settings.tracking_plan.file:
        return (CompiledPlan(plans) if plans else None), ()
    plan, schemas, files = read_plan(Path(settings.tracking_plan.file))
    plans.append((plan, None))
    return CompiledPlan(plans, schemas), files


def standard_severity(settings: Settings) -> SeverityOf | None:
    """Give how grave the standard events' rules are for each property; `None` where no property is held to them."""
    usual = settings.tracking_plan.standard
    chosen = {(each.portal_id, each.prop_id): each.standard_plan or usual for each in settings.properties}
    if all(each == "off" for each in chosen.values()):
        return None

    def severity_of(portal_id: str, prop_id: str) -> Severity | None:
        found = chosen.get((portal_id, prop_id), usual)
        return None if found == "off" else found

    return severity_of


class PlanKeeper:
    """Holds the compiled plan; `judge` is its, now and later. Raises `PlanUnusable` when there is none to begin with."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._plan, self._files = compile_plans(settings)
        self._seen = self._looked()

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to hold events to."""
        return self._plan is not None

    @property
    def is_of_files(self) -> bool:
        """Whether there is a file that may change."""
        return bool(self._files)

    def judge(
        self, portal_id: str, prop_id: str, fields: JsonObject, *, is_held: bool = False
    ) -> Sequence[Violation]:
        """Give what an event has not kept of the plan of now."""
        plan = self._plan
        return () if plan is None else plan.judge(portal_id, prop_id, fields, is_held=is_held)

    async def keep(self) -> None:
        """Go with the files, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the plan that stands in the files if it is another one, and usable; else the one from before stays."""
        looked = await asyncio.to_thread(self._looked)
        if looked == self._seen:
            return
        self._seen = looked
        try:
            self._plan, self._files = await asyncio.to_thread(compile_plans, self._settings)
        except PlanUnusable as error:
            first = error.problems[0]
            self._journal.trouble(
                "tracking_plan_refused",
                file=error.path,
                key=first.key,
                cause=first.hint,
                problems=len(error.problems),
                hint="the plan from before stays in use; `tracking-gateway plan check` says more",
            )
        else:
            self._seen = self._looked()
            self._journal.changed("tracking_plan_taken", file=self._settings.tracking_plan.file)

    def _looked(self) -> list[object]:
        return [_state(path) for path in self._files]


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
