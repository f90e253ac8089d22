"""What flows from where to where in a session: calls from pages to hosts, events by outcome, and how the hosts have answered."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from gateway.events.outcome import Outcome
from gateway.qa.reports.model import FlowRow, HostRow
from gateway.qa.reports.wording import page_of, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.qa.session import Examined

CAME = (Outcome.ACCEPTED, Outcome.QUARANTINED, Outcome.DROPPED, Outcome.MALFORMED)
"""The fates of what comes in."""


def flow_rows(examined: Sequence[Examined]) -> tuple[FlowRow, ...]:
    """Give a row for each page and host, the busiest first."""
    flows: defaultdict[tuple[str, str, bool], list[Examined]] = defaultdict(list)
    for each in examined:
        flows[page_of(each), shown(each.call.host), each.known.is_vendors].append(each)
    rows = (
        FlowRow(page=page, host=host, is_vendors=is_vendors, calls=len(calls), outcomes=_outcomes(calls))
        for (page, host, is_vendors), calls in flows.items()
    )
    return tuple(sorted(rows, key=lambda each: -each.calls))


def host_rows(examined: Sequence[Examined]) -> tuple[HostRow, ...]:
    """Give a row for each host, by name."""
    hosts: defaultdict[tuple[str, bool], list[Examined]] = defaultdict(list)
    for each in examined:
        hosts[shown(each.call.host), each.known.is_vendors].append(each)
    rows = []
    for (host, is_vendors), calls in sorted(hosts.items()):
        answered = [each.heard.took_ms for each in calls if each.heard is not None and each.heard.status]
        rows.append(
            HostRow(
                host=host,
                is_vendors=is_vendors,
                calls=len(calls),
                statuses=dict(sorted(Counter(_status(each) for each in calls).items())),
                median_ms=round(statistics.median(answered)) if answered else 0,
                slowest_ms=round(max(answered, default=0)),
            )
        )
    return tuple(rows)


def _outcomes(calls: Sequence[Examined]) -> dict[str, int]:
    outcomes = Counter(sight.verdict.outcome for each in calls for sight in each.events)
    return {outcome.value: outcomes[outcome] for outcome in CAME}


def _status(examined: Examined) -> str:
    if examined.heard is None:
        return "none"
    return f"{examined.heard.status // 100}xx" if examined.heard.status else "failed"
