"""What is scraped: the names that dashboards and alarms are built on, and the sum over workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from gateway.events.outcome import FATES, Outcome, Reason
from gateway.telemetry.metrics import Metrics, mark_process_dead, merged_exposition
from tests.processes import ROOT

# One line of a program that is a worker as far as metrics go: it counts, says so, and waits to be killed.
WORKER = """
import sys
from gateway.events.outcome import Outcome, Reason
from gateway.telemetry.metrics import Metrics, count_as
_, name, count, directory = sys.argv
count_as(name, directory)
metrics = Metrics()
for _ in range(int(count)):
    metrics.event(Outcome.ACCEPTED, Reason.OK)
metrics.spool_pending.set(5)
print("counted", flush=True)
sys.stdin.read()
"""
ACCEPTED = 'tracking_gateway_events_total{outcome="accepted",reason="ok"}'
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PENDING = "tracking_gateway_spool_pending"


def series(exposition):
    """Give every series with its value."""
    lines = exposition.decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")
    }


@pytest.fixture
def metrics():
    return Metrics()


def test_every_series_exists_before_the_first_event(metrics):
    """A rate over the first event is right, and an alarm on a series that never came can't be silent."""
    found = series(metrics.exposition())
    expected = {
        f'tracking_gateway_events_total{{outcome="{fate.outcome}",reason="{reason}"}}'
        for reason, fate in FATES.items()
        if fate.outcome in {Outcome.ACCEPTED, Outcome.QUARANTINED, Outcome.DROPPED, Outcome.MALFORMED}
    } | {
        f'tracking_gateway_deliveries_total{{result="{result}"}}'
        for result in ("delivered", "retry", "undeliverable", "expired", "erased", "dropped_oldest")
    }
    expected |= {PENDING, "tracking_gateway_spool_damaged_records", "tracking_gateway_bindings_total"}
    assert expected <= set(found)
    assert {0.0} == {found[name] for name in expected}
    assert not [name for name in found if "_created" in name]


def test_an_event_is_counted_under_its_outcome_and_reason(metrics):
    """One event, one step of one series."""
    metrics.event(Outcome.QUARANTINED, Reason.CID_CONFLICT)
    metrics.event(Outcome.QUARANTINED, Reason.CID_CONFLICT)
    metrics.event(Outcome.MALFORMED, Reason.BAD_JSON)
    counted = {
        key: value for key, value in series(metrics.exposition()).items() if "events_total" in key and value
    }
    assert {
        'tracking_gateway_events_total{outcome="quarantined",reason="cid_conflict"}': 2,
        'tracking_gateway_events_total{outcome="malformed",reason="bad_json"}': 1,
    } == counted


def test_an_answers_time_is_counted_in_its_bucket_as_the_library_does_it(metrics):
    """Also on a bucket's bound, below the first and above the last."""
    registry = CollectorRegistry()
    theirs = Histogram("tracking_gateway_answer_seconds", "", buckets=BOUNDS, registry=registry)
    for seconds in (0.0, 0.0005, 0.001, 0.0010001, 0.3, 5, 7.5, 1e9):
        metrics.answer_seconds.note(seconds)
        theirs.observe(seconds)
    ours = {key: value for key, value in series(metrics.exposition()).items() if "answer_seconds" in key}
    expected = {
        key: value for key, value in series(generate_latest(registry)).items() if "_created" not in key
    }
    assert expected == ours


def test_two_gateways_in_one_process_count_apart():
    """Each has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.delivery("delivered")
    name = 'tracking_gateway_deliveries_total{result="delivered"}'
    assert (1, 0) == (series(first.exposition())[name], series(second.exposition())[name])


@contextlib.asynccontextmanager
async def running_worker(name, count, directory):
    """Run a worker that has counted so many events, and kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, name, str(count), str(directory),
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert b"counted\n" == await process.stdout.readline()
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_the_sum_over_workers_keeps_the_counts_of_one_that_was_killed(tmp_path):
    """Its events happened; what it had waiting is no longer its own, so its gauges leave the sum; who takes its place counts on."""
    async with running_worker("1", 4, tmp_path):
        async with running_worker("0", 3, tmp_path):
            both = series(merged_exposition(str(tmp_path)))
            assert (7, 10) == (both[ACCEPTED], both[PENDING])
        mark_process_dead("0", str(tmp_path))
        left = series(merged_exposition(str(tmp_path)))
        assert (7, 5) == (left[ACCEPTED], left[PENDING])
        files = set(tmp_path.glob("counter_*"))
        async with running_worker("0", 2, tmp_path):
            again = series(merged_exposition(str(tmp_path)))
            assert (9, 10) == (again[ACCEPTED], again[PENDING])
        assert files == set(tmp_path.glob("counter_*"))


async def test_the_numbers_of_a_worker_never_need_more_of_a_disk_than_they_had_at_the_start(tmp_path):
    """Their files are mapped into memory, all of their space is there before they are: a full disk would end the worker."""
    async with running_worker("0", 1, tmp_path):
        files = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert {"counter_0.db", "gauge_livesum_0.db", "histogram_0.db"} < set(files)
    for name, found in files.items():
        assert found.st_blocks * 512 >= found.st_size == 1 << 17, name
        used = int.from_bytes((tmp_path / name).read_bytes()[:4], "little")
        assert 0 < used < found.st_size // 2, name
