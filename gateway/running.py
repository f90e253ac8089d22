"""A gateway that takes events, as those see it who started it: where it listens, and what is in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ledger.contract import LedgerUnavailable
from gateway.quarantine.contract import QuarantineUnavailable
from gateway.stores import disk_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.ledger.contract import Ledger
    from gateway.quarantine.contract import QuarantineStore
    from gateway.spool.segments import SegmentSpool


class Running:
    """A gateway that takes events: where it listens, and whether anything is in its way.

    `others` are parts that can say themselves what is wrong with them, empty when nothing is. `reload` reads anew what can change while the
    gateway runs.
    """

    def __init__(
        self,
        public_url: str,
        ledger: Ledger,
        quarantine: QuarantineStore,
        spools: Sequence[SegmentSpool],
        data_dir: Path,
        *,
        others: Mapping[str, Callable[[], str]],
        reload: Callable[[], None],
    ) -> None:
        self.public_url = public_url
        self.admin_url = ""
        self.is_stopping = False
        self.reload = reload
        self._data_dir = data_dir
        self._ledger = ledger
        self._quarantine = quarantine
        self._spools = spools
        self._others = others

    def problems(self) -> dict[str, str]:
        """Say what is in the way of taking events, by part; empty when nothing is."""
        found: dict[str, str] = {}
        if self.is_stopping:
            found["server"] = "stopping"
        trouble = self._spools[0].trouble
        if trouble is not None:
            found["spool"] = f"{trouble.cause}; {trouble.hint}"
        if full_disk := disk_trouble(self._data_dir):
            found["disk"] = full_disk
        try:
            self._ledger.lookup("", "")
        except LedgerUnavailable as error:
            found["ledger"] = error.cause
        try:
            full = self._quarantine.trouble
        except QuarantineUnavailable as error:
            full = error
        if full is not None:
            found["quarantine"] = f"{full.cause}; {full.hint}"
        told = {part: trouble_of() for part, trouble_of in self._others.items()}
        return found | {part: what for part, what in told.items() if what}

    @property
    def pending(self) -> int:
        """How many accepted events are not delivered yet."""
        return sum(spool.pending for spool in self._spools)
