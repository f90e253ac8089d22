"""A person's events leave the archive, for good, whatever is written and read meanwhile."""

from __future__ import annotations

import os
import threading

import pytest

from gateway.archive.erasure import erase
from gateway.archive.reading import Reading
from tests.archive_builders import ALWAYS, HOUR_MS, NOON_MS, FullFolder, delivery, files, make_writer, names


@pytest.fixture
def folder(tmp_path):
    return FullFolder(tmp_path / "archive")


def of_lan(record):
    return record.uid == "lan"


def holds(folder, text):
    """Tell whether a text stands in any file of the folder once it is unpacked."""
    return any(text in each.record.event_id for each in Reading(folder, ALWAYS))


def test_an_erasure_takes_a_persons_events_and_nothing_else(folder):
    """In the order that they had, over several hours; frames and parts without her are left as they are."""
    writer = make_writer(folder)
    writer.write([delivery("a"), delivery("lan-1", "lan"), delivery("b")])
    writer.write([delivery("c")])
    writer.write([delivery("d", delivered_ms=NOON_MS + HOUR_MS)])
    writer.write([delivery("lan-2", "lan", NOON_MS + 2 * HOUR_MS)])
    untouched = folder.parts()[1].path.stat()
    heard = []

    done = erase(folder, of_lan, progress=lambda at, of: heard.append((at, of)))

    assert 2 == done.events
    assert ["a", "b", "c", "d"] == names(folder)
    # A part with nothing else in it keeps its name: no other may have it.
    assert [True, True, False] == [each.size > 0 for each in folder.parts()]
    assert (untouched.st_ino, untouched.st_mtime_ns) == (
        (now := folder.parts()[1].path.stat()).st_ino,
        now.st_mtime_ns,
    )
    assert sorted(heard) == heard
    assert heard[-1][0] == heard[-1][1]
    assert 0 == erase(folder, of_lan).events


def test_the_old_bytes_are_overwritten(folder):
    """Whoever still has the file open reads zeros."""
    make_writer(folder).write([delivery("a"), delivery("lan-1", "lan")])
    with folder.parts()[0].path.open("rb") as old:
        size = len(old.read())
        erase(folder, of_lan)
        old.seek(0)
        assert bytes(size) == old.read()


def test_a_reader_keeps_what_it_reads(folder):
    """The part that it has begun stays whole for it; the next one it opens is the new one."""
    writer = make_writer(folder)
    writer.write([delivery("a"), delivery("lan-1", "lan")])
    writer.write([delivery("lan-2", "lan")])
    writer.write([delivery("lan-3", "lan", NOON_MS + HOUR_MS), delivery("b", delivered_ms=NOON_MS + HOUR_MS)])
    reading = Reading(folder, ALWAYS)
    walk = iter(reading)
    assert "a" == next(walk).record.event_id
    assert 3 == erase(folder, of_lan).events

    assert ["lan-1", "lan-2", "b"] == [each.record.event_id for each in walk]
    assert [] == reading.damage


def test_a_gateway_goes_on_in_another_part(folder):
    """What it adds after an erasure has begun is never in a part that the erasure looks through."""
    writer = make_writer(folder)
    writer.write([delivery("a"), delivery("lan-1", "lan")])

    def is_lan(record):
        if not holds(folder, "b"):
            writer.write([delivery("b")])
        return of_lan(record)

    seen = erase(folder, is_lan).seen

    assert ["a", "b"] == names(folder)
    assert {(NOON_MS // HOUR_MS, 0)} == seen
    assert 2 == len(files(folder))


def test_what_is_added_behind_an_erasure_is_asked_about(folder):
    """An event that was delivered before and waits for its write is not kept once the ledger has forgotten its owner."""
    erased = set()
    writer = make_writer(folder, erased)
    writer.write([delivery("lan-1", "lan")])
    waiting = [delivery("lan-2", "lan"), delivery("a"), delivery("other", "lan", portal_id="9")]
    erased.add(("1", "lan"))
    erase(folder, lambda record: of_lan(record) and record.portal_id == "1")

    assert (3, 2, 1) == writer.write(waiting)[:3]
    assert ["a", "other"] == names(folder)


def test_only_what_came_since_is_looked_through_again(folder):
    """The second look of an erasure is short."""
    writer = make_writer(folder)
    writer.write([delivery("lan-1", "lan")])
    first = erase(folder, lambda _: False)
    writer.write([delivery("lan-2", "lan")])
    looked_at = []

    assert 1 == erase(folder, lambda each: looked_at.append(each.event_id) or True, since=first.seen).events
    assert (["lan-2"], ["lan-1"]) == (looked_at, names(folder))


def test_what_nobody_can_read_goes_as_well(folder):
    """It might be hers."""
    writer = make_writer(folder)
    writer.write([delivery("a")])
    writer.write([delivery("lan-1", "lan")])
    (part,) = folder.parts()
    os.truncate(part.path, part.size - 3)

    assert 0 == erase(folder, of_lan).events
    assert ["a"] == names(folder)


def test_an_erasure_that_fails_or_is_killed_leaves_the_archive_as_it_was(folder):
    """And nothing of its own for longer than to the next one."""
    writer = make_writer(folder)
    writer.write([delivery("a"), delivery("lan-1", "lan")])
    before = folder.parts()[0].path.read_bytes()

    def fails(record):
        if record.uid == "lan":
            return True
        raise OSError(5, "the disk is broken")

    with pytest.raises(OSError, match="broken"):
        erase(folder, fails)
    assert before == folder.parts()[0].path.read_bytes()
    left = folder.path / "2026-11-30T12.jsonl.zst.erased"
    assert not left.exists()
    left.write_bytes(b"what a killed one had written")
    assert 1 == erase(folder, of_lan).events
    assert ["a"] == names(folder)
    assert not left.exists()


def test_a_part_that_is_deleted_meanwhile_does_not_come_back(folder):
    """Its time was over while it was looked through."""
    make_writer(folder).write([delivery("a"), delivery("lan-1", "lan")])
    (part,) = folder.parts()
    erase(folder, lambda record: part.path.unlink(missing_ok=True) or of_lan(record))

    assert ["erasing", "lock"] == sorted(each.name for each in folder.path.iterdir())


def test_nothing_of_an_erased_person_stays_however_the_two_race(folder):
    """A gateway adds in a thread while somebody is erased again and again: after each erasure nothing of hers is there, nor comes."""
    erased: set[tuple[str, str]] = set()
    writer = make_writer(folder, erased, part_bytes=20_000)
    is_over = threading.Event()
    faults = []
    written = []

    def add():
        index = 0
        try:
            while not is_over.wait(0.002):
                batch = [delivery(f"{index + k}", f"u{(index + k) % 8}") for k in range(20)]
                index += len(batch)
                written.append(writer.write(batch).taken)
        except Exception as error:  # noqa: BLE001
            faults.append(error)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for number in range(8):
            while sum(written) < 100 * (number + 1) and not faults:
                is_over.wait(0.001)
            erased.add(("1", f"u{number}"))
            erase(folder, lambda record, uid=f"u{number}": record.uid == uid)
            left = {each.record.uid for each in Reading(folder, ALWAYS)}
            assert not left & {uid for _, uid in erased}
    finally:
        is_over.set()
        thread.join(30)
    assert [] == faults
    assert not {each.record.uid for each in Reading(folder, ALWAYS)} & {uid for _, uid in erased}
