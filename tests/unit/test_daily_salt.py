"""The salt of the day: shared by the processes of a machine, gone at midnight."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gateway.daily_salt import FILE_NAME, DailySalt, destroy, put_away

DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2


class Troubles(list):
    """What was reported."""

    def __call__(self, error):
        self.append(error)


def salt_of(folder, now_ms=NOON, troubles=None):
    return DailySalt(folder, lambda: now_ms, troubles if troubles is not None else Troubles())


def test_a_restart_within_the_day_keeps_the_salt(tmp_path):
    """It stands in a file of its owner's alone."""
    first = bytes(salt_of(tmp_path).current(NOON))
    assert (32, first) == (len(first), bytes(salt_of(tmp_path).current(NOON + DAY // 3)))
    assert 0o600 == (tmp_path / FILE_NAME).stat().st_mode & 0o777


def test_the_old_salt_is_gone_from_disk_and_memory(tmp_path, monkeypatch):
    """Its file is overwritten before another takes its place, and so is what the process held."""
    salt = salt_of(tmp_path)
    held = salt.current(NOON)
    old = bytes(held)
    kept = (tmp_path / FILE_NAME).open("rb")
    new = bytes(salt.current(NOON + DAY))
    with kept:
        assert set(kept.read()) == {0}
    assert bytes(32) == bytes(held)
    assert old != new
    assert old.hex() not in "".join(each.read_text() for each in tmp_path.iterdir())


async def test_it_goes_at_midnight_without_any_event(tmp_path):
    """Who keeps it looks at the clock."""
    now = [NOON]
    salt = DailySalt(tmp_path, lambda: now[0], Troubles())
    held = salt.current(NOON)
    before = bytes(held)
    now[0] += DAY
    task = asyncio.create_task(salt.keep())
    await asyncio.sleep(0)
    assert (bytes(32), False) == (bytes(held), before.hex() in (tmp_path / FILE_NAME).read_text())
    task.cancel()


def test_two_processes_that_meet_midnight_agree(tmp_path):
    """Whoever comes first makes it; who is a moment behind uses it too, and does not bring the day before back."""
    one, two = salt_of(tmp_path), salt_of(tmp_path)
    assert bytes(one.current(NOON)) == bytes(two.current(NOON))
    fresh = bytes(one.current(NOON + DAY))
    assert fresh == bytes(two.current(NOON + DAY + 1))
    late = salt_of(tmp_path)
    assert fresh == bytes(late.current(NOON)) == bytes(late.current(NOON + DAY)) == bytes(one.current(NOON))


def test_a_clock_that_is_set_back_by_days_gets_a_new_one(tmp_path):
    """Else a salt would live until the clock is there again."""
    salt = salt_of(tmp_path)
    far = bytes(salt.current(NOON + 9 * DAY))
    assert far != bytes(salt.current(NOON))


@pytest.mark.parametrize("content", [b"", bytes(76), b"2024-10-04 zz\n", b"\xff" * 76, b"9999-99-99 " + b"0" * 64 + b"\n"])  # fmt: skip
def test_what_a_crash_leaves_is_no_salt(tmp_path, content):
    """Zeros, half a line, a stray new file: the next who looks makes one."""
    (tmp_path / FILE_NAME).write_bytes(content)
    (tmp_path / "address.new").write_bytes(b"half")
    troubles = Troubles()
    assert (32, []) == (len(salt_of(tmp_path, troubles=troubles).current(NOON)), troubles)


def test_without_a_folder_there_is_no_salt_until_there_is_one(tmp_path):
    """That is said once, and tried again."""
    troubles = Troubles()
    salt = salt_of(tmp_path / "gone", troubles=troubles)
    assert (b"", b"") == (bytes(salt.current(NOON)), bytes(salt.current(NOON + 20_000)))
    assert 1 == len(troubles)
    (tmp_path / "gone").mkdir()
    assert 32 == len(salt.current(NOON + 40_000))


def test_a_gateway_that_hashes_no_more_puts_it_away(tmp_path):
    """With its lock file; where there is none, nothing happens."""
    salt_of(tmp_path).current(NOON)
    put_away(tmp_path)
    put_away(tmp_path)
    destroy(tmp_path / FILE_NAME)
    assert [] == list(tmp_path.iterdir())


def test_many_processes_have_one_salt(tmp_path):
    """However many look for it at once."""
    code = (
        "import sys, pathlib; from gateway.daily_salt import DailySalt; sys.stdin.readline();"
        f"print(DailySalt(pathlib.Path({str(tmp_path)!r}), lambda: 0, print).current({NOON}).hex())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for each in processes:
        each.stdin.write(b"\n")
        each.stdin.flush()
    found = {each.communicate(timeout=60)[0] for each in processes}
    assert (1, 65) == (len(found), len(found.pop()))
