"""What the parts of delivery promise each other.

A sink sends one record once and reports how that went, by a call and not by a future: a task that is woken for each event
would cost a third of what delivery costs. It never retries on its own account and never raises for what a
collector or a network does. Only the forwarder decides whether, and when, a record is sent again. A record's fate is final
when it was delivered, when the dead letters have taken it, or when its UID was erased: only then does the spool hear of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Answer, Record
    from gateway.events.outcome import Reason


class Delivered(msgspec.Struct, frozen=True):
    """The collector took the record: its HTTP status, and how long the attempt took."""

    status: int
    duration_ms: float


class Retry(msgspec.Struct, frozen=True):
    """This attempt failed in a way that says nothing against the record: sending it again may work.

    `cause` is short text without any value of the event; `after_seconds` is the wait the collector asked for.
    """

    cause: str
    after_seconds: float | None = None


class Undeliverable(msgspec.Struct, frozen=True):
    """The collector refused this very record: sending it again would be refused again."""

    status: int
    cause: str


Verdict: TypeAlias = Delivered | Retry | Undeliverable
"""What a sink reports of one attempt."""

BreakerState = Literal["closed", "open", "half_open"]
"""Whether the collector is sent to (`closed`), left alone (`open`), or asked with a single record (`half_open`)."""


class Sink(Protocol):
    """Where records go."""

    def post(
        self,
        record: Record,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None = None,
    ) -> None:
        """Begin to send a record once; `done` gets the verdict, once, and never before this call has returned.

        `heard`, when given, gets the collector's whole answer right before that, whatever its status, or `None` when none came.
        Neither may raise. `done` may post the next record.
        """

    def abandon(self) -> None:
        """Break off what is under way: its `done` and `heard` are never called, and it may or may not have reached the collector."""

    async def close(self) -> None:
        """Let go of every connection."""


class AnswerDesk(Protocol):
    """Where clients wait for the collector's own answer to the event that they have sent (`collector.mode = "relay"`).

    A desk is asked and told; it holds nothing up. What always holds: whoever waits there waits no longer than the budget, which
    the desk itself keeps, so a forwarder that never says a word costs time but breaks nothing.
    """

    def wants(self, record: Record) -> bool:
        """Tell whether somebody still waits for the answer to this record. Must be quick and must not raise.

        Asked as a record is sent (then its whole answer is kept), and before a `None` that the record's wait will be in vain.
        """

    def answered(self, record: Record, position: int, answer: Answer | None) -> None:
        """Take what the collector said to a record, whatever its status. Must be quick and must not raise.

        `None`: no answer will come soon, so whoever waits should not. Said at once when an attempt got no answer (no connection, a
        time limit, an answer that broke off); when the record can't be sent now, because the breaker is open or an earlier
        event of the same UID waits for another attempt; and when it will not be sent at all (erased, expired). The record itself
        goes its way as ever and may be delivered later; nobody is told of that.
        `position` is the record's in the spool that it was read from. What is said of a record for which nobody waits (any
        more) means nothing: it may be said late, twice, or not at all.
        """


class DeadLetters(Protocol):
    """Where the records go that will not be delivered, so that a person can look at them and send them again."""

    async def put(self, record: Record, reason: Reason, detail: str) -> None:
        """Keep a record, durably on return; raises when it could not, and is then called again later.

        The same record may be put twice (after a crash between this and the acknowledgement): `event_id` tells.
        A payload of the spool that isn't a record comes as a `Record` whose texts are empty and whose body is the payload.
        """


class DeliveryObserver(Protocol):
    """Who wants to know how delivery goes: counters, log lines. The calls must be quick and must not raise.

    Each record is reported by exactly one of `delivered`, `undeliverable`, `expired` and `erased`, after its acknowledgement; one that
    its full spool dropped meanwhile by none of them, since its spool has reported it.
    """

    def delivered(self, record: Record, attempts: int, duration_ms: float) -> None:
        """The collector took a record, at this attempt (from 1), which took so long."""

    def retrying(self, record: Record, attempt: int, cause: str, delay_seconds: float) -> None:
        """An attempt (from 1) failed; the next is in so many seconds, or later when the breaker is open by then."""

    def undeliverable(self, record: Record, attempts: int, cause: str) -> None:
        """A record went to the dead letters because the collector does not take it."""

    def expired(self, record: Record, attempts: int) -> None:
        """A record went to the dead letters because it became too old."""

    def erased(self, record: Record, attempts: int) -> None:
        """A record went nowhere, because its UID was erased while it waited; an attempt that failed may still have arrived."""

    def state(self, name: BreakerState, cause: str) -> None:
        """The circuit breaker changed, and why."""
