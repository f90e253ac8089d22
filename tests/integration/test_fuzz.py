"""Requests that went wrong on their way, by the thousands: every one is answered as it should be, and every event has one outcome.

It is `python -m tests.fuzz`, made short. `TRACKING_GATEWAY_FUZZ_REQUESTS` and `TRACKING_GATEWAY_FUZZ_SEED` make it longer or another one.
"""

from __future__ import annotations

import asyncio
import os

import pytest
import uvloop

from tests.fuzz.campaign import fire

REQUESTS = int(os.environ.get("TRACKING_GATEWAY_FUZZ_REQUESTS", "20000"))
SEED = int(os.environ.get("TRACKING_GATEWAY_FUZZ_SEED", "20261130"))


@pytest.mark.timeout(120 + REQUESTS / 50)
@pytest.mark.parametrize("way", ["fast", "plain"])
def test_nothing_that_clients_send_is_a_fault(way, tmp_path):
    """No 5xx, no fault in the log, no raw identity, each answer in its place, every event counted once and delivered, flat memory."""
    number = REQUESTS // 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(fire(tmp_path, SEED, number, lambda _: None, is_fast=way == "fast"))
    assert not report.problems
    assert number <= report.requests
    assert report.statuses[200] > number / 10
    assert report.collected > number / 10
