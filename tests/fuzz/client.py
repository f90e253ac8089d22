"""Connections that send many requests at once and take the answers apart, as fast as one core lets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.mutations import Shot

_LONGEST_HEAD = 16_384


class Answer(NamedTuple):
    """An answer: its status, its head with lower-case names, its body."""

    status: int
    head: bytes
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server says that it closes the connection."""
        is_old = self.head.startswith(b"http/1.0") and b"\r\nconnection: keep-alive" not in self.head
        return is_old or b"\r\nconnection: close" in self.head

    @property
    def events(self) -> int:
        """Of how many events it tells, when it answers a request for one."""
        body = self.body
        if body.startswith(b'{"results":'):
            return body.count(b'"outcome":')
        if body.startswith(b"{"):
            return int(b'"outcome":' in body)
        return int(self.status in {200, 302} or b"x-tracking-outcome" in self.head)

    @property
    def is_an_events(self) -> bool:
        """Whether it answers a request for an event, as far as can be seen: each of these has something that no other answer has."""
        return (
            self.body.startswith((b'{"results":', b'{"type":"event"', b"_event_callback_data({"))
            or self.status == 302
            or b"x-tracking-outcome" in self.head
        )


class Unreadable(Exception):
    """What came is no answer."""


class Line(asyncio.Protocol):
    """One connection. `exchange` sends requests and waits for the answers."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answers: list[Answer] = []
        self.is_lost = False
        # Who writes on a connection that the server has closed is told so before the answers that have come are read, and loses them.
        self.may_lose_answers = False
        self.problem = ""
        self.history = b""
        self._buffer = b""
        self._methods: Sequence[str] = ()
        self._wanted = 0
        self._until = b""
        self._done: asyncio.Future[None] | None = None
        self._last_data = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_lost = True
        self._end()

    def data_received(self, data: bytes) -> None:
        self._last_data = asyncio.get_running_loop().time()
        self._buffer += data
        try:
            while self._take():
                pass
        except Unreadable as error:
            self.problem = str(error)
            self._end()
        if len(self.answers) >= self._wanted or (
            self._until and self.answers and self._until in self.answers[-1].body
        ):
            self._end()

    async def exchange(self, shots: Sequence[Shot], pieces: Sequence[bytes], seconds: float) -> None:
        """Send the bytes of requests, and wait until each is answered, the connection ends, or time is up."""
        self._methods, self._wanted, self._until = [shot.method for shot in shots], len(shots), b""
        await self._sent(pieces)
        await self._ended(seconds)

    async def blurt(self, pieces: Sequence[bytes], until: bytes, silence: float) -> None:
        """Send any bytes, and wait until an answer says `until`, the connection ends, or nothing comes any more."""
        self._methods, self._wanted, self._until = (), 1 << 30, until
        self._last_data = asyncio.get_running_loop().time()
        await self._sent(pieces)
        while self._done is not None:
            before = self._last_data
            await self._ended(silence)
            if self._last_data == before:
                return

    async def _sent(self, pieces: Sequence[bytes]) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self.may_lose_answers = len(pieces) > 1
        for piece in pieces:
            if self.is_lost or self.transport is None:
                break
            self.transport.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def _ended(self, seconds: float) -> None:
        done = self._done
        if self.is_lost or done is None or done.done():
            self._done = None
            return
        await asyncio.wait([done], timeout=seconds)
        if done.done():
            self._done = None

    def _end(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _take(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _LONGEST_HEAD:
                raise Unreadable(f"a head without end: {buffer[:200]!r}")
            return False
        if not buffer.startswith(b"HTTP/1.") or not buffer[9:12].isdigit():
            raise Unreadable(f"no answer: {buffer[:200]!r}")
        status = int(buffer[9:12])
        head = buffer[:end].lower()
        if status < 200:
            self._buffer = buffer[end + 4 :]
            return True
        number = len(self.answers)
        method = self._methods[number] if number < len(self._methods) else ""
        size = 0
        if method != "HEAD" and status not in {204, 304}:
            start = head.find(b"\r\ncontent-length: ")
            if start < 0:
                raise Unreadable(f"an answer of unknown length: {buffer[:end]!r}")
            size = int(head[start + 18 :].split(b"\r", 1)[0])
        if len(buffer) < end + 4 + size:
            return False
        self.answers.append(Answer(status, head, buffer[end + 4 : end + 4 + size]))
        self._buffer = buffer[end + 4 + size :]
        return True


async def connected(port: int) -> Line:
    """Give a new connection. Raises `OSError`."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line
