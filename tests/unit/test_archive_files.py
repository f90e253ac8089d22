"""The archive's files: lines, frames, hours, what a crash leaves, a full disk, and what goes when its time is over."""

from __future__ import annotations

import os
import stat

import orjson
import pytest

from gateway.archive.folder import Folder
from gateway.archive.frames import compress, read_frames
from gateway.archive.lines import Delivery, decode, encode, milliseconds, moment
from gateway.archive.reading import Reading, Span
from gateway.archive.writer import ArchiveStopped
from gateway.events.model import Record
from tests.archive_builders import (
    ALWAYS,
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    Clock,
    FullFolder,
    delivery,
    files,
    make_writer,
    names,
)


@pytest.fixture
def folder(tmp_path):
    return FullFolder(tmp_path / "archive")


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1.0e3,  "b":"\xc4\x91"}', b"null", b"", b'{"a":\n1}', b"\xff\x00", b'"\xff"', b"[1,]", b"{}"],
)
def test_a_line_gives_back_the_very_record(body):
    """Byte for byte, JSON or not, in one line; the moments to the millisecond."""
    record = Record("e", "1", "2", "ü\u2028", 1_790_000_000_123, "a=%20&b", body, "203.0.113.9", "Móz", "c=1")
    line = encode(Delivery(record, 1_790_000_000_999, 3))

    assert (Delivery(record, 1_790_000_000_999, 3), 1) == (decode(line), line.count(b"\n"))


def test_a_line_has_every_field_of_a_record():
    """But the moment of its appending to a spool, which is over."""
    record = Record(*(["x"] * 4), 5, "q", b"{}", *(["y"] * (len(Record.__struct_fields__) - 8)), 0)
    assert record == decode(encode(Delivery(record, 6, 1))).record


def test_a_line_can_be_read_by_people():
    """Moments as text, the body as JSON, nothing that is empty."""
    line = orjson.loads(encode(delivery("e1", ec="user")))

    assert ("2026-11-30T12:00:00.000Z", "2026-11-30T11:59:58.766Z") == (
        line["delivered_at"],
        line["accepted_at"],
    )
    assert ({"name": "e1", "ec": "user"}, False) == (line["body"], {"cookie", "client_ip"} <= set(line))


def test_a_moment_may_be_written_in_several_ways():
    """Without a zone it is UTC; a day is its beginning."""
    assert NOON_MS == milliseconds("2026-11-30T12:00") == milliseconds("2026-11-30T19:00+07:00")
    assert "2026-11-30T00:00:00.000Z" == moment(milliseconds("2026-11-30"))


def test_events_stand_in_the_hour_of_their_delivery(folder):
    """One part for an hour and a run of the gateway, in the order of delivery; a write never crosses the hour."""
    writer = make_writer(folder)
    batch = [
        delivery("a"),
        delivery("b", delivered_ms=NOON_MS + 1),
        delivery("c", delivered_ms=NOON_MS + HOUR_MS),
    ]
    assert 2 == writer.write(batch).taken
    assert 1 == writer.write(batch[2:]).taken
    writer.close()
    make_writer(folder).write([delivery("d", delivered_ms=NOON_MS + HOUR_MS + 5)])

    assert ["2026-11-30T12.jsonl.zst", "2026-11-30T13.jsonl.zst", "2026-11-30T13.1.jsonl.zst"] == files(
        folder
    )
    assert ["a", "b", "c", "d"] == names(folder)


def test_a_span_begins_and_ends_to_the_millisecond(folder):
    """From `since` on, up to before `until`, across the hours."""
    writer = make_writer(folder)
    for index, at in enumerate((0, 999, 1_000, HOUR_MS, HOUR_MS + 1)):
        writer.write([delivery(str(index), delivered_ms=NOON_MS + at)])

    assert ["1", "2", "3"] == names(folder, Span(NOON_MS + 999, NOON_MS + HOUR_MS + 1))
    assert ["2"] == names(folder, Span(NOON_MS + 1_000, NOON_MS + HOUR_MS))
    assert [] == names(folder, Span(NOON_MS + 2 * HOUR_MS, NOON_MS + DAY_MS))


def test_files_are_for_their_owner_alone(folder):
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        make_writer(folder).write([delivery("a")])
    finally:
        os.umask(before)

    assert 0o700 == stat.S_IMODE(folder.path.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in folder.path.iterdir()}


def test_a_part_that_is_full_is_followed_by_another(folder):
    """So that the oldest can go by itself; ten and more of them keep their order."""
    writer = make_writer(folder, part_bytes=1)
    for index in range(12):
        writer.write([delivery(str(index))])

    assert [str(index) for index in range(12)] == names(folder)
    assert "2026-11-30T12.11.jsonl.zst" == files(folder)[-1]


def test_each_write_can_be_read_at_once_and_survives_a_crash(folder):
    """At whatever byte the last one is cut off, all before it are there, and the rest is told."""
    writer = make_writer(folder)
    writer.write([delivery("a")])
    whole = folder.parts()[0].size
    writer.write([delivery("b")])
    (part,) = folder.parts()
    data = part.path.read_bytes()

    for size in range(whole, len(data)):
        part.path.write_bytes(data[:size])
        reading = Reading(folder, ALWAYS)
        assert ["a"] == [each.record.event_id for each in reading]
        assert [(whole, size - whole)][: size - whole] == [
            (each.offset, each.length) for each in reading.damage
        ]


def test_a_flipped_bit_costs_its_frame_alone(folder):
    """Wherever it flips; what follows is read."""
    writer = make_writer(folder)
    ends = [0]
    for name in "abc":
        writer.write([delivery(name)])
        ends.append(folder.parts()[0].size)
    (part,) = folder.parts()
    data = part.path.read_bytes()

    for at in range(ends[1], ends[2]):
        part.path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        reading = Reading(folder, ALWAYS)
        found = [each.record.event_id for each in reading]
        # A header may come to say that there is no checksum, or another size of window.
        assert found in (["a", "c"], ["a", "b", "c"]), at
        assert (len(found) == 3) == (not reading.damage)


def test_a_large_frame_is_read_in_pieces(tmp_path):
    """Frames around the size of a read, and several within one."""
    path = tmp_path / "part"
    texts = [os.urandom(size) for size in (1, 131_050, 131_072, 400_000, 5)]
    path.write_bytes(b"".join(map(compress, texts)))
    with path.open("rb") as file:
        assert texts == [each.data for each in read_frames(file, path.stat().st_size)]


def test_nothing_is_read_that_a_writer_is_about_to_finish(folder):
    """What is added while somebody reads is no damage to him."""
    writer = make_writer(folder)
    writer.write([delivery("a")])
    walk = iter(Reading(folder, ALWAYS))
    assert "a" == next(walk).record.event_id
    writer.write([delivery("b")])

    assert [] == [each.record.event_id for each in walk]
    assert ["a", "b"] == names(folder)


@pytest.mark.parametrize("may_cut", [True, False])
def test_a_disk_without_room_costs_nothing_that_was_written(folder, may_cut):
    """The write fails as a whole and can be tried again; a piece of it that can't be cut off is left behind in its part."""
    writer = make_writer(folder)
    writer.write([delivery("a")])
    folder.room, folder.may_cut = 40, may_cut
    with pytest.raises(OSError, match="No space left"):
        writer.write([delivery("b", text="x" * 200)])
    folder.room = 1 << 40
    writer.write([delivery("b")])

    reading = Reading(folder, ALWAYS)
    assert ["a", "b"] == [each.record.event_id for each in reading]
    assert (0 if may_cut else 1, 1 if may_cut else 2) == (len(reading.damage), len(files(folder)))


def test_room_is_left_for_those_who_need_it_more(folder):
    """The archive stops before the spool's disk is full, and says what helps."""
    writer = make_writer(folder)
    folder.free_bytes = (1 << 30) - 1
    with pytest.raises(ArchiveStopped, match="less than 1024 MiB") as caught:
        writer.write([delivery("a")])
    assert "archive.days" in caught.value.hint
    folder.free_bytes += 1
    assert 1 == writer.write([delivery("a")]).kept


def test_what_is_too_old_goes(folder):
    """A part goes when its last moment has reached the days: nothing before its time, nothing more than an hour after."""
    clock = Clock()
    writer = make_writer(folder, days=2, clock=clock)
    writer.write([delivery("a")])
    writer.write([delivery("b", delivered_ms=NOON_MS + HOUR_MS)])
    clock.now_ms = NOON_MS + 2 * DAY_MS + HOUR_MS - 1
    assert (0, ["a", "b"]) == (writer.tidy(), names(folder))
    clock.now_ms += 1
    assert (1, ["b"]) == (writer.tidy(), names(folder))
    clock.now_ms += 30 * DAY_MS
    assert (1, []) == (make_writer(folder, days=2, clock=clock).tidy(), names(folder))
    # The part that was written to is gone: another one is begun.
    writer.write([delivery("c", delivered_ms=NOON_MS + HOUR_MS)])
    assert ["c"] == names(folder)


def test_what_is_too_much_goes_oldest_first(folder):
    """Never the part that is written to."""
    writer = make_writer(folder, max_bytes=2_000)
    for index in range(40):
        writer.write([delivery(f"{index:02d}", text=os.urandom(40).hex())])
        if writer.is_too_large:
            assert writer.tidy()
        assert sum(each.size for each in folder.parts()) <= 2_000
    left = names(folder)

    assert 5 < len(left) < 20
    assert [f"{index:02d}" for index in range(40 - len(left), 40)] == left


def test_what_is_no_part_is_left_alone(folder):
    """Somebody's notes in the folder are neither read nor deleted."""
    clock = Clock()
    writer = make_writer(folder, days=1, clock=clock)
    writer.write([delivery("a")])
    (folder.path / "notes.txt").write_text("x")
    clock.now_ms += 9 * DAY_MS
    writer.tidy()

    assert ["lock", "notes.txt"] == sorted(each.name for each in folder.path.iterdir())
    assert [] == Folder(folder.path / "nowhere").parts()
