"""SIGTERM under load: it ends in time, with 0, loses nothing that was acknowledged, and repeats little. A second one ends it at once."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.load import RecordingCollector, Visitors
from tests.processes import PATIENCE_SECONDS, running_gateway_process, until

DRAIN_SECONDS = 3.0
# For a busy machine: ending a process takes processor time as well.
SLACK_SECONDS = 3.0
VISITORS = 12
WORKERS = pytest.mark.parametrize("workers", [1, 3])


class Shop:
    """A gateway under load, its visitors and its collector."""

    def __init__(self, gateway, visitors: Visitors, collector: RecordingCollector) -> None:
        self.gateway = gateway
        self.visitors = visitors
        self.collector = collector

    async def at_work(self, answers: int = 150) -> None:
        """Wait until so many more events were acknowledged."""
        goal = self.visitors.answers + answers

        async def reached():
            return self.visitors.answers >= goal

        await until(reached, "the gateway takes events")

    async def ended(self) -> tuple[int, float]:
        """Wait until the gateway has ended; give its exit code, and how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        code = await asyncio.wait_for(self.gateway.process.wait(), PATIENCE_SECONDS)
        return code, loop.time() - began

    async def all_arrived(self) -> None:
        """Wait until every acknowledged event has arrived."""

        async def reached():
            return not self.visitors.sent - self.collector.seen

        await until(reached, "every acknowledged event arrived")

    @property
    def repeated(self) -> int:
        """How many arrivals were of an event that had arrived before."""
        return len(self.collector.arrivals) - len(self.collector.seen)


async def stopped_under_load(tmp_path, workers, stop, is_hanging=False) -> Shop:
    """Put a gateway under load, let `stop(shop)` end it, start it again, and wait until everything has arrived."""
    collector = RecordingCollector(random.Random(5))
    sections = {"server": {"workers": workers, "drain_seconds": DRAIN_SECONDS}}
    async with collector.running(), running_gateway_process(tmp_path, collector.url, **sections) as gateway:
        visitors = Visitors(gateway.port, VISITORS, "s")
        shop = Shop(gateway, visitors, collector)
        async with visitors.coming():
            await shop.at_work()
            collector.is_hanging = is_hanging
            await stop(shop)
            collector.is_hanging = False
            await gateway.start()
            await shop.at_work()
        await shop.all_arrived()
        assert 0 == await gateway.stop()
        assert "Traceback" not in gateway.log()
    return shop


@WORKERS
async def test_sigterm_under_load_loses_nothing_and_repeats_little(tmp_path, workers):
    """Exit code 0, in time; each visitor repeats at most the one event whose answer she did not hear."""

    async def stop(shop):
        shop.gateway.process.send_signal(signal.SIGTERM)
        code, seconds = await shop.ended()
        assert 0 == code
        assert seconds < DRAIN_SECONDS + SLACK_SECONDS

    shop = await stopped_under_load(tmp_path, workers, stop)
    assert shop.repeated <= VISITORS


async def test_a_hanging_collector_does_not_hold_up_the_end(tmp_path):
    """Sends that get no answer are broken off in time; their events go out at the next start."""

    async def stop(shop):
        await shop.at_work()
        shop.gateway.process.send_signal(signal.SIGTERM)
        code, seconds = await shop.ended()
        assert 0 == code
        assert seconds < DRAIN_SECONDS + SLACK_SECONDS

    shop = await stopped_under_load(tmp_path, 1, stop, is_hanging=True)
    assert shop.repeated <= VISITORS


@WORKERS
async def test_a_second_sigterm_ends_it_at_once_and_loses_nothing_acknowledged(tmp_path, workers):
    """It does not wait for sends that hang, nor for anything else; what was acknowledged goes out at the next start."""

    async def stop(shop):
        await shop.at_work()
        shop.gateway.process.send_signal(signal.SIGTERM)

        async def stopping():
            return shop.gateway.log_lines("stopping")

        await until(stopping, "the first signal was heard")
        shop.gateway.process.send_signal(signal.SIGTERM)
        code, seconds = await shop.ended()
        assert 1 == code
        assert seconds < DRAIN_SECONDS / 2

    await stopped_under_load(tmp_path, workers, stop, is_hanging=True)
