"""Makes the model of a finished session: counts all of it, keeps what a person can look through, and says what it has left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from gateway import __version__
from gateway.events.outcome import Outcome, Rejection
from gateway.qa.findings import ORDER, RULES
from gateway.qa.reports.kinds import Kinds
from gateway.qa.reports.model import (
    VERSION,
    About,
    Answer,
    CallRow,
    Change,
    Counts,
    FindingRow,
    LeftOut,
    NameRow,
    RuleRow,
    SessionModel,
)
from gateway.qa.reports.retelling import Fate, Fates, retold
from gateway.qa.reports.streams import CAME, flow_rows, host_rows
from gateway.qa.reports.wording import counted, cut, page_of, place_of, shown

if TYPE_CHECKING:
    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined, Session, Sight
    from gateway.settings import Settings
    from gateway.settings_qa import RuleId, Severity

# What a visitor does who is worth checking, and the event that shows it.
_RANKS = {severity: rank for rank, severity in enumerate((*ORDER, "off"))}
_MOMENTS = {
    "a page view": "pageview / view",
    "a sign-in": "user / sign_in",
    "a sign-out": "user / reset_anonymous_id",
    "a purchase": "product / purchase",
}


class Bounds(msgspec.Struct, frozen=True):
    """How many rows a report holds at most; counts are always of everything."""

    findings_of_a_rule: int = 100
    calls: int = 2_000
    names: int = 60
    flows: int = 40
    hosts: int = 20


def gather(
    session: Session,
    settings: Settings,
    *,
    source: str = "",
    mode: str = "observe",
    bounds: Bounds | None = None,
) -> SessionModel:
    """Give the model of a session that is finished. `source` says where its calls come from, `mode` what was done with them."""
    gathering = _Gathering(session, settings, bounds or Bounds())
    return gathering.model(cut(shown(source), 120), mode)


class _Gathering:
    """One session, taken stock of."""

    def __init__(self, session: Session, settings: Settings, bounds: Bounds) -> None:
        self._session = session
        self._severity = settings.qa.severity
        self._kinds = Kinds(settings.identity)
        self._bounds = bounds
        self._examined = session.examined
        self._findings = session.findings
        self._by_call = {each.call.number: each for each in session.examined}
        moments = [each.call.started_ms for each in session.examined]
        self._started_ms = min(moments, default=0)
        self._ended_ms = max(moments, default=0)

    def model(self, source: str, mode: str) -> SessionModel:
        rules, findings = self._rules(), self._finding_rows()
        calls, calls_left_out = self._call_rows({each.call for each in findings})
        names = Counter(_name(sight) for each in self._examined for sight in each.events)
        flows, hosts = flow_rows(self._examined), host_rows(self._examined)
        counts = self._counts()
        answer = _answer(counts)
        return SessionModel(
            version=VERSION,
            about=About(
                source=source,
                mode=mode,
                tool="tracking-gateway",
                tool_version=__version__,
                started_ms=self._started_ms,
                ended_ms=self._ended_ms,
            ),
            answer=answer,
            headline=_headline(answer, counts),
            counts=counts,
            not_tried=self._not_tried(names),
            rules=rules,
            findings=findings,
            calls=calls,
            identities=retold(self._session.story.told(), self._fates(), self._kinds.cid, self._started_ms),
            names=tuple(NameRow(*each) for each in names.most_common(self._bounds.names)),
            flows=flows[: self._bounds.flows],
            hosts=hosts[: self._bounds.hosts],
            left_out=LeftOut(
                findings=sum(each.left_out for each in rules),
                calls=calls_left_out,
                names=max(0, len(names) - self._bounds.names),
                flows=max(0, len(flows) - self._bounds.flows),
                hosts=max(0, len(hosts) - self._bounds.hosts),
            ),
        )

    def _not_tried(self, names: Counter[str]) -> tuple[str, ...]:
        # A sign-out was seen too where its reset was missed.
        is_missed = any(each.rule == "reset-missing" for each in self._findings)
        tried = names | Counter({"user / reset_anonymous_id": int(is_missed)})
        return tuple(moment for moment, name in _MOMENTS.items() if not tried[name])

    def _counts(self) -> Counts:
        outcomes = Counter(sight.verdict.outcome for each in self._examined for sight in each.events)
        severities = Counter(finding.severity for finding in self._findings)
        return Counts(
            calls=max(self._session.calls, len(self._examined)),
            tracking=len(self._examined),
            vendors=sum(each.known.is_vendors for each in self._examined),
            scripts=sum(each.known.kind == "script" for each in self._examined),
            events=sum(outcomes.values()),
            outcomes={outcome.value: outcomes[outcome] for outcome in CAME},
            severities={severity: severities[severity] for severity in ORDER},
        )

    def _rules(self) -> tuple[RuleRow, ...]:
        found = Counter(finding.rule for finding in self._findings)
        # A case of a rule may be less grave than the rule itself: as grave as its gravest case is what was seen here.
        gravest: dict[RuleId, Severity] = {}
        for finding in sorted(self._findings, key=lambda each: _RANKS[each.severity]):
            gravest.setdefault(finding.rule, finding.severity)
        return tuple(
            RuleRow(
                id=rule.id,
                severity=gravest.get(rule.id) or self._severity.get(rule.id, rule.severity),
                title=rule.title,
                why=rule.why,
                mend=rule.mend,
                found=found[rule.id],
                left_out=max(0, found[rule.id] - self._bounds.findings_of_a_rule),
            )
            for rule in RULES.values()
        )

    def _finding_rows(self) -> tuple[FindingRow, ...]:
        kept: Counter[str] = Counter()
        rows = []
        for finding in self._findings:
            kept[finding.rule] += 1
            if kept[finding.rule] <= self._bounds.findings_of_a_rule:
                rows.append(self._finding_row(finding))
        return tuple(rows)

    def _finding_row(self, finding: Finding) -> FindingRow:
        examined = self._by_call[finding.call]
        is_of_event = 0 <= finding.event < len(examined.events)
        return FindingRow(
            rule=finding.rule,
            severity=finding.severity,
            call=finding.call,
            event=finding.event,
            name=_name(examined.events[finding.event]) if is_of_event else "",
            place=shown(finding.place),
            detail=shown(finding.detail),
            other=finding.other,
            method=shown(examined.call.method),
            url=place_of(examined.call),
            page=page_of(examined),
            at_ms=examined.call.started_ms - self._started_ms,
        )

    def _call_rows(self, wanted: set[int]) -> tuple[tuple[CallRow, ...], int]:
        """Give the rows in the order of the calls, and how many found no room: those of the findings that are told come first, then others with findings."""
        every = [(each, sight) for each in self._examined for sight in (each.events or (None,))]

        def weight(at: int) -> tuple[bool, bool, int]:
            examined = every[at][0]
            return examined.call.number not in wanted, not examined.findings, at

        kept = sorted(range(len(every)), key=weight)[: self._bounds.calls]
        rows = tuple(self._call_row(*every[at]) for at in sorted(kept))
        return rows, len(every) - len(rows)

    def _call_row(self, examined: Examined, sight: Sight | None) -> CallRow:
        call, heard = examined.call, examined.heard
        verdict = sight.verdict if sight is not None else None
        index = sight.index if sight is not None else -1
        findings: Counter[str] = Counter(
            each.rule for each in examined.findings if each.event == index or (each.event < 0 and index <= 0)
        )
        changes: tuple[Change, ...] = ()
        if sight is not None and not isinstance(sight.original, Rejection):
            changes = self._kinds.changes(sight.original, sight.sent)
        return CallRow(
            call=call.number,
            event=index,
            at_ms=call.started_ms - self._started_ms,
            kind=examined.known.kind,
            method=shown(call.method),
            url=place_of(call),
            page=page_of(examined),
            is_vendors=examined.known.is_vendors,
            name=_name(sight) if sight is not None else "",
            uid=self._kinds.uid(verdict.uid) if verdict else "",
            came_with=self._kinds.uid(verdict.came_with) if verdict else "",
            cid=self._kinds.cid(verdict.cid) if verdict else "",
            outcome=verdict.outcome.value if verdict else "",
            reason=verdict.reason.value if verdict else "",
            detail=_detail(verdict.rejection) if verdict else "",
            replied=examined.taken.reply.status,
            status=heard.status if heard else 0,
            took_ms=round(heard.took_ms) if heard else 0,
            findings=dict(findings),
            changes=changes,
        )

    def _fates(self) -> Fates:
        return {
            (each.call.number, sight.index): Fate(
                each.call.started_ms,
                self._kinds.uid(sight.verdict.uid),
                _name(sight),
                sight.verdict.outcome.value,
                sight.verdict.reason.value,
            )
            for each in self._examined
            for sight in each.events
            if sight.verdict.outcome is not Outcome.ACCEPTED
        }


def _answer(counts: Counts) -> Answer:
    if not counts.events and not any(counts.severities.values()):
        return "nothing_seen"
    if counts.severities["error"]:
        return "not_ready"
    return "with_care" if counts.severities["warning"] else "ready"


def _headline(answer: Answer, counts: Counts) -> str:
    seen = f"{counted(counts.events, 'event')} of {counted(counts.tracking, 'tracking call')}"
    wrong = " and ".join(
        counted(number, severity)
        for severity, number in counts.severities.items()
        if number and severity != "note"
    )
    return {
        "ready": f"Yes, as far as {seen} can tell: nothing is wrong.",
        "with_care": f"Yes, with care: {wrong} in {seen}.",
        "not_ready": f"Not yet: {wrong} in {seen}.",
        "nothing_seen": "Nobody can say: no tracking event was seen.",
    }[answer]


def _name(sight: Sight) -> str:
    """Give an event's name as people say it: `product / view`; what it was called when it came, where it was refused."""
    fields = sight.original if isinstance(sight.original, dict) else {}
    category, action = (
        sight.verdict.category or fields.get("ec", ""),
        sight.verdict.action or fields.get("ea", ""),
    )
    words = [cut(shown(each), 60) for each in (category, action) if isinstance(each, str) and each]
    return " / ".join(words) or "(no name)"


def _detail(rejection: Rejection) -> str:
    return ": ".join(shown(each) for each in (rejection.field, rejection.detail) if each)
