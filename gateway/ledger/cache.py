"""What was seen lately, in memory, so that a returning visitor costs no I/O.

A binding never changes, nor does the CID with which an address first came: what is in here needs no expiry. Only an erasure takes it
away, and `clear` follows each of those. The number of entries is bounded: when it is full, the one that was kept first goes first.
Moving an entry on each hit would cost more than the rare second look into the store does. An entry is found as the object that
was kept, so a hit makes nothing. One takes about 330 bytes with a 19-digit UID and a CID of 32 digits: 100,000 of them are 33 MB.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Value = TypeVar("Value")
Key = tuple[str, str]


class BoundedCache(Generic[Value]):
    """A bounded map from (portal_id, UID or address key) to what is known of it; `entries=0` keeps nothing."""

    __slots__ = ("_by_key", "_entries", "_oldest_first", "probe")

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._by_key: dict[Key, Value] = {}
        # A dict also keeps the order, but finding its first key again and again walks over all that was deleted before.
        self._oldest_first: deque[Key] = deque()
        self.probe = self._by_key.get
        """Give what is kept for a key, or `None`: the dict's own method, with no frame of Python between."""

    def __len__(self) -> int:
        return len(self._by_key)

    def keep(self, key: Key, value: Value) -> None:
        """Remember what is durable."""
        if key in self._by_key or not self._entries:
            return
        # One that was forgotten since still stands in the queue, which is what is bounded.
        while len(self._oldest_first) >= self._entries:
            self._by_key.pop(self._oldest_first.popleft(), None)
        self._by_key[key] = value
        self._oldest_first.append(key)

    def forget(self, key: Key) -> None:
        """Let go of an entry, if it is there."""
        self._by_key.pop(key, None)

    def clear(self) -> None:
        """Let go of everything."""
        self._by_key.clear()
        self._oldest_first.clear()
