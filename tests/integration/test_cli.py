"""The command line as people and programs use it: what it prints, where, and with which exit code."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re

import aiohttp
import pytest
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import app
from tests.builders import PORTAL_ID, PROP_ID, event
from tests.command_line import both, run
from tests.processes import Gateway, running_collector, running_gateway_process

LAN, MINH = "lan@example.com", "minh@example.com"
LAN_CID, MINH_CID = (hashlib.md5(each.encode()).hexdigest() for each in (LAN, MINH))
UID = "1234567890123"
NOWHERE = "http://127.0.0.1:1"
SECOND_PROPERTY = '\n[[properties]]\nportal_id = "33167"\nprop_id = "7"\nsite = "other.example"\n'
SAME_ID = '\n[[properties]]\nportal_id = "99"\nprop_id = "556300706"\nsite = "third.example"\n'


@pytest.fixture
def config(tmp_path):
    """A settings file that can be used; no gateway has run with it."""
    return Gateway(tmp_path, NOWHERE).config


def extended(config, text):
    config.write_text(config.read_text() + text)
    return config


@pytest.fixture
async def used(tmp_path):
    """A running gateway that bound Lan to a UID and a second one, and holds Minh's sign-in on Lan's UID."""
    async with running_collector() as collector, running_gateway_process(tmp_path, collector.url) as gateway:
        async with aiohttp.ClientSession() as session:
            for uid, email in ((UID, LAN), ("222222222", LAN), (UID, MINH)):
                body = event("user", "sign_in", uid=uid, dims={"customers": {"email": email}})
                async with session.post(gateway.collect_url(), json=body) as response:
                    assert response.status == 200
            body = event(uid="333333333", cid=LAN_CID, extra={"customer_id": MINH_CID})
            async with session.post(gateway.collect_url(), json=body) as response:
                assert response.status == 200
        yield gateway


def test_nobody_else_writes_what_the_gateway_writes(config, monkeypatch):
    """Its log and its processes' metrics too, whatever the umask that it was started with."""
    seen = []

    def look(_):
        seen.append(os.umask(0o077))

    monkeypatch.setattr("gateway.server.serve", look)
    for given, expected in ((0, 0o027), (0o077, 0o077)):
        before = os.umask(given)
        try:
            assert 0 == CliRunner().invoke(app, ["serve", "--config", str(config)]).exit_code
        finally:
            os.umask(before)
        assert expected == seen.pop()


async def test_check_says_that_settings_can_be_used_and_what_they_are(config):
    """Every setting with its value; with notes on what is allowed but probably not meant."""
    extended(config, "")
    config.write_text(
        config.read_text().replace(
            "[logging]", "[cookies]\nsecure = false\n[spool]\ndurability = 'os'\n[logging]"
        )
    )
    text, json = await both("check", "--config", config)
    assert (0, 0) == (text.code, json.code)
    assert f"{config} can be used" in " ".join(text.out.split())
    for needle in (
        "server.drain_seconds",
        "properties[0].portal_id",
        PORTAL_ID,
        "power cut",
        "cookies.secure = false",
    ):
        assert needle in text.out
    assert (True, PORTAL_ID) == (json.json["ok"], json.json["settings"]["properties"][0]["portal_id"])


async def test_check_names_every_wrong_key_its_value_and_the_mend(config):
    """Exit code 2, all problems at once, and no traceback."""
    text = config.read_text().replace("[server]", '[server]\nwokers = 3\nhost = "h"\nmax_depth = 1')
    config.write_text(text.replace('site = "shop.example"', 'site = "https://shop.example"'))
    text, json = await both("check", "--config", config)
    assert (2, "", 2) == (text.code, text.out, json.code)
    problems = {each["key"]: each for each in json.json["problems"]}
    assert {"server.wokers", "server.max_depth", "properties[0].site"} == set(problems)
    assert ("3", "did you mean 'workers'?") == (
        problems["server.wokers"]["got"],
        problems["server.wokers"]["hint"].partition("; ")[2],
    )
    for each in problems.values():
        for part in each.values():
            assert part in text.err
    assert "Traceback" not in text.err


async def test_a_settings_file_that_is_missing_is_said_by_every_command(tmp_path):
    """The same words, exit code 2, whatever was to be done; with `--json` as a document."""
    needle = "name a file that exists"
    path = tmp_path / "gateway.toml"
    commands = (("ledger", "show", "1"), ("quarantine", "list"), ("snippet",))
    serve, *texts = await asyncio.gather(
        run("serve", "--config", path), *(run(*each, "--config", path) for each in commands)
    )
    documents = await asyncio.gather(*(run(*each, "--config", path, "--json") for each in commands))
    for text in (serve, *texts):
        assert (2, "") == (text.code, text.out)
        assert needle in text.err
        assert "Traceback" not in text.err
    assert [(2, needle)] * 3 == [(each.code, each.json["problems"][0]["hint"]) for each in documents]


async def test_a_settings_file_that_is_broken_or_empty_is_said_with_the_mend(tmp_path):
    """Broken TOML, or nobody whose events could be taken."""
    broken, empty = tmp_path / "broken.toml", tmp_path / "empty.toml"
    broken.write_text("a = [")
    empty.write_text("")
    ends = await asyncio.gather(run("check", "--config", broken), run("check", "--config", empty))
    assert [2, 2] == [each.code for each in ends]
    assert "mend the TOML" in ends[0].err
    assert "add a [[properties]] table" in ends[1].err


async def test_serve_refuses_a_wrong_setting_before_it_makes_anything(config):
    """Exit code 2, and no data folder; also when the environment is wrong."""
    end = await run("serve", "--config", config, TRACKING_GATEWAY_SERVER__PORT="eighty")
    assert (2, "") == (end.code, end.out)
    assert "server.port" in end.err
    assert "'eighty'" in end.err
    assert not (config.parent / "data").exists()


async def test_the_snippet_is_html_with_the_gateways_address(config):
    """The address comes from the option, else from the settings, else from the site."""
    text, json = await both("snippet", "--config", config)
    assert (0, 0, "") == (text.code, json.code, text.err)
    assert "https://track.shop.example/insight.js" in text.out
    assert f'"{PROP_ID}"' in text.out
    assert text.out.strip() == json.json["html"].strip()
    assert (PROP_ID, "https://track.shop.example/insight.js") == (json.json["prop_id"], json.json["script"])
    named, from_settings = await asyncio.gather(
        run("snippet", "--config", config, "--url", "https://t.example/x/"),
        run("snippet", "--config", config, TRACKING_GATEWAY_SERVER__PUBLIC_URL="https://gw.example"),
    )
    assert "https://t.example/x/insight.js" in named.out
    assert "https://gw.example/insight.js" in from_settings.out


async def test_the_snippet_hands_on_the_client_hints_that_are_wanted(config):
    """The line stands before the tag, and names the gateway's origin, not what a proxy puts before its paths."""
    high = {"TRACKING_GATEWAY_DEVICE__CLIENT_HINTS": "high"}
    text, low = await asyncio.gather(
        run("snippet", "--config", config, "--url", "https://t.example/x/", **high),
        run("snippet", "--config", config),
    )
    first = text.out.partition("\n")[0]
    assert first.startswith(
        '<meta http-equiv="Delegate-CH" content="sec-ch-ua-platform-version https://t.example; '
    )
    assert "Delegate-CH" not in low.out


async def test_a_snippet_for_several_properties_needs_to_be_told_which(config):
    """The error lists what may be written; one id in two portals needs the portal as well."""
    extended(config, SECOND_PROPERTY + SAME_ID)
    text, json = await both("snippet", "--config", config)
    assert (2, 2, "") == (text.code, json.code, text.out)
    for needle in ("--prop-id 7 --portal-id 33167", f"--prop-id {PROP_ID} --portal-id 99"):
        assert needle in text.err
        assert needle in json.json["error"]
    ends = await asyncio.gather(
        run("snippet", "--config", config, "--prop-id", "7"),
        run("snippet", "--config", config, "--prop-id", PROP_ID),
        run("snippet", "--config", config, "--prop-id", PROP_ID, "--portal-id", "99"),
        run("snippet", "--config", config, "--prop-id", "8"),
    )
    assert [0, 2, 0, 2] == [each.code for each in ends]
    assert "https://track.other.example/insight.js" in ends[0].out
    assert "https://track.third.example/insight.js" in ends[2].out
    assert "there is no such property" in ends[3].err


@pytest.mark.parametrize(
    "url", ["track.shop.example", "ftp://shop.example", "https://x.example/?a=b", "https://[x"]
)
async def test_a_snippet_for_an_address_that_is_none_is_refused(config, url):
    """Naming the option and what an address looks like."""
    text, json = await both("snippet", "--config", config, "--url", url)
    assert (2, 2, "") == (text.code, json.code, text.out)
    for said in (text.err, json.json["error"]):
        assert "--url: " in said
    assert 1 == text.err.count("\n")


async def test_the_types_of_the_script_need_no_settings():
    """A web engineer's editor gets them from the command line."""
    text, json = await both("snippet", "--types", "--config", "no-such-file.toml")
    assert (0, 0) == (text.code, json.code)
    assert text.out == json.json["types"]
    assert "interface CdpWebEvent" in text.out


async def test_the_ledger_shows_whom_a_uid_belongs_to_and_which_uids_a_customer_has(used):
    """The same while the gateway runs and after it has stopped; what it knows neither as the one nor the other is 1."""
    (uid, uid_json), (cid, cid_json), (nobody, nobody_json), elsewhere = await asyncio.gather(
        both("ledger", "show", UID, "--config", used.config),
        both("ledger", "show", LAN_CID, "--config", used.config),
        both("ledger", "show", "nobody", "--config", used.config),
        run("ledger", "show", UID, "--config", used.config, "--portal-id", "99"),
    )
    assert (0, 0, 0, 0, 1, 1, 1) == tuple(
        each.code for each in (uid, uid_json, cid, cid_json, nobody, nobody_json, elsewhere)
    )
    assert LAN_CID in uid.out
    (row,) = uid_json.json["bindings"]
    assert (PORTAL_ID, UID, LAN_CID) == (row["portal_id"], row["uid"], row["cid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["bound_at"])
    assert (True, False) == (uid_json.json["is_uid"], uid_json.json["is_cid"])
    assert [UID, "222222222"] == [each["uid"] for each in cid_json.json["bindings"]]
    assert cid.out.index(UID) < cid.out.index("222222222")
    assert "neither a bound UID nor a CID" in nobody.err
    assert [] == nobody_json.json["bindings"]
    await used.stop()
    assert cid_json == await run("ledger", "show", LAN_CID, "--config", used.config, "--json")


async def test_the_quarantine_lists_what_waits_and_why(used):
    """Newest first; by reason, UID or portal; the events as a release would send them, hashed."""
    (text, json), *filtered = await asyncio.gather(
        both("quarantine", "list", "--config", used.config),
        run("quarantine", "list", "--config", used.config, "--json", "--reason", "cid_conflict"),
        run("quarantine", "list", "--config", used.config, "--json", "--uid", "333333333"),
        run("quarantine", "list", "--config", used.config, "--json", "--portal-id", "99"),
        run("quarantine", "list", "--config", used.config, "--json", "--limit", "1"),
    )
    assert (0, 0) == (text.code, json.code)
    document = json.json
    assert (2, {"cid_conflict": 1, "cid_contradiction": 1}) == (document["total"], document["by_reason"])
    contradiction, conflict = document["entries"]
    assert ("cid_contradiction", "cid_conflict") == (contradiction["reason"], conflict["reason"])
    assert (UID, MINH_CID, LAN_CID) == (conflict["uid"], conflict["claimed_cid"], conflict["bound_cid"])
    assert MINH_CID == conflict["event"]["cid"]
    assert MINH not in json.out
    for needle in ("2 of 2 held events", "cid_conflict", MINH_CID, conflict["event_id"]):
        assert needle in text.out
    uids = [[each["uid"] for each in end.json["entries"]] for end in filtered]
    assert [[UID], ["333333333"], [], ["333333333"]] == uids
    await used.stop()
    assert json == await run("quarantine", "list", "--config", used.config, "--json")


async def test_what_no_gateway_has_made_yet_is_said_with_a_hint(config):
    """Exit code 1, and nothing is made by looking."""
    for command in (("ledger", "show", "1"), ("quarantine", "list")):
        text, json = await both(*command, "--config", config)
        assert (1, 1, "", 1) == (text.code, json.code, text.out, text.err.count("\n"))
        for said in (text.err, json.json["error"]):
            assert "start the gateway once, or name the right settings with --config" in said
    assert not (config.parent / "data").exists()


async def test_a_store_that_is_no_store_is_an_error_without_a_traceback(config):
    """A file that something else has written."""
    (config.parent / "data").mkdir()
    for name, command in (("ledger", ("ledger", "show", "1")), ("quarantine", ("quarantine", "list"))):
        (config.parent / "data" / f"{name}.db").write_bytes(
            b"this is no database at all, whoever wrote it" * 100
        )
        text, json = await both(*command, "--config", config)
        assert (1, 1, 1) == (text.code, json.code, text.err.count("\n"))
        assert f"the {name} at" in text.err
        assert f"the {name} at" in json.json["error"]


FILTERS = ("EVENT_ID", "--reason", "--since", "--until", "--portal-id", "--prop-id", "--uid")
HELP = {
    (): ("serve", "demo", "check", "snippet", "ledger", "quarantine", "--version"),
    ("serve",): ("Take events until SIGTERM", "--config", "--json", "/readyz", "TRACKING_GATEWAY_CONFIG"),
    ("demo",): (
        "stand-in collector",
        "--port",
        "--collector-port",
        "--shop-port",
        "--admin-port",
        "--data-dir",
    ),
    ("check",): ("whether the settings can be used", "--config", "--json"),
    ("snippet",): (
        "paste into the <head>",
        "--prop-id",
        "--portal-id",
        "--url",
        "--nonce",
        "--types",
        "--json",
    ),
    ("ledger",): (
        "show",
        "who is bound to whom",
        "list",
        "stats",
        "export",
        "import",
        "erase",
        "audit",
        "verify",
    ),
    ("ledger", "show"): ("which UIDs a CID has", "UID|CID", "--portal-id", "--config", "--json", "Example:"),
    ("ledger", "list"): ("a page at a time", "--portal-id", "--limit", "--after", "--json", "Example:"),
    ("ledger", "stats"): ("how large the ledger is", "--json", "Example:"),
    ("ledger", "export"): (
        "CSV or JSONL",
        "--format",
        "--output",
        "--portal-id",
        "--resume",
        "--json",
        "Example:",
    ),
    ("ledger", "import"): (
        "never overwrites",
        "FILE|-",
        "--format",
        "--report",
        "--portal-id",
        "--any-portal",
        "--resume",
        "--dry-run",
        "--json",
        "Example:",
    ),
    ("ledger", "verify"): ("first broken entry", "--head", "--json", "Example:"),
    ("ledger", "erase"): (
        "Forget a customer",
        "--cid",
        "--uid",
        "--reason",
        "--portal-id",
        "--yes",
        "--json",
        "Example:",
    ),
    ("ledger", "audit"): (
        "newest last",
        "--uid",
        "--cid",
        "--kind",
        "--portal-id",
        "--after",
        "--limit",
        "--follow",
        "--json",
        "Example:",
    ),
    ("quarantine",): ("list", "show", "release", "discard", "export", "wait for a person"),
    ("quarantine", "list"): ("why it waits", *FILTERS, "--limit", "--json", "Example:"),
    ("quarantine", "show"): ("EVENT_ID", "why it waits", "--json", "Example:"),
    ("quarantine", "release"): (
        *FILTERS,
        "--as",
        "new_uid",
        "strip",
        "accept_alias",
        "accept_violation",
        "--all",
        "--yes",
        "--no-wait",
        "--json",
        "Example:",
    ),
    ("plan", "infer"): (
        "--from",
        "--output",
        "--since",
        "--required",
        "--min-events",
        "--max-values",
        "--json",
        "Example:",
    ),
    ("plan",): ("check", "infer", "show", "which fields each event needs"),
    ("plan", "check"): ("FILE", "--against", "--json", "Example:"),
    ("plan", "show"): ("CATEGORY/ACTION", "--prop-id", "--json", "Example:"),
    ("quarantine", "discard"): (*FILTERS, "--why", "--all", "--yes", "--json", "Example:"),
    ("quarantine", "export"): (*FILTERS, "--format", "--output", "--json", "Example:"),
}


async def test_every_command_explains_itself_and_its_options():
    """On standard output, with exit code 0; what is internal is not shown."""
    ends = await asyncio.gather(*(run(*command, "--help") for command in HELP))
    for needles, end in zip(HELP.values(), ends, strict=True):
        assert (0, "") == (end.code, end.err)
        assert [] == [needle for needle in needles if needle not in end.out]
        assert "--worker" not in end.out


async def test_the_version_is_printed_alone():
    """For scripts."""
    end = await run("--version")
    assert (0, f"{__version__}\n", "") == end


async def test_a_wrong_argument_is_2_and_with_json_still_one_document():
    """The usage for people, the sentence for programs."""
    wrong = (("quarantine", "list", "--limit", "0"), ("ledger", "show"), ("check", "--no-such-option"))
    for text, json in await asyncio.gather(*(both(*each) for each in wrong)):
        assert (2, 2, "") == (text.code, json.code, text.out)
        assert "Usage: " in text.err
        assert False is json.json["ok"]
        assert json.json["error"]
