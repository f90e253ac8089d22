"""What is said of a record whose fate is final: once, and nothing of one that its full spool has dropped, since the spool said it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.outcome import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.contract import DeliveryObserver
    from gateway.delivery.lanes import Parcel

FORGOTTEN = frozenset({Reason.ERASED_WHILE_WAITING, Reason.MADE_ROOM})
"""Why a record ends without the collector and without the dead letters."""


class Telling:
    """Tells an observer; its faults go to `report`. Each call comes in the turn of the loop in which the record was settled."""

    def __init__(self, observer: DeliveryObserver, report: Callable[[str, Exception], None]) -> None:
        self._observer = observer
        self._report = report

    def delivered(self, parcel: Parcel, duration_ms: float) -> None:
        """Say that the collector took a record; raises what the observer raises."""
        if not parcel.was_dropped():
            self._observer.delivered(parcel.record, parcel.attempts, duration_ms)

    def forgotten(self, parcel: Parcel) -> None:
        """Say that a record went nowhere, because its user was erased."""
        if parcel.was_dropped():
            return
        try:
            self._observer.erased(parcel.record, parcel.attempts)
        except Exception as error:  # noqa: BLE001 - an observer's fault must not hold up what comes next
            self._report("a delivery met a fault", error)

    def buried(self, parcel: Parcel, reason: Reason, detail: str) -> None:
        """Say that the dead letters have a record; raises what the observer raises. One that was dropped meanwhile they have too."""
        if parcel.was_dropped():
            return
        if reason is Reason.TOO_OLD:
            self._observer.expired(parcel.record, parcel.attempts)
        else:
            self._observer.undeliverable(parcel.record, parcel.attempts, detail)
