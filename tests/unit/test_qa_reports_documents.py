"""Reports for programs and for a terminal: what is written says the same as the model."""

from __future__ import annotations

import asyncio
import io
import lzma
from xml.etree import ElementTree as ET

import jsonschema_rs
import msgspec
import orjson
import pytest
from rich.console import Console

from gateway.qa.findings import RULES
from gateway.qa.reports import gather, summary, write_reports
from gateway.qa.reports.documents import json_schema
from gateway.qa.reports.junit import junit_document
from gateway.qa.reports.sarif import sarif_document
from tests.builders import make_settings
from tests.qa_sessions import RAW_EMAIL, messy_model, session_of
from tests.test_architecture import ROOT


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return asyncio.run(messy_model(tmp_path_factory.mktemp("session")))


def told(model, width=120):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary(model))
    return console.file.getvalue()


def test_the_summary_answers_first_and_says_how_to_mend(model):
    """The first line is the answer; each broken rule has its place, why and mend."""
    text = told(model)
    assert text.startswith(
        "May this site go live? Not yet: 4 errors and 2 warnings in 6 events of 7 tracking calls."
    )
    for words in ("#5 POST https://a.cdp.asia/event", "(with #4)", "resetAnonymousUId", "a sign-out"):
        assert words in text
    assert RAW_EMAIL not in text
    assert "\x1b" not in text


def test_json_is_what_its_schema_says(model, tmp_path):
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


def cases_of(model, **more):
    root = ET.fromstring(junit_document(model, **more))
    return root, {each.get("name").partition(":")[0]: each for each in root.iter("testcase")}


def test_junit_has_a_test_for_each_rule(model):
    """What was kept to passes, what was broken fails with why, mend and each place, and the sums are right."""
    root, cases = cases_of(model)
    assert set(RULES) < set(cases)
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert {"raw-identity-in-url", "raw-identity-in-field", "cid-changed", "malformed-event"} == failed
    text = cases["cid-changed"].findtext("failure")
    for words in ("call 5", "(with call 4)", "why: ", "mend: Call web_event.resetAnonymousUId()"):
        assert words in text
    (suite,) = root
    for each in (root, suite):
        assert (str(len(cases)), "4", "0") == tuple(
            each.get(name) for name in ("tests", "failures", "errors")
        )


def test_junit_fails_from_the_severity_that_is_asked_for(model):
    """A warning is a test's output until somebody wants to fail on warnings."""
    _, cases = cases_of(model)
    assert "no such event" in cases["unknown-event"].findtext("system-out")
    _, cases = cases_of(model, fail_on="warning")
    assert "no such event" in cases["unknown-event"].findtext("failure")


def test_junit_skips_a_rule_that_is_off(model):
    """Nobody reads a pass out of a rule that was not looked at."""
    rules = tuple(msgspec.structs.replace(each, severity="off", found=0) for each in model.rules)
    _, cases = cases_of(msgspec.structs.replace(model, rules=rules))
    assert "is off" in cases["cid-changed"].find("skipped").get("message")


async def test_a_session_in_which_nothing_was_caught_fails_in_junit(tmp_path):
    """A browser that went past the proxy is no clean site."""
    async with session_of(tmp_path) as session:
        pass
    root, cases = cases_of(gather(session, make_settings()))
    assert cases["Tracking events were seen"].find("failure") is not None
    assert ("1", None) == (root.get("failures"), root[0].get("timestamp"))


def test_xml_has_nothing_that_xml_can_not_say(model):
    """Control characters and markup of a page's come through as text."""
    _, cases = cases_of(model, fail_on="note")
    assert "<script>alert(1)</script>\\u001b[31m\\u202e" in cases["unknown-event"].findtext("failure")


def test_sarif_is_what_its_schema_says(model):
    """The published schema takes the report; each result names a rule, its level and the URL."""
    document = orjson.loads(sarif_document(model))
    text = lzma.decompress((ROOT / "tests/schemas/sarif-2.1.0-rtm.5.json.xz").read_bytes())
    # A slip of the schema's own: its pattern of a language is none that regular expressions have.
    schema = orjson.loads(text.replace(b"[a-zA-Z]{2}]?$", b"[a-zA-Z]{2}$"))
    jsonschema_rs.Draft4Validator(schema, validate_formats=True).validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert list(RULES) == [rule["id"] for rule in rules]
    assert len(model.findings) == len(run["results"])
    for result in run["results"]:
        assert result["ruleId"] == rules[result["ruleIndex"]]["id"]
        assert "://" in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def test_the_same_mistake_has_the_same_fingerprint_in_the_next_run(model):
    """Call and moment are not part of it; the event's name is."""
    later = tuple(msgspec.structs.replace(each, call=each.call + 50, at_ms=9) for each in model.findings)
    other = tuple(msgspec.structs.replace(each, name="other") for each in model.findings)

    def prints(findings):
        run = orjson.loads(sarif_document(msgspec.structs.replace(model, findings=findings)))["runs"][0]
        return [each["partialFingerprints"] for each in run["results"]]

    assert prints(model.findings) == prints(later)
    assert not [each for each in prints(other) if each in prints(model.findings)]


@pytest.mark.parametrize("name", ["[a](https://evil.example)", "{0}", "%zz"])
def test_nothing_in_sarif_is_a_link_or_a_placeholder(model, name):
    """An event's name is only a name, and an address is an address."""
    finding = msgspec.structs.replace(model.findings[0], name=name, url=f"https://a.cdp.asia/{name}")
    (run,) = orjson.loads(sarif_document(msgspec.structs.replace(model, findings=(finding,))))["runs"]
    text = run["results"][0]["message"]["text"]
    assert "](" not in text
    assert "{0}" not in text.replace("{{0}}", "")
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert not set(uri) & set("[]{}")
    assert "%zz" not in uri


def test_a_report_that_can_not_be_written_leaves_what_was_there(model, tmp_path):
    """No half file, nothing beside it."""
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write_reports(model, json=tmp_path / "report.json")
    assert ["report.json"] == [each.name for each in tmp_path.iterdir() if "report" in each.name]
