"""The JUnit report: one test for each rule, so that a pipeline shows what was kept to as well; and one that something was seen at all.

The shape is that of Jenkins' xUnit plugin (`junit-10.xsd`), which GitLab and GitHub's reporters read too: one `failure` in a test, with all of its findings.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from gateway.qa.findings import ORDER
from gateway.qa.reports.wording import counted

if TYPE_CHECKING:
    from gateway.qa.findings import Order
    from gateway.qa.reports.model import FindingRow, RuleRow, SessionModel

_SUITE = "tracking"


def junit_document(model: SessionModel, fail_on: Order = "error") -> bytes:
    """Give the report as XML. A rule fails when its severity is `fail_on` or graver; what is found of others is its test's output, and it passes."""
    failing = frozenset(ORDER[: ORDER.index(fail_on) + 1])
    cases = [_seen(model), *(_case(model, row, failing) for row in model.rules)]
    failures = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    about = model.about
    totals = {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "time": f"{(about.ended_ms - about.started_ms) / 1000:.3f}",
    }
    began = datetime.fromtimestamp(about.started_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    moment = {"timestamp": began} if about.started_ms else {}
    root = ET.Element("testsuites", {"name": "tracking-gateway qa", **totals})
    suite = ET.SubElement(root, "testsuite", {"name": _SUITE, **totals, "skipped": str(skipped), **moment})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(model).items():
        ET.SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _properties(model: SessionModel) -> dict[str, str]:
    counts = model.counts
    return {
        "answer": model.answer,
        "headline": model.headline,
        "source": model.about.source,
        "mode": model.about.mode,
        "version": model.about.tool_version,
        "calls": str(counts.calls),
        "tracking_calls": str(counts.tracking),
        **{f"events_{outcome}": str(number) for outcome, number in counts.outcomes.items()},
    }


def _seen(model: SessionModel) -> ET.Element:
    """Give the test that keeps a session in which nothing was caught from passing."""
    case = ET.Element("testcase", {"classname": _SUITE, "name": "Tracking events were seen", "time": "0.000"})
    if not model.counts.events:
        failure = ET.SubElement(case, "failure", {"type": "error", "message": "No tracking event was seen"})
        failure.text = f"{counted(model.counts.calls, 'call')}, none of them an event: is the browser using the proxy, and does it trust its certificate?"
    return case


def _case(model: SessionModel, row: RuleRow, failing: frozenset[str]) -> ET.Element:
    case = ET.Element("testcase", {"classname": _SUITE, "name": f"{row.id}: {row.title}", "time": "0.000"})
    if row.severity == "off":
        ET.SubElement(case, "skipped", {"message": f'qa.severity."{row.id}" is off'})
    elif row.found:
        findings = model.of_rule(row.id)
        # As grave as the gravest of its cases.
        if row.severity in failing:
            message = f"{counted(row.found, 'time')}, first in call {findings[0].call}: {findings[0].detail or row.title}"
            told = ET.SubElement(case, "failure", {"type": row.severity, "message": message})
        else:
            told = ET.SubElement(case, "system-out")
        told.text = _told(row, findings)
    return case


def _told(row: RuleRow, findings: tuple[FindingRow, ...]) -> str:
    lines = [
        f"{row.severity}: {row.title}",
        f"why: {row.why}",
        f"mend: {row.mend}",
        "",
        *map(_line, findings),
    ]
    if row.left_out:
        lines.append(f"and {row.left_out:,} more")
    return "\n".join(lines)


def _line(finding: FindingRow) -> str:
    where = "  ".join(each for each in (finding.name, finding.place) if each)
    other = f" (with call {finding.other})" if finding.other else ""
    page = f" from {finding.page}" if finding.page else ""
    return f"call {finding.call}: {finding.method} {finding.url}{page}  {where}: {finding.detail}{other}"
