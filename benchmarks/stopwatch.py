"""How a single step is timed: CPU time over many events, several times, the median counts.

The clock is the CPU time of this process, all threads: time in which another program had the core does not enter, and what a
step hands to a thread (the spool's writer, the log's) does. The garbage collector stays on, as in the gateway, but does not
look at what a step was given to work on.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    Work = Callable[[], Awaitable[int]]


class Stopwatch:
    """Times steps: each `repeats` times."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats

    def each(self, work: Callable[..., Any], inputs: Callable[[], Sequence[tuple[Any, ...]]]) -> float:
        """Give the microseconds of one call; `inputs` makes fresh arguments for every repetition, which is not timed."""
        empty = _empty_loop(inputs())
        found = []
        for _ in range(self.repeats):
            arguments = inputs()
            with _settled():
                start = time.process_time()
                for each in arguments:
                    work(*each)
                found.append((time.process_time() - start) * 1e6 / len(arguments))
        return max(0.0, statistics.median(found) - empty)

    async def batch(self, work: Work) -> float:
        """Give the microseconds an event of `work`, which returns how many events it was."""
        (found,) = await self.batches(work)
        return found

    async def batches(self, *works: Work) -> list[float]:
        """Give the same for several that are done in turns, because each needs what the one before it left."""
        found: list[list[float]] = [[] for _ in works]
        for _ in range(self.repeats):
            for times, work in zip(found, works, strict=True):
                with _settled():
                    start = time.process_time()
                    events = await work()
                    times.append((time.process_time() - start) * 1e6 / events)
        return [statistics.median(times) for times in found]


def _empty_loop(arguments: Sequence[tuple[Any, ...]]) -> float:
    def nothing(*_: object) -> None:
        pass

    start = time.process_time()
    for each in arguments:
        nothing(*each)
    return (time.process_time() - start) * 1e6 / len(arguments)


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
