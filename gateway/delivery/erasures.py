"""Whom a waiting record belongs to may have asked to be forgotten: then nobody gets it any more, neither the collector nor the dead letters.

What always holds: a record without a UID is nobody's and never asked about. Asking never holds up a delivery: when it fails, that
counts as "not erased", is reported once for as long as it lasts, and for a second nobody is asked again, because a store in trouble may
take its time to say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Record

_LEFT_ALONE_SECONDS = 1.0


class Erasures:
    """Tells whose records are to be forgotten.

    `is_erased(portal_id, uid)` tells how it is at this moment, and may raise. `report` takes a message and the fault; `clock` gives seconds.
    """

    def __init__(
        self,
        is_erased: Callable[[str, str], bool],
        report: Callable[[str, Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self._is_erased = is_erased
        self._report = report
        self._clock = clock
        self._is_in_trouble = False
        self._next_question = 0.0

    def cover(self, record: Record) -> bool:
        """Tell whether the UID of a record was erased, as far as can be known now."""
        if not record.uid or (self._is_in_trouble and self._clock() < self._next_question):
            return False
        try:
            is_erased = self._is_erased(record.portal_id, record.uid)
        except Exception as error:  # noqa: BLE001 - whatever the ledger does, events are delivered
            if not self._is_in_trouble:
                self._report("it can't be asked who was erased: waiting events of theirs may go out", error)
            self._is_in_trouble = True
            self._next_question = self._clock() + _LEFT_ALONE_SECONDS
            return False
        self._is_in_trouble = False
        return is_erased
