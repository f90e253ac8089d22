"""Where clients wait for the collector's answer, seen from the process that delivers: their desks are in the workers.

What is said of an event goes to the worker that took it, over the line that its events came by. Who waits there only the worker knows, so here an
answer is wanted for every record that is younger than the budget: later nobody can be waiting.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from gateway.events.model import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Record

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer | None).decode


class FarDesk:
    """An `AnswerDesk`; `tell(position, event_id, content)` reaches the worker that an entry came from, `clock` gives Unix time in seconds."""

    def __init__(
        self,
        tell: Callable[[int, str, bytes], None],
        budget_ms: float,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tell = tell
        self._budget_ms = budget_ms
        self._clock = clock

    def wants(self, record: Record) -> bool:
        """Tell whether somebody may still wait for the answer to this record."""
        return self._clock() * 1_000 - record.accepted_ms < self._budget_ms

    def answered(self, record: Record, position: int, answer: Answer | None) -> None:
        """Let the worker hear what the collector said, or that no answer will come soon."""
        self._tell(position, record.event_id, _encode(answer))


def hear_from_afar(hear: Callable[[str, Answer | None], None]) -> Callable[[str, bytes], None]:
    """Give what takes a `FarDesk`'s words at the other end, for a desk's `hear(event_id, answer)`."""
    return lambda event_id, content: hear(event_id, _decode(content))
