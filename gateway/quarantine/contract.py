"""What every quarantine promises.

An entry whose `put` has finished survives `kill -9` and a power cut. It is kept as it was put the first time: putting an event
id again changes nothing, so a caller that is not sure puts once more. An entry holds the event as the policy left it; the
quarantine adds no raw identity and shows none. Entries go away only by `erase`, a person's right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.model import QuarantineEntry

    # In the class body `list` is the method.
    Entries = list[QuarantineEntry]


class QuarantineUnavailable(Exception):
    """The store can't be read or written: says where it is, what the system said, and what would mend it."""

    def __init__(self, where: str, cause: str, hint: str) -> None:
        super().__init__(f"the quarantine at {where} is not available: {cause}; {hint}")
        self.where = where
        self.cause = cause
        self.hint = hint


class QuarantineStore(Protocol):
    """Where events wait for a person."""

    async def put(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep the entries, durably on return. An event id that is kept already is left as it is.

        Raises `QuarantineUnavailable`; then nothing is promised of the entries, and putting them again is safe.
        """

    def list(
        self,
        *,
        limit: int,
        reason: str | None = None,
        portal_id: str | None = None,
        uid: str | None = None,
        after: str | None = None,
    ) -> Entries:
        """Give at most `limit` entries, the newest (by `held_ms`) first, that agree with each filter that is given.

        `after` is the event id of the last entry of the page before; an id that is not kept gives an empty page. Raises
        `QuarantineUnavailable`.
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

    def count(self) -> dict[str, int]:
        """Give how many entries there are of each reason that has any. Raises `QuarantineUnavailable`."""

    async def close(self) -> None:
        """Finish what is under way and close the store; closing again does nothing."""
