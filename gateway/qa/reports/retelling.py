"""The story of identities as reports tell it: bounded, what went wrong before all else, CIDs cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.events.outcome import Outcome
from gateway.qa.reports.model import Identities, StayRow, StepRow, VisitorRow
from gateway.qa.reports.wording import cut, opaque, shown
from gateway.qa.story import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.qa.story import Step, Story, Visitor

WRONG = frozenset({"changed", "back", "repaired", "conflict", "contradiction"})
"""The kinds of steps that should not be."""

_MOST_VISITORS, _MOST_STAYS, _MOST_STEPS = 12, 20, 60
_OF_CIDS = frozenset({"repaired", "conflict"})


class Fate(NamedTuple):
    """What became of an event, and of whose."""

    at_ms: int
    uid: str
    name: str
    outcome: str
    reason: str


Fates = dict[tuple[int, int], Fate]
"""Events that were not simply accepted, by call and index."""


def retold(story: Story, fates: Fates, short: Callable[[str], str], started_ms: int) -> Identities:
    """Give the story; `short` cuts a CID. Visitors with something wrong come before others where not all find room; all keep their order."""
    by_weight = sorted(story.visitors, key=lambda each: (not _wrong(each), -len(each.steps), each.number))
    kept = sorted(by_weight[:_MOST_VISITORS], key=lambda each: each.number)
    return Identities(
        visitors=tuple(_visitor(each, fates, short, started_ms) for each in kept),
        visitors_left_out=len(story.visitors) - len(kept),
        servers_events=story.servers_events,
        others_events=story.others_events,
    )


def _wrong(visitor: Visitor) -> bool:
    return any(each.kind in WRONG for each in visitor.steps)


def _visitor(visitor: Visitor, fates: Fates, short: Callable[[str], str], started_ms: int) -> VisitorRow:
    told = [_step(each, fates, short, started_ms) for each in visitor.steps]
    named = {(each.call, each.event) for each in told}
    uids = {opaque(each.uid) for each in visitor.stays}
    told += [
        _held(call, event, fate, started_ms)
        for (call, event), fate in fates.items()
        if fate.outcome == Outcome.QUARANTINED and fate.uid in uids and (call, event) not in named
    ]
    # A stable sort: what happened at one event keeps its order.
    told.sort(key=lambda each: (each.call, each.event))
    # A customer who is named once more is what can be done without first.
    weight = {"named": 2, "bound": 1, "reset": 1, "sign_out": 1, "appeared": 1}
    by_weight = sorted(range(len(told)), key=lambda at: (weight.get(told[at].kind, 0), at))
    steps = [told[at] for at in sorted(by_weight[:_MOST_STEPS])]
    stays = visitor.stays[:_MOST_STAYS]
    return VisitorRow(
        number=visitor.number,
        portal_id=shown(visitor.portal_id),
        site=shown(visitor.site),
        stays=tuple(
            StayRow(
                uid=opaque(each.uid),
                begins=each.begins,
                first_call=each.first_call,
                last_call=each.last_call,
                events=each.events,
                cid=short(each.cid),
            )
            for each in stays
        ),
        steps=tuple(steps),
        stays_left_out=len(visitor.stays) - len(stays),
        steps_left_out=visitor.steps_left_out + len(told) - len(steps),
    )


def _held(call: int, event: int, fate: Fate, started_ms: int) -> StepRow:
    return StepRow(
        kind="held",
        said=f"has an event that is held for a person ({fate.reason})",
        call=call,
        event=event,
        at_ms=fate.at_ms - started_ms,
        uid=fate.uid,
        cid="",
        was="",
        name=fate.name,
        outcome=fate.outcome,
    )


def _step(step: Step, fates: Fates, short: Callable[[str], str], started_ms: int) -> StepRow:
    fate = fates.get((step.call, step.event))
    return StepRow(
        kind=step.kind,
        said=WORDS[step.kind],
        call=step.call,
        event=step.event,
        at_ms=step.at_ms - started_ms,
        uid=opaque(step.uid),
        cid=short(step.cid),
        was=short(step.was) if step.kind in _OF_CIDS else opaque(step.was),
        name=cut(shown(step.name), 120) if step.name.strip(" /") else "",
        outcome=fate.outcome if fate is not None else "",
    )
