"""`make bench-steps` knows the parts that there are."""

from __future__ import annotations

from benchmarks.parts import BARE, EVERYTHING, PARTS, find, make_settings
from gateway.events.pipeline import Pipeline


def test_each_part_of_the_measurement_is_a_call_of_the_product(tmp_path):
    """A part that was renamed is missed, not measured as nothing."""
    for more in (BARE, {}, EVERYTHING):
        pipeline = Pipeline(make_settings(tmp_path, more))
        assert all(callable(find(target, pipeline)[2]) for _, _, targets in PARTS for target in targets)
