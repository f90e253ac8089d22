"""`tracking-gateway qa`: a recording is checked without a proxy, and a pipeline reads the exit code."""

from __future__ import annotations

import json

import pytest

from tests.builders import PORTAL_ID, PROP_ID
from tests.command_line import both, run
from tests.mitmdump import qa_venv
from tests.processes import ROOT

RECORDINGS = ROOT / "tests/recordings"
CONFIG = f"""
data_dir = "data"
[[properties]]
portal_id = "{PORTAL_ID}"
prop_id = "{PROP_ID}"
site = "shop.example"
origins = ["http://www.shop.example"]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


async def test_a_recording_with_an_error_ends_with_1_and_its_reports(config, tmp_path):
    """People get a summary, programs the same as one document; nobody gets an address."""
    reports = {name: tmp_path / f"qa.{name}" for name in ("report", "junit", "sarif")}
    options = [word for name, path in reports.items() for word in (f"--{name}", path)]
    ended, as_json = await both("qa", RECORDINGS / "mitmproxy.har", "--config", config, *options)
    assert (1, 1) == (ended.code, as_json.code)
    assert "raw-identity-in-field" in ended.out
    document = as_json.json
    assert not document["ok"]
    assert {
        "third-party-host",
        "raw-identity-in-field",
        "required-field-missing",
        "duplicate-event",
    } == {each["rule"] for each in document["report"]["findings"]}
    assert 3 == len(document["written"])
    everything = [ended.out, ended.err, as_json.out, *(path.read_text() for path in reports.values())]
    assert not any("lan.nguyen" in each.lower() for each in everything)


async def test_what_the_recorder_left_out_is_said_and_not_held_against_the_site(config):
    """`--fail-on never` ends with 0 whatever was found."""
    ended = await run("qa", RECORDINGS / "playwright.har", "--config", config, "--fail-on", "never")
    assert 0 == ended.code
    assert "notice: 2 tracking calls came without the body that was sent" in ended.err
    assert "malformed-event" not in ended.out


async def test_standard_input_may_be_the_recording(config):
    """A site without a mistake ends with 0."""
    recorded = json.loads((RECORDINGS / "mitmproxy.har").read_text())
    recorded["log"]["entries"] = [
        each for each in recorded["log"]["entries"] if "r3" not in each["request"]["url"]
    ]
    ended = await run("qa", "-", "--config", config, "--json", given=json.dumps(recorded))
    assert 0 == ended.code
    assert ended.json["ok"]
    assert "standard input" == ended.json["report"]["about"]["source"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"log": {"version": "1.2"}}', "shop.har: log.entries: it is missing, so this is no HAR file"),
        ('{"log": {"entries": [{}]}}', "shop.har: no entry can be read, the first: log.entries[0].startedDateTime"),
        (None, "there is nothing at"),
    ],
)  # fmt: skip
async def test_what_cannot_be_checked_ends_with_2(config, tmp_path, content, said):
    """It names the file and the field, so that a pipeline does not take it for a site without mistakes."""
    path = tmp_path / "shop.har"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    ended = await run("qa", path, "--config", config)
    assert 2 == ended.code
    assert said in ended.err


async def test_a_flow_dump_is_looked_at_by_mitmdump_with_the_addon(config):
    """Its exit code is the command's."""
    qa_venv()
    ended = await run("qa", RECORDINGS / "mitmproxy.flows", "--config", config)
    assert 1 == ended.code
    assert "raw-identity-in-field" in ended.out + ended.err
    assert "lan.nguyen" not in (ended.out + ended.err).lower()
