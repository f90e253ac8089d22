"""What was forgotten on one machine, carried to another by `ledger export` and `ledger import`: the command asks, counts and reports."""

from __future__ import annotations

import csv
import signal

import orjson
import pytest

from gateway.events.model import AuditNote, Claim
from gateway.ledger.sqlite import open_sqlite_ledger
from tests.builders import PORTAL_ID
from tests.command_line import on_a_terminal, run
from tests.processes import Gateway

NOWHERE = "http://127.0.0.1:1"
LAN, MINH = "55a4a290df001173e4100cd0ae031912", "7d793037a0760186574b0282f2f435e7"
QUESTION = "Erase them? [y/N]:"


@pytest.fixture
async def shop(tmp_path):
    """A machine where Lan is bound on two devices and named in a conflict of Minh's."""
    folder = tmp_path / "shop"
    folder.mkdir()
    gateway = Gateway(folder, NOWHERE)
    gateway.data_dir.mkdir()
    ledger = open_sqlite_ledger(gateway.data_dir / "ledger.db")
    claims = [("101", LAN, "e1" * 32), ("102", LAN, "f1" * 32), ("103", MINH, "a1" * 32)]
    await ledger.bind(
        [Claim(portal_id=PORTAL_ID, uid=uid, cid=cid, keys=(key,)) for uid, cid, key in claims], 5
    )
    await ledger.record([AuditNote(kind="conflict", portal_id=PORTAL_ID, uid="103", cid=MINH, other=LAN)], 6)
    await ledger.close()
    return gateway


@pytest.fixture
async def rows(tmp_path):
    """The export of a machine where Lan was forgotten, with a device that the first machine doesn't know."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    gateway = Gateway(folder, NOWHERE)
    gateway.data_dir.mkdir()
    ledger = open_sqlite_ledger(gateway.data_dir / "ledger.db")
    await ledger.bind([Claim(portal_id=PORTAL_ID, uid=uid, cid=LAN) for uid in ("101", "102", "109")], 5)
    await ledger.bind([Claim(portal_id=PORTAL_ID, uid="104", cid=MINH)], 5)
    await ledger.close()
    erased = await run(
        "ledger", "erase", "--config", gateway.config, "--cid", LAN, "--reason", "request 2026-118", "--yes"
    )
    assert 0 == erased.code
    file = tmp_path / "rows.csv"
    assert 0 == (await run("ledger", "export", "--config", gateway.config, "--output", file)).code
    return file


async def sizes(gateway) -> tuple[int, int, int]:
    """How many bindings, tombstones and address keys there are, after a check of the whole ledger."""
    verified = await run("ledger", "verify", "--config", gateway.config)
    assert (0, "") == (verified.code, verified.err)
    stats = (await run("ledger", "stats", "--config", gateway.config, "--json")).json
    return stats["bindings"], stats["tombstones"], stats["address_keys"]


def counts(document) -> tuple:
    """The counts of an import: taken, tombstones, buried, refused."""
    return tuple(document[each] for each in ("taken", "tombstones", "buried", "refused"))


async def test_with_a_yes_the_customer_is_forgotten_here_too(shop, rows):
    """Bindings, address keys, what names her in others' entries; the counts say so, and where it ends."""
    rehearsal = await run("ledger", "import", rows, "--config", shop.config, "--yes", "--dry-run", "--json")
    assert (3, 0, 3) == await sizes(shop)

    end = await run("ledger", "import", rows, "--config", shop.config, "--yes", "--json")

    for each in (rehearsal, end):
        assert (0, True, (1, 1, 2, 0)) == (each.code, each.json["ok"], counts(each.json))
        assert "wait in the quarantine stay there" in each.json["beyond"]
    assert (2, 3, 1) == await sizes(shop)
    audit = await run("ledger", "audit", "--config", shop.config, "--json")
    assert LAN not in audit.out
    assert MINH in audit.out
    again = await run("ledger", "import", rows, "--config", shop.config, "--json")
    assert (0, (0, 0, 0, 0), 4, None) == (
        again.code, counts(again.json), again.json["known"], again.json["beyond"],
    )  # fmt: skip


async def test_without_a_terminal_and_without_a_yes_nothing_living_is_buried(shop, rows):
    """Exit code 1; the rows are in the report as `would_bury`, with the CID that stays; a rehearsal says the same."""
    rehearsal = [
        await run("ledger", "import", rows, "--config", shop.config, "--dry-run", *form)
        for form in ((), ("--json",))
    ]
    assert (3, 0, 3) == await sizes(shop)

    json = await run("ledger", "import", rows, "--config", shop.config, "--json")

    for each in (rehearsal[1], json):
        assert (1, (1, 1, 0, 2), {"would_bury": 2}) == (each.code, counts(each.json), each.json["reasons"])
    with rows.with_name("rows.csv.report.csv").open(encoding="utf-8", newline="") as file:
        assert [("101", "would_bury", LAN), ("102", "would_bury", LAN)] == [
            (each["uid"], each["reason"], each["bound_cid"]) for each in csv.DictReader(file)
        ]
    assert (4, 1, 3) == await sizes(shop)
    text = await run("ledger", "import", rows, "--config", shop.config, "--yes")
    assert 0 == text.code
    for needle in ("2 tombstones that took a living binding away", "2 known already", "ledger erase"):
        assert needle in text.out
    for needle in ("1 tombstones of UIDs that were not bound", "2 refused; would_bury: 2", "with --yes"):
        assert needle in rehearsal[0].out


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [(b"y\n", 0, (1, 1, 2, 0)), (b"n\n", 1, (1, 1, 0, 2)), (b"\n", 1, (1, 1, 0, 2))],
    ids=["yes", "no", "nothing"],
)
async def test_on_a_terminal_it_is_asked(shop, rows, form, answer, code, expected):
    """Once, with the UIDs that would go; a no imports the rest."""
    end = await on_a_terminal(QUESTION, answer, "ledger", "import", rows, "--config", shop.config, *form)

    assert (code, 1) == (end.code, end.err.count(QUESTION))
    assert f"101 (portal {PORTAL_ID}), 102 (portal {PORTAL_ID})" in end.err
    assert "Traceback" not in end.err
    if form:
        assert expected == counts(orjson.loads(end.out))
    assert ((2, 3, 1) if code == 0 else (4, 1, 3)) == await sizes(shop)


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("answer", [b"\x04", signal.SIGINT], ids=["Ctrl-D", "Ctrl-C"])
async def test_a_question_that_is_not_answered_ends_the_import(shop, rows, form, answer):
    """With a sentence and exit code 1; nothing living is gone, and the import can be gone on with."""
    command = ("ledger", "import", rows, "--config", shop.config)
    end = await on_a_terminal(QUESTION, answer, *command, *form)

    sentence = "interrupted; what was taken stays: go on with --resume"
    assert (1, False) == (end.code, "Traceback" in end.err)
    if form:
        assert {"ok": False, "error": sentence} == orjson.loads(end.out)
    else:
        assert ("", True) == (end.out, sentence in end.err)
    assert (4, 1, 3) == await sizes(shop)
    end = await run(*command, "--resume", "--yes", "--json")
    assert (0, 2) == (end.code, end.json["buried"])
    assert (2, 3, 1) == await sizes(shop)


async def test_rows_on_standard_input_are_never_mixed_with_answers(shop, rows):
    """Where the rows come from standard input there is nobody to ask: --yes, or the report."""
    options = ("--config", shop.config, "--report", rows.with_name("r.csv"), "--json")
    without = await run("ledger", "import", "-", *options, given=rows.read_text())
    with_yes = await run("ledger", "import", "-", *options, "--yes", given=rows.read_text())

    assert (1, (1, 1, 0, 2)) == (without.code, counts(without.json))
    assert (0, (0, 0, 2, 0)) == (with_yes.code, counts(with_yes.json))
