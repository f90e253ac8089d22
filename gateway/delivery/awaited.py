"""Whose answer is awaited: what the forwarder tells the desk at which clients wait.

What always holds: the desk is told at most what it wants to hear, as early as it can be known; whatever the desk does, delivery
goes on as if there were none. A send keeps the collector's whole answer only when somebody waits for it as it begins.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.delivery.contract import AnswerDesk, Sink, Verdict
    from gateway.delivery.lanes import Parcel
    from gateway.events.model import Answer, Record


class Awaited:
    """One desk, as a forwarder sees it; `report` takes its faults."""

    def __init__(self, desk: AnswerDesk, report: Callable[[str, Exception], None]) -> None:
        self._desk = desk
        self._report = report

    def post(self, sink: Sink, parcel: Parcel, done: Callable[[Verdict], None]) -> None:
        """Post a parcel's record, with its answer kept where it is awaited."""
        if self._wants(parcel.record):
            sink.post(parcel.record, done, partial(self._tell, parcel.record, parcel.position))
        else:
            sink.post(parcel.record, done)

    def give_up(self, parcels: Iterable[Parcel]) -> None:
        """Tell whoever waits for the answers to these that none will come soon."""
        for parcel in parcels:
            self.give_up_one(parcel.record, parcel.position)

    def give_up_one(self, record: Record, position: int) -> None:
        """Tell whoever waits for the answer to this record that none will come soon."""
        if self._wants(record):
            self._tell(record, position, None)

    def _wants(self, record: Record) -> bool:
        try:
            return self._desk.wants(record)
        except Exception as error:  # noqa: BLE001 - a desk's fault is no reason to deliver less
            self._report("an answer desk raised", error)
            return False

    def _tell(self, record: Record, position: int, answer: Answer | None) -> None:
        try:
            self._desk.answered(record, position, answer)
        except Exception as error:  # noqa: BLE001 - nothing may come between an answer and its verdict
            self._report("an answer desk raised", error)
