"""The table of fingerprints: what it knows, for how long, how often it is wrong; and its file, whatever became of it."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random

import pytest

from gateway.duplicates.file import FOLDER, NAME, open_table
from gateway.duplicates.table import BUCKET_BYTES, HEADER_BYTES, Table, table_bytes
from gateway.events.seen import Look

NOW = 1_790_000_000
DAY = 86_400


def make_table(max_entries=1_000):
    """Give a table in this process's memory, and the ages of what it forgot before its time."""
    forgotten = []
    return Table(mmap.mmap(-1, table_bytes(max_entries)), 7, forgotten.append), forgotten


def opened(folder, max_entries=1_000, **options):
    return open_table(folder, max_entries, lambda _: None, **options)


def keys(count, seed=1):
    dice = random.Random(seed)
    return [(dice.getrandbits(64), dice.getrandbits(64)) for _ in range(count)]


def test_what_was_remembered_is_known_within_its_window_and_not_beyond():
    """To the second, counted from the first time."""
    table, _ = make_table()
    table.remember(5, 6, NOW, 60)
    table.remember(5, 6, NOW + 59, 60)
    assert [Look.SAME, Look.SAME, Look.NEW] == [table.look(5, 6, NOW + age, 60) for age in (0, 59, 60)]
    table.remember(5, 6, NOW + 60, 60)
    assert Look.SAME is table.look(5, 6, NOW + 119, 60)


def test_a_key_that_came_with_two_contents_is_nobodys():
    """Neither is known from then on, and it says so until it was not seen for a window."""
    table, _ = make_table()
    table.remember(5, 6, NOW, 60)
    assert Look.OTHER is table.look(5, 7, NOW, 60)
    table.remember(5, 7, NOW + 10, 60)
    assert [Look.OTHER, Look.OTHER] == [table.look(5, check, NOW + 69, 60) for check in (6, 7)]
    assert Look.NEW is table.look(5, 6, NOW + 70, 60)


@pytest.mark.parametrize("start", [(1 << 24) * 110 - 30, (1 << 24) * 110 + 30, NOW])
def test_the_table_goes_on_when_its_seconds_begin_again(start):
    """And when a clock is set back."""
    table, forgotten = make_table()
    for index, (key, check) in enumerate(keys(100)):
        table.remember(key, check, start + index, DAY)
    assert {Look.SAME} == {table.look(*each, start + 100, DAY) for each in keys(100)}
    assert {Look.SAME} == {table.look(*each, start - 3_600, DAY) for each in keys(100)}
    assert [] == forgotten


def test_a_full_bucket_gives_up_its_oldest():
    """The table is bounded, and what is lost is the longest ago; it is told how long."""
    table, forgotten = make_table(4)
    assert HEADER_BYTES + BUCKET_BYTES == table_bytes(4)
    some = keys(12)
    for index, each in enumerate(some):
        table.remember(*each, NOW + index, DAY)
    assert [Look.NEW] * 4 + [Look.SAME] * 8 == [table.look(*each, NOW + 12, DAY) for each in some]
    assert [8, 8, 8, 8] == forgotten
    table.remember(1, 2, NOW + 2 * DAY, DAY)
    assert [8, 8, 8, 8] == forgotten


def test_words_from_before_the_seconds_began_again_make_room_first():
    """Their number is the greatest, and they are the oldest."""
    table, forgotten = make_table(4)
    turn = (1 << 24) * 110
    for index, each in enumerate(keys(8)):
        table.remember(*each, turn - 2 * DAY * 20 + index, DAY)
    fresh = keys(8, seed=2)
    for index, each in enumerate(fresh):
        table.remember(*each, turn + 60 + index, DAY)
    assert {Look.SAME} == {table.look(*each, turn + 70, DAY) for each in fresh}
    assert [] == forgotten


def test_at_its_bound_the_table_forgets_less_than_one_in_a_hundred():
    """0.8 % by calculation: a bucket of eight words that four entries come to."""
    table, forgotten = make_table(20_000)
    some = keys(20_000)
    for each in some:
        table.remember(*each, NOW, DAY)
    unknown = sum(table.look(*each, NOW, DAY) is Look.NEW for each in some)
    assert len(forgotten) == unknown
    assert 0.005 < unknown / len(some) < 0.011


def test_how_often_an_event_that_never_came_is_taken_for_one_that_did():
    """Eight tags of 2^24 in a full bucket, and one check of 2^16 - 1 under each: 7e-12. Both factors, counted."""
    table, _ = make_table(4)
    some = keys(8)
    for each in some:
        table.remember(*each, NOW, DAY)
    known = [key for key, _ in some]
    assert [1, 2] == sorted(
        {sum(table.look(key, check, NOW, DAY) is Look.SAME for check in range(1 << 16)) for key in known}
        | {1, 2}
    )
    tags = {key & 0xFFFFFF for key in known}
    near = {(tag + step) & 0xFFFFFF for tag in tags for step in range(-500, 500)} | set(
        range(0, 1 << 24, 997)
    )
    assert {tag or 1 for tag in tags} & near == {
        tag for tag in near if tag and table.look(tag, 0, NOW, DAY) is not Look.NEW
    }


def test_a_table_is_there_again_after_it_was_opened_again(tmp_path):
    """With the same seed, so that fingerprints agree."""
    first = opened(tmp_path)
    assert ("", True) == first[1:]
    first.table.remember(5, 6, NOW, DAY)
    again = opened(tmp_path)
    assert ("", True) == again[1:]
    assert (first.table.seed, Look.SAME) == (again.table.seed, again.table.look(5, 6, NOW, DAY))
    assert 0o600 == (tmp_path / FOLDER / NAME).stat().st_mode & 0o777
    assert table_bytes(1_000) <= (tmp_path / FOLDER / NAME).stat().st_blocks * 512


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(b""), "no table"),
        (lambda path: path.write_bytes(os.urandom(20_000)), "no table"),
        (lambda path: os.truncate(path, 5_000), "bytes and should have"),
        (lambda path: path.write_bytes(path.read_bytes()[:8] + b"\2" + path.read_bytes()[9:]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "bytes and should have"),
    ],
    ids=["empty", "noise", "cut short", "a bit", "too long"],
)
def test_a_file_that_is_none_is_made_anew(tmp_path, harm, said):
    """The gateway starts all the same, and can say why; who has the old one mapped keeps it."""
    old = opened(tmp_path).table
    old.remember(5, 6, NOW, DAY)
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / FOLDER / NAME).read_bytes())
    harm(copy)
    copy.replace(tmp_path / FOLDER / NAME)
    found = opened(tmp_path)
    assert said in found.wrong
    assert found.is_kept
    assert Look.NEW is found.table.look(5, 6, NOW, DAY)
    assert Look.SAME is old.look(5, 6, NOW, DAY)
    assert "" == opened(tmp_path).wrong


def test_another_size_makes_another_table(tmp_path):
    """It says which setting asked for it."""
    opened(tmp_path)
    assert "duplicates.max_entries" in opened(tmp_path, 2_000).wrong


def test_what_a_start_of_the_machine_may_have_lost_is_not_known_as_having_come(tmp_path, monkeypatch):
    """With `durability = "os"` a power cut takes events that were acknowledged: who sends them again must find room."""
    opened(tmp_path, one_boot=True).table.remember(5, 6, NOW, DAY)
    assert Look.SAME is opened(tmp_path, one_boot=True).table.look(5, 6, NOW, DAY)
    monkeypatch.setattr("gateway.duplicates.file._boot_id", lambda: b"another")
    found = opened(tmp_path, one_boot=True)
    assert "machine was started" in found.wrong
    assert Look.NEW is found.table.look(5, 6, NOW, DAY)


def test_a_folder_that_can_not_be_used_leaves_a_table_in_memory(tmp_path):
    """Duplicates are a convenience: events go on."""
    (tmp_path / FOLDER).write_text("a file")
    found = opened(tmp_path)
    assert not found.is_kept
    assert str(tmp_path) in found.wrong
    found.table.remember(5, 6, NOW, DAY)
    assert Look.SAME is found.table.look(5, 6, NOW, DAY)


def remember_some(folder, number, ready):
    """Be a worker: open the table when all do, and remember events of its own, also some that all have."""
    ready.wait(30)
    table = opened(folder, 20_000).table
    for each in [*keys(2_000, seed=number), *keys(500, seed=99)]:
        table.remember(*each, NOW, DAY)
    # As `kill -9` would: nothing is written back, nothing is closed.
    os._exit(0)


def test_processes_that_write_at_once_share_one_table(tmp_path):
    """Four that start together on no file find one; what they remember is known to a fifth after they have died."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(4)
    workers = [context.Process(target=remember_some, args=(tmp_path, number, ready)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
        assert 0 == each.exitcode
    found = opened(tmp_path, 20_000)
    assert "" == found.wrong
    some = [each for seed in (0, 1, 2, 3) for each in keys(2_000, seed=seed)] + keys(500, seed=99)
    unknown = sum(found.table.look(*each, NOW, DAY) is not Look.SAME for each in some)
    # A bucket here and there was full, or written by two in the same moment.
    assert unknown < len(some) / 200


def test_a_new_table_leaves_the_disk_room_for_events(tmp_path):
    """Events that can't be kept are worse than events that come twice; a table that is there already takes no more."""
    lost = opened(tmp_path, spare_bytes=1 << 60)
    assert not lost.is_kept
    assert "no room" in lost.wrong
    assert not (tmp_path / FOLDER / NAME).exists()
    opened(tmp_path)
    assert ("", True) == opened(tmp_path, spare_bytes=1 << 60)[1:]
