"""One call as a tester reads it beside its flow: a table for each event, never the event itself.

What always holds: no raw identity. What a client wrote goes through the reports' own words (`reports.wording`, `reports.kinds`), by kind where it may be somebody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Rejection
from gateway.qa.findings import RULES
from gateway.qa.reports.kinds import Kinds
from gateway.qa.reports.wording import cut, page_of, place_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.session import Examined, Sight
    from gateway.settings import Identity

_LONGEST = 160


def rows_of(examined: Examined, identity: Identity) -> list[tuple[str, str]]:
    """Give the rows of a call's tables: a name and a text each; a row without a name is a heading, an empty one a gap."""
    kinds, call = Kinds(identity), examined.call
    rows = [
        ("", f"Call {call.number}: {shown(call.method)} {place_of(call)}"),
        ("page", page_of(examined)),
        ("the gateway answers", str(examined.taken.reply.status)),
    ]
    if examined.heard is not None:
        heard = examined.heard
        rows.append(("was answered", f"{heard.status or shown(heard.failure)}, {heard.took_ms:.0f} ms"))
    rows += _findings(examined, -1)
    for sight in examined.events:
        rows += [("", ""), *_event(examined, sight, kinds)]
    return [(name, cut(text, _LONGEST)) for name, text in rows if text or not name]


def _event(examined: Examined, sight: Sight, kinds: Kinds) -> Iterator[tuple[str, str]]:
    verdict, original = sight.verdict, sight.original
    fields = original if isinstance(original, dict) else {}
    category, action = (shown(str(fields.get(name, ""))) for name in ("ec", "ea"))
    yield "", f"Event {sight.index + 1}: {verdict.category or category} / {verdict.action or action}"
    rejection = verdict.rejection
    why = ": ".join(shown(each) for each in (rejection.field, rejection.detail) if each)
    yield "outcome", f"{verdict.outcome}, {verdict.reason}{f' ({why})' if why else ''}"
    came = verdict.came_with or str(fields.get("uid", ""))
    yield "UID", _before_and_after(kinds.uid(came), kinds.uid(verdict.uid))
    yield "CID", kinds.cid(verdict.cid) or "none"
    if not isinstance(original, Rejection):
        for change in kinds.changes(original, sight.sent):
            yield change.place, _before_and_after(change.before, change.after)
    yield "is sent on", _sent(sight)
    yield from _findings(examined, sight.index)


def _sent(sight: Sight) -> str:
    if sight.sent is None:
        return "nothing"
    names = ", ".join(shown(name) for name in sight.sent)
    return f"{'when a person lets it out: ' if sight.verdict.record is None else ''}{names}"


def _before_and_after(before: str, after: str) -> str:
    return before if before == after else f"{before or 'nothing'} → {after or 'nothing'}"


def _findings(examined: Examined, event: int) -> Iterator[tuple[str, str]]:
    for each in examined.findings:
        if each.event == event:
            place = f"{shown(each.place)}: " if each.place else ""
            yield f"{each.severity} {each.rule}", f"{place}{shown(each.detail)}"
            yield "  mend", RULES[each.rule].mend
