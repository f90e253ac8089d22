"""Whether an event claims another customer for a UID that has one: as the gateway has found, whatever its policy made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.conflicts import is_conflict
from gateway.events.model import Binding
from gateway.events.outcome import Reason

if TYPE_CHECKING:
    from gateway.qa.session import Sight


def conflict_of(sight: Sight) -> str | None:
    """Give the CID that an event's UID has, where the event claims another customer's; `None` where there is no conflict.

    It may be empty: with `on_conflict = "strip"` the event goes out without either.
    """
    pending, verdict = sight.pending, sight.verdict
    if pending is None:
        return None
    if pending.conflict_cid:
        return pending.conflict_cid
    entry = verdict.entry
    if entry is not None and entry.bound_cid and is_conflict(pending.identified, Binding(entry.bound_cid)):
        # Also where it is held for something else besides.
        return entry.bound_cid
    if verdict.reason not in {Reason.CID_CONFLICT, Reason.IDENTITY_STRIPPED}:
        return None
    notes = sight.decision.notes
    return next(
        (each.cid for each in notes if each.kind == "conflict" and each.event_id == pending.event_id), ""
    )
