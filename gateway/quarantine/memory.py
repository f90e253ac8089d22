"""A quarantine in memory, for one process and one run: QA and tests, never production.

It keeps the promises of `gateway.quarantine.contract` but those that need a disk, and passes the same conformance suite.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.quarantine.contract import QuarantineUnavailable
from gateway.quarantine.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import QuarantineEntry
    from gateway.quarantine.contract import Entries


class MemoryQuarantine:
    """Where events wait for a person, for as long as the process runs."""

    def __init__(self) -> None:
        self._held: dict[str, QuarantineEntry] = {}
        self._is_closed = False

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries. An event id that is kept already is left as it is."""
        self._refuse_when_closed()
        for entry in entries:
            self._held.setdefault(entry.event_id, entry)

    def list(
        self,
        *,
        limit: int,
        reason: str | None = None,
        portal_id: str | None = None,
        uid: str | None = None,
        after: str | None = None,
    ) -> Entries:
        """Give at most `limit` entries, the newest first, that agree with each filter that is given."""
        self._refuse_when_closed()
        newest_first = sorted(self._held.values(), key=_age, reverse=True)
        if after is not None:
            last = self._held.get(after)
            newest_first = [entry for entry in newest_first if last is not None and _age(entry) < _age(last)]
        return [
            entry
            for entry in newest_first
            if reason in {None, entry.reason}
            and portal_id in {None, entry.portal_id}
            and uid in {None, entry.uid}
        ][:limit]

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
        gone = [
            entry.event_id
            for entry in self._held.values()
            if (entry.portal_id, entry.uid) in wanted
            or (
                portal_id in {None, entry.portal_id}
                and (about & {entry.claimed_cid, entry.bound_cid} or naming.is_named_in(entry.record))
            )
        ]
        for event_id in gone:
            del self._held[event_id]
        return len(gone)

    def count(self) -> dict[str, int]:
        """Give how many entries there are of each reason that has any."""
        self._refuse_when_closed()
        return dict(Counter(entry.reason for entry in self._held.values()))

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise QuarantineUnavailable("memory", "it was closed", "open the quarantine again")


def _age(entry: QuarantineEntry) -> tuple[int, str]:
    return (entry.held_ms, entry.event_id)
