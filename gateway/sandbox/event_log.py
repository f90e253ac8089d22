"""What the stand-in collector received, in order, in bounded memory.

What always holds: an event's index is its place since the last reset and never changes; at most `max_events` events and
`max_bytes` of their text are held, the oldest leave first; the totals count also those that left. Bodies stay the bytes
that arrived, so that taking an event costs no more than one look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReceivedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it arrived. `query` is the raw query string, `body` valid JSON or empty, `received_ms` Unix time."""

    index: int
    received_ms: int
    query: str
    body: bytes
    uid: str
    request_id: str
    user_agent: str
    forwarded_for: str
    is_duplicate: bool
    cookie: str = ""

    @property
    def event_id(self) -> str:
        """The id that people see: the request id, or the place in the log where there is none."""
        return self.request_id or f"#{self.index}"


class EventLog:
    """A bounded list of events with a memory of the request ids it has seen."""

    def __init__(self, max_events: int, max_bytes: int, max_request_ids: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_request_ids = max_request_ids
        self._events: list[ReceivedEvent] = []
        self._bytes = 0
        self._seen: dict[str, None] = {}
        self.total = 0
        self.duplicates = 0

    @property
    def first_index(self) -> int:
        """The index of the oldest event that is still held."""
        return self.total - len(self._events)

    def append(
        self,
        *,
        received_ms: int,
        query: str,
        body: bytes,
        uid: str,
        request_id: str,
        user_agent: str,
        forwarded_for: str,
        cookie: str = "",
    ) -> ReceivedEvent:
        """Take one event in and give it with its index; flags it when its request id came before."""
        is_duplicate = bool(request_id) and request_id in self._seen
        if is_duplicate:
            self.duplicates += 1
        elif request_id:
            self._seen[request_id] = None
            if len(self._seen) > self._max_request_ids:
                del self._seen[next(iter(self._seen))]
        event = ReceivedEvent(
            self.total,
            received_ms,
            query,
            body,
            uid,
            request_id,
            user_agent,
            forwarded_for,
            is_duplicate,
            cookie,
        )
        self._events.append(event)
        self._bytes += len(query) + len(body)
        self.total += 1
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._shed()
        return event

    def since(self, index: int, limit: int | None = None) -> Sequence[ReceivedEvent]:
        """Give the held events from an index on, oldest first, at most `limit`."""
        start = max(0, index - self.first_index)
        return self._events[start : None if limit is None else start + limit]

    def newest(self, limit: int) -> Sequence[ReceivedEvent]:
        """Give the newest events, oldest of them first."""
        return self._events[max(0, len(self._events) - limit) :]

    def _shed(self) -> None:
        """Let the oldest go: a sixteenth at once, because each cut moves the whole list."""
        cut = max(1, len(self._events) // 16) if len(self._events) > self._max_events else 0
        freed = sum(len(event.query) + len(event.body) for event in self._events[:cut])
        while self._bytes - freed > self._max_bytes and cut < len(self._events):
            freed += len(self._events[cut].query) + len(self._events[cut].body)
            cut += 1
        del self._events[:cut]
        self._bytes -= freed


def parse_query(query: str) -> dict[str, str]:
    """Give a query string's parameters; of a repeated one the last counts."""
    return dict(parse_qsl(query, keep_blank_values=True))
