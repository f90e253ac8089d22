"""What a record's payload says of its moment, for any record."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.model import Record
from gateway.events.packing import appended_ns, pack, unpack

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MOMENTS = st.integers(1 << 32, (1 << 63) - 1)
RECORDS = st.builds(
    Record, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 1 << 45), TEXTS, st.binary(), TEXTS, TEXTS, TEXTS
)


@given(RECORDS, MOMENTS)
def test_a_payload_gives_back_its_record_and_its_moment(record, moment):
    """Nothing of an event changes on its way through a spool."""
    payload = pack(record, moment)
    assert msgspec.structs.replace(record, appended_ns=moment) == unpack(payload)
    assert moment == appended_ns(payload)


@given(RECORDS, MOMENTS, MOMENTS)
def test_a_record_that_is_appended_again_gets_the_new_moment(record, first, second):
    """A released event stands behind what came meanwhile."""
    assert second == appended_ns(pack(unpack(pack(record, first)), second))


def test_a_payload_of_an_older_version_is_read_and_counts_from_its_acceptance():
    """Spools that several workers of an older version have filled are delivered, in the order of acceptance; what is no record, first of all."""
    older = ("e1", "1", "2", "3", 1_790_000_000_000, "request_id=e1", b"{}", "203.0.113.7", "Firefox")
    payload = msgspec.msgpack.encode(older)
    assert Record(*older) == unpack(payload)
    assert 1_790_000_000_000_000_000 == appended_ns(payload)
    assert [0, 0] == [appended_ns(each) for each in (b"", b"\xff" * 20)]


@given(st.text(st.characters(codec="utf-8"), min_size=8, max_size=40))
def test_no_text_of_an_older_version_passes_for_a_moment(text):
    """One letter's first byte is that of a moment: such an event must not count as one of the far future, with all that come after it."""
    for cut in range(9):
        older = (
            "e1",
            "1",
            "2",
            "3",
            1_790_000_000_000,
            "request_id=e1",
            b"{}",
            "203.0.113.7",
            text + "ππππ" + "x" * cut,
        )
        assert 1_790_000_000_000_000_000 == appended_ns(msgspec.msgpack.encode(older))
