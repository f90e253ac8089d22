"""`ledger export` and `ledger import` as processes over real files: large, cut off, killed, repeated, beside a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import os
import pty
import re
import signal
import sys

import aiohttp
import orjson
import pytest

from tests.builders import PORTAL_ID, event
from tests.command_line import both, environment, run
from tests.processes import ROOT, Gateway, running_collector, running_gateway_process, until

NOWHERE = "http://127.0.0.1:1"
HEAD = "portal_id,uid,cid,bound_at,erased_at,reason\n"
AT = "2026-01-02T03:04:05.678Z"
# Runs the command line and says at its end, on standard error, how much memory it took at most (KiB).
MEASURED = """
import atexit, resource, sys
atexit.register(lambda: sys.stderr.write(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}"))
from gateway.cli import main
main()
"""


def cid(number) -> str:
    return hashlib.md5(f"customer {number}".encode()).hexdigest()


def living(number, customer=None, at=AT) -> str:
    return f"{PORTAL_ID},{7_919 * number + 10**9},{cid(number if customer is None else customer)},{at},,\n"


def new_gateway(folder) -> Gateway:
    folder.mkdir()
    return Gateway(folder, NOWHERE)


def read_terminal(master) -> str:
    """Give all that is written to a terminal until its last writer has gone."""
    text = b""
    # At its end a pseudo-terminal gives an error, not an empty read.
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 65_536):
            text += chunk
    os.close(master)
    return text.decode()


@pytest.fixture
def shop(tmp_path):
    """Settings with which no gateway has run yet."""
    return new_gateway(tmp_path / "shop")


async def exported(gateway, *options) -> str:
    end = await run("ledger", "export", "--config", gateway.config, *options)
    assert (0, "") == (end.code, end.err)
    return end.out


def report_rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
async def test_what_is_exported_and_imported_elsewhere_is_the_same_ledger(tmp_path, shop, format_):
    """Bindings with their times, tombstones with their reasons; the second import knows every row."""
    rows = tmp_path / "rows.csv"
    rows.write_text(
        HEAD
        + "".join(living(number) for number in range(300))
        + "".join(f'{PORTAL_ID},{number},,,{AT},"ticket {number}, by ""post"""\n' for number in range(10, 20))
    )
    first = await run("ledger", "import", rows, "--config", shop.config, "--json")
    assert (0, 310, 300, 10) == (first.code, *(first.json[each] for each in ("rows", "taken", "tombstones")))
    out = tmp_path / f"rows-out.{format_}"
    text, other = (
        await run("ledger", "export", "--config", shop.config, "--output", out),
        new_gateway(tmp_path / "o"),
    )
    assert (0, "", f"310 rows written to {out}\n") == (text.code, text.err, text.out)
    assert 0o600 == out.stat().st_mode & 0o777

    (again, known) = [
        await run("ledger", "import", out, "--config", other.config, "--json") for _ in range(2)
    ]

    assert (0, 300, 10, 0) == (again.code, *(again.json[each] for each in ("taken", "tombstones", "known")))
    assert (0, 0, 0, 310) == (known.code, *(known.json[each] for each in ("taken", "tombstones", "known")))
    assert (
        out.read_text()
        == await exported(other, "--format", format_)
        == await exported(shop, "--format", format_)
    )
    assert 'ticket 12, by "post"' in {
        row["reason"] for row in csv.DictReader((await exported(other)).splitlines())
    }
    assert {"rows.csv", out.name, "shop", "o"} == {each.name for each in tmp_path.iterdir()}


async def test_an_export_that_was_cut_off_goes_on(tmp_path, shop):
    """In the middle of a row, in the middle of a file; what it gives is what a whole export gives."""
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text(HEAD + "".join(living(number) for number in range(500)))
    assert 0 == (await run("ledger", "import", rows, "--config", shop.config)).code
    whole = await exported(shop)
    out.write_text(whole[: len(whole) // 2 + 7])
    refused = await run("ledger", "export", "--config", shop.config, "--output", out)
    other = await run("ledger", "export", "--config", shop.config, "-o", out, "--resume", "--format", "jsonl")

    end = await run("ledger", "export", "--config", shop.config, "--output", out, "--resume", "--json")

    assert (2, 1, 0) == (refused.code, other.code, end.code)
    assert "--resume" in refused.err
    assert "it is no export in the format jsonl" in other.err
    assert (True, True) == (end.json["resumed"], 0 < end.json["rows"] < 500)
    assert whole == out.read_text()


async def test_an_export_to_standard_output_is_rows_alone(shop, tmp_path):
    """For pipes; what needs a file says so, and a reader that has enough is no error."""
    rows = tmp_path / "rows.csv"
    rows.write_text(HEAD + "".join(living(number) for number in range(20_000)))
    await run("ledger", "import", rows, "--config", shop.config)
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m gateway ledger export --config {shop.config} | head -n 2",
        cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    json = await run("ledger", "export", "--config", shop.config, "--json")
    of_nobody = await exported(shop, "--portal-id", "99")

    assert (HEAD, b"") == (out.decode().splitlines(keepends=True)[0], err)
    assert (2, "needs --output FILE" in json.json["error"]) == (json.code, True)
    assert HEAD == of_nobody


async def test_conflicts_are_reported_and_nothing_is_overwritten(tmp_path, shop):
    """Exit code 1; the report names line, UID, both CIDs; addresses in it are the word `raw`."""
    before, rows = tmp_path / "before.csv", tmp_path / "rows.csv"
    before.write_text(HEAD + living(1) + living(2))
    await run("ledger", "import", before, "--config", shop.config)
    kept = await exported(shop)
    rows.write_text(
        HEAD
        + living(1, customer=9)
        + living(2)
        + f"{PORTAL_ID},555,lan@example.com,,,\n"
        + f"99,556,{cid(1)},,,\n"
    )
    rehearsal = await run("ledger", "import", rows, "--config", shop.config, "--dry-run", "--json")
    assert kept == await exported(shop)
    assert 3 == len(report_rows(tmp_path / "rows.csv.dry-run.report.csv"))
    assert not (tmp_path / "rows.csv.report.csv").exists()

    # One after the other: they write the same report.
    text = await run("ledger", "import", rows, "--config", shop.config)
    json = await run("ledger", "import", rows, "--config", shop.config, "--json")

    assert (1, 1, 1) == (rehearsal.code, text.code, json.code)
    for said in (rehearsal.json, json.json):
        assert (4, 0, 1, 1, 2) == tuple(
            said[each] for each in ("rows", "taken", "known", "conflicts", "refused")
        )
        assert {"raw_cid": 1, "unknown_portal": 1} == said["reasons"]
    for needle in ("4 rows read", "1 known already", "1 in conflict", "raw_cid: 1", "rows.csv.report.csv"):
        assert needle in text.out
    conflict, raw, portal = report_rows(tmp_path / "rows.csv.report.csv")
    assert ("2", "conflict", cid(1), cid(9)) == tuple(
        conflict[each] for each in ("line", "reason", "bound_cid", "claimed_cid")
    )
    assert ("4", "raw_cid", "raw") == (raw["line"], raw["reason"], raw["claimed_cid"])
    assert ("5", "unknown_portal", "99") == (portal["line"], portal["reason"], portal["portal_id"])
    assert kept == await exported(shop)
    for each in (text.out, text.err, json.out, (tmp_path / "rows.csv.report.csv").read_text()):
        assert "lan@" not in each


async def test_standard_input_is_read_too(tmp_path, shop):
    """In either format, as its beginning tells; only what can be gone on with takes --resume."""
    report = tmp_path / "report.csv"
    options = ("--config", shop.config, "--report", report, "--json")
    csv_end = await run("ledger", "import", "-", *options, given=HEAD + living(1))
    line = orjson.dumps({"portal_id": PORTAL_ID, "uid": "8", "cid": cid(8), "colour": "red"}).decode()
    json_end = await run("ledger", "import", "-", *options, given=line)
    resumed = await run("ledger", "import", "-", *options, "--resume", given=line)

    assert (0, 1) == (csv_end.code, csv_end.json["taken"])
    assert (1, {"unknown:colour": 1}) == (json_end.code, json_end.json["reasons"])
    assert ["unknown:colour"] == [each["reason"] for each in report_rows(report)]
    assert 2 == resumed.code


@pytest.mark.parametrize(
    ("text", "options", "code", "said"),
    [
        ("portal_id,uid,cid,colour\n", (), 2, "there is no column 'colour'"),
        ("lan@example.com,1,2\n", (), 2, "there is no column no. 1"),
        (HEAD, ("--format", "xml"), 2, "--format: write csv or jsonl"),
        (HEAD, ("--dry-run", "--resume"), 2, "--resume needs a file"),
        (HEAD, ("--report", "{source}"), 2, "--report: name another file"),
        (HEAD, ("--report", "{config}"), 1, "is something else than a report"),
        (None, (), 2, "does not exist"),
    ],
)
async def test_what_cant_be_begun_is_said_and_makes_nothing(tmp_path, shop, text, options, code, said):
    """A wrong argument or header is 2; no ledger, no report, no place comes of it."""
    source = tmp_path / "rows.csv"
    if text is not None:
        source.write_text(text)
    options = [each.format(source=source, config=shop.config) for each in options]

    end, json = await both("ledger", "import", source, "--config", shop.config, *options)

    assert (code, code, "") == (end.code, json.code, end.out)
    assert said in end.err
    assert said in json.json["error"]
    assert "lan@" not in end.err
    assert 1 == end.err.count("\n")
    assert not shop.data_dir.exists()
    assert {"rows.csv", "shop"} >= {each.name for each in tmp_path.iterdir()}


async def test_a_large_import_takes_bounded_memory_and_its_export_too(tmp_path, shop):
    """200,000 rows take hardly more than 10,000 do."""
    peaks = []
    for name, count in (("small", 10_000), ("large", 200_000)):
        source = tmp_path / f"{name}.csv"
        with source.open("w") as file:
            file.write(HEAD)
            file.writelines(living(number) for number in range(count))
        peaks.append([])
        for command in (("import", source), ("export", "--output", tmp_path / f"{name}-out.csv")):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", MEASURED, "ledger", *map(str, command), "--config", str(shop.config),
                cwd=ROOT, env=environment(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, err = await asyncio.wait_for(process.communicate(), 100)
            assert 0 == process.returncode
            peaks[-1].append(int(err.decode().removeprefix("peak ")))

    assert 200_001 == (tmp_path / "large-out.csv").read_bytes().count(b"\n")
    for small, large in zip(*peaks, strict=True):
        assert large < small + 32 * 1024


async def test_an_import_that_was_killed_goes_on_to_the_same_ledger(tmp_path, shop):
    """SIGKILL in the middle, then --resume: ledger and report are those of an import that nobody disturbed."""
    source, copy = tmp_path / "rows.csv", tmp_path / "copy.csv"
    text = HEAD + "".join(
        living(number - 50, customer=0) if number % 100 == 99 else living(number) for number in range(60_000)
    )
    source.write_text(text)
    copy.write_text(text)
    place, command = (
        tmp_path / "rows.csv.progress",
        ("ledger", "import", str(source), "--config", str(shop.config)),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *command, cwd=ROOT, env=environment(),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def is_under_way() -> bool:
        return place.exists() and orjson.loads(place.read_bytes())["counts"]["read"] >= 6_000

    await until(is_under_way, "some batches are in the ledger")
    process.kill()
    assert -9 == await process.wait()
    before = orjson.loads(place.read_bytes())["counts"]["read"]
    assert 6_000 <= before < 60_000
    source.write_text(text + living(70_000))
    changed = await run(*command, "--resume")
    source.write_text(text)

    end = await run(*command, "--resume", "--json")

    assert (1, 1, 60_000, 600) == (changed.code, end.code, end.json["rows"], end.json["conflicts"])
    assert "it is of another file, or the file has changed since" in changed.err
    assert not place.exists()
    other = new_gateway(tmp_path / "undisturbed")
    assert 1 == (await run("ledger", "import", copy, "--config", other.config)).code
    assert await exported(other) == await exported(shop)
    assert (tmp_path / "copy.csv.report.csv").read_text() == (tmp_path / "rows.csv.report.csv").read_text()


@pytest.mark.parametrize("instead", ["none", "an older copy", "another", "the same, and more in it"])
async def test_an_import_goes_on_only_into_the_ledger_that_it_had_begun_with(tmp_path, shop, instead):
    """A fresh folder or a restored backup in its place would silently miss rows; begun again, none is missing."""
    source, place = tmp_path / "rows.csv", tmp_path / "rows.csv.progress"
    source.write_text(HEAD + "".join(living(number) for number in range(20_000)))
    command = ("ledger", "import", source, "--config", shop.config)
    before = tmp_path / "before.csv"
    before.write_text(HEAD + living(30_000))
    other = new_gateway(tmp_path / "other")
    for each in (shop, other):
        assert 0 == (await run("ledger", "import", before, "--config", each.config)).code
    # What an import that is cut off leaves: one batch in the ledger, and its place.
    ledger_file = shop.data_dir / "ledger.db"
    older = ledger_file.read_bytes()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, command), cwd=ROOT, env=environment(),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def is_under_way() -> bool:
        return place.exists()

    await until(is_under_way, "a batch is in the ledger")
    process.kill()
    await process.wait()
    kept = place.read_bytes()
    if instead.startswith("the same"):
        before.write_text(HEAD + living(30_001))
        assert 0 == (await run("ledger", "import", before, "--config", shop.config)).code
    else:
        for each in shop.data_dir.glob("ledger.db*"):
            each.unlink()
    if instead == "an older copy":
        ledger_file.write_bytes(older)
    elif instead == "another":
        # It has more entries than the place names.
        assert (
            0
            == (
                await run(
                    "ledger", "import", source, "--config", other.config, "--report", tmp_path / "r.csv"
                )
            ).code
        )
        ledger_file.write_bytes((other.data_dir / "ledger.db").read_bytes())
        place.write_bytes(kept)

    resumed = await run(*command, "--resume", "--json")

    if instead.startswith("the same"):
        assert (0, 20_000) == (resumed.code, resumed.json["rows"])
    else:
        assert (1, False, True) == (
            resumed.code,
            resumed.json["ok"],
            "is another one by now" in resumed.json["error"],
        )
        assert "leave out --resume to begin again" in resumed.json["error"]
        assert (kept, instead != "none") == (place.read_bytes(), ledger_file.exists())
        assert 0 == (await run(*command)).code
    rows = (await exported(shop)).splitlines(keepends=True)
    assert {living(number) for number in range(20_000)} <= set(rows)
    assert not place.exists()


async def test_an_import_that_is_interrupted_says_how_to_go_on(tmp_path, shop):
    """Ctrl-C ends it between two batches, with a sentence and exit code 1; on a terminal a bar showed how far it was."""
    source, place = tmp_path / "rows.csv", tmp_path / "rows.csv.progress"
    source.write_text(HEAD + "".join(living(number) for number in range(60_000)))
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "ledger", "import", str(source), "--config", str(shop.config),
        cwd=ROOT, env=environment(TERM="xterm"), stdout=asyncio.subprocess.DEVNULL, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    said = asyncio.create_task(asyncio.to_thread(read_terminal, master))

    async def is_under_way() -> bool:
        return place.exists()

    await until(is_under_way, "a batch is in the ledger")
    process.send_signal(signal.SIGINT)

    assert 1 == await asyncio.wait_for(process.wait(), 30)
    text = await asyncio.wait_for(said, 30)
    assert "importing" in text
    assert re.search(r"[0-9,]+ rows", text)
    assert "interrupted; what was taken stays: go on with --resume" in text
    assert "Traceback" not in text
    taken = orjson.loads(place.read_bytes())["counts"]["taken"]
    end = await run("ledger", "import", source, "--config", shop.config, "--resume", "--json")
    assert (0, 60_000, True) == (end.code, end.json["taken"] + end.json["known"], taken >= 2_000)


async def test_rows_come_in_while_a_gateway_serves(tmp_path):
    """Events are taken all the while; afterwards the gateway knows the imported customers."""
    source = tmp_path / "rows.csv"
    source.write_text(HEAD + "".join(living(number) for number in range(30_000)))
    folder = tmp_path / "shop"
    folder.mkdir()
    async with (
        running_collector() as collector,
        running_gateway_process(folder, collector.url) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def send(**fields) -> int:
            async with session.post(gateway.collect_url(), json=event(**fields)) as response:
                return response.status

        importing = asyncio.create_task(run("ledger", "import", source, "--config", gateway.config, "--json"))
        statuses, number = [], 0
        while not importing.done():
            number += 1
            statuses.append(await send(uid=f"{10**15 + number}", cid=cid(f"event {number}")))
        end = await importing
        assert (0, 30_000) == (end.code, end.json["taken"])
        assert [200] * number == statuses
        assert number > 10
        uid = living(7).split(",")[1]
        assert 200 == await send(uid=uid, cid=cid("somebody else"))
        held = await run("quarantine", "list", "--config", gateway.config, "--uid", uid, "--json")
        assert [("cid_conflict", cid(7))] == [
            (each["reason"], each["bound_cid"]) for each in held.json["entries"]
        ]
        stats = await run("ledger", "stats", "--config", gateway.config, "--json")
        assert 30_000 + number == stats.json["bindings"]
