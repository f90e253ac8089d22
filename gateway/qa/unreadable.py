"""Events that can't be read, by the gateway's own word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Outcome
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined

_REFUSED = {
    405: ("method", "events come by GET or POST"),
    414: ("url", "the address is longer than the gateway takes"),
}


class Unreadable(Looks):
    """Looks for events whose fate is `malformed`; what is wrong with a request as a whole is said once, not for each of its events."""

    def request(self, examined: Examined) -> Iterator[Finding]:
        """Look at a tracking call as a whole."""
        number = examined.call.number
        if examined.known.kind == "event" and examined.taken.reply.status in _REFUSED and not examined.events:
            place, detail = _REFUSED[examined.taken.reply.status]
            yield found("malformed-event", number, place, detail)
        prepared = examined.taken.prepared
        if prepared is None:
            return
        whole = prepared.scope.problem
        for sight in examined.events:
            rejection, is_whole = sight.verdict.rejection, sight.verdict.rejection == whole
            if sight.verdict.outcome is Outcome.MALFORMED:
                yield found(
                    "malformed-event",
                    number,
                    rejection.field,
                    rejection.detail,
                    event=-1 if is_whole else sight.index,
                )
                if is_whole:
                    return
