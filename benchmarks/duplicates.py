"""How often the memory of duplicates is wrong, and what it costs: ``python -m benchmarks.duplicates [--entries N] [--looks N]``.

The table is filled to its bound with random keys; then keys that it never saw are looked for. The rate at which an event that never came is taken for one that did is too
low to be seen (7 in a million million), so both of its factors are counted: how often a tag is met, and how often the check under it agrees.
"""

from __future__ import annotations

import mmap
import random
import time
from typing import Annotated

import typer

from gateway.duplicates.table import BUCKET_BYTES, HEADER_BYTES, Table, table_bytes
from gateway.events.seen import Look

_NOW, _DAY = 1_790_000_000, 86_400


def main(
    entries: Annotated[int, typer.Option(min=1_000, help="duplicates.max_entries")] = 1_000_000,
    looks: Annotated[
        int, typer.Option(min=1_000, help="How many keys are looked for that never came.")
    ] = 5_000_000,
) -> None:
    """Fill a table, and count how often it is wrong."""
    dice, forgotten = random.Random(365), [0]

    def forget(age_s: int) -> None:
        del age_s
        forgotten[0] += 1

    table = Table(mmap.mmap(-1, table_bytes(entries)), 7, forget)
    start = time.process_time()
    for _ in range(entries):
        table.remember(dice.getrandbits(64), dice.getrandbits(64), _NOW, _DAY)
    remember_us = (time.process_time() - start) / entries * 1e6
    buckets = (table_bytes(entries) - HEADER_BYTES) // BUCKET_BYTES
    held = (entries - forgotten[0]) / buckets
    start = time.process_time()
    found = [table.look(dice.getrandbits(64), dice.getrandbits(64), _NOW, _DAY) for _ in range(looks)]
    look_us = (time.process_time() - start) / looks * 1e6
    others, same = found.count(Look.OTHER), found.count(Look.SAME)
    agree = 0
    table.remember(1, 5, _NOW, _DAY)
    for _ in range(looks):
        agree += table.look(1, dice.getrandbits(64), _NOW, _DAY) is Look.SAME
    print(
        f"entries {entries:,}: {forgotten[0] / entries:.3%} forgotten before their time, {held:.2f} of 8 words in use"
    )
    print(
        f"keys that never came, {looks:,}: {same} taken for known, {others} met a tag; expected {looks * held / 2**24:.2f}"
    )
    print(
        f"the check agreed in {agree} of {looks:,}: one in {looks / max(agree, 1):,.0f}; expected one in 65,535"
    )
    print(
        f"so an event is wrongly dropped with a probability of {held / 2**24 / 65_535:.1e} now, {8 / 2**24 / 65_535:.1e} in a full table"
    )
    print(f"CPU, with what it takes to draw the keys: remember {remember_us:.2f} µs, look {look_us:.2f} µs")


if __name__ == "__main__":
    typer.run(main)
