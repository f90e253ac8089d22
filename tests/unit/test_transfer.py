"""Rows of a ledger as lines of a file, and back: what is written is read as it was, and what can't be read says where and why."""

from __future__ import annotations

import io
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.contract import BoundUid
from gateway.ledger.transfer import (
    COLUMNS,
    MAX_ROW_BYTES,
    Encoder,
    Rows,
    WrongHeader,
    guessed_format,
    header,
    moment,
)

NOW_MS = 1_790_000_000_123
NOW = "2026-09-21T14:13:20.123Z"
HEAD = "portal_id,uid,cid,bound_at\n"


def read(text, format_="csv"):
    data = text if isinstance(text, bytes) else text.encode()
    return list(Rows(io.BytesIO(data), format_, lambda: NOW_MS))


def problems(text, format_="csv"):
    return [(each.number, each.problem) for each in read(text, format_)]


def row(**fields) -> BoundUid:
    return BoundUid(**{"portal_id": "33167", "uid": "7", "cid": "c1", "bound_ms": NOW_MS, **fields})


ids = st.text("abcXYZ0123456789_.:~+/=|-", min_size=1, max_size=30)
printed = st.text(st.characters(codec="utf-8"), max_size=40).map(str.strip)
living = st.builds(
    BoundUid,
    portal_id=st.text("abc0123456789_-", min_size=1, max_size=10),
    uid=ids,
    # Hashes are in lower case in a ledger.
    cid=printed.filter(bool).filter(lambda text: not re.fullmatch(r"[0-9a-fA-F]{32,64}", text)),
    bound_ms=st.integers(0, NOW_MS),
)
tombstones = st.builds(
    lambda portal_id, uid, at_ms, reason: BoundUid(portal_id, uid, "", at_ms, at_ms, reason),
    st.text("abc0123456789_-", min_size=1, max_size=10),
    ids,
    st.integers(0, NOW_MS),
    printed,
)


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
@settings(deadline=None, max_examples=100)
@given(rows=st.lists(living | tombstones, max_size=20))
def test_what_is_written_is_read_as_it_was(format_, rows):
    """Any row, also with commas, quotes, line breaks and other alphabets in it."""
    encoder = Encoder(format_)
    text = header(format_) + b"".join(map(encoder.line, rows))

    again = read(text, format_)

    assert rows == [each.row for each in again]
    assert all(each.problem == "" for each in again)


def test_a_csv_line_is_what_a_person_expects():
    """The six columns in their order; a tombstone names its time and reason, nobody, and no binding."""
    encoder = Encoder("csv")
    erased = BoundUid("33167", "8", "", NOW_MS, NOW_MS, 'request "12", by post')

    assert b"portal_id,uid,cid,bound_at,erased_at,reason\n" == header("csv")
    assert f"33167,7,c1,{NOW},,\n".encode() == encoder.line(row())
    assert f'33167,8,,,{NOW},"request ""12"", by post"\n'.encode() == encoder.line(erased)


def test_a_json_line_has_the_same_fields():
    """All of them, in the same order."""
    line = Encoder("jsonl").line(row())

    assert line.endswith(b"}\n")
    assert list(COLUMNS) == list(orjson.loads(line))
    assert ("33167", "7", "c1", NOW) == tuple(orjson.loads(line).values())[:4]


@pytest.mark.parametrize(
    "text", ["\ufeffuid,cid,portal_id\r\n7,c1,33167\r\n", " uid , cid,portal_id \n7 , c1,33167"]
)
def test_columns_stand_in_any_order_as_spreadsheets_write_them(text):
    """With a byte order mark, Windows line ends, blanks around values, no line end behind the last row."""
    (line,) = read(text)

    assert row() == line.row
    assert 2 == line.number


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("portal_id,uid,cid,colour", "there is no column 'colour'"),
        ("portal_id;uid;cid", "there is no column no. 1"),
        ("33167,7,lan@example.com", "there is no column no. 1"),
        ("uid,cid", "portal_id is missing"),
        ("portal_id,cid", "uid is missing"),
        ("portal_id,uid", "cid is missing"),
        ("portal_id,uid,cid,uid", "uid stands twice"),
        ("", "portal_id is missing"),
        ('portal_id,"uid,cid', "it is no line of CSV"),
    ],
)
def test_a_wrong_header_is_refused_by_the_name_that_is_wrong(head, said):
    """And never by what may be somebody's address, in a file without a header."""
    with pytest.raises(WrongHeader) as caught:
        read(f"{head}\n33167,7,c1\n")

    assert said in str(caught.value)
    assert "lan@" not in str(caught.value)
    assert "portal_id, uid, cid, bound_at, erased_at, reason" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("33167,7,c1", "columns"),
        ("33167,7,c1,,", "columns"),
        (",7,c1,", "missing:portal_id"),
        ("33167,,c1,", "missing:uid"),
        ("33167,7,,", "missing:cid"),
        ("33 167,7,c1,", "bad:portal_id"),
        ("33167,7 8,c1,", "bad:uid"),
        ("33167,lan@example.com,c1,", "bad:uid"),
        (f"33167,7,{'c' * 257},", "bad:cid"),
        ("33167,7,c1,yesterday", "bad:bound_at"),
        ("33167,7,c1,2026-02-30T00:00:00Z", "bad:bound_at"),
        ("33167,7,c1,2026-01-01", "bad:bound_at"),
        ("33167,7,c1,2026-01-01T00:00:00", "bad:bound_at"),
        ("33167,7,c1,1969-12-31T23:59:59Z", "bad:bound_at"),
        ("33167,7,c1,2026-09-21T14:13:20.124Z", "future:bound_at"),
        ("33167,7,c1,2026-09-21T14:13:20+00:00x", "bad:bound_at"),
        (f"33167,7,{'c' * MAX_ROW_BYTES},", "too_long"),
        (f"33167,7,{'c' * 3 * MAX_ROW_BYTES},", "too_long"),
        ('33167,7,"c1"x,', "bad_line"),
        ("33167,7,c\udcff1,", "bad_line"),
    ],
)
def test_a_row_that_cant_be_read_says_its_line_and_field(line, problem):
    """And costs nobody else: the rows around it are read."""
    text = f"{HEAD}33167,6,c0,\n{line}\n33167,8,c2,\n".encode("utf-8", "surrogateescape")

    first, bad, last = read(text)

    assert ("6", 3, problem, None, "8", 4) == (
        first.uid,
        bad.number,
        bad.problem,
        bad.row,
        last.uid,
        last.number,
    )
    assert "lan@" not in repr(bad)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("7", "bad_line"),
        ("[]", "bad_line"),
        ('{"portal_id":', "bad_line"),
        ({"uid": "7", "cid": "c"}, "missing:portal_id"),
        ({"portal_id": 1, "uid": True, "cid": "c"}, "bad:uid"),
        ({"portal_id": 1, "uid": 7, "cid": ["c"]}, "bad:cid"),
        ({"portal_id": 1, "uid": 7, "cid": "c", "bound_at": 1_790_000_000}, "bad:bound_at"),
        ({"portal_id": 1, "uid": 7, "cid": "c", "colour": "red"}, "unknown:colour"),
        ({"portal_id": 1, "uid": 7, "cid": "c", "lan@example.com": 1}, "unknown:field"),
        ({"portal_id": 1, "uid": 7, "cid": "c", "reason": "x"}, "missing:erased_at"),
        ({"portal_id": 1, "uid": 7, "cid": "c", "erased_at": NOW}, "bad:cid"),
        ({"portal_id": 1, "uid": 7, "erased_at": "2027-01-01T00:00:00Z"}, "future:erased_at"),
        ({"portal_id": 1, "uid": 7, "erased_at": NOW, "reason": "x" * 501}, "bad:reason"),
    ],
)
def test_a_json_row_that_cant_be_read_says_its_field(fields, problem):
    """Unknown keys, wrong types, tombstones that name somebody."""
    line = fields if isinstance(fields, str) else orjson.dumps(fields).decode()

    assert [(1, problem), (2, "")] == problems(f'{line}\n{{"portal_id":"1","uid":"8","cid":"c"}}\n', "jsonl")


def test_numbers_without_quotes_mean_the_same():
    """Ids that a program wrote as JSON numbers, and `null` for what is missing."""
    (line,) = read('{"portal_id":33167,"uid":7,"cid":42,"bound_at":null}', "jsonl")

    assert row(cid="42") == line.row


def test_a_time_may_be_written_in_any_zone_and_a_missing_one_is_now():
    """To the millisecond, cut not rounded."""
    lines = read(f"{HEAD}1,1,c,2026-09-21T21:13:20.1239+07:00\n1,2,c,2026-09-21 14:13:20z\n1,3,c,\n")

    assert [NOW_MS, NOW_MS - 123, NOW_MS] == [each.row.bound_ms for each in lines]


def test_a_hash_in_capitals_is_the_same_customer():
    """As in events: hashes are kept in lower case, anything else as it is."""
    lines = read(f"{HEAD}1,1,{'AB' * 16},\n1,2,{'AB' * 15},\n")

    assert ["ab" * 16, "AB" * 15] == [each.row.cid for each in lines]


def test_a_quote_that_never_closes_costs_its_own_row_alone():
    """What stands behind it, on many lines, is read."""
    behind = "".join(f"33167,{number},c{number},\n" for number in range(10_000))

    lines = read(f'{HEAD}33167,6,"c0,\n{behind}')

    assert (2, "bad_line") == (lines[0].number, lines[0].problem)
    assert [str(number) for number in range(10_000)] == [each.uid for each in lines[1:]]
    assert list(range(3, 10_003)) == [each.number for each in lines[1:]]


def test_two_stray_quotes_lose_no_row_between_them():
    """Lines that only look like one row with line breaks in it are read one by one."""
    lines = read(f'{HEAD}1,1,a"b,\n1,2,c,\n1,3,d"e,\n')

    assert ['a"b', "c", 'd"e'] == [each.row.cid for each in lines]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(["1,{n},c,\n", '1,{n},"c\nd",\n', '1,{n},"c,\n', "\n", "1,{n}\n", '1,{n},a"b,\r\n']),
        max_size=12,
    )
)
def test_reading_can_go_on_behind_any_row(kinds):
    """From the offset and line behind a row, the rest is read as it would have been; offsets are those of the file."""
    data = (HEAD + "".join(kind.format(n=number) for number, kind in enumerate(kinds))).encode()
    whole = Rows(io.BytesIO(data), "csv", lambda: NOW_MS)
    places, lines = [(whole.offset, whole.line)], []
    for line in whole:
        lines.append(line)
        places.append((whole.offset, whole.line))

    for count, place in enumerate(places):
        rest = Rows(io.BytesIO(data), "csv", lambda: NOW_MS)
        rest.go_to(*place)
        assert lines[count:] == list(rest)

    assert len(data) == whole.offset


def test_the_format_is_seen_in_the_beginning():
    """A brace begins JSON, behind blanks or a byte order mark too; all else is CSV."""
    assert ["jsonl", "jsonl", "csv", "csv"] == [
        guessed_format(each) for each in (b'{"a"', b"\xef\xbb\xbf\n {", b"portal_id,", b"")
    ]


@pytest.mark.parametrize(
    ("at", "text"), [(0, "1970-01-01T00:00:00.000Z"), (NOW_MS, NOW), (999, "1970-01-01T00:00:00.999Z")]
)
def test_a_moment_is_utc_to_the_millisecond(at, text):
    """Three digits, always."""
    assert text == moment(at)
