"""Links to calls within the HTML report: only to those that have a row there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.reports.markup import Markup, el

if TYPE_CHECKING:
    from gateway.qa.reports.model import SessionModel


def row_id(call: int, event: int) -> str:
    """Give the id of the row of a call, or of one of its events."""
    return f"call-{call}-{event}" if event > 0 else f"call-{call}"


class Links:
    """Knows the rows of a report."""

    def __init__(self, model: SessionModel) -> None:
        self._ids = frozenset(row_id(each.call, each.event) for each in model.calls)

    def to(self, call: int, event: int = 0) -> Markup:
        """Give a call's number as a link; as a text where the call is no tracking call or found no room."""
        for identifier in (row_id(call, event), row_id(call, 0)):
            if identifier in self._ids:
                return el("a", f"#{call}", href=f"#{identifier}", class_="mono")
        return el("span", f"#{call}", class_="mono")
