"""How the ledger's rows go into a file that can be gone on with: rows are only added, so an end that was cut off is found and mended.

An export goes straight into its file, in the ledger's own order. What an interrupted one left is cut behind its last row that is whole and
that this ledger knows; the export goes on behind that row.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

from gateway.ledger.transfer import MAX_ROW_BYTES, Encoder, Rows, header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ledger.contract import BoundUid, Ledger
    from gateway.ledger.transfer import Format

_FAR_FUTURE_MS = 2**53
_FIRST_KEY = b'{"portal_id":'


class CantResume(Exception):
    """An export can't go on with a file: which, why, and what to do."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"can't go on with {path}: {cause}; name another file, or remove this one")
        self.path = path
        self.cause = cause


def write_rows(
    ledger: Ledger,
    out: BinaryIO,
    format_: Format,
    portal_id: str,
    after: BoundUid | None,
    on_row: Callable[[int], None],
) -> int:
    """Write the rows behind `after` and give how many; `on_row` hears each count. Raises `LedgerUnavailable`, `OSError`."""
    encoder = Encoder(format_)
    count = 0
    if after is None:
        out.write(header(format_))
    place = (after.portal_id, after.uid) if after is not None else None
    for count, row in enumerate(ledger.export(portal_id or None, after=place), 1):
        out.write(encoder.line(row))
        on_row(count)
    out.flush()
    return count


def last_row(path: Path, format_: Format, portal_id: str, ledger: Ledger) -> BoundUid | None:
    """Cut a file behind its last whole row and give that row; `None` where there is none.

    Raises `CantResume` when the file is of another format, another ledger or another portal, and `OSError`.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    with path.open("r+b") as file:
        beginning = file.readline(MAX_ROW_BYTES)
        if not _begins(beginning, format_):
            raise CantResume(path, f"it is no export in the format {format_}")
        head = len(header(format_))
        start = max(head, file.seek(0, os.SEEK_END) - 2 * MAX_ROW_BYTES)
        file.seek(start)
        if start > head:
            start += len(file.readline())
        rows = _whole_rows(file.read(), format_)
        for row, end in reversed(rows):
            if ledger.find(row.uid, row.portal_id):
                if portal_id not in {"", row.portal_id}:
                    raise CantResume(path, f"it has rows of portal {row.portal_id}")
                file.truncate(start + end)
                return row
        if rows or start > head:
            raise CantResume(path, "its last rows are not of this ledger")
        file.truncate(0)
        return None


def _whole_rows(text: bytes, format_: Format) -> list[tuple[BoundUid, int]]:
    """Give the rows of a part of a file, each with the place behind it; a row without its line's end may be cut."""
    head = header(format_)
    rows = Rows(io.BytesIO(head + text), format_, lambda: _FAR_FUTURE_MS)
    found = ((each.row, rows.offset - len(head)) for each in rows)
    return [(row, end) for row, end in found if row is not None and text[end - 1 : end] == b"\n"]


def _begins(beginning: bytes, format_: Format) -> bool:
    if format_ == "csv":
        # Even the very first write may have been cut off.
        return beginning == header("csv") or (
            not beginning.endswith(b"\n") and header("csv").startswith(beginning)
        )
    if beginning.endswith(b"\n"):
        return bool(_whole_rows(beginning, format_))
    return _FIRST_KEY.startswith(beginning[: len(_FIRST_KEY)])
