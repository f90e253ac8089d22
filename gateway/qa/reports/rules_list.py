"""The findings in the HTML report, by rule: what is wrong, why it matters, how to mend it and where it was; and the rules that were kept to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.reports.links import Links
from gateway.qa.reports.markup import Markup, el
from gateway.qa.reports.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.qa.reports.model import FindingRow, RuleRow, SessionModel

_SHOWN = 10


def findings_section(model: SessionModel) -> Markup:
    """Give the section."""
    broken, links = model.broken, Links(model)
    kept = [row for row in model.rules if not row.found]
    cards = [_card(row, model.of_rule(row.id), links) for row in broken]
    if not broken:
        cards = [el("p", "No rule was broken.", class_="card nothing")]
    return el(
        "section",
        el("h2", "Findings"),
        el("p", "The rules that were broken, the worst first. A number leads to its call.", class_="lead")
        if broken
        else None,
        *cards,
        _kept(kept) if kept else None,
        id="findings",
    )


def _card(row: RuleRow, findings: tuple[FindingRow, ...], links: Links) -> Markup:
    head = el(
        "summary",
        el("span", row.severity, class_=f"badge {row.severity}"),
        el("div", el("h3", row.title), el("span", row.id, class_="mono")),
        el("span", counted(row.found, "place"), class_="times"),
    )
    advice = el(
        "dl",
        el("div", el("dt", "Why it matters"), el("dd", row.why)),
        el("div", el("dt", "How to mend it"), el("dd", row.mend)),
        class_="advice",
    )
    more = findings[_SHOWN:]
    rest = (
        el(
            "details",
            el("summary", f"{counted(len(more), 'more place')}"),
            _places(more, links),
            class_="more",
        )
        if more
        else None
    )
    left_out = (
        el("p", f"{row.left_out:,} more are not in this report.", class_="rest") if row.left_out else None
    )
    return el(
        "details",
        head,
        advice,
        _places(findings[:_SHOWN], links),
        rest,
        left_out,
        class_=f"card rule {row.severity}",
        id=f"rule-{row.id}",
        open=row.severity == "error",
    )


def _places(findings: Iterable[FindingRow], links: Links) -> Markup:
    return el("ul", *(_place(each, links) for each in findings), class_="places")


def _place(finding: FindingRow, links: Links) -> Markup:
    what = el(
        "div",
        el("b", finding.name) if finding.name else None,
        " " if finding.name else None,
        el("span", finding.place, class_="mono where") if finding.place else None,
        " " if finding.place else None,
        finding.detail,
        class_="what",
    )
    other = links.to(finding.other) if finding.other else None
    page = f" from {finding.page}" if finding.page else ""
    where = el(
        "div",
        el("span", f"{finding.method} {finding.url}{page}"),
        " · together with " if other else None,
        other,
        class_="from",
    )
    return el("li", links.to(finding.call, finding.event), el("div", what, where))


def _kept(rows: list[RuleRow]) -> Markup:
    items = (
        el(
            "li",
            f"{row.title} (not looked at)" if row.severity == "off" else row.title,
            class_="off" if row.severity == "off" else None,
        )
        for row in rows
    )
    return el(
        "div", el("h3", f"Not broken: {counted(len(rows), 'rule')}"), el("ul", *items), class_="card kept"
    )
