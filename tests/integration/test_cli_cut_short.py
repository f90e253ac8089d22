"""How commands end that don't get to their end: a no, Ctrl-C, a wrong argument, a disk without room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys

import orjson
import pytest

from gateway.events.model import Claim
from gateway.ledger.sqlite import open_sqlite_ledger
from tests.builders import PORTAL_ID
from tests.command_line import both, environment, on_a_terminal, run
from tests.processes import ROOT, Gateway, until

CID = "55a4a290df001173e4100cd0ae031912"
# A file system of 8 MiB over the data folder, in a namespace of its own, filled up behind the ledger.
FULL_DISK = """
set -e
mount -t tmpfs -o size=8m none "$1"
cp "$2" "$1/ledger.db"
head -c 16m /dev/zero >"$1/filler" 2>/dev/null || true
shift 2
exec "$@"
"""


@pytest.fixture
async def shop(tmp_path):
    """A machine with a ledger in which one UID is bound, and no gateway."""
    gateway = Gateway(tmp_path, "http://127.0.0.1:1")
    gateway.data_dir.mkdir()
    ledger = open_sqlite_ledger(gateway.data_dir / "ledger.db")
    await ledger.bind([Claim(portal_id=PORTAL_ID, uid="1", cid=CID)], 5)
    await ledger.close()
    return gateway


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    ("answer", "code", "how"),
    [(b"n\n", 1, "aborted"), (b"\x04", 1, "aborted"), (signal.SIGINT, 1, "aborted")],
    ids=["no", "Ctrl-D", "Ctrl-C"],
)
async def test_a_no_to_a_question_is_said_in_the_form_that_was_asked_for(shop, form, answer, code, how):
    """One sentence, or one JSON document; never a trace; nothing was erased."""
    command = ("ledger", "erase", "--config", shop.config, "--cid", CID, "--reason", "ticket 7", *form)
    end = await on_a_terminal("Erase? [y/N]:", answer, *command)

    assert (code, False) == (end.code, "Traceback" in end.err)
    if form:
        assert {"ok": False, "error": how} == orjson.loads(end.out)
    else:
        assert ("", True) == (end.out.strip(), f"tracking-gateway: {how}\r\n" in end.err)
    ledger = open_sqlite_ledger(shop.data_dir / "ledger.db", read_only=True)
    assert CID == ledger.lookup(PORTAL_ID, "1").cid
    await ledger.close()


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_an_interrupted_command_says_so(tmp_path, form):
    """Ctrl-C while it reads its settings from a pipe: exit code 130 and one sentence, or one JSON document."""
    pipe = tmp_path / "settings.toml"
    os.mkfifo(pipe)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "check", "--config", str(pipe), *form, cwd=ROOT, env=environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    writers: list[int] = []

    async def reads() -> bool:
        # Nobody reads yet: ENXIO.
        with contextlib.suppress(OSError):
            writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    await until(reads, "the command reads its settings")
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    os.close(writers[0])

    assert 130 == process.returncode
    if form:
        assert ({"ok": False, "error": "interrupted"}, b"") == (orjson.loads(out), err)
    else:
        assert (b"", b"tracking-gateway: interrupted\n") == (out, err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "show", "1", "lan@example.com"),
        ("ledger", "erase", "lan@example.com", "--reason", "ticket 7"),
        ("ledger", "verify", "0912345678"),
        ("ledger", "list", "+84912345678"),
        ("ledger", "import", "lan@example.com"),
        ("lan@example.com",),
    ],
)
async def test_a_wrong_command_line_repeats_no_address(arguments):
    """Neither on the terminal nor in the JSON document, which may be kept in a log; exit code 2."""
    text, json = await both(*arguments)

    assert (2, 2, "") == (text.code, json.code, text.out)
    assert json.json["ok"] is False
    for said in (text.err, json.json["error"]):
        assert "[email]" in said or "[phone]" in said
        assert not [each for each in ("lan@", "example", "912345") if each in said]


async def test_what_else_is_wrong_with_a_command_line_is_still_said():
    """The option, what it got and what it takes; a group without a command shows its help."""
    text, json = await both("ledger", "list", "--limit", "0")
    group = await run("ledger")

    assert (2, 2, 2) == (text.code, json.code, group.code)
    for said in (text.err, json.json["error"]):
        assert "'--limit'" in said
    assert "Usage:" in text.err
    assert ("Error" not in group.err, True) == (True, "verify" in group.out)


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ).returncode != 0,
    reason="needs a namespace of its own for a small disk",
)  # fmt: skip
async def test_a_full_disk_is_named_by_commands_that_only_read(shop, tmp_path):
    """SQLite calls it an I/O error when there is no room for the reader's memory; the hint says what helps."""
    copy = shutil.copy(shop.data_dir / "ledger.db", tmp_path / "copy.db")
    for command in ("stats", "verify"):
        process = await asyncio.create_subprocess_exec(
            "unshare", "-Urm", "sh", "-c", FULL_DISK, "sh", str(shop.data_dir), copy,
            sys.executable, "-m", "gateway", "ledger", command, "--config", str(shop.config),
            cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)

        assert (1, b"") == (process.returncode, out)
        assert f"make room on the disk of {shop.data_dir}" in err.decode()
        assert 1 == err.count(b"\n")
