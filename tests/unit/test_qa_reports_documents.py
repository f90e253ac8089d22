"""Reports for programs and for a terminal: what is written says the same as the model."""

from __future__ import annotations

import io

import jsonschema_rs
import orjson
import pytest
from rich.console import Console

from gateway.qa.reports import gather, summary, write_reports
from gateway.qa.reports.documents import json_schema
from tests.builders import make_settings
from tests.qa_sessions import RAW_EMAIL, Scripted, messy_findings, messy_visit, session_of
from tests.test_architecture import ROOT


@pytest.fixture
async def model(tmp_path):
    async with session_of(tmp_path, [Scripted(messy_findings())]) as session:
        await messy_visit(session)
    return gather(session, make_settings(), source="visit.har", mode="recording")


def told(model, width=120):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary(model))
    return console.file.getvalue()


async def test_the_summary_answers_first_and_says_how_to_mend(model):
    """The first line is the answer; each broken rule has its place, why and mend."""
    text = told(model)
    assert text.startswith(
        "May this site go live? Not yet: 4 errors and 2 warnings in 6 events of 7 tracking calls."
    )
    for words in ("#5 POST https://a.cdp.asia/event", "(with #4)", "resetAnonymousUId", "a sign-out"):
        assert words in text
    assert RAW_EMAIL not in text
    assert "\x1b" not in text


async def test_json_is_what_its_schema_says(model, tmp_path):
    """The schema in the docs takes the report; folders that are missing are made."""
    (path,) = write_reports(model, json=tmp_path / "made" / "report.json")
    schema = orjson.loads((ROOT / "docs" / "qa-report.schema.json").read_bytes())
    document = orjson.loads(path.read_bytes())
    jsonschema_rs.validator_for(schema).validate(document)
    for broken in (
        {**document, "answer": "perhaps"},
        {**document, "version": 2},
        {**document, "calls": [{}]},
    ):
        assert not jsonschema_rs.is_valid(schema, broken)


def test_the_schema_in_the_docs_is_the_models_own():
    """It can't say less, or something else, than what is written. To make it: `documents.json_schema()`."""
    assert (ROOT / "docs" / "qa-report.schema.json").read_bytes() == json_schema()


async def test_a_report_that_can_not_be_written_leaves_what_was_there(model, tmp_path):
    """No half file, nothing beside it."""
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write_reports(model, json=tmp_path / "report.json")
    assert ["report.json"] == [each.name for each in tmp_path.iterdir() if "report" in each.name]
