"""How much of a long session stays: everything that was counted, and of most calls no more than what counts need.

What always holds: of the first `most_whole` calls, and of as many with findings, everything stays, for those are the rows of reports; of each other call, `lag`
calls later, its bodies, its events and what was decided are let go of, and its place, its moment, its fate, its name and its page stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.events.model import Head, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.qa.session import Examined, Sight

_PAGE_FIELDS = frozenset(("referer", "origin"))


class Keeping:
    """Lets go of what no report will show. `let_go` is called after each call that was examined."""

    def __init__(self, most_whole: int = 2_000, lag: int = 1_000) -> None:
        self._most_whole = most_whole
        self._lag = lag
        self._with_findings = 0

    def let_go(self, examined: Sequence[Examined]) -> None:
        """Look at the call that is `lag` calls back, once."""
        at = len(examined) - 1 - self._lag
        if at < self._most_whole:
            return
        if examined[at].findings and self._with_findings < self._most_whole:
            self._with_findings += 1
            return
        trim(examined[at])


def trim(examined: Examined) -> None:
    """Let go of a call's bodies, events and decisions. It can be counted and named afterwards, not shown."""
    headers = tuple(each for each in examined.call.headers if each[0] in _PAGE_FIELDS)
    call = examined.call = msgspec.structs.replace(examined.call, headers=headers, body=b"", query="")
    if examined.heard is not None:
        examined.heard = msgspec.structs.replace(examined.heard, headers=(), body=None)
    reply = msgspec.structs.replace(examined.taken.reply, headers=(), body=b"")
    prepared, decision = examined.taken.prepared, examined.taken.decision
    if prepared is not None:
        request = Request(Head(method=call.method, path=call.path))
        occasion = msgspec.structs.replace(prepared.occasion, head=request.head)
        prepared = msgspec.structs.replace(prepared, request=request, events=[], occasion=occasion)
    if decision is not None:
        decision = msgspec.structs.replace(decision, verdicts=[], reply=reply, notes=[])
    examined.taken = msgspec.structs.replace(
        examined.taken, reply=reply, prepared=prepared, decision=decision, originals=(), violations=()
    )
    if prepared is not None and decision is not None:
        examined.events = [
            msgspec.structs.replace(
                sight, call=call, original=_named(sight), prepared=prepared, decision=decision, verdict=_fate(sight),
                pending=None, sent=None,
            )
            for sight in examined.events
        ]  # fmt: skip


def _named(sight: Sight) -> Any:
    """Give what an event is called and the page that it tells, and nothing else of it."""
    original = sight.original
    if not isinstance(original, dict):
        return original
    kept: dict[str, Any] = {name: original[name] for name in ("ec", "ea") if name in original}
    context = original.get("context")
    navigation = context.get("navigation") if isinstance(context, dict) else None
    if isinstance(navigation, dict) and "url" in navigation:
        kept["context"] = {"navigation": {"url": navigation["url"]}}
    return kept


def _fate(sight: Sight) -> Any:
    return msgspec.structs.replace(
        sight.verdict, record=None, entry=None, identified=None, repair=None, aliases=(), remarks={}, tallies=[],
    )  # fmt: skip
