"""The rows that an import did not take, in a file for the person who has to look at them.

CSV: the line of the source, the portal, the UID, why, and for a conflict the CID that holds and the one that was claimed. A raw address never
stands in it. The file comes to be with its first row; one that an earlier run left is taken away.
"""

from __future__ import annotations

import csv
import os
from io import TextIOWrapper
from typing import TYPE_CHECKING, NamedTuple

from gateway.commands.files import open_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COLUMNS = ("line", "portal_id", "uid", "reason", "bound_cid", "claimed_cid")
_HEADER = ",".join(_COLUMNS)


class Entry(NamedTuple):
    """A row that was not taken."""

    line: int
    portal_id: str
    uid: str
    reason: str
    bound_cid: str = ""
    claimed_cid: str = ""


class NotAReport(Exception):
    """A file that is no report stands in a report's place: names it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is something else than a report; name another file with --report")
        self.path = path


class Report:
    """Writes the entries to `path`; `length` is how much of an earlier run's report stays. Raises `NotAReport`, `OSError`."""

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        self.length = length
        self._file: TextIOWrapper | None = None
        if path.exists():
            with path.open("rb") as file:
                if file.readline(len(_HEADER) + 2).rstrip() != _HEADER.encode():
                    raise NotAReport(path)
            if length:
                os.truncate(path, length)
            else:
                path.unlink()
        else:
            # Somebody has moved it away: what comes now begins a new one.
            self.length = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Write entries, durably on return. Raises `OSError`."""
        if not entries:
            return
        if self._file is None:
            self._file = TextIOWrapper(open_private(self.path, append=True), encoding="utf-8", newline="")
            if not self.length:
                self._file.write(_HEADER + "\n")
        csv.writer(self._file, lineterminator="\n").writerows(entries)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.length = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
