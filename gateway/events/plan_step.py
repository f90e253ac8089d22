"""Holds each event to the tracking plan: what it has not kept goes into its log line, into the counts, and, where the plan says so, into its fate.

It sees the event as it is after transformations and the protection of identity, and before anything is added to it. What always holds: every violation is
counted; of each kind of event a few lines in ten seconds tell what is wrong, the others how much, so that a broken page fills no disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Reason, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.decisions import Pending
    from gateway.events.tracking_plan import Violation
    from gateway.events.world import Judge

_STRETCH_MS = 10_000
_TOLD = 10
_REMEMBERED = 1_024


class PlanStep:
    """What is done with what `judge` says; `marks` writes it into the event too."""

    def __init__(self, judge: Judge, *, marks: bool) -> None:
        self._judge = judge
        self._marks = marks
        self._told: dict[tuple[str, ...], int] = {}
        self._since_ms = 0

    def look(self, portal_id: str, prop_id: str, pending: Pending, now_ms: int) -> None:
        """Judge an event; one that the plan wants held gets its `problem`."""
        violations = self._judge(portal_id, prop_id, pending.fields)
        if violations:
            self._note(prop_id, pending, violations, now_ms)

    def _note(self, prop_id: str, pending: Pending, violations: Sequence[Violation], now_ms: int) -> None:
        pending.tallies += [(f"plan_{each.severity}", each.rule) for each in violations]
        if self._may_tell((prop_id, *sorted({f"{each.event} {each.field}" for each in violations})), now_ms):
            pending.remarks["plan_violations"] = [each.text for each in violations]
        else:
            pending.remarks["plan_violations"] = len(violations)
        if self._marks:
            context = pending.fields.setdefault("context", {})
            context["plan_violations"] = [f"{each.field}: {each.rule}" for each in violations]
        gravest = violations[0]
        if gravest.severity == "quarantine" and pending.problem is None:
            pending.problem = plan_rejection(violations)

    def _may_tell(self, key: tuple[str, ...], now_ms: int) -> bool:
        if not 0 <= now_ms - self._since_ms < _STRETCH_MS:
            self._told.clear()
            self._since_ms = now_ms
        elif len(self._told) >= _REMEMBERED and key not in self._told:
            # So many ways to break it are somebody's doing.
            return False
        told = self._told[key] = self._told.get(key, 0) + 1
        return told <= _TOLD


def plan_rejection(violations: Sequence[Violation]) -> Rejection:
    """Give why an event is held: the first violations that want it, in words."""
    grave = [each for each in violations if each.severity == "quarantine"]
    more = f", and {len(grave) - 3} more" if len(grave) > 3 else ""
    detail = "; ".join(each.text for each in grave[:3]) + more
    return Rejection(Reason.PLAN_VIOLATION, grave[0].field, detail)
