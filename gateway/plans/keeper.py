"""The plan of now: looks each second whether its files are others, and takes the new ones when they can be used.

What always holds: a gateway does not start with a file that can't be used; one that runs goes on, and so does a process of it that is started again meanwhile,
which has no plan from before and holds events to the standard rules alone until the file is mended.
"""

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


def compile_plans(
    settings: Settings, *, with_file: bool = True
) -> tuple[CompiledPlan | None, tuple[Path, ...]]:
    """Give what events are held to, `None` where that is nothing, and the files that it was read from. Raises `PlanUnusable`."""
    plans: list[tuple[Plan, SeverityOf | None]] = []
    severity_of = standard_severity(settings)
    if severity_of is not None:
        plans.append((read_standard(), severity_of))
    if not (with_file and settings.tracking_plan.file):
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
    """Holds the compiled plan; `judge` is its, now and later.

    Raises `PlanUnusable` when there is none to begin with, but for a process that `goes_on`: one of a gateway that runs.
    """

    def __init__(self, settings: Settings, journal: Journal, *, goes_on: bool = False) -> None:
        self._settings = settings
        self._journal = journal
        self._refused = ""
        self._files: tuple[Path, ...] = ()
        self._seen: list[object] = []
        try:
            self._plan, self._files = compile_plans(settings)
        except PlanUnusable as error:
            if not goes_on:
                raise
            self._plan, _ = compile_plans(settings, with_file=False)
            self._files = error.files
            self._refuse(error, "until it is mended events are held to the standard rules alone")
        self._seen = self._looked()

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to hold events to, or may be later."""
        return self._plan is not None or self.is_of_files

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

    def trouble(self) -> str:
        """Say why the file that stands there is not used; empty when it is."""
        return self._refused

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
        before = dict(zip(self._files, looked, strict=True))
        try:
            self._plan, self._files = await asyncio.to_thread(compile_plans, self._settings)
        except PlanUnusable as error:
            # A schema that it names and that is not there yet may be the one that comes next.
            self._files = error.files
            self._refuse(error, "the plan from before stays in use")
        else:
            self._refused = ""
            self._journal.changed("tracking_plan_taken", file=self._settings.tracking_plan.file)
        # As they were before they were read: what changed meanwhile is seen at the next look.
        self._seen = [before.get(path) or _state(path) for path in self._files]

    def _refuse(self, error: PlanUnusable, instead: str) -> None:
        first = error.problems[0]
        self._refused = f"{error.path} can't be used ({first.key} = {first.got}: {first.hint}); {instead}"
        self._journal.trouble(
            "tracking_plan_refused",
            file=error.path,
            key=first.key,
            got=first.got,
            cause=first.hint,
            problems=len(error.problems),
            hint=f"{instead}; `tracking-gateway plan check` says more",
        )

    def _looked(self) -> list[object]:
        return [_state(path) for path in self._files]


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
