"""What a ledger's file says, read from outside: by plain `sqlite3`, without any code of the ledger.

Keys and chain are read here as `gateway/ledger/keys.py` and `gateway/ledger/chain.py` describe them, so a mistake in the
product's own reading can't hide one in its writing. The audit log is replayed from its first entry: the first to bind a UID wins,
only an erasure takes that away. `faults_of` holds the result against the bindings, and both against what racers were told.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.crash.ledger_racer import Line

Key = tuple[str, str]

BIND, IMPORT, ERASE = 1, 2, 7
ERASED = ""
"""What a UID with a tombstone is bound to."""


class State(NamedTuple):
    """What is bound to whom (`ERASED`: a tombstone), by (portal_id, UID) or (portal_id, address key), and which event bound it."""

    bound: dict[Key, str]
    firsts: dict[Key, str]
    events: dict[Key, str]


def read_key(key: bytes | None) -> str:
    """Give the id of a key, as the docstring of `gateway.ledger.keys` says."""
    if key is None or key == b"\x03":
        return ""
    tag, content = key[0], key[1:]
    match tag:
        case 0:
            return content.decode("utf-8", "surrogatepass")
        case 1:
            return str(int.from_bytes(content, "big"))
        case 2:
            return content.hex()
        case 4:
            return str(uuid.UUID(bytes=content))
    raise ValueError(f"no id has the key {key!r}")


def witness(path: Path) -> tuple[State, list[str]]:
    """Give what the file holds, and what is wrong with it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        faults = [
            f"integrity: {line}"
            for pragma in ("integrity_check", "foreign_key_check")
            for (line, *_) in connection.execute(f"PRAGMA {pragma}")
            if line != "ok"
        ]
        portals = dict(connection.execute("SELECT id, portal_id FROM portal"))
        bound = {
            (portals[portal], read_key(uid)): read_key(cid)
            for portal, uid, cid in connection.execute("SELECT portal, uid, cid FROM binding")
        }
        firsts = {
            (portals[portal], read_key(key)): read_key(cid)
            for portal, key, cid in connection.execute("SELECT portal, key, cid FROM alias")
        }
        replayed, events, more = _replay(connection)
        faults += more
        faults += [
            f"binding {key}: {bound.get(key)} is stored, {cid} was told"
            for key, cid in replayed.items()
            if bound.get(key) != cid
        ]
        faults += [f"binding {key}: nothing tells of it" for key in bound.keys() - replayed.keys()]
        counts = connection.execute("SELECT sum(bindings), sum(erased), sum(aliases) FROM tally").fetchone()
        erased = sum(cid == ERASED for cid in bound.values())
        if counts != (len(bound) - erased, erased, len(firsts)) and (bound or firsts):
            faults.append(
                f"counts: {counts} is stored, {(len(bound) - erased, erased, len(firsts))} are there"
            )
    return State(bound, firsts, events), faults


def faults_of(path: Path, journals: Iterable[Sequence[Line]], *, erases: bool = False) -> list[str]:
    """Give all that is wrong with a file after a race, also what racers were told and does not hold.

    Where somebody `erases`, what was told may have become a tombstone since, and the next to come with a forgotten address is its first.
    """
    state, faults = witness(path)
    told: dict[Key, str] = {}
    told_firsts: dict[Key, str] = {}
    for line in (line for journal in journals for line in journal):
        faults += line.odd
        for portal_id, uid, cid, event_id in line.told:
            key = (portal_id, uid)
            if told.setdefault(key, cid) != cid:
                faults.append(f"binding {key}: {told[key]} was told, and {cid} too")
            if event_id and state.events.get(key) != event_id:
                faults.append(
                    f"binding {key}: told to be new for {event_id}, the entry is of {state.events.get(key)}"
                )
        for portal_id, address, cid in line.firsts:
            if told_firsts.setdefault((portal_id, address), cid) != cid and not erases:
                faults.append(f"address {address}: {told_firsts[portal_id, address]} was told, and {cid} too")
    faults += [
        f"binding {key}: {cid} was told, {state.bound.get(key)} is stored"
        for key, cid in told.items()
        if state.bound.get(key) != cid and not (erases and state.bound.get(key) == ERASED)
    ]
    faults += [
        f"address {key}: {cid} was told, {state.firsts.get(key)} is stored"
        for key, cid in told_firsts.items()
        if state.firsts.get(key) != cid and not erases
    ]
    return faults


class Entry(NamedTuple):
    """An entry of the audit log: its number, kind, time, texts (portal_id, uid, cid, other, note, event_id) and hashes."""

    seq: int
    kind: int
    at_ms: int
    texts: list[str]
    digest: bytes
    chain: bytes

    @property
    def key(self) -> Key:
        """Whom it is about."""
        return self.texts[0], self.texts[1]

    @property
    def is_tombstone(self) -> bool:
        """Whether it tells of one that came to be: made here, or imported."""
        return (self.kind == ERASE and not self.texts[3]) or (
            self.kind == IMPORT and self.texts[3] == "erased"
        )

    def link(self, previous: bytes) -> bytes:
        """Give the chain hash that it must have behind one that has `previous`."""
        portal_id, uid, *_, event_id = (text.encode("utf-8", "surrogatepass") for text in self.texts)
        head = struct.pack(">QBq3I", self.seq, self.kind, self.at_ms, len(portal_id), len(uid), len(event_id))
        return hashlib.sha256(previous + head + self.digest + portal_id + uid + event_id).digest()


def entries(connection: sqlite3.Connection) -> Iterator[Entry]:
    """Give the entries in order; the digest of one that still has its text is computed from that."""
    portals = dict(connection.execute("SELECT id, portal_id FROM portal"))
    rows = connection.execute(
        "SELECT seq, at_ms, kind, portal, uid, cid, other, note, event, salt, digest, chain FROM audit ORDER BY seq"
    ).fetchall()
    for seq, at_ms, kind, portal, uid, cid, other, note, event, salt, digest, chain in rows:
        texts = [portals[portal], *map(read_key, (uid, cid, other, note, event))]
        made = digest if salt is None else _digest(salt, texts[2:5])
        yield Entry(seq, kind, at_ms, texts, made, chain)


def _replay(connection: sqlite3.Connection) -> tuple[dict[Key, str], dict[Key, str], list[str]]:
    bound: dict[Key, str] = {}
    events: dict[Key, str] = {}
    faults: list[str] = []
    names: dict[Key, bool] = {}
    stones: set[Key] = set()
    previous, chain = 0, bytes(32)
    for entry in entries(connection):
        if entry.seq != previous + 1:
            faults.append(f"entry {entry.seq}: follows {previous}")
        if entry.link(chain) != entry.chain:
            faults.append(f"entry {entry.seq}: the chain is broken")
        previous, chain = entry.seq, entry.chain
        if entry.is_tombstone:
            bound[entry.key] = ERASED
            stones.add(entry.key)
        elif entry.kind in {BIND, IMPORT}:
            if entry.key in bound:
                faults.append(f"entry {entry.seq}: binds {entry.key} a second time")
            # Where the person was erased the CID is gone, and the entry that tells so is still to come.
            bound.setdefault(entry.key, entry.texts[2])
            events.setdefault(entry.key, entry.texts[5])
            names[entry.key] = bool(entry.texts[2])
    faults += [f"entry of {key}: still names who was erased" for key in stones if names.get(key)]
    faults += [
        f"entry of {key}: was emptied, and nobody erased"
        for key, is_named in names.items()
        if not is_named and key not in stones
    ]
    return bound, events, faults


def _digest(salt: bytes, texts: list[str]) -> bytes:
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return hashlib.sha256(b"TGA1" + struct.pack(">3I", *map(len, parts)) + salt + b"".join(parts)).digest()
