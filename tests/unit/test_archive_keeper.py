"""The thread that archives: nothing is waited for, what is lost is counted, trouble is said and passes."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.archive.folder import HOUR_MS, Folder
from gateway.archive.keeper import Keeper
from gateway.archive.reading import Reading
from gateway.ledger.contract import LedgerUnavailable
from tests.archive_builders import ALWAYS, DAY_MS, NOON_MS, Clock, FullFolder, delivery, make_writer, names


@pytest.fixture
def folder(tmp_path):
    return FullFolder(tmp_path / "archive")


async def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def keep(folder, *, erased=frozenset(), clock=None, writer=None, **options):
    return Keeper(
        writer or make_writer(folder, erased, clock),
        clock=clock or Clock(),
        **{"flush_seconds": 0.01, **options},
    )


async def test_what_was_delivered_is_there_when_it_is_closed(folder):
    """In the order of delivery, with the moment and the attempts, over an hour's end; events of the erased are counted, not kept."""
    clock = Clock()
    keeper = keep(folder, erased={("1", "lan")}, clock=clock, flush_seconds=60)
    for name, uid, at in (("a", "u", 0), ("lan", "lan", 1), ("b", "u", 2), ("c", "u", HOUR_MS)):
        clock.now_ms = NOON_MS + at
        keeper.add(delivery(name, uid).record, 3)
    await keeper.close()

    assert (3, 1, 0) == (keeper.kept, keeper.erased, keeper.lost)
    found = list(Reading(folder, ALWAYS))
    assert [(NOON_MS, 3), (NOON_MS + 2, 3), (NOON_MS + HOUR_MS, 3)] == [tuple(each)[1:] for each in found]


async def test_what_was_delivered_is_there_soon(folder):
    """Without anybody asking."""
    keeper = keep(folder)
    keeper.add(delivery("a").record, 1)
    await until(lambda: keeper.kept)
    assert ["a"] == names(folder)
    await keeper.close()


async def test_what_does_not_fit_is_lost_and_nobody_waits(folder):
    """The buffer is bounded; when the disk takes something again, what waits is written in order."""
    folder.free_bytes = 0
    keeper = keep(folder, buffer_bytes=10_000)
    for index in range(100):
        keeper.add(delivery(str(index)).record, 1)
    await until(lambda: keeper.trouble)
    kept = 100 - keeper.lost
    assert 5 < kept < 30
    assert "MiB left" in keeper.trouble.cause
    folder.free_bytes = 1 << 40
    await until(lambda: keeper.kept == kept)
    assert (None, [str(index) for index in range(kept)]) == (keeper.trouble, names(folder))
    keeper.add(delivery("next").record, 1)
    await keeper.close()
    assert "next" == names(folder)[-1]


async def test_a_disk_that_stays_full_holds_nobody_at_the_end(folder):
    """What could not be written is counted as lost."""
    folder.room = 10
    keeper = keep(folder)
    keeper.add(delivery("a").record, 1)
    await until(lambda: keeper.trouble)
    assert "No space left on device" == keeper.trouble.cause
    await keeper.close()
    assert (0, 1) == (keeper.kept, keeper.lost)


async def test_nothing_is_kept_while_nobody_can_say_who_was_erased(folder):
    """The ledger is asked again, and then all of it is there."""
    answers = [LedgerUnavailable("ledger.db", "disk I/O error", "mend it")] * 3
    writer = make_writer(folder)

    def erased(_):
        if answers:
            raise answers.pop()
        return set()

    writer._erased = erased
    keeper = keep(folder, writer=writer)
    keeper.add(delivery("a").record, 1)
    await until(lambda: keeper.kept)
    assert ([], None, ["a"]) == (answers, keeper.trouble, names(folder))
    await keeper.close()


async def test_a_fault_costs_its_events_alone(folder):
    """They are counted as lost, and the thread goes on."""
    writer = make_writer(folder)
    write = writer.write
    writer.write = lambda _: 1 // 0
    keeper = keep(folder, writer=writer)
    keeper.add(delivery("a").record, 1)
    await until(lambda: keeper.lost)
    assert "ZeroDivisionError" in keeper.trouble.cause
    writer.write = write
    keeper.add(delivery("b").record, 1)
    await keeper.close()
    assert ["b"] == names(folder)


async def test_an_event_that_can_not_be_put_in_writing_is_lost_alone(folder):
    """Its text is no Unicode; the others of its batch are kept."""
    keeper = keep(folder, flush_seconds=60)
    for name in ("a", "\ud800", "b"):
        keeper.add(delivery(name).record if name.isascii() else delivery("x", uid=name).record, 1)
    await keeper.close()
    assert (2, 1, ["a", "b"]) == (keeper.kept, keeper.lost, names(folder))


async def test_old_parts_go_at_the_start_without_any_event(folder):
    """A gateway that delivers nothing keeps nothing for longer than it may."""
    make_writer(folder).write([delivery("a")])
    keeper = keep(folder, clock=Clock(NOON_MS + 30 * DAY_MS))
    await until(lambda: keeper.removed)
    assert [] == folder.parts()
    await keeper.close()


async def test_a_clock_that_is_set_back_a_little_changes_no_order(folder):
    """The moments never fall; one that is set right by hours is believed."""
    clock = Clock()
    keeper = keep(folder, clock=clock, flush_seconds=60)
    for at in (0, -5_000, -1, 7, -2 * HOUR_MS):
        clock.now_ms = NOON_MS + at
        keeper.add(delivery("a").record, 1)
    await keeper.close()
    moments = sorted(each.delivered_ms - NOON_MS for each in Reading(Folder(folder.path), ALWAYS))
    assert [-2 * HOUR_MS, 0, 0, 0, 7] == moments
