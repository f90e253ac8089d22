"""The summary for a terminal: whether the site may go live, what came and what became of it, and the worst findings with how to mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.qa.reports.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.qa.reports.model import FindingRow, RuleRow, SessionModel

_MOST_RULES = 8
_MOST_PLACES = 3
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan", "off": "dim"}
_ANSWERS = {
    "ready": "bold green",
    "with_care": "bold yellow",
    "not_ready": "bold red",
    "nothing_seen": "bold",
}


def summary(model: SessionModel) -> RenderableType:
    """Give the summary to print on a rich console. Texts of the session's are never read as markup."""
    parts: list[RenderableType] = [
        Text.assemble(("May this site go live? ", "bold"), (model.headline, _ANSWERS[model.answer])),
        Text(_came(model), style="dim"),
    ]
    if model.not_tried:
        parts.append(
            Text(f"Not seen in this session, so not checked: {', '.join(model.not_tried)}.", style="dim")
        )
    broken = model.broken
    if broken:
        parts += [Text(), _rules(broken)]
    for row in broken[:_MOST_RULES]:
        parts += [Text(), *_rule(row, model.of_rule(row.id))]
    if len(broken) > _MOST_RULES:
        parts += [
            Text(),
            Text(
                f"{counted(len(broken) - _MOST_RULES, 'more rule')} broken, listed above; a report has their places.",
                style="dim",
            ),
        ]
    return Group(*parts)


def _came(model: SessionModel) -> str:
    counts = model.counts
    fates = " · ".join(f"{number:,} {outcome}" for outcome, number in counts.outcomes.items() if number)
    where = f"{model.about.source}, " if model.about.source else ""
    return (
        f"{where}{model.about.mode}: {counted(counts.calls, 'call')}, {counts.tracking:,} tracking "
        f"({counts.vendors:,} to the vendor's own hosts), {counted(counts.events, 'event')}{f': {fates}' if fates else ''}"
    )


def _rules(broken: tuple[RuleRow, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("found", justify="right")
    for name in ("severity", "rule", "what"):
        table.add_column(name, overflow="fold")
    for row in broken:
        table.add_row(f"{row.found:,}", Text(row.severity, _STYLES[row.severity]), row.id, Text(row.title))
    return table


def _rule(row: RuleRow, findings: tuple[FindingRow, ...]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    for each in findings[:_MOST_PLACES]:
        grid.add_row(Text("where", "dim"), _where(each))
    if row.found > _MOST_PLACES:
        grid.add_row("", Text(f"and {row.found - _MOST_PLACES:,} more", "dim"))
    grid.add_row(Text("why", "dim"), Text(row.why))
    grid.add_row(Text("mend", "dim"), Text(row.mend))
    heading = Text.assemble((row.severity, _STYLES[row.severity]), f"  {row.title}  ", (row.id, "dim"))
    return [heading, Padding(grid, (0, 0, 0, 2))]


def _where(finding: FindingRow) -> Text:
    text = Text.assemble((f"#{finding.call} ", "bold"), f"{finding.method} {finding.url}")
    for each in (finding.name, finding.place):
        if each:
            text.append(f"  {each}")
    if finding.detail:
        text.append(f": {finding.detail}")
    if finding.other:
        text.append(f" (with #{finding.other})", "dim")
    return text
