"""Events that don't keep to the tracking plan: the site's own, and that of the standard events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.plans.reading import read_standard
from gateway.qa.quoting import quoted
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.tracking_plan import Violation
    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader
    from gateway.qa.session import Sight
    from gateway.settings_qa import Severity

_WORDS = {
    "required": "is required",
    "unknown_field": "is a field that the plan does not know",
}


class PlanKeeping(Looks):
    """Tells what the gateway's own plan has found, whatever it does about it; and events whose name differs from a standard one by its spelling alone.

    An event of a visitor who has not agreed is not asked for what the gateway has taken out of it.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        patterns = [each for rule in read_standard().events for each in rule.event]
        self._standard = frozenset(patterns)
        self._meant = {_bare(each): each for each in patterns}

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        pending, violations = sight.pending, sight.violations
        if pending is None or pending.consent.is_anonymised:
            return
        for each in violations:
            if each.rule != "unknown_event":
                yield found(
                    "required-field-missing",
                    sight.call.number,
                    each.field,
                    _detail(each),
                    event=sight.index,
                    severity=_severity(each),
                )
        event = f"{pending.fields['ec']}/{pending.fields['ea']}"
        meant = "" if event in self._standard else self._meant.get(_bare(event), "")
        if meant or any(each.rule == "unknown_event" for each in violations):
            name = quoted(self._reader, event)
            hint = f"; the standard event is {meant}" if meant else ""
            yield found(
                "unknown-event",
                sight.call.number,
                "ec, ea",
                f"the plan knows no {name}{hint}",
                event=sight.index,
            )


def _detail(violation: Violation) -> str:
    words = _WORDS.get(violation.rule, f"does not keep the rule “{violation.rule}”")
    # As the plan writes it; the example is the plan's own too.
    _, _, such_as = violation.text.partition("; ")
    return f"{words} by the plan of {violation.event}{', ' + such_as.removesuffix(')') if such_as else ''}"


def _severity(violation: Violation) -> Severity:
    return "error" if violation.rule == "required" or violation.severity == "quarantine" else "warning"


def _bare(event: str) -> str:
    """Give what is left of an event's name when spelling is left out: `Product/AddToCart` and `product/add-to-cart` are one."""
    category, _, action = event.partition("/")
    return "/".join("".join(filter(str.isalnum, part)).lower() for part in (category, action))
