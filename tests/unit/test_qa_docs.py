"""docs/qa.md says what is checked, as the table of rules has it."""

from __future__ import annotations

import pytest

from gateway.qa.findings import RULES
from tests.test_architecture import ROOT

TEXT = (ROOT / "docs" / "qa.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_each_rule_stands_in_the_docs_as_the_code_has_it(rule):
    """Id, severity, title, why and mend; the row to write is the one that is expected here."""
    assert f"| `{rule.id}` | {rule.severity} | **{rule.title}.** {rule.why} | {rule.mend} |\n" in TEXT


def test_no_rule_stands_in_the_docs_that_is_none():
    """A row of a rule that went has gone too."""
    told = [line.split("`")[1] for line in TEXT.splitlines() if line.startswith("| `") and "| **" in line]
    assert list(RULES) == told
