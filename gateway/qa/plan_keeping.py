"""Events that don't keep to the tracking plan: the site's own, and that of the standard events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.plans.reading import PlanUnusable, read_plan, read_standard
from gateway.qa.quoting import quoted
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.tracking_plan import Violation
    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader
    from gateway.qa.session import Sight
    from gateway.settings import Settings
    from gateway.settings_qa import Severity

_WORDS = {
    "required": "is required",
    "unknown_field": "is a field that the plan does not know",
}


class PlanKeeping(Looks):
    """Tells what the gateway's own plan has found, whatever it does about it; and events whose name is a standard one's but for the spelling or one slip.

    An event of a visitor who has not agreed is not asked for what the gateway has taken out of it, and one that goes out with a customer not for one.
    A slip is told once for each name, as it may be an event of the site's own; one that the site's plan names is.
    """

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._reader = reader
        patterns = [each for rule in read_standard().events for each in rule.event]
        self._known = frozenset(patterns) | _own_names(settings)
        self._meant = {_bare(each): each for each in patterns}
        self._told: set[str] = set()

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        pending, violations = sight.pending, sight.violations
        if pending is None or pending.consent.is_anonymised:
            return
        for each in violations:
            if each.rule != "unknown_event" and not _is_brought(sight, each):
                yield found(
                    "required-field-missing",
                    sight.call.number,
                    each.field,
                    _detail(each),
                    event=sight.index,
                    severity=_severity(each),
                )
        event = f"{pending.fields['ec']}/{pending.fields['ea']}"
        meant = "" if event in self._known else self._meant_by(_bare(event))
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

    def _meant_by(self, bare: str) -> str:
        """Give the standard event that a name is but for its spelling, or, when the name comes for the first time, but for one slip; empty for none."""
        same = self._meant.get(bare)
        if same is not None or bare in self._told:
            return same or ""
        near = next((meant for name, meant in self._meant.items() if _is_one_slip(bare, name)), "")
        if near:
            self._told.add(bare)
        return near


def _own_names(settings: Settings) -> frozenset[str]:
    """Give the events that the site's own plan names; a pattern with a star names none."""
    file = settings.tracking_plan.file
    if not file:
        return frozenset()
    try:
        rules = read_plan(Path(file)).plan.events
    except PlanUnusable:
        # Whoever opens the session is told by the gateway's own reading of it.
        return frozenset()
    return frozenset(each for rule in rules for each in rule.event if "*" not in each)


def _is_brought(sight: Sight, violation: Violation) -> bool:
    """Tell whether what is missing is the customer's id, and the gateway sends one on: that which it knows of the UID, or makes of the address.

    Whoever leaves the hashing to the gateway can't repeat the hash in `extra.identify_id` either.
    """
    if violation.rule != "required" or not (sight.sent and sight.sent.get("cid")):
        return False
    places = {"cid", "dims.customers.customer_id"}
    if sight.pending is not None and sight.pending.identified.is_derived:
        places.add("extra.identify_id")
    return not places.isdisjoint(violation.field.split(" | "))


def _is_one_slip(given: str, meant: str) -> bool:
    """Tell whether one letter is missing, too many or another one, or two have changed places."""
    pairs = enumerate(zip(given, meant, strict=False))
    begin = next((at for at, (one, other) in pairs if one != other), min(len(given), len(meant)))
    one, other = given[begin:], meant[begin:]
    return (
        one[1:] == other[1:]
        or one == other[1:]
        or one[1:] == other
        or (one[:2] == other[1::-1] and one[2:] == other[2:])
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
