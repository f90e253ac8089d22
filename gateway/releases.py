"""Carries out release orders: events that a person lets out of the quarantine go through the rules, the ledger and the spool again.

One process of a gateway does so (the first worker), in the background, a bounded batch at a time, whether the orders were written a moment ago
or before it started. What always holds:

- **Never zero times.** An event is durable in the spool before its entry goes, and its order goes with the entry, in one transaction. A crash in between lets it
  out twice, with the same event id and request id.
- **Not twice otherwise.** Of an event there is one order (`gateway.quarantine.contract`), and one process carries out one batch after the other.
- **Decided anew.** Whether it goes, and as what, is what `gateway.events.releases` says by what the ledger answers now. A binding that a release
  makes is durable before the event is, and what was decided stands in the audit log before it, too.
- **Nothing erased.** What was erased between the decision and the spool is not sent; the forwarder asks once more before each attempt.
- A store in trouble makes orders wait, and is told of once; nothing is promised of a release until its entry is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from gateway.deadline import ANSWERS
from gateway.events.model import Stamp
from gateway.events.outcome import Reason
from gateway.events.packing import pack
from gateway.events.releases import Goes, Stays
from gateway.ledger.contract import LedgerUnavailable
from gateway.quarantine.contract import Answer, QuarantineUnavailable
from gateway.spool.contract import SpoolUnavailable
from gateway.telemetry.logging import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.deadline import Deadline
    from gateway.events.model import Binding
    from gateway.events.releases import Petition, Releases
    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import Order, QuarantineStore
    from gateway.spool.contract import Spool
    from gateway.telemetry.journal import Journal

_BATCH = 100
_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 2.0
# A turn of the loop's worth: clients wait for no more decisions than these.
_DECISIONS_AT_ONCE = 10
_STORES = (LedgerUnavailable, QuarantineUnavailable, SpoolUnavailable)


class ReleaseDesk:
    """Carries out the orders of one quarantine into one spool, and says how full it is."""

    def __init__(
        self, releases: Releases, ledger: Ledger, spool: Spool, quarantine: QuarantineStore, journal: Journal
    ) -> None:
        self._releases = releases
        self._ledger = ledger
        self._spool = spool
        self._quarantine = quarantine
        self._journal = journal
        self._noted: set[str] = set()
        self._is_in_trouble = False
        self._is_full = False
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for orders."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def hurry(self) -> None:
        """Begin no further batch."""
        self._stopping.set()

    async def stop(self, seconds: float) -> None:
        """Finish the batch that is under way, within so many seconds; what is ordered beyond it waits for the next start."""
        self.hurry()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def carry_out(self) -> int:
        """Carry out the first orders, at most a batch of them, and give how many are done.

        Raises `LedgerUnavailable`, `SpoolUnavailable` and `QuarantineUnavailable`: then the orders wait.
        """
        orders = {each.entry.event_id: each for each in self._quarantine.orders(_BATCH)}
        if not orders:
            return 0
        if not self._spool.available:
            raise SpoolUnavailable("spool", "it takes nothing at this moment", "releases wait until it does")
        self._ledger.refresh()
        now_ms = time.time_ns() // 1_000_000
        decided = await self._decide(list(orders.values()), now_ms)
        goes = {event_id: each for event_id, each in decided.items() if isinstance(each, Goes)}
        left = await self._quarantine.leave(list(goes)) if goes else set()
        goes = {event_id: each for event_id, each in goes.items() if event_id in left}
        await self._ledger.record(
            [each.note for event_id, each in goes.items() if event_id not in self._noted], now_ms
        )
        self._noted |= goes.keys()
        error = await self._send(orders, goes)
        stays = {event_id: each for event_id, each in decided.items() if isinstance(each, Stays)}
        for event_id, each in stays.items():
            self._journal.release(orders[event_id].entry, orders[event_id].way, "stayed", each.reason)
        answers = [Answer(orders[event_id].run, event_id) for event_id in goes]
        answers += [
            Answer(orders[event_id].run, event_id, each.reason, each.detail)
            for event_id, each in stays.items()
        ]
        if answers:
            await self._quarantine.settle(answers, now_ms)
        self._noted -= goes.keys()
        if error is not None:
            raise error
        return len(orders)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            pause = 0.0
            try:
                self._count()
                if not await self.carry_out():
                    pause = _LOOK_SECONDS
                elif self._is_in_trouble:
                    self._is_in_trouble = False
                    self._journal.changed("releases_go_on")
            except _STORES as error:
                pause = _PAUSE_SECONDS
                self._tell(error=type(error).__name__, detail=str(error))
            except Exception as error:  # noqa: BLE001 -- a fault of ours must not end what a person waits for
                pause = _PAUSE_SECONDS
                self._tell(**describe(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _count(self) -> None:
        """Say how many entries there are, and once that there is no room for more."""
        self._journal.held(self._quarantine.count())
        full = self._quarantine.trouble
        if full is not None and not self._is_full:
            self._journal.trouble("quarantine_full", detail=full.cause, hint=full.hint)
        elif full is None and self._is_full:
            self._journal.changed("quarantine_has_room")
        self._is_full = full is not None

    def _tell(self, **fields: object) -> None:
        if not self._is_in_trouble:
            self._is_in_trouble = True
            self._journal.trouble("releases_wait", **fields)

    async def _decide(self, orders: Sequence[Order], now_ms: int) -> dict[str, Goes | Stays]:
        decided: dict[str, Goes | Stays] = {}
        petitions: list[Petition] = []
        for number, order in enumerate(orders):
            if number % _DECISIONS_AT_ONCE == _DECISIONS_AT_ONCE - 1:
                await asyncio.sleep(0)
            asked = self._ask(order, now_ms)
            if isinstance(asked, Stays):
                decided[order.entry.event_id] = asked
            else:
                petitions.append(asked)
        bindings = await self._bind(petitions, now_ms)
        # Each is looked at, also behind one that was moved.
        while sum(self._releases.resolve(each, held) for each, held in zip(petitions, bindings, strict=True)):
            bindings = await self._bind(petitions, now_ms)
        for number, (each, held) in enumerate(zip(petitions, bindings, strict=True)):
            if number % _DECISIONS_AT_ONCE == _DECISIONS_AT_ONCE - 1:
                await asyncio.sleep(0)
            decided[each.entry.event_id] = self._releases.decide(each, held)
        return decided

    def _ask(self, order: Order, now_ms: int) -> Petition | Stays:
        try:
            return self._releases.ask(order.entry, order.way, Stamp(now_ms, secrets.randbits(160)))
        except Exception as error:  # noqa: BLE001 -- of one event: the others' releases go on
            self._journal.trouble("release_failed", event_id=order.entry.event_id, **describe(error))
            return Stays(Reason.UNREADABLE, "the gateway met a fault of its own when it read it: see its log")

    async def _bind(self, petitions: Sequence[Petition], now_ms: int) -> list[Binding]:
        if not petitions:
            return []
        bindings = await self._ledger.bind([each.claim for each in petitions], now_ms)
        self._journal.bound(sum(each.is_new for each in bindings))
        return bindings

    async def _send(self, orders: dict[str, Order], goes: dict[str, Goes]) -> SpoolUnavailable | None:
        """Append what goes, each by itself; what the spool does not take is taken out of `goes`, and waits."""
        now_ns = time.time_ns()
        results = await asyncio.gather(
            *(self._spool.append([pack(each.record, now_ns)]) for each in goes.values()),
            return_exceptions=True,
        )
        trouble: SpoolUnavailable | None = None
        for event_id, result in zip(list(goes), results, strict=True):
            if isinstance(result, SpoolUnavailable):
                trouble = result
                del goes[event_id]
            elif isinstance(result, BaseException):
                raise result
            else:
                order = orders[event_id]
                self._journal.release(order.entry, order.way, "released", order.entry.reason)
        return trouble


def start_releases(desk: ReleaseDesk, deadline: Deadline, stack: contextlib.AsyncExitStack) -> None:
    """Carry out orders until `stack` is left."""
    desk.start()
    stack.push_async_callback(lambda: desk.stop(deadline.left(ANSWERS)))
