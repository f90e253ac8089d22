"""The gate before aiohttp: of a connection's bytes it lets through what can be read in one way only.

It knows no socket: bytes in, bytes out. It walks along the requests of a connection, head by head and body by body, so that it knows at
each moment what the client owes: the rest of a head, the rest of a body, or nothing. What always holds: a head is handed on whole and
inspected (`gateway.web.heads`) or not at all; behind a refusal, and behind a request that says it is the last, nothing is handed on any more, whatever comes; what is held is never more
than a head may be; each byte that comes is looked at a bounded number of times, however it was cut.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from gateway.web.heads import FRAMING, MALFORMED, STRAY, Refused, inspect, may_begin_a_head

if TYPE_CHECKING:
    from gateway.web.heads import Bounds

_END = b"\r\n\r\n"
# A chunk's length as hexadecimal digits, nothing else: no extension, no blank, no sign (RFC 9112, section 7.1).
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")
_BEGUN_CHUNK = re.compile(rb"[0-9A-Fa-f]{0,8}\r?\Z")
# How much of a line tells whether it begins like a request.
_TELLING = 64


class _Due(Enum):
    """What comes next on a connection."""

    HEAD = "a head"
    BYTES = "the bytes of a body"
    CHUNK = "the length of a chunk"
    CHUNK_BYTES = "the bytes of a chunk"
    CHUNK_END = "the line end behind a chunk"
    LAST_END = "the empty line behind the last chunk"


class Gate:
    """One connection's way to aiohttp. `received`: how much of the body under way has come, its chunks' lengths with it."""

    __slots__ = ("_bounds", "_due", "_held", "_is_last", "_left", "_seen_line", "is_shut", "received")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._due = _Due.HEAD
        self._held = bytearray()
        self._seen_line = False
        self._is_last = False
        # Bytes of a body or chunk that are still to come.
        self._left = 0
        self.received = 0
        self.is_shut = False

    @property
    def is_in_body(self) -> bool:
        """Tell whether a request's head has passed and its body has not, or not all of it."""
        return self._due is not _Due.HEAD

    @property
    def is_in_head(self) -> bool:
        """Tell whether a head has begun and not ended."""
        return self._due is _Due.HEAD and bool(self._held)

    def feed(self, data: bytes) -> tuple[bytes, Refused | None]:
        """Take what has come; give what may be read of it, and why the rest, and all that follows, is refused."""
        passed: list[bytes] = []
        place = 0
        refused: Refused | None = None
        while place < len(data) and refused is None and not self.is_shut:
            due = self._due
            if due is _Due.HEAD:
                place, refused = self._head(data, place, passed)
            elif due is _Due.BYTES or due is _Due.CHUNK_BYTES:
                end = min(place + self._left, len(data))
                passed.append(data[place:end])
                self.received += end - place
                self._left -= end - place
                place = end
                if not self._left:
                    self._due = _Due.HEAD if due is _Due.BYTES else _Due.CHUNK_END
                    self.is_shut = self._is_last and due is _Due.BYTES
            else:
                place, refused = self._chunk_line(data, place, passed)
        if refused is not None:
            self.shut()
        return b"".join(passed), refused

    def shut(self) -> None:
        """Let nothing through any more."""
        self.is_shut = True
        self._held.clear()
        self._due = _Due.HEAD

    def _head(self, data: bytes, place: int, passed: list[bytes]) -> tuple[int, Refused | None]:
        """Take the beginning, a further piece, or the end of a head."""
        held = self._held
        if held == b"\r":
            # The first half of an empty line before a request.
            if not data.startswith(b"\n", place):
                return place, MALFORMED
            held.clear()
            return place + 1, None
        known = len(held)
        if not known:
            # Clients of old sent an empty line behind a body: it is left out (RFC 9112, section 2.2).
            if data.startswith(b"\r\n", place):
                return place + 2, None
            end = data.find(_END, place)
            if end >= 0:
                return self._through(data[place : end + 4], end + 4, passed)
        held += data[place:]
        end = held.find(_END, max(0, known - 3))
        if end < 0:
            return len(data), self._begun(known)
        place += end + 4 - known
        head = bytes(held[: end + 4])
        held.clear()
        self._seen_line = False
        return self._through(head, place, passed)

    def _begun(self, known: int) -> Refused | None:
        """Look at what has come of a head that is not complete, behind what is `known` already."""
        held = self._held
        # A CR at the end may be the first half of a line's.
        if STRAY.search(held, max(0, known - 1), len(held) - held.endswith(b"\r")):
            return MALFORMED
        if self._seen_line and len(held) <= self._bounds.head_bytes:
            return None
        self._seen_line = held.find(b"\r\n", max(0, known - 1)) >= 0
        if self._seen_line or known < _TELLING or len(held) > self._bounds.target_bytes:
            return may_begin_a_head(held, self._bounds) if held != b"\r" else None
        return None

    def _through(self, head: bytes, place: int, passed: list[bytes]) -> tuple[int, Refused | None]:
        plan = inspect(head, self._bounds)
        if isinstance(plan, Refused):
            return place, plan
        passed.append(plan.head)
        self._left, self.received, self._is_last = plan.body_bytes, 0, plan.is_last
        self._due = _Due.CHUNK if plan.is_chunked else _Due.BYTES if plan.body_bytes else _Due.HEAD
        self.is_shut = plan.is_last and self._due is _Due.HEAD
        return place, None

    def _chunk_line(self, data: bytes, place: int, passed: list[bytes]) -> tuple[int, Refused | None]:
        """Take a line of the chunked coding: a chunk's length, the end behind its bytes, or the end of all; trailers are refused."""
        held = self._held
        known = len(held)
        held += data[place : place + 10 - known]
        if self._due is _Due.CHUNK:
            line = _CHUNK.match(held)
            if line is None:
                return self._wait(data, place, passed, known, is_fine=_BEGUN_CHUNK.match(held) is not None)
            end = line.end()
            self._left = int(held[: end - 2], 16)
            self._due = _Due.CHUNK_BYTES if self._left else _Due.LAST_END
        else:
            end = 2
            if not held.startswith(b"\r\n"):
                return self._wait(data, place, passed, known, is_fine=held == b"\r")
            self._due = _Due.CHUNK if self._due is _Due.CHUNK_END else _Due.HEAD
            self.is_shut = self._is_last and self._due is _Due.HEAD
        held.clear()
        return self._taken(data, place, place + end - known, passed), None

    def _wait(
        self, data: bytes, place: int, passed: list[bytes], known: int, *, is_fine: bool
    ) -> tuple[int, Refused | None]:
        """Go on when the rest of a line has come, if it can become one."""
        if not is_fine:
            return place, FRAMING
        return self._taken(data, place, place + len(self._held) - known, passed), None

    def _taken(self, data: bytes, place: int, end: int, passed: list[bytes]) -> int:
        passed.append(data[place:end])
        self.received += end - place
        return end
