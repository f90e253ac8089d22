"""The watch over all connections of the public port: who may come in, and who takes too long.

Nothing on the way of a request asks for the time: a few times a second the watch looks at a part of the connections, and sees whether each
still waits for the same as at its last look. What always holds: a client that owes the rest of a head or body, that reads no answers, or
that sends nothing, loses its connection after its time and a little; one whose answer is under way never does; what is done for a
connection takes the same time however many there are; bodies that have not come whole hold no more memory than they may, but for what
comes between two looks; and a flood of refusals is a few lines in the log (`Door`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.web.burden import excess
from gateway.web.crowd import Crowd
from gateway.web.gated import Phase
from gateway.web.heads import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings_web import Limits
    from gateway.web.gated import GatedConnection, Glance

# So often the watch looks, each time at one part of so many.
_TICK_SECONDS = 0.125
_PARTS = 4
_CLOSING_SECONDS = 5.0
# Of those that are looked at at once at most so many are ended, or one in so many: who came together must not go, and come again, in one
# moment, in which all others would wait.
_ENDS = 10
_ENDS_PART = 16
# How many idle connections make room at once, when room is needed: looking for them costs a walk over all.
_ROOM = 16
_SLOW = {Phase.HEAD: "head", Phase.BODY: "body", Phase.READING: "reading", Phase.NEW: "silent"}
TOO_SLOW = Refused(408, "slow")
TOO_MUCH = Refused(503, "memory")


class Door(Protocol):
    """Hears who was refused, to count it and to say it."""

    def refused_connection(self, why: str, client: str) -> None:
        """Hear that a connection was not taken: `address` or `process` says whose bound was reached."""

    def refused_request(self, why: str, client: str) -> None:
        """Hear that a request was not read, for what its head or framing was."""

    def cut_off(self, why: str, client: str) -> None:
        """Hear that a connection was closed on a client that was too slow, or idle when others needed the room."""

    def connected(self, number: int) -> None:
        """Hear how many connections there are."""

    def summarise(self, now: float) -> None:
        """Say what has come together, when it is time; `now` in seconds of any clock."""


class _Seen(NamedTuple):
    """A look at a connection, and since when it waits for what it waits."""

    glance: Glance
    since: float


class Watch:
    """Looks after the connections of one server."""

    def __init__(
        self,
        limits: Limits,
        client_of: Callable[[str], str],
        most: int,
        door: Door | None,
        *,
        max_body_bytes: int,
    ) -> None:
        self._limits = limits
        # One body always fits.
        self._most_bytes = max(limits.bodies_bytes, max_body_bytes)
        self.client_of = client_of
        self._door = door
        self._crowd: Crowd[GatedConnection] = Crowd(most, limits.connections_per_address)
        self._transports: dict[GatedConnection, asyncio.Transport] = {}
        self._seen: dict[GatedConnection, _Seen] = {}
        # What this round of looks has found of bodies under way, by connection: whose, and how many bytes.
        self._held: dict[GatedConnection, tuple[str, int]] = {}
        self._waiting: list[GatedConnection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = {
            Phase.NEW: limits.head_seconds,
            Phase.IDLE: limits.idle_seconds,
            Phase.HEAD: limits.head_seconds,
            Phase.BODY: limits.body_seconds,
            Phase.READING: limits.unread_seconds,
            Phase.CLOSING: _CLOSING_SECONDS,
        }

    def enter(self, connection: GatedConnection, transport: asyncio.Transport) -> bool:
        """Take a new connection; `False`: there is no room for it, and it was told so and closed."""
        peer = transport.get_extra_info("peername")
        client = self.client_of(str(peer[0])) if isinstance(peer, tuple) else ""
        excess = self._crowd.excess(client)
        if excess and not self._make_room(client if excess == "address" else ""):
            if self._door is not None:
                self._door.refused_connection(excess, client)
            transport.write(_NO_ROOM[excess])
            transport.close()
            return False
        connection.client = client
        self._crowd.enter(connection, client)
        self._transports[connection] = transport
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        return True

    def leave(self, connection: GatedConnection) -> None:
        """Forget a connection that has ended."""
        self._crowd.leave(connection)
        self._transports.pop(connection, None)
        self._seen.pop(connection, None)

    def refused(self, refused: Refused, connection: GatedConnection) -> None:
        """Note a request that was not read."""
        if self._door is not None:
            self._door.refused_request(refused.why, connection.client)

    def stop(self) -> None:
        """Look no more, and say what has not been said yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._door is not None:
            self._door.summarise(float("inf"))

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._waiting:
            self._lighten()
            self._waiting = self._crowd.members()
            if self._door is not None:
                self._door.connected(len(self._waiting))
                self._door.summarise(now)
        part = -(-len(self._crowd) // _PARTS)
        looked_at, self._waiting = self._waiting[:part], self._waiting[part:]
        ends = max(_ENDS, part // _ENDS_PART)
        for connection in looked_at:
            transport = self._transports.get(connection)
            if transport is not None and self._is_overdue(connection, transport, now) and ends:
                ends -= 1
                self._end(connection, transport, self._seen[connection].glance.phase)
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _is_overdue(self, connection: GatedConnection, transport: asyncio.Transport, now: float) -> bool:
        """Look at a connection; tell whether it has waited for the same for too long."""
        glance = connection.glance(transport)
        if glance.phase is Phase.BODY:
            self._held[connection] = connection.client, glance.moved
        seen = self._seen.get(connection)
        if seen is None or seen.glance[:2] != glance[:2]:
            self._seen[connection] = _Seen(glance, now)
            return False
        seconds = self._seconds.get(glance.phase)
        if seconds is None:
            return False
        moved = glance.moved - (0 if glance.phase is Phase.BODY else seen.glance.moved)
        return now - seen.since > seconds + max(0, moved) / self._limits.bytes_per_second

    def _lighten(self) -> None:
        """End the bodies under way that are too much, now that all connections were looked at once."""
        held, self._held = self._held, {}
        for connection in excess(held, self._most_bytes):
            transport = self._transports.get(connection)
            # Its rest may have come since it was looked at.
            if transport is not None and connection.glance(transport).phase is Phase.BODY:
                if self._door is not None:
                    self._door.cut_off("memory", connection.client)
                connection.refuse(TOO_MUCH)

    def _end(self, connection: GatedConnection, transport: asyncio.Transport, phase: Phase) -> None:
        """End a connection whose time is up, with an answer where the client may be waiting for one."""
        why = _SLOW.get(phase)
        if why is not None and self._door is not None:
            self._door.cut_off(why, connection.client)
        if phase in {Phase.HEAD, Phase.BODY}:
            connection.refuse(TOO_SLOW)
        elif phase in {Phase.NEW, Phase.IDLE}:
            connection.force_close()
        else:
            transport.abort()

    def _make_room(self, client: str) -> bool:
        """Close the connections that have been idle longest, of a client or of all that are bounded; tell whether there were any.

        Idle ones cost nobody a request: their clients open another when they need one.
        """
        crowd = self._crowd.of(client) if client else [each for each in self._crowd.members() if each.client]
        idle = [
            (seen.since, number, each)
            for number, each in enumerate(crowd)
            if (seen := self._seen.get(each)) is not None
            and seen.glance.phase is Phase.IDLE
            and each.glance(self._transports[each])[:2] == seen.glance[:2]
        ]
        for _, _, each in sorted(idle)[:_ROOM]:
            if self._door is not None:
                self._door.cut_off("room", each.client)
            # It leaves at once; its `connection_lost` comes later.
            self.leave(each)
            each.force_close()
        return bool(idle)


def _no_room(status: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nServer: tracking-gateway\r\n\r\n"
    ).encode()


_NO_ROOM = {"address": _no_room("429 Too Many Requests"), "process": _no_room("503 Service Unavailable")}
