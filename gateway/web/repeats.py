"""Duplicates whose first attempt is still on its way: their answer waits for it, and fails with it.

What always holds: the events of a request are settled before its answer waits for any other's, so no two requests wait for each other; whoever waits
is told once, in the call that settles the last of those that it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.decisions import Decision, Mark, Prepared
    from gateway.events.pipeline import Pipeline


class Repeats:
    """Lets the answers of requests leave that hold duplicates."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._together = pipeline.together

    def leave(
        self,
        repeats: Sequence[Mark],
        prepared: Prepared,
        decision: Decision,
        then: Callable[[Decision], None],
    ) -> None:
        """Call `then` with the decision as it is when every first attempt of these duplicates is settled: maybe before this returns."""
        firsts: list[Mark] = list({id(each.first): each.first for each in repeats if each.first}.values())
        under_way = [each for each in firsts if each.fate is None]
        left = len(under_way)

        def told() -> None:
            nonlocal left
            left -= 1
            if not left:
                then(self._together(prepared, decision))

        for each in under_way:
            each.waiting = (*each.waiting, told)
        if not under_way:
            then(self._together(prepared, decision) if firsts else decision)
