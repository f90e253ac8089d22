"""Where replies wait for the collector's own answer (`collector.mode = "relay"`).

The event is in the spool already, and the forwarder sends it as it sends every other; here only the reply waits. What always holds:

- a reply waits until the collector has answered, or the forwarder says that it won't soon, or the budget is over: whichever is first. The budget
  counts from the arrival of the request, and what it takes to make the event durable comes out of it;
- each reply that waits leaves exactly once, and never with a failure of the collector's: the made-up answer stands ready;
- whoever is not answered costs the site its budget, so that can't go on: after `_PATIENCE` budgets in a row were spent in vain, a single
  reply waits at a time, and the others leave at once, until one is answered. So neither a collector that is slower than the budget nor a spool
  with a long backlog slows the site, and nothing else has to say that they are there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from gateway.events.decisions import Pending
from gateway.events.model import Answer
from gateway.events.relay import Relayed
from gateway.telemetry.logging import describe

if TYPE_CHECKING:
    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import Record, Reply
    from gateway.events.relay import RelayPolicy
    from gateway.telemetry.journal import Journal

_PATIENCE = 8

Heard: TypeAlias = Answer | Relayed
"""What comes of a wait: the collector's answer, or why there is none."""


class _Wait(msgspec.Struct, eq=False):
    """One reply that waits, or will: `then` is there from the moment on when its event is durable; `owner` is whose it is."""

    deadline: float
    then: Callable[[Heard], None] | None = None
    owner: object = None
    heard: Heard | None = None
    timer: asyncio.TimerHandle | None = None


class Desk:
    """The waits of one process, by event id; an `AnswerDesk` for its forwarder. To be used in one event loop.

    `clock` counts seconds, as the `started` that it is given.
    """

    def __init__(self, budget_ms: float, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._budget = budget_ms / 1_000
        self._clock = clock
        self._waits: dict[str, _Wait] = {}
        self._in_vain = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waits)

    def expect(self, event_id: str, started: float) -> None:
        """Begin to want an event's answer, whose request came at `started`. To be said before the event is appended.

        Says no more than that: `wait` or `withdraw` follows.
        """
        if not self._is_closed and (self._in_vain < _PATIENCE or not self._waits):
            self._waits.setdefault(event_id, _Wait(started + self._budget))

    def withdraw(self, event_id: str) -> None:
        """Want an answer no more, of an event that was not kept after all."""
        self._waits.pop(event_id, None)

    def wait(self, event_id: str, then: Callable[[Heard], None], owner: object = None) -> None:
        """Call `then` with what comes of the wait for an event that is durable now: once, maybe before this returns."""
        wait = self._waits.get(event_id)
        if wait is None or wait.then is not None:
            then(Relayed.STOPPED if self._is_closed else Relayed.SKIPPED)
            return
        wait.then, wait.owner = then, owner
        left = wait.deadline - self._clock()
        if wait.heard is not None:
            self._end(event_id, wait.heard)
        elif left <= 0:
            self._over(event_id)
        else:
            wait.timer = asyncio.get_running_loop().call_later(left, self._over, event_id)

    def hung_up(self, owner: object) -> None:
        """Want an answer no more whose client has gone."""
        # It happens seldom, and those who wait are few.
        for event_id in [key for key, wait in self._waits.items() if wait.then and wait.owner == owner]:
            self._end(event_id, Relayed.GONE)

    def close(self) -> None:
        """Let every reply leave at once, and make no further one wait."""
        self._is_closed = True
        for event_id, wait in list(self._waits.items()):
            if wait.then is None:
                self.withdraw(event_id)
            else:
                self._end(event_id, Relayed.STOPPED)

    # The forwarder's calls.

    def wants(self, record: Record) -> bool:
        """Tell whether a reply waits for the answer to this record."""
        return record.event_id in self._waits

    def answered(self, record: Record, position: int, answer: Answer | None) -> None:
        """Let the reply leave that waits for this record, if one does."""
        del position
        self.hear(record.event_id, answer)

    def hear(self, event_id: str, answer: Answer | None) -> None:
        """Let the reply leave that waits for this event; `None`: no answer will come soon."""
        wait = self._waits.get(event_id)
        if wait is None:
            return
        if answer is not None:
            self._in_vain = 0
        heard = Relayed.FAILED if answer is None else answer
        if wait.then is None:
            wait.heard = wait.heard or heard
        else:
            self._end(event_id, heard)

    def _over(self, event_id: str) -> None:
        self._in_vain += 1
        self._end(event_id, Relayed.BUDGET)

    def _end(self, event_id: str, heard: Heard) -> None:
        wait = self._waits.pop(event_id)
        if wait.timer is not None:
            wait.timer.cancel()
        if wait.then is not None:
            wait.then(heard)


class Relay:
    """Holds replies back that are worth it, and lets them leave with what the policy makes of the collector's answer."""

    def __init__(self, policy: RelayPolicy, desk: Desk, journal: Journal) -> None:
        self._policy = policy
        self._desk = desk
        self._journal = journal
        self.hung_up = desk.hung_up
        self.close = desk.close

    def expect(self, prepared: Prepared, decision: Decision, started: float) -> None:
        """Make ready for the collector's answer, before the event is appended; `started` is a `perf_counter`."""
        event_id = self._policy.awaited(prepared, decision)
        if event_id:
            self._desk.expect(event_id, started)

    def holds(
        self, prepared: Prepared, decision: Decision, started: float, answer: Callable[[Reply], None]
    ) -> bool:
        """Take over the answer to a request that is done, or leave it: then it is to be given at once.

        What is taken over is logged, counted and answered here, once; `answer` also names the client, for `hung_up`.
        """
        event_id = self._policy.awaited(prepared, decision)
        if not event_id:
            first = prepared.events[0]
            if isinstance(first, Pending):
                self._desk.withdraw(first.event_id)
            return False
        kept = time.perf_counter()

        def leave(heard: Heard) -> None:
            reply, how = self._reply(prepared, decision, heard)
            now = time.perf_counter()
            self._journal.decided(prepared, decision, (now - started) * 1000, how, (now - kept) * 1000)
            answer(reply)

        self._desk.wait(event_id, leave, answer)
        return True

    def _reply(self, prepared: Prepared, decision: Decision, heard: Heard) -> tuple[Reply, Relayed]:
        if isinstance(heard, Relayed):
            return decision.reply, heard
        try:
            return self._policy.reply(prepared, decision, heard)
        except Exception as error:  # noqa: BLE001 -- whatever the collector has said, the client gets an answer
            self._journal.trouble("not_relayed", **describe(error))
            return decision.reply, Relayed.UNUSABLE
