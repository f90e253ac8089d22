"""Many small writes become few: how items are gathered into batches, answered, and failed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.storage.group_commit import GroupCommit, GroupCommitClosed


class Gate:
    """A commit function that notes its batches and, when told to, waits for the test."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.open = threading.Event()
        self.open.set()

    def commit(self, items) -> list[int]:
        self.batches.append(list(items))
        self.threads.add(threading.get_ident())
        assert self.open.wait(10)
        if -1 in items:
            raise OSError("disk on fire")
        return [item * 10 for item in items]


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def gate():
    return Gate()


@pytest.fixture
async def commits(gate):
    group = GroupCommit(gate.commit, thread_name="test", batch_items=4)
    yield group
    gate.open.set()
    await group.close(lambda: None)


async def test_items_of_one_turn_of_the_loop_go_together(gate, commits):
    """Callers that arrive in the same turn of the loop share one commit, each with its own answers."""
    answers = await asyncio.gather(commits.submit([1, 2]), commits.submit([3]))

    assert answers == [[10, 20], [30]]
    assert gate.batches == [[1, 2, 3]]


async def test_what_arrives_during_a_commit_makes_the_next_batch(gate, commits):
    """One batch is in flight at a time; meanwhile the others collect, and go in the order of arrival."""
    gate.open.clear()
    first = asyncio.ensure_future(commits.submit([1]))
    await until(lambda: gate.batches)
    others = [asyncio.ensure_future(commits.submit([item])) for item in (2, 3)]
    await asyncio.sleep(0)
    in_flight = list(gate.batches)
    gate.open.set()

    assert await asyncio.gather(first, *others) == [[10], [20], [30]]
    assert in_flight == [[1]]
    assert gate.batches == [[1], [2, 3]]
    assert len(gate.threads) == 1


async def test_a_batch_is_bounded_but_a_submission_stays_whole(gate, commits):
    """A full batch is followed by another; the items of one `submit` are never torn apart."""
    answers = await asyncio.gather(commits.submit([1, 2, 3]), commits.submit([4, 5, 6]), commits.submit([7]))

    assert answers == [[10, 20, 30], [40, 50, 60], [70]]
    assert gate.batches == [[1, 2, 3, 4, 5, 6], [7]]


async def test_a_failure_reaches_everybody_in_the_batch_and_nobody_else(gate, commits):
    """A batch that fails fails for each of its callers; the next batch is committed as if nothing had been."""
    failed = await asyncio.gather(commits.submit([1]), commits.submit([-1]), return_exceptions=True)

    assert [str(error) for error in failed] == ["disk on fire", "disk on fire"]
    assert await commits.submit([2]) == [20]


async def test_a_failure_that_nobody_waits_for_is_no_noise(gate, commits):
    """When all callers of a failing batch have given up, the loop has no exception to complain about."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    caller = asyncio.ensure_future(commits.submit([-1]))
    await until(lambda: gate.batches)
    caller.cancel()

    assert await commits.submit([2]) == [20]
    assert complaints == []


async def test_closing_commits_what_waits_then_refuses(gate, commits):
    """`close` waits for all batches, runs its last call in the same thread, and takes no more."""
    gate.open.clear()
    callers = [asyncio.ensure_future(commits.submit([item])) for item in (1, 2)]
    await until(lambda: gate.batches)
    last_thread: list[int] = []
    closing = asyncio.ensure_future(commits.close(lambda: last_thread.append(threading.get_ident())))
    await asyncio.sleep(0)
    with pytest.raises(GroupCommitClosed):
        await commits.submit([3])
    gate.open.set()
    await closing

    assert await asyncio.gather(*callers) == [[10], [20]]
    assert set(last_thread) == gate.threads
