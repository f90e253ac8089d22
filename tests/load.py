"""A load for a gateway that is stopped or killed under it: a collector that notes each arrival, and visitors that never give up an event.

Both are bare protocols on this process's loop: two cores have to carry them and the gateway, which may start anew every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, NamedTuple

import orjson

from tests.builders import PORTAL_ID, PROP_ID, event

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

_EVENTS_OF_A_PERSON = 15
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_NOT_NOW = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def cid_of(uid: str) -> str:
    """Give the customer who is signed in on a UID."""
    return hashlib.md5(uid.encode()).hexdigest()


class Arrival(NamedTuple):
    """An event that reached the collector: when, in the loop's seconds, which, and whose."""

    moment: float
    request_id: str
    uid: str
    cid: str


class _Connection(asyncio.Protocol):
    def __init__(self, collector: RecordingCollector) -> None:
        self._collector = collector
        self._buffer = b""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._collector.transports.add(transport)

    def connection_lost(self, _exc) -> None:
        self._collector.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) >= size:
            self._buffer = rest[size:]
            self._transport.write(self._collector.take(head, rest[:size]))


class RecordingCollector:
    """Notes every event that it answers with 200; refuses a few with 503, by chance; answers nothing while it `is_hanging`."""

    def __init__(self, dice: random.Random, refusing: float = 0.02) -> None:
        self._dice = dice
        self._refusing = refusing
        self.arrivals: list[Arrival] = []
        self.transports: set[asyncio.Transport] = set()
        self.seen: set[str] = set()
        self.url = ""
        self.is_hanging = False

    def take(self, head: bytes, body: bytes) -> bytes:
        """Take a request, and give the answer."""
        if self.is_hanging:
            return b""
        if self._dice.random() < self._refusing:
            return _NOT_NOW
        request_id = head.partition(b"request_id=")[2].split(b"&")[0].split(b" ")[0].decode()
        fields = orjson.loads(body)
        moment = asyncio.get_running_loop().time()
        self.arrivals.append(Arrival(moment, request_id, fields["uid"], fields.get("cid", "")))
        self.seen.add(request_id)
        return _OK

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RecordingCollector]:
        """Listen on a free port while the block runs."""
        server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for transport in list(self.transports):
                transport.abort()
            await server.wait_closed()


class Visitors:
    """Visitors that send one event after the other, each again and again under its id until it is acknowledged.

    After some events a visitor becomes somebody else: a new UID, a new customer. `acknowledged` has each UID's events in their order.
    """

    def __init__(self, port: int, number: int, name: str) -> None:
        self._port = port
        self._number = number
        self._name = name
        self.acknowledged: dict[str, list[str]] = {}
        self.answers = 0
        self.refusals: list[str] = []
        self._is_over = False

    @contextlib.asynccontextmanager
    async def coming(self) -> AsyncIterator[Visitors]:
        """Let them come while the block runs; at its end each finishes its event: the gateway has to be up then."""
        async with asyncio.TaskGroup() as group:
            for visitor in range(self._number):
                group.create_task(self._visit(visitor))
            try:
                yield self
            finally:
                self._is_over = True

    @property
    def sent(self) -> set[str]:
        """Every event that was acknowledged."""
        return {request_id for mine in self.acknowledged.values() for request_id in mine}

    async def _visit(self, visitor: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        count = 0
        try:
            while not self._is_over:
                uid = str((visitor + 1) * 10**11 + count // _EVENTS_OF_A_PERSON)
                request_id = f"{self._name}-{uid}-{count}"
                request = self._request(uid, request_id, count)
                while True:
                    try:
                        if streams is None:
                            streams = await asyncio.open_connection("127.0.0.1", self._port)
                        status = await _exchange(*streams, request)
                    except (OSError, EOFError, ValueError):
                        status = 0
                    if status == 200:
                        break
                    if status:
                        self.refusals.append(f"{request_id}: {status}")
                    if streams is not None:
                        streams[1].transport.abort()
                        streams = None
                    await asyncio.sleep(0.02)
                self.acknowledged.setdefault(uid, []).append(request_id)
                self.answers += 1
                count += 1
        finally:
            if streams is not None:
                streams[1].transport.abort()

    def _request(self, uid: str, request_id: str, count: int) -> bytes:
        body = orjson.dumps(event(uid=uid, sid=count, dims={"customers": {"customer_id": cid_of(uid)}}))
        return (
            f"POST /event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json&request_id={request_id} HTTP/1.1\r\n"
            f"Host: track.shop.example\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Send a request over a kept connection, and give the status of the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
    return int(head.split(b" ")[1])
