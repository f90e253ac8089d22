"""A finished session as the reports have it: plain values, bounded, without any raw identity. The JSON report is this, field by field.

`docs/qa-report.schema.json` is its shape for programs. A field may be added without another `VERSION`; one that goes or changes its meaning makes the next.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.settings_qa import RuleId, Severity

VERSION = 1
Answer = Literal["ready", "with_care", "not_ready", "nothing_seen"]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session comes from: the file or the proxy, in which mode, who has looked and when; moments are Unix time in milliseconds."""

    source: str
    mode: str
    tool: str
    tool_version: str
    started_ms: int
    ended_ms: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much was seen: all calls, those that are tracking, those of them to the vendor's own hosts, scripts, and events by outcome."""

    calls: int
    tracking: int
    vendors: int
    scripts: int
    events: int
    outcomes: dict[str, int]
    severities: dict[str, int]


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with how grave it is here and how often it was broken; `left_out` of these are not among the findings.

    A rule that was broken is as grave as the gravest of its cases.
    """

    id: RuleId
    severity: Severity
    title: str
    why: str
    mend: str
    found: int
    left_out: int


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was broken, with what is needed to find the place. `url` is without its query, `at_ms` counts from the session's start."""

    rule: RuleId
    severity: Severity
    call: int
    event: int
    name: str
    place: str
    detail: str
    other: int
    method: str
    url: str
    page: str
    at_ms: int


class Change(msgspec.Struct, frozen=True):
    """What stood in a place of an event that may hold identity, before and after the gateway: kinds (`raw e-mail`, `sha256`), never values."""

    place: str
    before: str
    after: str


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it came, or a tracking call that brings none (`event` is -1 then), and what became of it.

    `status` and `took_ms` are of the answer that the page got (0 where nobody saw one), `replied` is what the gateway would have answered. `cid` is cut short.
    """

    call: int
    event: int
    at_ms: int
    kind: str
    method: str
    url: str
    page: str
    is_vendors: bool
    name: str
    uid: str
    came_with: str
    cid: str
    outcome: str
    reason: str
    detail: str
    replied: int
    status: int
    took_ms: int
    findings: dict[str, int]
    changes: tuple[Change, ...]


class NameRow(msgspec.Struct, frozen=True):
    """How often an event of this name (`product / view`) came."""

    name: str
    events: int


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """What goes from one page to one host: calls, and events by outcome."""

    page: str
    host: str
    is_vendors: bool
    calls: int
    outcomes: dict[str, int]


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one host has answered: calls by class of status (`2xx`, `none`: no answer seen, `failed`), half and all of the answers within so many milliseconds."""

    host: str
    is_vendors: bool
    calls: int
    statuses: dict[str, int]
    median_ms: int
    slowest_ms: int


class StayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's time under one UID; `cid`, cut short, is the customer whose it became, empty for nobody yet."""

    uid: str
    begins: str
    first_call: int
    last_call: int
    events: int
    cid: str


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a visitor's identity: `kind` is one of `gateway.qa.story`'s, `said` is it in words; `was` is what held before, CIDs are cut short.

    `kind` is `held` for an event that the gateway would have kept for a person for another reason; `outcome` is what became of the step's event, empty where it has none.
    """

    kind: str
    said: str
    call: int
    event: int
    at_ms: int
    uid: str
    cid: str
    was: str
    name: str
    outcome: str


class VisitorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One browser's story; stays and steps are in the order of the calls."""

    number: int
    portal_id: str
    site: str
    stays: tuple[StayRow, ...]
    steps: tuple[StepRow, ...]
    stays_left_out: int
    steps_left_out: int


class Identities(msgspec.Struct, frozen=True, kw_only=True):
    """Who was there: visitors with their UIDs, and events that are no browser's."""

    visitors: tuple[VisitorRow, ...]
    visitors_left_out: int
    servers_events: int
    others_events: int


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows the bounds have kept out."""

    findings: int
    calls: int
    names: int
    flows: int
    hosts: int


class SessionModel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a report says. `answer` and `headline` are whether the site may go live, as far as these calls tell.

    `not_tried` are moments of a visitor's life that did not come up, in plain words: what no call has shown, nobody has checked.
    """

    version: int
    about: About
    answer: Answer
    headline: str
    counts: Counts
    not_tried: tuple[str, ...]
    rules: tuple[RuleRow, ...]
    findings: tuple[FindingRow, ...]
    calls: tuple[CallRow, ...]
    identities: Identities
    names: tuple[NameRow, ...]
    flows: tuple[FlowRow, ...]
    hosts: tuple[HostRow, ...]
    left_out: LeftOut

    def of_rule(self, rule: RuleId) -> tuple[FindingRow, ...]:
        """Give the findings of a rule."""
        return tuple(each for each in self.findings if each.rule == rule)

    @property
    def broken(self) -> tuple[RuleRow, ...]:
        """The rules that were broken, the worst first."""
        order = ("error", "warning", "note", "off")
        return tuple(
            sorted((each for each in self.rules if each.found), key=lambda each: order.index(each.severity))
        )
