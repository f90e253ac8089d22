"""What every quarantine promises.

An entry whose `put` has finished survives `kill -9` and a power cut. It is kept as it was put the first time: putting an event
id again changes nothing, so a caller that is not sure puts once more. An entry holds the event as the policy left it; the
quarantine adds no raw identity and shows none. Entries go away by a release, by `discard`, and by `erase`, a person's right.

A release is an *order*: who wants events out writes orders, the gateway carries them out (`gateway.releases`). What holds of them:

- An order and its entry go together, in one transaction, after the event was made durable where it went: never is one lost, and a crash in
  between only lets the event out a second time. Of an event there is one order at most, whoever orders.
- An event that goes out may come back at once, refused by the collector. It is marked as leaving before it goes, and one that comes back takes the
  place of the entry that leaves: what is taken away afterwards is only what left.
- With an entry go its order and the answer that it had, however it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.events.model import QuarantineEntry
from gateway.events.releases import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    # In the class body `list` is the method.
    Entries = list[QuarantineEntry]
    Orders = list["Order"]
    Place = tuple[int, str]


class QuarantineUnavailable(Exception):
    """The store can't be read or written: says where it is, what the system said, and what would mend it."""

    def __init__(self, where: str, cause: str, hint: str) -> None:
        super().__init__(f"the quarantine at {where} is not available: {cause}; {hint}")
        self.where = where
        self.cause = cause
        self.hint = hint


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are meant: those that agree with each of these that is given.

    `since_ms` counts with, `until_ms` without its own millisecond, both by when an entry was held. `event_ids`: any of these, where there are some.
    """

    reason: str | None = None
    portal_id: str | None = None
    prop_id: str | None = None
    uid: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    event_ids: tuple[str, ...] = ()

    def takes(self, entry: QuarantineEntry) -> bool:
        """Tell whether an entry is meant."""
        return (
            self.reason in {None, entry.reason}
            and self.portal_id in {None, entry.portal_id}
            and self.prop_id in {None, entry.prop_id}
            and self.uid in {None, entry.uid}
            and (self.since_ms is None or entry.held_ms >= self.since_ms)
            and (self.until_ms is None or entry.held_ms < self.until_ms)
            and (not self.event_ids or entry.event_id in self.event_ids)
        )


ALL = Which()
"""Every entry."""


class Order(msgspec.Struct, frozen=True):
    """An entry that is to be let out, in which way, and in which run it was ordered."""

    run: int
    way: Way
    entry: QuarantineEntry


class Answer(msgspec.Struct, frozen=True):
    """What became of an order: `reason` is empty when the event went out, else why it stays; `detail` one sentence."""

    run: int
    event_id: str
    reason: str = ""
    detail: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Why an entry was not let out the last time that somebody wanted it to, and when that was (Unix ms)."""

    reason: str
    detail: str
    asked_ms: int


class Progress(msgspec.Struct, frozen=True):
    """How far a run is: orders in all, those that wait, released ones, those that stay by reason. What is in none is not there any more."""

    ordered: int
    waiting: int
    released: int
    stayed: dict[str, int]


class QuarantineStore(Protocol):
    """Where events wait for a person."""

    @property
    def trouble(self) -> QuarantineUnavailable | None:
        """Why nothing more would be kept now, and what would mend it. Raises `QuarantineUnavailable`."""

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries, durably on return. An event id that is kept already is left as it is, unless that entry is leaving.

        Raises `QuarantineUnavailable`, also when there are as many as may be; then nothing is promised of the entries, and putting them
        again is safe.
        """

    def list(self, *, limit: int, which: Which = ALL, after: str | None = None) -> Entries:
        """Give at most `limit` of these entries, the newest (by `held_ms`) first.

        `after` is the event id of the last entry of the page before; an id that is not kept gives an empty page. Raises
        `QuarantineUnavailable`.
        """

    def page(self, *, limit: int, which: Which = ALL, after: Place | None = None) -> Entries:
        """Give at most `limit` of these entries, the oldest first, behind (held_ms, event_id): also when that entry has gone meanwhile.

        Raises `QuarantineUnavailable`.
        """

    async def erase(
        self,
        portal_id: str | None,
        uids: Sequence[tuple[str, str]],
        cids: Sequence[str] = (),
        texts: Sequence[str] = (),
    ) -> int:
        """Forget every entry of these (portal_id, uid), and every one about a person; give how many went.

        About a person is, in one portal or all (`None`), what claims one of the `cids`, what was held because of one, and what names
        one, or one of the `texts`, in its record (`gateway.quarantine.naming`). `texts` are hashes of addresses or normalised addresses; they
        are looked for and kept nowhere. Durable on return; the bytes are overwritten, not only unlinked. Erasing again is safe. Raises `QuarantineUnavailable`.
        """

    async def discard(self, event_ids: Sequence[str]) -> int:
        """Take these entries away, durably on return, and give how many there were. `overwrite` makes their bytes go.

        Raises `QuarantineUnavailable`.
        """

    async def overwrite(self) -> None:
        """Overwrite the bytes of everything that has gone. Raises `QuarantineUnavailable`."""

    def count(self, which: Which = ALL) -> dict[str, int]:
        """Give how many of these entries there are of each reason that has any. Raises `QuarantineUnavailable`.

        Of all entries it takes the same moment however many there are.
        """

    async def open_run(self, way: Way, now_ms: int) -> int:
        """Begin to order releases in one way, and give the run's number. Raises `QuarantineUnavailable`."""

    async def order(self, run: int, event_ids: Sequence[str]) -> int:
        """Order the release of these entries, durably on return; give how many are ordered now that were not.

        Raises `QuarantineUnavailable`.
        """

    def orders(self, limit: int) -> Orders:
        """Give at most `limit` orders that wait, in the order of ordering. Raises `QuarantineUnavailable`.

        Where there is none, that costs next to nothing: it may be asked several times a second.
        """

    async def leave(self, event_ids: Sequence[str]) -> set[str]:
        """Mark those of these entries that are still here and still ordered as leaving, durably on return, and give them.

        Raises `QuarantineUnavailable`.
        """

    async def settle(self, answers: Sequence[Answer], now_ms: int) -> None:
        """Take away what has left, with its order, and keep the answers of what stays: one transaction, durable on return.

        Raises `QuarantineUnavailable`.
        """

    def progress(self, run: int) -> Progress:
        """Give how far a run is. Raises `QuarantineUnavailable`."""

    def refusal(self, event_id: str) -> Refusal | None:
        """Give why an entry was not let out the last time, `None` when nobody wanted it to. Raises `QuarantineUnavailable`."""

    def is_ordered(self, event_id: str) -> bool:
        """Tell whether the release of an entry is ordered. Raises `QuarantineUnavailable`."""

    async def close(self) -> None:
        """Finish what is under way and close the store; closing again does nothing."""
