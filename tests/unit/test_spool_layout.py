"""The byte layout of a segment: what a scan finds in whole, torn and damaged bytes."""

from __future__ import annotations

import pytest

from gateway.spool.cursor import Progress, decode_journal, to_ranges
from gateway.spool.layout import (
    DATA_START,
    PAGE,
    RECORD_HEAD_BYTES,
    Fence,
    Head,
    decode_head,
    encode_group,
    encode_head,
    scan,
)

SALT = 0x1234_5678
PAYLOADS = [b"one", b"", b"\xff\xf5TG" * 9, bytes(300), b"last"]


def payloads_in(data: bytes) -> list[bytes]:
    return [record.payload for record in scan(data, DATA_START, SALT, 0, final=True).records]


def test_a_scan_gives_the_payloads_of_every_group_in_order():
    """What was encoded in two groups comes back as it went in, with indices that rise by one."""
    data = encode_group(PAYLOADS, SALT, 0) + encode_group([b"more"], SALT, 5)
    found = scan(data, DATA_START, SALT, 0, final=True)
    assert [*PAYLOADS, b"more"] == [record.payload for record in found.records]
    assert list(range(6)) == [record.nth for record in found.records]
    assert [0, 5] == [record.nth for record in found.records if record.is_first]
    assert ([], DATA_START + len(data)) == (found.unreadable, found.end)


def test_any_flipped_bit_costs_its_own_record_and_no_other():
    """Wherever one bit of a record flips, in its head or payload, all the other records are still found."""
    data = encode_group(PAYLOADS, SALT, 0)
    start = 0
    for nth, payload in enumerate(PAYLOADS):
        end = start + RECORD_HEAD_BYTES + len(payload)
        for at in range(start, end):
            flipped = bytearray(data)
            flipped[at] ^= 0x10
            assert PAYLOADS[:nth] + PAYLOADS[nth + 1 :] == payloads_in(bytes(flipped))
        start = end


def test_a_zeroed_stretch_in_the_middle_is_not_taken_for_the_end():
    """Records behind a lost page are found, and the bytes of the stretch are reported."""
    payloads = [f"{n}".encode().ljust(100) for n in range(20)]
    size = RECORD_HEAD_BYTES + 100
    data = bytearray(encode_group(payloads, SALT, 0))
    data[5 * size : 8 * size] = bytes(3 * size)
    found = scan(bytes(data), DATA_START, SALT, 0, final=True)
    assert payloads[:5] + payloads[8:] == [record.payload for record in found.records]
    assert [(DATA_START + 5 * size, 3 * size)] == found.unreadable


def test_a_record_inside_a_payload_is_not_believed():
    """A client that sends the bytes of a record can't have them read as one, even when damage makes a scan look there."""
    forged = encode_group([b"forged"], 0, 1)
    data = bytearray(encode_group([b"a", b"x" + forged, b"b"], SALT, 0))
    data[RECORD_HEAD_BYTES + 1 + 4] ^= 0xFF  # the length of the record around it
    assert [b"a", b"b"] == payloads_in(bytes(data))


@pytest.mark.parametrize("size", range(0, 80, 7))
def test_a_torn_group_gives_the_records_that_are_whole(size: int):
    """Whatever the length that reached the disk, whole records are found and the rest is one unreadable stretch."""
    data = encode_group([b"a" * 20, b"b" * 20], SALT, 0)
    whole = size // (RECORD_HEAD_BYTES + 20)
    found = scan(data[:size].ljust(200, b"\0"), DATA_START, SALT, 0, final=True)
    assert whole == len(found.records)
    assert DATA_START + 200 == found.end
    assert 200 == sum(region.length for region in found.unreadable) + whole * (RECORD_HEAD_BYTES + 20)


def test_scanning_in_stretches_finds_what_one_scan_finds():
    """A stretch that ends inside a record stops before it, and the next stretch goes on there."""
    payloads = [bytes([65 + n]) * (n * 3) for n in range(25)]
    data = encode_group(payloads, SALT, 0)
    found, at, nth = [], 0, 0
    while at < len(data):
        end = min(at + 120, len(data))
        part = scan(data[at:end], at, SALT, nth, final=end == len(data))
        found += [record.payload for record in part.records]
        nth = part.records[-1].nth + 1
        assert part.end > at
        at = part.end
    assert payloads == found


def test_either_copy_of_a_head_is_enough():
    """A head is read when one of its two pages is destroyed, and is unreadable when both are."""
    head = Head(7, 1 << 20, SALT, is_open=True, fences=(Fence(5, 10, 9000), Fence(6, 0, DATA_START)))
    pages = encode_head(head)
    assert DATA_START == len(pages)
    assert head == decode_head(pages)
    assert head == decode_head(bytes(PAGE) + pages[PAGE:])
    assert head == decode_head(pages[:PAGE] + bytes(PAGE))
    assert decode_head(bytes(DATA_START)) is None
    assert decode_head(b"") is None


def test_of_two_different_heads_the_open_one_counts():
    """When a crash left one page from before the opening and one from after, the one from after counts."""
    closed = Head(7, 1 << 20, SALT)
    opened = closed._replace(is_open=True, fences=(Fence(6, 3, 9000),))
    assert opened == decode_head(encode_head(closed)[:PAGE] + encode_head(opened)[PAGE:])
    assert opened == decode_head(encode_head(opened)[:PAGE] + encode_head(closed)[PAGE:])


def test_positions_become_ranges_whatever_their_order():
    """Acknowledgements out of order are as few ranges as can be."""
    assert [(3, 4), (9, 1), (20, 2)] == to_ranges([21, 5, 3, 9, 4, 6, 20])
    assert [(0, 2)] == to_ranges([1, 0])
    assert [] == to_ranges([])


def test_something_else_in_place_of_a_journal_reads_as_nothing():
    """Foreign bytes settle no record."""
    assert ([], 0) == decode_journal(b"not a journal")
    assert ([], 8) == decode_journal(b"TGCURSR\n" + bytes(100))
    assert Progress() == Progress(ranges=[], bitmaps={}, durable={})
