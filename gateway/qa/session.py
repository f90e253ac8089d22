"""A tester's session: every tracking call from the first to the last, what the gateway would have made of it, and what is wrong.

`Session` is driven by whoever brings the calls: `examine` when a request was seen, `heard` when its answer was, `passed` for a call that is not tracking,
`finish` at the end. What always holds: what a session keeps is bounded by what it was given, holds no raw identity, and is in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import orjson

from gateway.events.decisions import Decision, Pending, Prepared, Verdict
from gateway.events.model import JsonObject
from gateway.events.outcome import Rejection
from gateway.events.tracking_plan import Violation
from gateway.qa.calls import Call, Heard
from gateway.qa.findings import RULES, Finding
from gateway.qa.inner import Taken
from gateway.qa.recognition import Known, Recogniser
from gateway.qa.story import Storyteller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.qa.inner import Inner
    from gateway.qa.keeping import Keeping
    from gateway.settings import Settings
    from gateway.settings_qa import RuleId, Severity


class Sight(msgspec.Struct, frozen=True):
    """One event of a call, as the checks see it.

    `original` is the event as it came, before anything was changed: an object, or why it can't be read. `pending` is it on its way, changed already; `None` where it
    was refused before. `violations` are what it has not kept of the tracking plan. `sent` is what the gateway would send on, decoded; `None` where it would send nothing on, or not yet.
    """

    call: Call
    known: Known
    index: int
    original: JsonObject | Rejection
    prepared: Prepared
    decision: Decision
    verdict: Verdict
    pending: Pending | None
    sent: JsonObject | None
    violations: Sequence[Violation] = ()


class Examined(msgspec.Struct):
    """A tracking call with what became of it; `findings` may grow until the session ends, `heard` is there when its answer was seen."""

    call: Call
    known: Known
    taken: Taken
    events: list[Sight]
    findings: list[Finding] = []
    heard: Heard | None = None


class Check(Protocol):
    """Looks for broken rules. Each method may be left out by inheriting `Looks`."""

    def request(self, examined: Examined) -> Iterable[Finding]:
        """Look at a tracking call as a whole."""

    def event(self, sight: Sight) -> Iterable[Finding]:
        """Look at one event."""

    def heard(self, examined: Examined) -> Iterable[Finding]:
        """Look at a call's answer."""

    def passed(self, call: Call) -> Iterable[Finding]:
        """Hear of a call that is not tracking: its method, host, path and moment; its headers and its body are not read."""

    def end(self) -> Iterable[Finding]:
        """Say what only the end of the session tells."""


class Looks:
    """A check that looks at nothing yet."""

    def request(self, examined: Examined) -> Iterable[Finding]:
        """Find nothing."""
        del examined
        return ()

    def event(self, sight: Sight) -> Iterable[Finding]:
        """Find nothing."""
        del sight
        return ()

    def heard(self, examined: Examined) -> Iterable[Finding]:
        """Find nothing."""
        del examined
        return ()

    def passed(self, call: Call) -> Iterable[Finding]:
        """Find nothing."""
        del call
        return ()

    def end(self) -> Iterable[Finding]:
        """Find nothing."""
        return ()


class Session:
    """One session, from its first call to its last. Everything stays, unless `keeping` says what is let go of."""

    def __init__(
        self, settings: Settings, inner: Inner, checks: Sequence[Check], keeping: Keeping | None = None
    ) -> None:
        self._inner = inner
        self._severity = settings.qa.severity
        self._checks = checks
        self.recogniser = Recogniser(settings, inner)
        self.story = Storyteller(settings)
        self.examined: list[Examined] = []
        self._by_number: dict[int, Examined] = {}
        self.calls = 0
        self._news: list[Finding] = []
        self._passing = [each for each in checks if type(each).passed is not Looks.passed]
        self._keeping = keeping

    def next_number(self) -> int:
        """Number a call: from 1, tracking or not."""
        self.calls += 1
        return self.calls

    async def examine(self, call: Call, known: Known) -> Examined:
        """Take a tracking call as the gateway would, and look for what is wrong with it."""
        taken = await self._inner.take(call, known.path)
        examined = Examined(call, known, taken, _sights(call, known, taken))
        self.examined.append(examined)
        self._by_number[call.number] = examined
        for check in self._checks:
            self._add(check.request(examined))
            for sight in examined.events:
                self._add(check.event(sight))
        for sight in examined.events:
            self.story.event(sight)
        if self._keeping is not None:
            self._keeping.let_go(self.examined)
        return examined

    def heard(self, examined: Examined, heard: Heard) -> list[Finding]:
        """Hear the answer of a call; gives what was found by it."""
        examined.heard = heard
        before = len(examined.findings)
        self.story.heard(examined)
        for check in self._checks:
            self._add(check.heard(examined))
        return examined.findings[before:]

    def passed(self, call: Call) -> None:
        """Hear of a call that is not tracking."""
        self.story.passed(call)
        for check in self._passing:
            self._add(check.passed(call))

    def finish(self) -> None:
        """Say what only the end tells; call it once, after the last call."""
        for check in self._checks:
            self._add(check.end())

    @property
    def findings(self) -> list[Finding]:
        """Everything that is wrong, in the order of the calls."""
        return [finding for each in self.examined for finding in each.findings]

    def news(self) -> list[Finding]:
        """Give what was found since this was last asked, as it came."""
        news, self._news = self._news, []
        return news

    def _add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            severity = self._severity.get(finding.rule, finding.severity)
            if severity != "off":
                found = msgspec.structs.replace(finding, severity=severity)
                self._by_number[finding.call].findings.append(found)
                self._news.append(found)


def found(
    rule: RuleId,
    call: int,
    place: str,
    detail: str,
    *,
    event: int = -1,
    other: int = 0,
    severity: Severity | None = None,
) -> Finding:
    """Give a finding, of the rule's severity unless this case has another; what the settings say of the rule goes before both."""
    return Finding(
        rule=rule,
        severity=severity or RULES[rule].severity,
        call=call,
        event=event,
        place=place,
        detail=detail,
        other=other,
    )


def _sights(call: Call, known: Known, taken: Taken) -> list[Sight]:
    if taken.prepared is None or taken.decision is None:
        return []
    sights = []
    verdicts = taken.decision.verdicts
    originals = taken.originals or tuple(each.rejection for each in verdicts)
    for index, (original, event, verdict) in enumerate(
        zip(originals, taken.prepared.events, verdicts, strict=True)
    ):
        record = verdict.record or (verdict.entry.record if verdict.entry is not None else None)
        sights.append(
            Sight(
                call,
                known,
                index,
                original,
                taken.prepared,
                taken.decision,
                verdict,
                event if isinstance(event, Pending) else None,
                orjson.loads(record.body) if record is not None else None,
                taken.violations_of(event.fields) if isinstance(event, Pending) else (),
            )
        )
    return sights
