"""Keeps the events that will not be delivered in the quarantine, beside those that were held on the way in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from gateway.events.model import QuarantineEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Record
    from gateway.events.outcome import Reason
    from gateway.quarantine.contract import QuarantineStore


class QuarantineDeadLetters:
    """The forwarder's dead letters; `clock` gives Unix time in seconds."""

    def __init__(self, store: QuarantineStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def put(self, record: Record, reason: Reason, detail: str) -> None:
        """Keep a record, durably on return. Raises `QuarantineUnavailable`."""
        now_ms = int(self._clock() * 1000)
        entry = QuarantineEntry(
            # A payload that is no record has no id; its content tells it apart, and the same one again is the same entry.
            event_id=record.event_id or f"unreadable-{hashlib.sha256(record.body).hexdigest()[:32]}",
            portal_id=record.portal_id,
            prop_id=record.prop_id,
            uid=record.uid,
            reason=reason,
            detail=detail,
            held_ms=now_ms,
            # Whoever reads or releases it has no use for a visitor's cookies.
            record=msgspec.structs.replace(record, cookie="") if record.cookie else record,
        )
        await self._store.put([entry])
