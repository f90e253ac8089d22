"""The quarantine's commands beside no gateway: what they mean, say, ask and refuse. In this process; the real ones are tested elsewhere."""

from __future__ import annotations

import asyncio
import csv
import io

import msgspec
import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.events.outcome import Reason
from gateway.events.remedies import kept_reasons, remedy
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.quarantine.contract import Answer
from gateway.quarantine.sqlite import open_quarantine
from tests.command_line import on_a_terminal
from tests.unit.test_quarantine_store import entry

NOW = 1_790_000_000_000
HOUR = 3_600_000
PORTAL_ID, PROP_ID = "33167", "556300706"


def held(number, reason="cid_conflict", *, ago_hours=1.0, body=b'{"ec":"user","ea":"sign_in"}', **more):
    made = entry(number, reason=reason, held_ms=int(NOW - ago_hours * HOUR))
    record = msgspec.structs.replace(made.record, body=body, accepted_ms=NOW)
    return msgspec.structs.replace(made, record=record, **{"prop_id": PROP_ID, **more})


class Desk:
    """A data folder without a gateway, and somebody at the terminal."""

    def __init__(self, folder):
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'data_dir = "{self.data_dir}"\n[[properties]]\n'
            f'portal_id = "{PORTAL_ID}"\nprop_id = "{PROP_ID}"\nsite = "shop.example"\n'
        )
        self.put()
        asyncio.run(open_sqlite_ledger(self.data_dir / "ledger.db").close())

    def put(self, *entries, answers=()):
        async def put():
            store = open_quarantine(self.data_dir / "quarantine.db")
            await store.put(entries)
            if answers:
                await store.settle(answers, NOW)
            await store.close()

        asyncio.run(put())

    def run(self, *arguments):
        return CliRunner().invoke(
            app, ["quarantine", *map(str, arguments), "--config", str(self.config)], env={"COLUMNS": "200"}
        )

    def json(self, *arguments, code=0):
        end = self.run(*arguments, "--json")
        assert (code, "") == (end.exit_code, end.stderr)
        return orjson.loads(end.stdout)

    def ids(self, *filters):
        return [each["event_id"][-1] for each in self.json("list", *filters)["entries"]]

    def audit(self):
        ledger = open_sqlite_ledger(self.data_dir / "ledger.db", read_only=True)
        entries = list(ledger.audit())
        asyncio.run(ledger.close())
        return entries


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.commands.quarantine_options.now_ms", lambda: NOW)
    return Desk(tmp_path)


@pytest.fixture
def full(desk):
    desk.put(
        held(1, ago_hours=50),
        held(2, "too_old", ago_hours=3, uid="901"),
        held(3, "refused_by_collector", ago_hours=1.5, portal_id="7", prop_id="8"),
        held(4, ago_hours=0.1),
    )
    return desk


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), "4321"),
        (("--reason", "cid_conflict"), "41"),
        (("--since", "2h"), "43"),
        (("--until", "2h"), "21"),
        (("--since", "3d", "--until", "89m"), "321"),
        (("--since", "2026-09-21T13:16:40Z"), "4"),
        (("--since", "2026-09-21T20:16:40+07:00"), "4"),
        (("--portal-id", "7"), "3"),
        (("--prop-id", PROP_ID), "421"),
        (("--uid", "901"), "2"),
        (("--limit", "2"), "43"),
        (("0190-0001", "0190-0003", "nope"), "31"),
        (("0190-0001", "0190-0003", "--portal-id", "7"), "3"),
    ],
)
def test_each_filter_narrows_what_is_listed(full, filters, expected):
    """Relative times count back from now; times of the clock have a zone."""
    assert list(expected) == full.ids(*filters)


@pytest.mark.parametrize(
    "command", [("list",), ("export",), ("release", "--yes"), ("discard", "--why", "t-1", "--yes")]
)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--reason", "cid_conflit"), "identity_alias"),
        (("--reason", "bad_json"), "identity_alias"),
        (("--since", "yesterday"), "--since: write a time with its zone"),
        (("--until", "2026-11-30T07:00:00"), "--until: write a time with its zone"),
        (("--until", "2y"), "such as 2h or 3d"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_2_and_says_what_to_write(desk, command, wrong, said):
    """For every command alike."""
    end = desk.run(*command, *wrong)
    assert 2 == end.exit_code
    assert said in " ".join(end.stderr.split())


@pytest.mark.parametrize("reason", kept_reasons())
def test_every_reason_is_explained_in_list_and_show(desk, reason):
    """Why it is there and what would release it, for people and programs."""
    desk.put(held(1, str(reason)))
    why, release = remedy(reason)
    [listed] = desk.json("list")["entries"]
    shown = desk.json("show", "0190-0001")
    for document in (listed, shown):
        assert (why, release) == (document["why"], document["release"])
    for command in (("list",), ("show", "0190-0001")):
        text = " ".join(desk.run(*command).stdout.split())
        assert " ".join(why.split()) in text
        assert " ".join(release.split()[-4:]).rstrip(".") in text


def test_show_says_everything_about_an_event(full):
    """Also that it was ordered, and why it stayed the last time; what can't be read is said to be so."""
    assert 0 == full.run("release", "0190-0001", "--yes").exit_code
    shown = full.json("show", "0190-0001")
    assert {"ec": "user", "ea": "sign_in"} == shown["event"]
    assert (True, "203.0.113.9", "portal_id=33167") == (
        shown["is_ordered"], shown["client_ip"], shown["query"],
    )  # fmt: skip
    assert "its release is ordered" in full.run("show", "0190-0001").stdout

    full.put(answers=[Answer(1, "0190-0001", "unknown_property", "no property")])
    refusal = full.json("show", "0190-0001")["last_refusal"]
    assert ("unknown_property", "no property") == (refusal["reason"], refusal["detail"])
    assert "add the property" in full.run("show", "0190-0001").stdout
    full.put(held(5, "unreadable", body=b"\xff"))
    assert None is full.json("show", "0190-0005")["event"]
    assert "(can't be read)" in full.run("show", "0190-0005").stdout
    assert "released, discarded or erased" in full.json("show", "nope", code=1)["error"]


def test_a_release_without_a_gateway_is_ordered_and_says_when_it_will_be_done(full):
    """Only what is meant, once; what nobody has is named."""
    end = full.json("release", "--reason", "cid_conflict", "--as", "strip", "--yes")
    assert (True, 2, 0, 2) == (end["ok"], end["ordered"], end["released"], end["waiting"])
    assert "no gateway runs" in end["note"]
    more = full.json("release", "0190-0001", "0190-0002", "nope", "--yes", "--no-wait", code=1)
    assert (1, 1, ["nope"], "") == (more["ordered"], more["ordered_before"], more["unknown"], more["note"])
    text = full.run("release", "--all", "--yes")
    assert "Ordered, not done yet: 1 event." in text.stdout
    assert "Ordered before: 3 events" in text.stdout
    nothing = full.json("release", "--uid", "nobody", "--yes", code=1)
    assert "nothing to release" in nothing["error"]


def test_what_was_held_after_the_question_is_not_meant(full):
    """The person has said yes to what there was."""
    full.put(held(9, ago_hours=-0.5))
    assert 4 == full.json("release", "--all", "--yes")["ordered"]


@pytest.mark.parametrize("command", [("release",), ("discard", "--why", "t-1")])
def test_who_does_not_say_which_events_is_asked_to(full, command):
    """Every one only with --all; --all with a filter is a contradiction; without a terminal it takes --yes."""
    for wrong in (
        ("--yes",),
        ("--all", "--uid", "900", "--yes"),
        ("--all", "0190-0001", "--yes"),
        ("--all",),
    ):
        end = full.run(*command, *wrong)
        assert 2 == end.exit_code
        assert "--yes" in end.stderr or "--all" in end.stderr
    assert 4 == full.json("list")["total"]


def test_an_export_has_the_events_as_they_are_held(full, tmp_path):
    """Oldest first, in either format, to standard output or a file of its owner's; no file is overwritten."""
    out = full.run("export", "--until", "1h")
    lines = [orjson.loads(line) for line in out.stdout_bytes.splitlines()]
    assert ["1", "2", "3"] == [each["event_id"][-1] for each in lines]
    assert {"ec": "user", "ea": "sign_in"} == lines[0]["event"]
    assert "2026-09-21T14:13:20.000Z" == lines[0]["accepted_at"]

    file = tmp_path / "held.csv"
    assert 4 == full.json("export", "--output", file)["events"]
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert ["cid_conflict", "too_old", "refused_by_collector", "cid_conflict"] == [
        each["reason"] for each in rows
    ]
    assert '{"ec":"user","ea":"sign_in"}' == rows[3]["event"]
    assert 0o600 == file.stat().st_mode & 0o777
    assert "exists: name another file" in full.json("export", "--output", file, code=2)["error"]
    assert "--output" in full.json("export", code=2)["error"]
    assert 2 == full.run("export", "--format", "xml").exit_code


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)])
def test_an_export_that_was_cut_short_leaves_no_file(full, tmp_path, monkeypatch, error, code):
    """Half of one would be taken for a whole one, and stand in the way of the next."""

    def line(*_):
        raise error

    monkeypatch.setattr("gateway.commands.quarantine_rows.line", line)
    assert code == full.run("export", "--output", tmp_path / "held.jsonl").exit_code
    assert not (tmp_path / "held.jsonl").exists()


def test_who_interrupts_a_release_is_told_that_the_orders_stay(full, monkeypatch):
    """They are the gateway's by then."""

    def look(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.commands.neighbour.Neighbour.is_there", look)
    end = full.run("release", "--all", "--yes")
    assert (130, "") == (end.exit_code, end.stdout)
    assert "carried out all the same" in end.stderr
    assert 4 == full.json("release", "--all", "--yes", "--no-wait")["ordered_before"]


def test_a_spreadsheet_finds_no_formula_in_an_export(desk):
    """What stands in the cells came from the internet; JSONL has it as it is."""
    desk.put(held(1, uid="=1+1", claimed_cid='=HYPERLINK("http://x.example")', bound_cid="+a"))
    [row] = csv.DictReader(io.StringIO(desk.run("export", "--format", "csv").stdout))
    assert ("'=1+1", '\'=HYPERLINK("http://x.example")', "'+a") == (
        row["uid"],
        row["claimed_cid"],
        row["bound_cid"],
    )
    assert "=1+1" == orjson.loads(desk.run("export").stdout)["uid"]


def test_nothing_in_an_event_acts_on_the_terminal(desk):
    """Control characters of either kind, and those that turn the direction of writing, appear as their codes."""
    desk.put(held(1, uid="a\x1b[2J", body='{"ec":"user","ea":"a\\u001b[2J\x9b31m\u202e[bold]Lân"}'.encode()))
    shown = desk.run("show", "0190-0001").stdout + desk.run("list").stdout
    assert shown.replace("\n", "").isprintable()
    assert "\\u009b31m\\u202e[bold]Lân" in shown


def test_an_address_that_is_taken_for_an_event_id_is_not_printed(full):
    """What a command says may be kept in a log."""
    for command in (
        ("show",),
        ("release", "0190-0001", "--yes"),
        ("discard", "0190-0002", "--yes", "--why", "t-1"),
    ):
        end = full.run(*command, "Lan@Example.com")
        assert 1 == end.exit_code
        assert "[email]" in end.output
        assert "Lan@" not in end.output


def test_a_long_export_and_a_long_order_take_all_pages(desk):
    """More than one page of events."""
    desk.put(*[held(number, ago_hours=1 + number // 7) for number in range(1_203)])
    assert 1_203 == len(desk.run("export").stdout_bytes.splitlines())
    assert 1_203 == desk.json("release", "--all", "--yes")["ordered"]


def test_discarded_events_are_said_in_the_audit_log_with_the_reason(full):
    """Each with its UID and customers, so that an erasure finds it; their orders go too."""
    full.json("release", "0190-0001", "--yes")
    end = full.json("discard", "--reason", "cid_conflict", "--why", "ticket 118", "--yes")
    assert (True, 2, {"cid_conflict": 2}) == (end["ok"], end["discarded"], end["by_reason"])
    assert ["3", "2"] == full.ids()
    assert [("release", "900", "c0", "c1", "discard (cid_conflict): ticket 118")] * 2 == [
        (each.kind, each.uid, each.cid, each.other, each.note) for each in full.audit()
    ]
    more = full.run("discard", "0190-0002", "nope", "--why", "ticket 119", "--yes")
    assert 1 == more.exit_code
    assert "Discarded: 1 event (1 too_old)" in more.stdout
    assert "Not in the quarantine: nope." in more.stdout
    nothing = full.run("discard", "nope", "--why", "ticket 119", "--yes")
    assert (1, "") == (nothing.exit_code, nothing.stdout)
    assert "nothing to discard" in nothing.stderr


def test_a_payload_that_was_no_event_can_be_discarded(desk):
    """It has no portal and no UID, and is in the audit log all the same."""
    desk.put(held(1, Reason.UNREADABLE, portal_id="", uid="", claimed_cid=None, bound_cid=None))
    assert 1 == desk.json("discard", "--all", "--why", "disk 3", "--yes")["discarded"]
    assert [("", "", "discard (unreadable): disk 3")] == [
        (each.portal_id, each.uid, each.note) for each in desk.audit()
    ]


@pytest.mark.parametrize(
    "why",
    ["asked by lan@example.com", "lan%2540example.com", "phone 0912 345 678", "", "two\nlines", "x" * 201],
)
def test_a_reason_that_must_not_stay_is_refused(full, why):
    """No address for ever in the audit log, and one line."""
    assert "--why" in full.json("discard", "--all", "--why", why, "--yes", code=2)["error"]
    assert 4 == full.json("list")["total"]


async def test_what_changes_something_asks_on_a_terminal(full):
    """The question says how many and of which reasons; a no changes nothing, a yes does it, and only the answer is on standard output."""
    config = ("--config", full.config)
    no = await on_a_terminal("[y/N]", b"n\n", "quarantine", "release", "--all", "--as", "strip", *config)
    yes = await on_a_terminal(
        "[y/N]", b"y\n", "quarantine", "discard", "--reason", "too_old", "--why", "t-1", *config
    )
    assert (1, "") == (no.code, no.out)
    assert (
        "To be released: 4 events (2 cid_conflict, 1 refused_by_collector, 1 too_old), as nobody's" in no.err
    )
    assert "Release? [y/N]" in no.err
    assert (0, "Discarded: 1 event (1 too_old); the bytes are overwritten.\n") == (yes.code, yes.out)
    assert "To be discarded for good: 1 event (1 too_old)." in yes.err
