"""The table of fingerprints: which keys came within a window, in eight-byte words of a mapped file. The package's docstring is its design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.seen import Look

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

HEADER_BYTES = 4_096
BUCKET_BYTES = 64
WORD_BYTES = 8
ENTRY_BYTES = 16
"""What each of `max_entries` takes: two words."""
SHARED = 0
"""The check of a key that came with different ones."""

_SECONDS = 0xFFFFFF
_TAG = 0xFFFFFF
_CHECK = 0xFFFF
# Clocks are set back now and then; what was written before that is not old, but from a future that is this near.
_SET_BACK = 1 << 20
_NEW = Look.NEW
_EMPTY = bytes(WORD_BYTES)
_LAST = BUCKET_BYTES - WORD_BYTES


def table_bytes(max_entries: int) -> int:
    """Give how long the file is for so many entries."""
    return HEADER_BYTES + -(-max_entries * ENTRY_BYTES // BUCKET_BYTES) * BUCKET_BYTES


class Table:
    """A `Seen` in mapped memory of `table_bytes`; `on_forgotten` hears how old an entry was, in seconds, that made room before its time."""

    def __init__(self, memory: mmap.mmap, seed: int, on_forgotten: Callable[[int], None]) -> None:
        self.seed = seed
        self._memory = memory
        self._find = memory.find
        self._buckets = (len(memory) - HEADER_BYTES) // BUCKET_BYTES
        self._on_forgotten = on_forgotten

    def warm_up(self) -> None:
        """Take each page in hand, without a change: for measurements."""
        for at in range(0, len(self._memory), 4_096):
            self._memory[at : at + 1] = self._memory[at : at + 1]

    def close(self) -> None:
        """Let go of the memory; nothing is to be asked after that."""
        self._memory.close()

    def look(self, key: int, check: int, now_s: int, window_s: int) -> Look:
        """Tell what came under this key within the last `window_s` seconds."""
        at = HEADER_BYTES + ((key >> 32) * self._buckets >> 32) * BUCKET_BYTES
        tag = (key & _TAG or 1).to_bytes(3, "big")
        if self._find(tag, at, at + BUCKET_BYTES) < 0:
            return _NEW
        bucket = self._memory[at : at + BUCKET_BYTES]
        place = _place(bucket, tag)
        if place < 0:
            return _NEW
        word = int.from_bytes(bucket[place : place + WORD_BYTES], "big")
        if _age(word, now_s) >= window_s:
            return _NEW
        return Look.SAME if word & _CHECK == (check & _CHECK or 1) else Look.OTHER

    def remember(self, key: int, check: int, now_s: int, window_s: int) -> None:
        """Remember an event for `window_s` seconds; the first of several counts. Another check under its key leaves `SHARED` there."""
        at = HEADER_BYTES + ((key >> 32) * self._buckets >> 32) * BUCKET_BYTES
        bucket = self._memory[at : at + BUCKET_BYTES]
        number = key & _TAG or 1
        tag, own = number.to_bytes(3, "big"), check & _CHECK or 1
        place = _place(bucket, tag) if bucket.find(tag) >= 0 else -1
        if place >= 0:
            word = int.from_bytes(bucket[place : place + WORD_BYTES], "big")
            if _age(word, now_s) < window_s:
                if word & _CHECK == own:
                    return
                own = SHARED
            # It moves to where the youngest stands.
            bucket = bucket[:place] + bucket[place + WORD_BYTES :] + _EMPTY
        elif (
            bucket[_LAST:] != _EMPTY
            and (age := _age(int.from_bytes(bucket[_LAST:], "big"), now_s)) < window_s
        ):
            self._on_forgotten(age)
        new = ((now_s & _SECONDS) << 40 | number << 16 | own).to_bytes(WORD_BYTES, "big")
        self._memory[at : at + BUCKET_BYTES] = new + bucket[:_LAST]


def _place(bucket: bytes, tag: bytes) -> int:
    """Give where the word with this tag begins, or -1."""
    found = bucket.find(tag)
    while found >= 0:
        if found % WORD_BYTES == 3:
            return found - 3
        found = bucket.find(tag, found + 1)
    return -1


def _age(word: int, now_s: int) -> int:
    age = (now_s - (word >> 40)) & _SECONDS
    return 0 if age > _SECONDS - _SET_BACK else age
