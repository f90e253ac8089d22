"""The rows of a ledger as lines of a file, CSV or JSONL, and back: what `ledger export` writes and `ledger import` reads.

Both formats have the same six fields, each of them text: `portal_id`, `uid`, `cid`, `bound_at`, `erased_at`, `reason`. Times are RFC
3339; written ones are in UTC, to the millisecond. A tombstone has `erased_at` and `reason`, and neither `cid` nor `bound_at`. What is
written here and read again is the same row.

Reading is bounded whatever the file holds: a row is at most `MAX_ROW_BYTES` long. What can't be read is a value that names its line and
the field, never what stands there: it may be an address. A quote that is never closed costs its own line, not those behind it.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

import orjson

from gateway.events.hashing import is_hash
from gateway.ledger.contract import BoundUid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Format = Literal["csv", "jsonl"]

COLUMNS = ("portal_id", "uid", "cid", "bound_at", "erased_at", "reason")
MAX_ROW_BYTES = 65_536

_NEEDED = ("portal_id", "uid")
_PORTAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_UID = re.compile(r"[A-Za-z0-9_.:~+/=|-]{1,128}\Z")
_MAX_CID = 256
_MAX_REASON = 500
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# A name that may be shown; anything else may be the first row of a file without a header, with somebody's address in it.
_NAME = re.compile(r"[A-Za-z_][A-Za-z_ -]{0,39}\Z")
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One row of a file: where it stands, and either the row or what is wrong with it.

    `number` is its first line, from 1. `problem` is `bad_line`, `too_long`, `columns`, `missing:<field>`, `bad:<field>`,
    `unknown:<field>` or `future:<field>`; `portal_id` and `uid` are what the row says, where they have the form of ids.
    """

    number: int
    row: BoundUid | None
    problem: str = ""
    portal_id: str = ""
    uid: str = ""


class WrongHeader(Exception):
    """A CSV file does not begin with the names of its columns: says what is wrong and what to write."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the first line must name the columns: {what}; there are {', '.join(COLUMNS)}")
        self.what = what


class _Problem(Exception):
    """Leads from a field to the `Line` that tells of it."""


class Rows:
    """Reads the rows of an open file one by one; `offset` and `line` say how far it has come, behind a whole row.

    `clock` gives the time in Unix ms, which is also that of rows without one. Raises `WrongHeader` when it is made.
    """

    def __init__(self, source: BinaryIO, format_: Format, clock: Callable[[], int]) -> None:
        self.offset = 0
        self.line = 0
        self._source = source
        self.clock = clock
        # Lines that were read and given back, with their length in the file.
        self._ahead: deque[tuple[bytes, int]] = deque()
        self._parse = _json_fields if format_ == "jsonl" else self._csv_fields
        self._is_csv = format_ == "csv"
        self._columns: tuple[str, ...] = ()
        if self._is_csv:
            self._columns = _header(self._next_line())

    def go_to(self, offset: int, line: int) -> None:
        """Go on behind a row that was read earlier from the same file, which can be sought in."""
        self._source.seek(offset)
        self._ahead.clear()
        self.offset, self.line = offset, line

    def __iter__(self) -> Iterator[Line]:
        """Give each row that is not blank."""
        while raw := self._next_line():
            number = self.line
            if len(raw) > MAX_ROW_BYTES:
                yield Line(number, None, "too_long")
                continue
            if self._is_csv and raw.count(b'"') % 2:
                raw = self._closed(raw)
            if raw.strip():
                yield self._read(number, raw)

    def _read(self, number: int, raw: bytes) -> Line:
        try:
            fields = self._parse(raw)
        except _Problem as problem:
            return Line(number, None, str(problem))
        except (ValueError, csv.Error):
            return Line(number, None, "bad_line")
        portal_id, uid = _shown(fields, "portal_id", _PORTAL_ID), _shown(fields, "uid", _UID)
        try:
            return Line(number, _row(fields, self.clock()), "", portal_id, uid)
        except _Problem as problem:
            return Line(number, None, str(problem), portal_id, uid)

    def _csv_fields(self, raw: bytes) -> Mapping[str, Any]:
        (values,) = csv.reader((raw.decode(),), strict=True)
        if len(values) != len(self._columns):
            raise _Problem("columns")
        return dict(zip(self._columns, values, strict=True))

    def _closed(self, raw: bytes) -> bytes:
        """Give a row whose quotes go on over several lines as a whole; only its first line when that gives no row."""
        taken: list[tuple[bytes, int]] = []
        length, offset, line = len(raw), self.offset, self.line
        while length <= MAX_ROW_BYTES:
            before = self.offset
            more = self._next_line()
            taken.append((more, self.offset - before))
            length += len(more)
            if not more or more.count(b'"') % 2:
                whole = raw + b"".join(each for each, _ in taken)
                if length <= MAX_ROW_BYTES and self._is_row(whole):
                    return whole
                break
        self._ahead.extendleft(reversed(taken))
        self.offset, self.line = offset, line
        return raw

    def _is_row(self, raw: bytes) -> bool:
        try:
            self._csv_fields(raw)
        except (_Problem, ValueError, csv.Error):
            return False
        return True

    def _next_line(self) -> bytes:
        """Give the next line with its end; of one that is too long its beginning, which is longer than a row may be."""
        if self._ahead:
            raw, length = self._ahead.popleft()
        else:
            raw = last = self._source.readline(MAX_ROW_BYTES + 1)
            length = len(raw)
            while len(last) > MAX_ROW_BYTES and not last.endswith(b"\n"):
                last = self._source.readline(MAX_ROW_BYTES + 1)
                length += len(last)
        if not self.offset:
            raw = raw.removeprefix(_BOM)
        self.offset += length
        self.line += bool(length)
        return raw


def guessed_format(beginning: bytes) -> Format:
    """Tell from the beginning of a file whether it is JSONL; anything else is taken for CSV."""
    return "jsonl" if beginning.removeprefix(_BOM).lstrip().startswith(b"{") else "csv"


def header(format_: Format) -> bytes:
    """Give what stands before the first row."""
    return f"{','.join(COLUMNS)}\n".encode() if format_ == "csv" else b""


class Encoder:
    """Makes the lines of one file from rows."""

    def __init__(self, format_: Format) -> None:
        # With this end, a lone carriage return in a value is put in quotes too.
        self._csv = csv.writer(_Echo(), lineterminator="\r\n") if format_ == "csv" else None

    def line(self, row: BoundUid) -> bytes:
        """Give a row as its line, with the line's end."""
        if row.erased_ms is None:
            values = (row.portal_id, row.uid, row.cid, moment(row.bound_ms), "", "")
        else:
            values = (row.portal_id, row.uid, "", "", moment(row.erased_ms), row.reason)
        if self._csv is None:
            return orjson.dumps(dict(zip(COLUMNS, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)
        text: str = self._csv.writerow(values)
        return text.removesuffix("\r\n").encode() + b"\n"


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def moment(milliseconds: int) -> str:
    """Give a Unix time in milliseconds as RFC 3339 text in UTC, to the millisecond."""
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def _header(raw: bytes) -> tuple[str, ...]:
    try:
        (names,) = csv.reader((raw.decode(),), strict=True)
    except (ValueError, csv.Error):
        raise WrongHeader("it is no line of CSV in UTF-8") from None
    columns = tuple(name.strip() for name in names)
    for place, name in enumerate(columns, 1):
        if name not in COLUMNS:
            shown = f"{name!r}" if _NAME.match(name) else f"no. {place}"
            raise WrongHeader(f"there is no column {shown}")
        if columns.count(name) > 1:
            raise WrongHeader(f"{name} stands twice")
    for name in _NEEDED:
        if name not in columns:
            raise WrongHeader(f"{name} is missing")
    if "cid" not in columns and "erased_at" not in columns:
        raise WrongHeader("cid is missing")
    return columns


def _json_fields(raw: bytes) -> Mapping[str, Any]:
    fields = orjson.loads(raw)
    if not isinstance(fields, dict):
        raise _Problem("bad_line")
    for name in fields:
        if name not in COLUMNS:
            raise _Problem(f"unknown:{name}" if _NAME.match(name) else "unknown:field")
    return fields


def _row(fields: Mapping[str, Any], now_ms: int) -> BoundUid:
    portal_id = _id(fields, "portal_id", _PORTAL_ID)
    uid = _id(fields, "uid", _UID)
    cid = _text(fields, "cid").strip()
    erased_ms = _time(fields, "erased_at", now_ms)
    bound_ms = _time(fields, "bound_at", now_ms)
    reason = _text(fields, "reason").strip()
    if erased_ms is not None:
        if cid:
            # A tombstone names nobody.
            raise _Problem("bad:cid")
        if len(reason) > _MAX_REASON:
            raise _Problem("bad:reason")
        return BoundUid(portal_id, uid, "", erased_ms, erased_ms, reason)
    if reason:
        raise _Problem("missing:erased_at")
    if not cid:
        raise _Problem("missing:cid")
    if len(cid) > _MAX_CID:
        raise _Problem("bad:cid")
    return BoundUid(
        portal_id, uid, cid.lower() if is_hash(cid) else cid, now_ms if bound_ms is None else bound_ms
    )


def _id(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    text = _text(fields, name).strip()
    if not text:
        raise _Problem(f"missing:{name}")
    if not form.match(text):
        raise _Problem(f"bad:{name}")
    return text


def _shown(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    try:
        return _id(fields, name, form)
    except _Problem:
        return ""


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # A number without quotes means the same to a person.
    if isinstance(value, int) and not isinstance(value, bool) and name in {"portal_id", "uid", "cid"}:
        return str(value)
    raise _Problem(f"bad:{name}")


def _time(fields: Mapping[str, Any], name: str, now_ms: int) -> int | None:
    text = _text(fields, name).strip()
    if not text:
        return None
    if not _MOMENT.match(text):
        raise _Problem(f"bad:{name}")
    try:
        milliseconds = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise _Problem(f"bad:{name}") from None
    if milliseconds < 0:
        raise _Problem(f"bad:{name}")
    if milliseconds > now_ms:
        raise _Problem(f"future:{name}")
    return milliseconds
