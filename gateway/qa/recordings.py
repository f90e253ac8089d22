"""HAR files, however large: opened in place, entry by entry.

What always holds: of a file no more is in memory than the entry that is looked at and where each call went (a few hundred bytes); the file itself is
mapped, so that the system gives and takes its pages. What is packed, or comes from a pipe, is first written to a file that nobody else sees.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import shutil
import tempfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import msgspec

from gateway.qa.har import EntryWrong, exchange_of, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.qa.har import Exchange, Place

_BOM = b"\xef\xbb\xbf"
_PIECE_BYTES = 1 << 20
_MOST_BYTES = 8 << 30
_DUMP = re.compile(rb"\d{1,10}:\d{1,10}:")
_PACKED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class NotARecording(Exception):
    """A file that holds no HAR: which, at which field, and what to do."""

    def __init__(self, name: str, field: str, what: str, hint: str = "") -> None:
        super().__init__(f"{name}: {f'{field}: ' if field else ''}{what}")
        self.name = name
        self.field = field
        self.hint = hint or 'export it once more as "HAR with content"'


class _Page(msgspec.Struct):
    id: Any = ""
    title: Any = ""


class _Log(msgspec.Struct):
    entries: list[msgspec.Raw]
    pages: Any = None
    creator: Any = None


class _Har(msgspec.Struct):
    log: _Log


class Unread(msgspec.Struct, frozen=True):
    """An entry that can't be read: where (`log.entries[3].request.url`) and why."""

    field: str
    what: str


class Recording:
    """A HAR file that is open: `places` are its calls in the order of their start, `unread` the entries that can't be read. `creator` is who wrote it."""

    def __init__(self, name: str, har: _Har) -> None:
        self.name = name
        self._entries = har.log.entries
        self.places: list[Place] = []
        self.unread: list[Unread] = []
        self.others = 0
        creator = har.log.creator
        self.creator = str(creator.get("name", "")) if isinstance(creator, dict) else ""
        for index, raw in enumerate(self._entries):
            try:
                place = place_of(raw, index)
            except EntryWrong as error:
                self.unread.append(_unread(index, error))
                continue
            if place is None:
                self.others += 1
            else:
                self.places.append(place)
        self.places.sort()
        self._pages = self._pages_of(har.log.pages)

    def exchange(self, place: Place, number: int) -> Exchange | None:
        """Give a call and its answer; `None`, and one more `unread`, where its entry can't be read."""
        page = self._pages.get(place.pageref, "")
        try:
            return exchange_of(self._entries[place.entry], place, number, page)
        except EntryWrong as error:
            self.unread.append(_unread(place.entry, error))
            return None

    def _pages_of(self, pages: Any) -> dict[str, str]:
        """Give the address of each page: its title where that is one (Chrome, Safari), else the first call of the page (Firefox, Playwright)."""
        found: dict[str, str] = {}
        for place in self.places:
            if place.pageref and place.pageref not in found:
                found[place.pageref] = place.url
        for page in pages if isinstance(pages, list) else ():
            if isinstance(page, dict) and str(page.get("title", "")).startswith(("http://", "https://")):
                found[str(page.get("id", ""))] = page["title"].partition("#")[0]
        return found


def kind_of(file: BinaryIO) -> Literal["har", "dump"]:
    """Tell a HAR from mitmproxy's own dump by its first bytes; whatever is no dump counts as HAR."""
    start = file.read(24)
    file.seek(0)
    return "dump" if _DUMP.match(start) else "har"


@contextlib.contextmanager
def seekable(path: Path | None, standard_input: BinaryIO) -> Iterator[BinaryIO]:
    """Open a file, or standard input where there is none, as one that can be mapped. Raises `OSError`."""
    if path is not None and path.is_file():
        with path.open("rb") as file:
            yield file
        return
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(path.open("rb")) if path is not None else standard_input
        copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="tracking-gateway-qa-"))
        shutil.copyfileobj(source, copy, _PIECE_BYTES)
        copy.flush()
        copy.seek(0)
        yield cast("BinaryIO", copy)


@contextlib.contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[Recording]:
    """Open a HAR file, also one that is packed (gzip, or mitmproxy's `.zhar`). Raises `NotARecording`, `OSError`."""
    with contextlib.ExitStack() as stack:
        start = file.read(3)
        file.seek(0)
        if start[:2] in _PACKED:
            file = stack.enter_context(_unpacked(file, name))
            start = file.read(3)
            file.seek(0)
        if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise NotARecording(name, "", "it is UTF-16, and JSON is UTF-8", "save it as UTF-8")
        if start[:2] == b"PK":
            raise NotARecording(name, "", "it is a ZIP file", "unpack it, and name the .har file in it")
        if not start:
            raise NotARecording(name, "", "it is empty")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # It is closed when the last entry that looks into it is gone.
        view = memoryview(mapped)[len(_BOM) if start == _BOM else 0 :]
        yield Recording(name, _decoded(view, name))


def _decoded(view: memoryview, name: str) -> _Har:
    try:
        return msgspec.json.decode(view, type=_Har)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$.")
        missing = re.match(r"Object missing required field `([^`]+)`", what)
        field = field.rstrip("`")
        if missing:
            field = f"{field}.{missing[1]}".lstrip(".")
            raise NotARecording(
                name, field, "it is missing, so this is no HAR file", _hint_of(view)
            ) from None
        raise NotARecording(
            name, field, f"this is no HAR file: {what[:1].lower()}{what[1:]}", _hint_of(view)
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "truncated" in str(error):
            raise NotARecording(name, "", "it ends in the middle: whoever wrote it was interrupted") from None
        raise NotARecording(name, "", f"no HAR file: {error}", _hint_of(view)) from None
    except RecursionError:
        raise NotARecording(name, "", "no HAR file: it is nested too deeply") from None


def _hint_of(view: memoryview) -> str:
    start = bytes(view[:64]).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "it is a web page: was the recording behind a sign-in?"
    return ""


@contextlib.contextmanager
def _unpacked(file: BinaryIO, name: str) -> Iterator[Any]:
    with tempfile.TemporaryFile(prefix="tracking-gateway-qa-") as whole:
        # 32: it finds out by itself whether this is gzip or zlib.
        packed, written = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
        try:
            while piece := packed.unconsumed_tail or file.read(_PIECE_BYTES):
                written += whole.write(packed.decompress(piece, _PIECE_BYTES))
                if written > _MOST_BYTES:
                    raise NotARecording(
                        name, "", f"unpacked it has more than {_MOST_BYTES >> 30} GB", "record less"
                    )
                if packed.eof:
                    break
            whole.write(packed.flush())
        except zlib.error as error:
            raise NotARecording(name, "", f"it can't be unpacked: {error}") from None
        whole.flush()
        whole.seek(0)
        yield whole


def _unread(index: int, error: EntryWrong) -> Unread:
    field, what = error.field, str(error).partition(": ")[2]
    where = f"log.entries[{index}]"
    return Unread(where if field == "the entry" else f"{where}.{field}", what)
