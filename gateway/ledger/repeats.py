"""Which notes say again what was written lately: a page that hashes wrongly does so with each event, and one entry says it all.

Only `repair` and `alias` are left out; every conflict and release is an event of its own. The memory is bounded: a note that
was forgotten is written once more, which does no harm.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.events.model import AuditNote

_MOST = 10_000
_Said = tuple[str, ...]


class Repeats:
    """Remembers the last ten thousand repairs and aliases that were written."""

    def __init__(self) -> None:
        self._said: set[_Said] = set()
        self._oldest_first: deque[_Said] = deque()

    def fresh(self, notes: Iterable[AuditNote]) -> list[AuditNote]:
        """Give the notes that are to be written, in order."""
        kept: list[AuditNote] = []
        saying: set[_Said] = set()
        for note in notes:
            if note.kind in {"repair", "alias"}:
                said = _said(note)
                if said in self._said or said in saying:
                    continue
                saying.add(said)
            kept.append(note)
        return kept

    def wrote(self, notes: Sequence[AuditNote]) -> None:
        """Remember notes that are durable."""
        for note in notes:
            if note.kind in {"repair", "alias"} and (said := _said(note)) not in self._said:
                if len(self._oldest_first) >= _MOST:
                    self._said.discard(self._oldest_first.popleft())
                self._said.add(said)
                self._oldest_first.append(said)

    def clear(self) -> None:
        """Forget everything: somebody was erased, and what is said of them now was not said before."""
        self._said.clear()
        self._oldest_first.clear()


def _said(note: AuditNote) -> _Said:
    return (note.kind, note.portal_id, note.uid, note.cid, note.other, note.note)
