"""The bindings that were seen lately, in memory, so that a returning visitor costs no I/O.

A binding never changes, so what is in here is right for ever and needs no expiry; that a UID is unbound is not kept here,
because another process may bind it in the next moment. (Only a ledger that nobody else writes keeps that too, in a cache of
its own, and forgets it with the binding.) The number of entries is bounded: when it is full, the binding that
was kept first goes first. Moving an entry on each hit would cost more than the rare second look into the store does.
An entry takes about 270 bytes with a 19-digit UID and a CID of 32 digits: 100,000 of them are 27 MB.
"""

from __future__ import annotations

from collections import deque


class BindingCache:
    """A bounded map from (portal, UID) to CID; `entries=0` keeps nothing."""

    __slots__ = ("_by_uid", "_entries", "_oldest_first", "probe")

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._by_uid: dict[tuple[str, str], str] = {}
        # A dict also keeps the order, but finding its first key again and again walks over all that was deleted before.
        self._oldest_first: deque[tuple[str, str]] = deque()
        self.probe = self._by_uid.get
        """Give the CID of a `(portal_id, uid)`, or `None`: the dict's own method, with no frame of Python between."""

    def __len__(self) -> int:
        return len(self._by_uid)

    def keep(self, portal_id: str, uid: str, cid: str) -> None:
        """Remember a binding that is durable."""
        key = (portal_id, uid)
        if key in self._by_uid or not self._entries:
            return
        # One that was forgotten since still stands in the queue.
        while len(self._by_uid) >= self._entries:
            self._by_uid.pop(self._oldest_first.popleft(), None)
        self._by_uid[key] = cid
        self._oldest_first.append(key)

    def forget(self, key: tuple[str, str]) -> None:
        """Let go of an entry, if it is there."""
        self._by_uid.pop(key, None)
