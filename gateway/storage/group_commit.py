"""Many small writes become few durable ones: items collect on the event loop, a thread commits them by the batch.

A commit costs a sync of the disk, whether it carries one item or a thousand. So the first item of an idle moment asks the
loop to submit (`call_soon`), all that arrive in that turn of the loop go along, and what arrives while the thread works
makes up the next batch: the slower the disk, the larger the batches. What always holds:

- One batch is in flight at a time, in one dedicated thread, so the commit function needs no lock.
- The items of one `submit` stay together, in order, in one batch; batches are committed in the order of arrival.
- Everybody in a batch is answered by one shared future: the thread wakes the loop once for each batch, not for each item.
- A failed batch fails for everybody in it, and for nobody else. A caller that is cancelled takes nobody along.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommitClosed(Exception):
    """Nothing can be submitted any more."""


class _Batch(Generic[Item, Answer]):
    """Items that will be committed together, and the future that all their callers wait for."""

    __slots__ = ("done", "items")

    def __init__(self, done: asyncio.Future[Sequence[Answer]]) -> None:
        self.items: list[Item] = []
        self.done = done


class GroupCommit(Generic[Item, Answer]):
    """Collects items on one event loop and hands them to `commit`, batch by batch, in a thread of its own.

    `commit` gets a batch and gives one answer for each of its items, in order; what it raises is raised for each caller.
    `batch_items` bounds a batch, so that one commit holds the store's write lock for a bounded time; a single `submit` of
    more items is still one batch.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        thread_name: str,
        batch_items: int = 1024,
    ) -> None:
        self._commit = commit
        self._batch_items = batch_items
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread_name)
        self._waiting: deque[_Batch[Item, Answer]] = deque()
        self._in_flight: _Batch[Item, Answer] | None = None
        self._is_closing = False

    async def submit(self, items: Sequence[Item]) -> Sequence[Answer]:
        """Commit the items and give their answers, in order.

        Raises what `commit` raised for the batch they were in, and `GroupCommitClosed` after `close`.
        """
        if self._is_closing:
            raise GroupCommitClosed
        batch = self._batch_for_new_items()
        start = len(batch.items)
        batch.items.extend(items)
        stop = len(batch.items)
        # Shielded: the future belongs to everybody in the batch, and awaiting it plainly would let one caller cancel it.
        answers = await asyncio.shield(batch.done)
        return answers[start:stop]

    async def close(self, last: Callable[[], None]) -> None:
        """Commit what was submitted, run `last` in the thread, and end the thread; closing again does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        while unfinished := ([self._in_flight] if self._in_flight else []) + list(self._waiting):
            await asyncio.wait([batch.done for batch in unfinished])
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, last)
        finally:
            self._executor.shutdown(wait=False)

    def _batch_for_new_items(self) -> _Batch[Item, Answer]:
        if self._waiting and len(self._waiting[-1].items) < self._batch_items:
            return self._waiting[-1]
        loop = asyncio.get_running_loop()
        batch: _Batch[Item, Answer] = _Batch(loop.create_future())
        if not self._waiting and self._in_flight is None:
            loop.call_soon(self._start_next, loop)
        self._waiting.append(batch)
        return batch

    def _start_next(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:
            return
        batch = self._in_flight = self._waiting.popleft()
        running = loop.run_in_executor(self._executor, self._commit, batch.items)
        running.add_done_callback(lambda finished: self._finish(loop, batch, finished))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: _Batch[Item, Answer],
        finished: asyncio.Future[Sequence[Answer]],
    ) -> None:
        self._in_flight = None
        # Before the answers: the thread works on the next batch while the loop runs the callers of this one.
        self._start_next(loop)
        if finished.cancelled():
            batch.done.cancel()
        elif (error := finished.exception()) is not None:
            batch.done.set_exception(error)
        else:
            batch.done.set_result(finished.result())
