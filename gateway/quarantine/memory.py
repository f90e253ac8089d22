"""A quarantine in memory, for one process and one run: QA and tests, never production.

It keeps the promises of `gateway.quarantine.contract` but those that need a disk, and passes the same conformance suite.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.quarantine.contract import ALL, Order, Progress, QuarantineUnavailable, Refusal
from gateway.quarantine.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.events.model import QuarantineEntry
    from gateway.events.releases import Way
    from gateway.quarantine.contract import Answer, Entries, Orders, Place, Which


class MemoryQuarantine:
    """Where events wait for a person, for as long as the process runs."""

    def __init__(self, max_entries: int | None = None) -> None:
        self._held: dict[str, QuarantineEntry] = {}
        self._leaving: set[str] = set()
        self._ways: list[Way] = []
        self._orders: dict[str, int] = {}
        self._ordered: Counter[int] = Counter()
        self._counts: Counter[tuple[int, str]] = Counter()
        self._refusals: dict[str, Refusal] = {}
        self._max_entries = max_entries
        self._is_closed = False

    @property
    def trouble(self) -> QuarantineUnavailable | None:
        """Why nothing more would be kept now, and what would mend it."""
        self._refuse_when_closed()
        is_full = self._max_entries is not None and len(self._held) >= self._max_entries
        return self._full() if is_full else None

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries. An event id that is kept already is left as it is, unless that entry is leaving."""
        self._refuse_when_closed()
        new = {each.event_id for each in entries} - self._held.keys()
        if self._max_entries is not None and new and len(self._held) + len(new) > self._max_entries:
            raise self._full()
        for entry in entries:
            if entry.event_id in self._leaving:
                self._leaving.discard(entry.event_id)
                self._held[entry.event_id] = entry
            self._held.setdefault(entry.event_id, entry)

    def list(self, *, limit: int, which: Which = ALL, after: str | None = None) -> Entries:
        """Give at most `limit` of these entries, the newest first."""
        self._refuse_when_closed()
        newest_first = sorted(self._held.values(), key=_age, reverse=True)
        if after is not None:
            last = self._held.get(after)
            newest_first = [entry for entry in newest_first if last is not None and _age(entry) < _age(last)]
        return [entry for entry in newest_first if which.takes(entry)][:limit]

    def page(self, *, limit: int, which: Which = ALL, after: Place | None = None) -> Entries:
        """Give at most `limit` of these entries, the oldest first, behind (held_ms, event_id)."""
        self._refuse_when_closed()
        found = sorted(filter(which.takes, self._held.values()), key=_age)
        return [entry for entry in found if after is None or _age(entry) > after][:limit]

    async def erase(
        self,
        portal_id: str | None,
        uids: Sequence[tuple[str, str]],
        cids: Sequence[str] = (),
        texts: Sequence[str] = (),
    ) -> int:
        """Forget every entry of these (portal_id, uid), and every one about a person; give how many went."""
        self._refuse_when_closed()
        wanted, about, naming = set(uids), set(cids), Naming(cids, texts)
        return self._forget(
            [
                entry.event_id
                for entry in self._held.values()
                if (entry.portal_id, entry.uid) in wanted
                or (
                    portal_id in {None, entry.portal_id}
                    and (about & {entry.claimed_cid, entry.bound_cid} or naming.is_named_in(entry.record))
                )
            ]
        )

    async def discard(self, event_ids: Sequence[str]) -> int:
        """Take these entries away, and give how many there were."""
        self._refuse_when_closed()
        return self._forget(event_ids)

    async def overwrite(self) -> None:
        """Do nothing: what has gone from memory is gone."""
        self._refuse_when_closed()

    def count(self, which: Which = ALL) -> dict[str, int]:
        """Give how many of these entries there are of each reason that has any."""
        self._refuse_when_closed()
        return dict(Counter(entry.reason for entry in self._held.values() if which.takes(entry)))

    async def open_run(self, way: Way, now_ms: int) -> int:
        """Begin to order releases in one way, and give the run's number."""
        del now_ms
        self._refuse_when_closed()
        self._ways.append(way)
        return len(self._ways)

    async def order(self, run: int, event_ids: Sequence[str]) -> int:
        """Order the release of these entries; give how many are ordered now that were not."""
        self._refuse_when_closed()
        wanted = [self._held[each] for each in event_ids if each in self._held and each not in self._orders]
        new = {entry.event_id: run for entry in sorted(wanted, key=_age)}
        self._orders |= new
        self._ordered[run] += len(new)
        return len(new)

    def orders(self, limit: int) -> Orders:
        """Give at most `limit` orders that wait, in the order of ordering."""
        self._refuse_when_closed()
        first = [*self._orders.items()][:limit]
        return [Order(run, self._ways[run - 1], self._held[event_id]) for event_id, run in first]

    async def leave(self, event_ids: Sequence[str]) -> set[str]:
        """Mark those of these entries that are still here and still ordered as leaving, and give them."""
        self._refuse_when_closed()
        found = {each for each in event_ids if each in self._orders}
        self._leaving |= found
        return found

    async def settle(self, answers: Sequence[Answer], now_ms: int) -> None:
        """Take away what has left, with its order, and keep the answers of what stays."""
        self._refuse_when_closed()
        for each in answers:
            self._counts[each.run, each.reason] += 1
            if each.reason:
                self._leaving.discard(each.event_id)
                if each.event_id in self._held:
                    self._refusals[each.event_id] = Refusal(each.reason, each.detail, now_ms)
            elif each.event_id in self._leaving:
                self._forget([each.event_id])
            if self._orders.get(each.event_id) == each.run:
                del self._orders[each.event_id]

    def progress(self, run: int) -> Progress:
        """Give how far a run is."""
        self._refuse_when_closed()
        stayed = {reason: count for (of, reason), count in self._counts.items() if of == run and reason}
        waiting = sum(of == run for of in self._orders.values())
        return Progress(self._ordered[run], waiting, self._counts[run, ""], stayed)

    def refusal(self, event_id: str) -> Refusal | None:
        """Give why an entry was not let out the last time, `None` when nobody wanted it to."""
        self._refuse_when_closed()
        return self._refusals.get(event_id)

    def is_ordered(self, event_id: str) -> bool:
        """Tell whether the release of an entry is ordered."""
        self._refuse_when_closed()
        return event_id in self._orders

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _forget(self, event_ids: Iterable[str]) -> int:
        gone = [each for each in event_ids if self._held.pop(each, None) is not None]
        for event_id in gone:
            self._leaving.discard(event_id)
            self._orders.pop(event_id, None)
            self._refusals.pop(event_id, None)
        return len(gone)

    def _full(self) -> QuarantineUnavailable:
        return QuarantineUnavailable(
            "memory", f"it is full: {self._max_entries} events are held", "release or discard some"
        )

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise QuarantineUnavailable("memory", "it was closed", "open the quarantine again")


def _age(entry: QuarantineEntry) -> tuple[int, str]:
    return (entry.held_ms, entry.event_id)
