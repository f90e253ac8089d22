"""How lazy a spool may be: what is kept in memory, and for how long something may wait to be done together."""

from __future__ import annotations

from typing import NamedTuple


class Tuning(NamedTuple):
    """How lazy a spool may be; the defaults fit every deployment known.

    `tail_entries` and `tail_bytes` bound what is kept in memory for a reader that lags. Acknowledgements become durable after
    `flush_seconds` or `flush_count` of them, whichever is first; a disk that refused is tried again every `retry_seconds`.
    While clients come together, a group may gather appends for `gather_seconds` (`commit`); 0 submits each one at once.
    A segment that took its first record `idle_roll_seconds` ago is overwritten as soon as nothing in it waits (`ageing`).
    """

    tail_entries: int = 16_384
    tail_bytes: int = 16 << 20
    flush_seconds: float = 0.1
    flush_count: int = 10_000
    retry_seconds: float = 1.0
    gather_seconds: float = 0.003
    idle_roll_seconds: float = 60.0
