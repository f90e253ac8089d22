"""The tracking calls in the HTML report: a row for each event, with what became of it and of the identity in it. A script makes it filterable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.findings import RULES
from gateway.qa.reports.kinds import HASHES, RAW
from gateway.qa.reports.links import row_id
from gateway.qa.reports.markup import Markup, el
from gateway.qa.reports.streams import CAME
from gateway.qa.reports.wording import counted, moment

if TYPE_CHECKING:
    from gateway.qa.reports.model import CallRow, Change, SessionModel
    from gateway.settings_qa import RuleId, Severity

_COLUMNS = {
    "n": "call",
    "e": "event",
    "u": "UID and CID",
    "o": "outcome",
    "w": "findings and identity, before → after",
}


def calls_section(model: SessionModel) -> Markup:
    """Give the section."""
    severities = {row.id: row.severity for row in model.rules}
    rows = [_row(each, severities) for each in model.calls]
    left_out = model.left_out.calls
    lead = "Each event as it came, and what the gateway makes of it. Of an identity only the kind is told."
    if left_out:
        lead += f" {left_out:,} more found no room here, those without findings first; the counts are of all."
    if not rows:
        return el(
            "section",
            el("h2", "Calls"),
            el("p", "No tracking call was seen.", class_="card nothing"),
            id="calls",
        )
    table = el(
        "table",
        el("caption", "Tracking calls", hidden=True),
        el(
            "thead",
            el("tr", *(el("th", title, scope="col", class_=name) for name, title in _COLUMNS.items())),
        ),
        el("tbody", *rows),
        id="calls-table",
    )
    return el(
        "section",
        el("h2", "Calls"),
        el("p", lead, class_="lead"),
        _names(model),
        el("div", _filter(), table, class_="card"),
        id="calls",
    )


def _names(model: SessionModel) -> Markup | None:
    """Give which events came and how often, so that one that is missing is missed."""
    chips = [el("li", each.name, " ", el("b", f"{each.events:,}"), class_="badge") for each in model.names]
    if model.left_out.names:
        chips.append(el("li", f"and {counted(model.left_out.names, 'more name')}"))
    return el("ul", *chips, class_="names", aria_label="Events by name") if chips else None


def _filter() -> Markup:
    outcomes = (el("option", outcome.value, value=outcome.value) for outcome in CAME)
    return el(
        "form",
        el(
            "label",
            el(
                "input",
                type="search",
                name="words",
                placeholder="event, UID, CID, rule, page …  ( / )",
                aria_label="Words to look for",
            ),
            class_="wide",
        ),
        el("label", "outcome", el("select", el("option", "all", value=""), *outcomes, name="outcome")),
        el("label", el("input", type="checkbox", name="found"), "only with findings"),
        el("output", aria_live="polite"),
        class_="filter",
        id="filter",
        hidden=True,
    )


def _row(row: CallRow, severities: dict[RuleId, Severity]) -> Markup:
    identifier = row_id(row.call, row.event)
    return el(
        "tr",
        el("td", el("a", f"#{row.call}", href=f"#{identifier}"), _sub(moment(row.at_ms)), class_="n"),
        el("td", *_what(row)),
        el("td", *_whose(row)),
        el("td", *_became(row)),
        el("td", _found(row, severities), _changes(row.changes)),
        id=identifier,
        data_outcome=row.outcome or None,
        data_found="1" if row.findings else None,
    )


def _what(row: CallRow) -> list[Markup]:
    title = row.name or {"script": "script"}.get(row.kind, "no event")
    ours = " (the vendor's)" if row.is_vendors else ""
    return [
        el("b", title),
        _sub(f"{row.method} {_short(row.url)}{ours}"),
        _sub(f"from {_short(row.page)}") if row.page else Markup(),
    ]


def _short(url: str) -> str:
    return url.removeprefix("https://")


def _whose(row: CallRow) -> list[Markup]:
    said = [el("span", row.uid, class_="mono")] if row.uid else []
    if row.came_with:
        said.append(_sub(f"came with {row.came_with}"))
    if row.cid:
        said.append(el("span", "CID ", el("span", row.cid, class_="mono"), class_="sub"))
    return said


def _became(row: CallRow) -> list[Markup]:
    said = [el("span", row.outcome, class_=f"badge {row.outcome}")] if row.outcome else []
    if row.reason and row.reason != "ok":
        said.append(_sub(row.reason))
    if row.detail:
        said.append(_sub(row.detail))
    if row.status:
        said.append(_sub(f"answered {row.status} in {row.took_ms:,} ms"))
    return said


def _found(row: CallRow, severities: dict[RuleId, Severity]) -> Markup | None:
    badges = [
        el(
            "a",
            f"{rule}{f' ({times})' if times > 1 else ''}",
            class_=f"badge {severities[rule]}",
            href=f"#rule-{rule}",
            title=title.title,
        )
        for rule, title in RULES.items()
        if (times := row.findings.get(rule, 0))
    ]
    return el("div", *badges, class_="found") if badges else None


def _changes(changes: tuple[Change, ...]) -> Markup | None:
    items = [
        el(
            "li",
            el("span", each.place, class_="mono"),
            el("span", _kind(each.before), " → ", _kind(each.after)),
        )
        for each in changes
    ]
    return el("ul", *items, class_="changes") if items else None


def _kind(kind: str) -> Markup:
    tone = "raw" if kind in RAW else "hash" if kind in HASHES or "masked" in kind else "none"
    return el("span", kind, class_=f"kind {tone}")


def _sub(text: str) -> Markup:
    return el("span", text, class_="sub")
