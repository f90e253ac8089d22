"""A person's events in the archive, for the command that forgets her."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from gateway.archive.erasure import erase
from gateway.archive.folder import Folder
from gateway.commands.progress import Bar
from gateway.quarantine.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from gateway.commands.ledger_whom import Customer
    from gateway.events.model import Record


class _Interrupted(Exception):
    """Nobody waits for it any more."""


class ArchivedEvents:
    """What names the person: her `customers`, each CID in its portal, and `texts` (see `gateway.quarantine.naming`), in one portal or all (`None`).

    `count` is how many events went so far.
    """

    def __init__(
        self,
        path: Path,
        portal_id: str | None,
        customers: Iterable[Customer],
        texts: Iterable[str],
        *,
        as_json: bool,
    ) -> None:
        self.count = 0
        self._folder = Folder(path)
        self._as_json = as_json
        cids: dict[str | None, list[str]] = {portal_id: []}
        for each in customers:
            cids.setdefault(each.portal_id, []).append(each.cid)
        texts = list(texts)
        self._names = [
            (portal, Naming(numbers, texts if portal == portal_id else []))
            for portal, numbers in cids.items()
        ]
        self._uids: frozenset[tuple[str, str]] = frozenset()
        self._seen: frozenset[tuple[int, int]] = frozenset()

    async def erase(self, uids: Collection[tuple[str, str]]) -> None:
        """Remove the events of these (portal_id, uid), and those that name the person; durable on return. Raises `OSError`.

        Only what was archived since the last call is looked through again, unless there are UIDs that were not known then. The last call must
        come when the ledger has forgotten them.
        """
        if not self._folder.exists:
            return
        new = frozenset(uids)
        since = self._seen if new <= self._uids else frozenset()
        self._uids = new
        is_interrupted = threading.Event()
        with Bar("archive", 0, as_json=self._as_json) as bar:

            def progress(at: int, of: int) -> None:
                if is_interrupted.is_set():
                    raise _Interrupted
                bar.at_of(at, of)

            try:
                done = await asyncio.to_thread(
                    erase, self._folder, self._is_about, since=since, progress=progress
                )
            except asyncio.CancelledError:
                # Ctrl-C: the thread ends at the next frame, and leaves nothing half done.
                is_interrupted.set()
                raise
        self._seen = done.seen
        self.count += done.events

    def _is_about(self, record: Record) -> bool:
        if (record.portal_id, record.uid) in self._uids:
            return True
        return any(
            naming and portal in {None, record.portal_id} and naming.is_named_in(record)
            for portal, naming in self._names
        )
