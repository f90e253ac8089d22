"""Every case of the corpus, through the pure core and through a running gateway, with the fast path and without: all see the same."""

from __future__ import annotations

import asyncio

import pytest

from tests.corpus.case import read_cases
from tests.corpus.core import make_pipeline, play
from tests.corpus.live import play_all

CASES = {case.name: case for case in read_cases()}
PURE = [name for name, case in CASES.items() if not case.is_live_only]


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline()


@pytest.fixture(scope="module", params=["fast", "plain"])
def seen_live(request, tmp_path_factory):
    """Play all cases through one gateway, and give what was seen of each."""
    folder = tmp_path_factory.mktemp(request.param)
    return asyncio.run(play_all(list(CASES.values()), folder, is_fast=request.param == "fast"))


@pytest.mark.parametrize("name", PURE)
async def test_the_pure_core_does_what_the_case_says(name, pipeline):
    """Events, their fates and the answer are those of the file."""
    case = CASES[name]
    assert case.path.read_text(encoding="utf-8") == case.text(await play(case, pipeline))


@pytest.mark.parametrize("name", CASES)
def test_a_running_gateway_does_what_the_case_says(name, seen_live):
    """So do the collector, the quarantine, the log and the client of a real process, whichever path its requests took."""
    case = CASES[name]
    assert case.path.read_text(encoding="utf-8") == case.text(seen_live.blocks[name])


def test_no_case_is_a_fault(seen_live):
    """Nothing in the log is of a library, a fault of ours, or a traceback."""
    assert not seen_live.faults


def test_a_case_is_told_by_its_sentence():
    """Each says in its first line what it shows, and no two say the same."""
    titles = [case.title.splitlines()[0] for case in CASES.values()]
    assert len(titles) == len(set(titles))
    assert all(title.endswith(".") for title in titles)
