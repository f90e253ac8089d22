"""The collector client: sends one record over a kept connection and reports how it went.

A bounded pool of HTTP/1.1 connections, the most recently used first, so that a quiet hour lets the others go. What always
holds:

- at most `max_connections` are open, and at most as many sends are under way; the others wait for their turn inside their
  own time limit;
- `timeout_seconds` bounds the whole attempt: the wait for a turn, name, connection, TLS, request and answer. One timer
  serves all connections, so a limit may be exceeded by a tenth;
- a server may close a kept connection in the instant a request leaves on it. When it did so before any byte of an answer,
  the request is sent once more, at once, over a fresh connection. That is safe though a POST is not idempotent for HTTP
  (RFC 9110, section 9.2.2): the record's query carries the same `request_id`, as it does on each attempt of the forwarder;
- nothing but `Delivered`, `Retry` and `Undeliverable` comes out; causes name no value of the event.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.delivery.answers import Fault, judge
from gateway.delivery.contract import Retry, Verdict
from gateway.delivery.http1 import Connection
from gateway.delivery.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.delivery.answers import Answer
    from gateway.events.model import Record


class CollectorClient:
    """A `Sink` that posts records to a collector's url. To be made and used in one event loop."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 10.0,
        connect_timeout_seconds: float = 5.0,
        max_connections: int = 64,
        idle_seconds: float = 15.0,
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the url (`BadCollectorUrl`) and the CA file (`OSError`, `ssl.SSLError`); nothing is connected yet.

        `idle_seconds` should be less than the collector's own keep-alive time. `clock` gives Unix time in seconds.
        """
        self._target = Target.of(url)
        self._ssl = ssl.create_default_context(cafile=ca_file) if self._target.is_tls else None
        self._timeout = timeout_seconds
        self._connect_timeout = connect_timeout_seconds
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(max_connections)
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._tick_seconds = min(timeout_seconds, idle_seconds) / 10
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._open)

    async def send(self, record: Record) -> Verdict:
        """Post a record once and give the verdict on it; a cancelled call closes its connection."""
        if self._is_closed:
            return Retry("the client is closed")
        # The loop's clock is coarse and stands still within a turn of uvloop: good for limits, not for durations.
        start = time.perf_counter()
        deadline = self._loop.time() + self._timeout
        if self._turns.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._turns.acquire()
            except TimeoutError:
                return Retry("timeout: no free connection")
        else:
            await self._turns.acquire()
        try:
            result = await self._exchange(self._target.render(record), deadline)
        finally:
            self._turns.release()
        if isinstance(result, Fault):
            return Retry(result.cause)
        return judge(result, (time.perf_counter() - start) * 1000, self._clock())

    async def close(self) -> None:
        """Close every connection; sends that are under way report `Retry`."""
        self._is_closed = True
        for connection in list(self._open):
            connection.abort("the client is closed")
        if self._open:
            self._emptied.clear()
            await self._emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _exchange(self, request: bytes, deadline: float) -> Answer | Fault:
        connection = self._kept()
        while True:
            if connection is None:
                fresh = await self._connect(deadline)
                if isinstance(fresh, Fault):
                    return fresh
                connection = fresh
            try:
                result = await connection.exchange(request, deadline)
            except BaseException:
                # Cancelled: an answer that still comes must not meet the next record.
                connection.abort()
                raise
            if connection.is_usable:
                connection.idle_since = self._loop.time()
                self._idle.append(connection)
                return result
            connection.close()
            if not (isinstance(result, Fault) and result.is_stale):
                return result
            # Only a kept connection is ever stale, so this turns once at most.
            connection = None

    def _kept(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def _connect(self, deadline: float) -> Connection | Fault:
        target = self._target
        limit = min(deadline, self._loop.time() + self._connect_timeout)
        try:
            async with asyncio.timeout_at(limit):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._forget),
                    target.host,
                    target.port,
                    ssl=self._ssl,
                    server_hostname=target.host if self._ssl else None,
                )
        except TimeoutError:
            return Fault("timeout: not connected in time")
        except ssl.SSLError as error:
            return Fault(f"TLS: {error.reason or type(error).__name__}")
        except OSError as error:
            return Fault(f"not connected: {type(error).__name__}")
        if self._is_closed:
            connection.abort()
            return Fault("the client is closed")
        if not connection.is_usable:
            return Fault("connection closed")
        self._open.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.abort("timeout: no answer in time")
        idle = self._idle
        while idle and (idle[0].idle_since <= now - self._idle_seconds or not idle[0].is_usable):
            idle.popleft().close()
        self._timer = self._loop.call_later(self._tick_seconds, self._tick) if self._open else None
