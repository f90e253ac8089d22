"""The collector client: sends one record over a kept connection and reports how it went.

A bounded pool of HTTP/1.1 connections, the most recently used first, so that a quiet hour lets the others go. What always
holds:

- at most `max_connections` are open, and at most as many sends are under way; the others wait for their turn inside their
  own time limit;
- each turn that was taken is given back or passed on when its exchange concludes, and an exchange concludes exactly once,
  unless it was abandoned;
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
from gateway.delivery.heads import KnownHeads
from gateway.delivery.http1 import Connection, Exchange
from gateway.delivery.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.events.model import Answer, Record


_CLOSED = "the client is closed"


class CollectorClient:
    """A `Sink` that posts records to a collector's url. To be made and used in one event loop.

    No task wakes for a record: the bytes of an answer call the connection, which calls the client, which calls `done`.
    """

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
        self._heads = KnownHeads()
        self._turns = max_connections
        self._waiting: deque[Exchange] = deque()
        self._connecting: dict[Exchange, asyncio.Task[None]] = {}
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

    def post(
        self,
        record: Record,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None = None,
    ) -> None:
        """Begin to post a record once; `done` gets the verdict on it, once and later, and `heard` the answer before that."""
        if self._is_closed:
            if heard is not None:
                self._loop.call_soon(heard, None)
            self._loop.call_soon(done, Retry(_CLOSED))
            return
        # The loop's clock is coarse and stands still within a turn of uvloop: good for limits, not for durations.
        deadline = self._loop.time() + self._timeout
        exchange = Exchange(self._target.render(record), done, time.perf_counter(), deadline, heard)
        if self._turns:
            self._turns -= 1
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self._keep_time()

    def abandon(self) -> None:
        """Break off what is under way or waits: its connections are closed, and its `done` is never called."""
        self._waiting.clear()
        for task in self._connecting.values():
            task.cancel()
        self._turns += len(self._connecting)
        self._connecting.clear()
        for connection in list(self._open):
            if connection.is_busy:
                # An answer that still comes must not meet the next record.
                connection.drop()
                self._turns += 1

    async def close(self) -> None:
        """Close every connection; what is under way is reported as `Retry`."""
        self._is_closed = True
        while self._waiting:
            self._tell(self._waiting.popleft(), Fault(_CLOSED))
        connecting, self._connecting = self._connecting, {}
        for exchange, task in connecting.items():
            task.cancel()
            self._conclude(exchange, Fault(_CLOSED))
        for connection in list(self._open):
            connection.abort(_CLOSED)
        await asyncio.gather(*connecting.values(), return_exceptions=True)
        if self._open:
            self._emptied.clear()
            await self._emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # One attempt, from its turn to its verdict.

    def _begin(self, exchange: Exchange) -> None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                connection.begin(exchange)
                return
        self._connect(exchange)

    def _finished(self, connection: Connection, exchange: Exchange, result: Answer | Fault) -> None:
        if connection.is_usable:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
        else:
            connection.close()
            if isinstance(result, Fault) and result.is_stale and not self._is_closed:
                # Only a kept connection is ever stale, so this happens once at most.
                self._connect(exchange)
                return
        self._conclude(exchange, result)

    def _conclude(self, exchange: Exchange, result: Answer | Fault) -> None:
        if self._waiting:
            self._begin(self._waiting.popleft())
        else:
            self._turns += 1
        self._tell(exchange, result)

    def _tell(self, exchange: Exchange, result: Answer | Fault) -> None:
        if exchange.heard is not None:
            exchange.heard(None if isinstance(result, Fault) else result)
        if isinstance(result, Fault):
            exchange.done(Retry(result.cause))
        else:
            duration_ms = (time.perf_counter() - exchange.start) * 1000
            exchange.done(judge(result, duration_ms, self._clock()))

    def _connect(self, exchange: Exchange) -> None:
        self._connecting[exchange] = self._loop.create_task(self._begin_anew(exchange))

    async def _begin_anew(self, exchange: Exchange) -> None:
        # Cancelled by whoever has taken the exchange over.
        fresh = await self._open_connection(exchange.deadline)
        del self._connecting[exchange]
        if isinstance(fresh, Fault):
            self._conclude(exchange, fresh)
        else:
            fresh.begin(exchange)

    async def _open_connection(self, deadline: float) -> Connection | Fault:
        target = self._target
        limit = min(deadline, self._loop.time() + self._connect_timeout)
        try:
            async with asyncio.timeout_at(limit):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._finished, self._forget, self._heads),
                    target.host,
                    target.port,
                    ssl=self._ssl,
                    server_hostname=target.host if self._ssl else None,
                )
        except TimeoutError:
            return Fault("timeout: not connected in time")
        except ssl.SSLError as error:
            return Fault(f"TLS: {error.reason or type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - whatever a resolver or a transport raises, the attempt has failed
            return Fault(f"not connected: {type(error).__name__}")
        if not connection.is_usable:
            return Fault("connection closed")
        self._open.add(connection)
        self._keep_time()
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()

    def _keep_time(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        # First those that wait: an aborted one gives its turn to the next of them.
        while self._waiting and self._waiting[0].deadline <= now:
            self._tell(self._waiting.popleft(), Fault("timeout: no free connection"))
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.abort("timeout: no answer in time")
        idle = self._idle
        while idle and (idle[0].idle_since <= now - self._idle_seconds or not idle[0].is_usable):
            idle.popleft().close()
        self._timer = None
        if self._open or self._waiting:
            self._keep_time()
