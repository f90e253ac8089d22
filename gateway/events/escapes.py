r"""A text as it reads once its escapes are undone, with where each character of it stood: what is found there can be masked where it stands.

Addresses hide in percent-encoding (once, twice, three times), in a form's `+` for a blank, in `%u0040` of old scripts, in JSON's `\u0040`, in HTML's
`&#64;`, in full-width letters and digits of other scripts, and behind invisible characters. What always holds: nothing here raises, and a text of n
characters costs O(n) for each of at most `MOST` readings.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST = 4
"""How many times escapes are undone: a link in a link in a link in a text."""

_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+|%u[0-9A-Fa-f]{4}|\+")
_BACKSLASH = re.compile(r"""(?:\\["\\/bfnrt'])+|\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})""")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|commat|plus|period|lowbar|nbsp|amp|quot|lt|gt);")
_INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
# An at sign, a plus, a dot or a percent sign of another width, a digit that is not ASCII's, or what can't be seen.
_ODD = re.compile(rf"[{_INVISIBLE}]+|[\uff20\ufe6b\uff0b\ufe62\uff0e\uff05\u2024]+|(?:(?![0-9])\d)+")
_PAIR = re.compile(r"\\.", re.DOTALL)
# Of one percent-encoded byte.
_WIDEST = 3
_SHORT = {"b": " ", "f": " ", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPED = re.compile(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})")
_HINTS = re.compile(r"[%\\&]|[^\x00-\x7f]")


class Reading(NamedTuple):
    """A text as it reads, and for each of its characters where what stands for it begins; one more tells where all ends."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Give where the characters from `start` to before `end` stand in the text that was read."""
        return self.starts[start], self.ends[end - 1]


def readings(text: str) -> Iterator[Reading]:
    """Give a text as it stands, then as it reads when its escapes are undone, again and again while there are some."""
    places = range(len(text))
    reading = Reading(text, places, range(1, len(text) + 1))
    yield reading
    if not _HINTS.search(text):
        return
    for _ in range(MOST):
        following = _undone(reading)
        if following is reading:
            return
        reading = following
        yield reading


def _undone(reading: Reading) -> Reading:
    text = reading.text
    # A `+` is a blank only beside other signs of a form's encoding.
    if _ESCAPED.search(text):
        reading = _replaced(reading, _PERCENT, _of_percent)
    if "\\" in reading.text:
        reading = _replaced(reading, _BACKSLASH, _of_backslash)
    if "&" in reading.text:
        reading = _replaced(reading, _ENTITY, unescape)
    if not reading.text.isascii() and _ODD.search(reading.text):
        reading = _replaced(reading, _ODD, _of_odd)
    return reading


def _replaced(reading: Reading, escapes: re.Pattern[str], undo: Callable[[str], str]) -> Reading:
    text, starts, ends = reading
    pieces: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    at = 0
    for found in escapes.finditer(text):
        start, end = found.span()
        whole = undo(found[0])
        pieces += (text[at:start], whole)
        new_starts += starts[at:start]
        new_ends += ends[at:start]
        width, rest = divmod(end - start, len(whole) or 1)
        if not whole:
            pass
        elif not rest and width <= _WIDEST:
            # A run of escapes that are alike, such as percent-encoded ASCII: each character has a place of its own.
            new_starts += starts[start:end:width]
            new_ends += ends[start + width - 1 : end : width]
        else:
            new_starts += [starts[start]] * len(whole)
            new_ends += [ends[end - 1]] * len(whole)
        at = end
    if not pieces:
        return reading
    pieces.append(text[at:])
    new_starts += starts[at:]
    new_ends += ends[at:]
    return Reading("".join(pieces), new_starts, new_ends)


def _of_percent(escaped: str) -> str:
    if escaped == "+":
        return " "
    if escaped[1] == "u":
        return chr(int(escaped.removeprefix("%u"), 16))
    data = bytes.fromhex(escaped.replace("%", ""))
    try:
        return data.decode()
    except UnicodeDecodeError:
        # One character for each byte, so that what stands around a broken one keeps its place.
        return data.decode("latin-1")


def _of_backslash(escaped: str) -> str:
    if escaped[1] in "ux":
        return chr(int(escaped.lstrip("\\ux"), 16))
    return _PAIR.sub(lambda pair: _SHORT.get(pair[0][1], pair[0][1]), escaped)


def _of_odd(run: str) -> str:
    if run.isdecimal():
        return "".join(str(unicodedata.decimal(mark)) for mark in run)
    folded = unicodedata.normalize("NFKC", run)
    return folded if folded != run else ""
