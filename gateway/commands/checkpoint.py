"""How far an import has come, in a file beside its source, so that it can go on after whatever ended it.

It is written anew after each batch that is durable in the ledger, and takes the place of the one before at once (rename): there is never
half of one. It belongs to one source and one ledger, and is no use for another: the source is known by its beginning, the ledger by an entry of
its audit log, which no other has. What was imported after the last checkpoint is read again: the ledger knows those rows already and stays as it is.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.commands.files import open_private

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ledger.contract import Ledger

_FINGERPRINTED_BYTES = 65_536


class Fingerprint(msgspec.Struct, frozen=True):
    """By what a source is recognised: its size, and the SHA-256 of its first 64 KiB."""

    size: int
    beginning: str


class Counts(msgspec.Struct):
    """What has become of the rows that were read: `refused` by reason, all others as numbers.

    `taken` are bindings, `tombstones` those of UIDs that were not bound, `buried` those that took a binding away. `unknown_portals` are
    among these three.
    """

    read: int = 0
    taken: int = 0
    tombstones: int = 0
    buried: int = 0
    known: int = 0
    conflicts: int = 0
    refused: dict[str, int] = {}
    unknown_portals: int = 0

    @property
    def not_taken(self) -> int:
        """How many rows stand in the report."""
        return self.conflicts + sum(self.refused.values())


class Head(msgspec.Struct, frozen=True):
    """The last entry of a ledger's audit log: its number (0: there is none) and its chain hash in hex."""

    seq: int
    chain: str


class Checkpoint(msgspec.Struct, frozen=True):
    """The place behind the last durable batch: `offset` in bytes and `line` of the source, `report_bytes` of the report.

    `ledger` is its path, `head` how far its audit log came with that batch.
    """

    source: Fingerprint
    ledger: str
    head: Head
    format: Literal["csv", "jsonl"]
    portal_id: str
    offset: int
    line: int
    report: str
    report_bytes: int
    counts: Counts


class WrongCheckpoint(Exception):
    """An import can't go on from this checkpoint: says which and why."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(
            f"can't go on from {path}: {cause}; leave out --resume to begin again, which is safe"
        )
        self.path = path
        self.cause = cause


def fingerprint(path: Path) -> Fingerprint:
    """Give what a source is recognised by. Raises `OSError`."""
    with path.open("rb") as source:
        beginning = source.read(_FINGERPRINTED_BYTES)
        return Fingerprint(os.fstat(source.fileno()).st_size, hashlib.sha256(beginning).hexdigest())


def head_of(ledger: Ledger) -> Head:
    """Give the last entry of a ledger's audit log. Raises `LedgerUnavailable`."""
    stats = ledger.stats()
    return Head(stats.audit_entries, stats.audit_head)


def insist_on_ledger(path: Path, checkpoint: Checkpoint, ledger: Ledger | None) -> None:
    """Raise `WrongCheckpoint` unless the ledger (`None`: there is none) is the one that was imported into. Raises `LedgerUnavailable`."""
    head = checkpoint.head
    if not head.seq:
        # Not a row had come in.
        return
    entry = next(ledger.audit(head.seq - 1), None) if ledger is not None else None
    if entry is None or (entry.seq, entry.chain) != (head.seq, head.chain):
        raise WrongCheckpoint(
            path,
            f"the ledger at {checkpoint.ledger} is another one by now, or an older copy: "
            f"entry {head.seq} of its audit log is not the one that the import had come to",
        )


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before, durably. Raises `OSError`."""
    fresh = path.with_name(path.name + ".new")
    with open_private(fresh) as file:
        file.write(msgspec.json.encode(checkpoint) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path, source: Fingerprint, ledger: str) -> Checkpoint | None:
    """Give the checkpoint of this source and ledger, or `None` where there is none. Raises `WrongCheckpoint` and `OSError`."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        checkpoint = msgspec.json.decode(text, type=Checkpoint)
    except msgspec.DecodeError:
        raise WrongCheckpoint(path, "it is no checkpoint of an import") from None
    if checkpoint.source != source:
        raise WrongCheckpoint(path, "it is of another file, or the file has changed since")
    if checkpoint.ledger != ledger:
        raise WrongCheckpoint(path, f"it is of an import into {checkpoint.ledger}")
    return checkpoint
